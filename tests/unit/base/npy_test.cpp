#include "base/npy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>
#include <string>

#include "base/error.h"

namespace tq {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class NpyTest : public testing::Test {
 protected:
  void SetUp() override {
    folder_ = fs::temp_directory_path() / ("tq_npy_" + std::to_string(::getpid()));
    fs::create_directories(folder_);
  }
  void TearDown() override { fs::remove_all(folder_); }

  fs::path write(const std::string& dict, const std::string& data, char version = 1) {
    std::string text = "\x93NUMPY";
    text += {version, '\0', static_cast<char>(dict.size()), '\0'};
    if (version > 1) text += {'\0', '\0'};
    const fs::path path = folder_ / "x.npy";
    std::ofstream(path, std::ios::binary) << text << dict << data;
    return path;
  }
  void expect_error(const fs::path& path, ErrorCode code, const std::string& part) {
    try {
      read_npy_f32(path);
      FAIL() << "no error";
    } catch (const Error& e) {
      EXPECT_EQ(e.code(), code);
      EXPECT_THAT(e.what(), HasSubstr(part));
    }
  }

  fs::path folder_;
};

TEST_F(NpyTest, WritesWhatItReads) {
  const fs::path path = folder_ / "logits.npy";
  const std::vector<int64_t> shape{2, 3};
  NpyWriter writer(path, shape);
  writer.append(std::vector<float>{1, 2, 3});
  EXPECT_FALSE(fs::exists(path));
  writer.append(std::vector<float>{4, 5, -6.5f});
  writer.finish();
  const auto array = read_npy_f32(path);
  EXPECT_EQ(array.shape, shape);
  EXPECT_THAT(array.values, ElementsAre(1, 2, 3, 4, 5, -6.5f));
  EXPECT_EQ(fs::file_size(path) % 8, 0u);
}

TEST_F(NpyTest, AnUnfinishedFileLeavesNothing) {
  {
    NpyWriter writer(folder_ / "a.npy", std::vector<int64_t>{4});
    writer.append(std::vector<float>{1});
    EXPECT_THROW(writer.finish(), Error);
    EXPECT_THROW(writer.append(std::vector<float>(4)), Error);
  }
  EXPECT_TRUE(fs::is_empty(folder_));
}

TEST_F(NpyTest, ReadsIntegersOfBothWidths) {
  const std::string four("\x07\0\0\0\xff\xff\xff\xff", 8);
  auto array =
      read_npy_int(write("{'descr': '<i4', 'fortran_order': False, 'shape': (2,), }", four));
  EXPECT_THAT(array.values, ElementsAre(7, -1));
  const std::string eight("\x07\0\0\0\x01\0\0\0", 8);
  array = read_npy_int(write("{'shape':(1,1),'descr':'<i8','fortran_order':False}", eight, 2));
  EXPECT_THAT(array.values, ElementsAre((int64_t{1} << 32) + 7));
  EXPECT_THAT(array.shape, ElementsAre(1, 1));
}

TEST_F(NpyTest, RefusesWhatItCannotRead) {
  const std::string one(4, '\0');
  expect_error(folder_ / "none.npy", ErrorCode::kNotFound, "none.npy");
  expect_error(write("{'descr': '<f8', 'fortran_order': False, 'shape': ()}", one),
               ErrorCode::kUnsupported, "<f8");
  expect_error(write("{'descr': '<f4', 'fortran_order': True, 'shape': (1, 1)}", one),
               ErrorCode::kUnsupported, "Fortran");
  expect_error(write("{'descr': '<f4', 'fortran_order': False, 'shape': (2,)}", one),
               ErrorCode::kCorrupt, "8 bytes");
  const std::string huge = "(999999999999, 999999999999)";
  expect_error(write("{'descr': '<f4', 'fortran_order': False, 'shape': " + huge + "}", one),
               ErrorCode::kCorrupt, "too many");
  for (const char* dict : {"", "{", "{'descr': '<f4", "{'descr'}", "{'other': 1}",
                           "{'shape': (-1,)}", "{'fortran_order': 0}", "{'shape': 3}"}) {
    expect_error(write(dict, one), ErrorCode::kCorrupt, "not a .npy file");
  }
  const fs::path path = folder_ / "short.npy";
  std::ofstream(path) << "\x93NUMPY";
  expect_error(path, ErrorCode::kCorrupt, "no magic");
}

}  // namespace
}  // namespace tq
