#include "convert/verify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/error.h"
#include "unit/convert/fixture.h"

namespace tq {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using namespace tq::fixtures;  // NOLINT(google-build-using-namespace): the fixture

class VerifyTest : public ::testing::Test {
 protected:
  VerifyTest() {
    ConvertOptions options;
    options.destination = result_;
    options.plan.format = "tq3";
    options.effort = Effort::kFast;
    convert_folder(source_, options);
  }
  VerifyReport verify() const { return verify_checkpoint(*open_checkpoint(result_)); }

  TempDir dir_;
  fs::path source_ = write_source(dir_, build(tiny_model()));
  fs::path result_ = dir_ / "result";
};

TEST_F(VerifyTest, WhatWasWrittenIsWhole) {
  const VerifyReport report = verify();
  EXPECT_TRUE(report.hashed);
  EXPECT_EQ(report.n_tensors, 11);
  EXPECT_GT(report.n_bytes, 0);
  EXPECT_THAT(report.faults, IsEmpty());
}

TEST_F(VerifyTest, EveryDamagedTensorIsNamed) {
  // Flip one bit in the last byte of every plane: each must be noticed by its own name.
  const std::string file = read_bytes(result_ / "model.safetensors");
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, file.data(), 8);
  const Json header = parse_json(file.substr(8, header_bytes), "header");
  int planes = 0;
  for (const auto& [name, item] : header.items()) {
    if (name == "__metadata__") continue;
    std::string damaged = file;
    damaged[8 + header_bytes + item["data_offsets"][1].get<size_t>() - 1] ^= 1;
    write_bytes(result_ / "model.safetensors", damaged);
    EXPECT_THAT(verify().faults,
                ElementsAre(AllOf(HasSubstr("tensor " + name + ":"), HasSubstr("changed"))));
    ++planes;
  }
  EXPECT_EQ(planes, 11 + 7);  // seven tensors are compressed
}

TEST_F(VerifyTest, MissingAndUnknownHashes) {
  Json json = parse_json(read_bytes(result_ / "tq_config.json"), "tq_config.json");
  json["hashes"].erase("model.norm.weight");
  json["hashes"]["gone.weight"] = std::string(32, '0');
  write_bytes(result_ / "tq_config.json", json.dump());
  EXPECT_THAT(verify().faults,
              ElementsAre(AllOf(HasSubstr("model.norm.weight"), HasSubstr("no hash")),
                          AllOf(HasSubstr("gone.weight"), HasSubstr("is missing"))));
  json["hashes"] = Json::array({1});
  write_bytes(result_ / "tq_config.json", json.dump());
  EXPECT_THROW(verify(), Error);
  json.erase("hashes");
  write_bytes(result_ / "tq_config.json", json.dump());
  EXPECT_FALSE(verify().hashed);
}

TEST_F(VerifyTest, OtherKindsHaveNoHashes) {
  const VerifyReport report = verify_checkpoint(*open_checkpoint(source_));
  EXPECT_FALSE(report.hashed);
  EXPECT_EQ(report.n_tensors, 11);
}

TEST_F(VerifyTest, StopsWhenAsked) {
  VerifyOptions options;
  options.cancelled = [] { return true; };
  try {
    verify_checkpoint(*open_checkpoint(result_), options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kCancelled);
  }
}

}  // namespace
}  // namespace tq
