#include "io/safetensors/safetensors_layout.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "io/safetensors/safetensors_file.h"
#include "io/safetensors/safetensors_index.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace tq {
namespace {

using fixtures::expect_error;

SafetensorsLayout sample_layout() {
  return SafetensorsLayout({{"odd", DType::kBF16, {3}},
                            {"w \"1\"", DType::kU8, {2, 64}},
                            {"scalar", DType::kF32, {}},
                            {"b", DType::kF16, {32}},
                            {"none", DType::kF32, {0, 4}}},
                           {{"format", "pt"}});
}

TEST(SafetensorsLayout, AlignsDataAndPutsRaggedTensorsLast) {
  const SafetensorsLayout layout = sample_layout();
  ASSERT_EQ(layout.items().size(), 5u);
  EXPECT_EQ(layout.items()[0].name, "w \"1\"");
  EXPECT_EQ(layout.items()[1].name, "b");
  EXPECT_EQ(layout.items()[2].name, "none");
  EXPECT_EQ(layout.items()[3].name, "odd");
  EXPECT_EQ(layout.items()[4].name, "scalar");
  EXPECT_EQ(layout.header().size() % 64, 0u);
  EXPECT_EQ(layout.offset(0), layout.header().size());
  EXPECT_EQ(layout.offset(1), layout.offset(0) + 128);
  EXPECT_EQ(layout.offset(3), layout.offset(1) + 64);
  EXPECT_EQ(layout.offset(4), layout.offset(3) + 6);
  EXPECT_EQ(layout.size_bytes(4), 4u);
  EXPECT_EQ(layout.file_bytes(), layout.offset(4) + 4);
}

TEST(SafetensorsLayout, IsReadBackAsWritten) {
  const SafetensorsLayout layout = sample_layout();
  std::string file = layout.header();
  file.resize(layout.file_bytes(), 'x');
  const SafetensorsHeader parsed = parse_safetensors_header(
      {reinterpret_cast<const uint8_t*>(file.data()), file.size()}, "layout");
  ASSERT_EQ(parsed.entries.size(), layout.items().size());
  EXPECT_EQ(parsed.metadata.at("format"), "pt");
  for (const SafetensorsEntry& entry : parsed.entries) {
    size_t i = 0;
    while (layout.items()[i].name != entry.name) ++i;
    EXPECT_EQ(entry.offset, layout.offset(i));
    EXPECT_EQ(entry.shape, layout.items()[i].shape);
    EXPECT_EQ(entry.dtype, layout.items()[i].dtype);
  }
}

TEST(SafetensorsLayout, HeaderBytesAreFixed) {
  const SafetensorsLayout layout({{"w", DType::kF32, {2}}}, {});
  EXPECT_EQ(layout.header().substr(8), R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})"
                                       "  ");
  uint64_t length = 0;
  std::memcpy(&length, layout.header().data(), 8);
  EXPECT_EQ(length, 56u);
}

TEST(SafetensorsLayout, WritesAnEmptyFile) {
  EXPECT_EQ(SafetensorsLayout({}, {}).file_bytes(), 64u);
}

TEST(SafetensorsLayout, RefusesDuplicatesAndOverflow) {
  expect_error(ErrorCode::kInvalidArgument, {"\"w\" twice"}, [] {
    SafetensorsLayout({{"w", DType::kU8, {1}}, {"w", DType::kU8, {2}}}, {});
  });
  expect_error(ErrorCode::kInvalidArgument, {"__metadata__"}, [] {
    SafetensorsLayout({{"__metadata__", DType::kU8, {1}}}, {});
  });
  expect_error(ErrorCode::kInvalidArgument, {"\"w\"", "overflows"}, [] {
    SafetensorsLayout({{"w", DType::kU8, {int64_t{1} << 40, int64_t{1} << 40}}}, {});
  });
  expect_error(ErrorCode::kInvalidArgument, {"\"w\"", "overflows"}, [] {
    SafetensorsLayout({{"w", DType::kU8, {-1}}}, {});
  });
  expect_error(ErrorCode::kInvalidArgument, {"\"v\"", "too large"}, [] {
    const Shape most = {INT64_MAX};
    SafetensorsLayout({{"w", DType::kU8, most}, {"v", DType::kU8, most}}, {});
  });
}

TEST(SafetensorsLayout, IndexMakesASetOfShards) {
  const fixtures::TempDir dir;
  const SafetensorsLayout one({{"b", DType::kU8, {64}}}, {});
  const SafetensorsLayout two({{"a", DType::kF32, {3}}, {"c", DType::kU8, {1}}}, {});
  for (const auto& [name, layout] :
       {std::pair("one.safetensors", &one), {"two.safetensors", &two}}) {
    std::string file = layout->header();
    file.resize(layout->file_bytes());
    fixtures::write_bytes(dir / name, file);
  }
  const Json index = safetensors_index({"one.safetensors", "two.safetensors"}, {&one, &two});
  EXPECT_EQ(index.dump(), R"({"metadata":{"total_size":77},"weight_map":{"a":"two.safetensors",)"
                          R"("b":"one.safetensors","c":"two.safetensors"}})");
  fixtures::write_bytes(dir / kSafetensorsIndexName, index.dump(2));
  EXPECT_EQ(SafetensorsSet(dir.path()).tensors().size(), 3u);
}

}  // namespace
}  // namespace tq
