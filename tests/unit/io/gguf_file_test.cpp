#include "io/gguf/gguf_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/gguf/gguf_dequant.h"
#include "support/gguf_builder.h"

namespace tq {
namespace {

using fixtures::GgufBuilder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr uint32_t kF32Type = static_cast<uint32_t>(GgmlType::kF32);

GgufFile parse_gguf(const std::string& bytes) {
  return {std::span(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()), "test.gguf"};
}

// The error of parsing these bytes; fails the test when there is none.
Error parse_error(const std::string& bytes) {
  try {
    parse_gguf(bytes);
  } catch (const Error& error) {
    return error;
  }
  ADD_FAILURE() << "no error";
  return {ErrorCode::kInternal, ""};
}

void expect_error(const std::string& bytes, ErrorCode code, const std::string& part) {
  const Error error = parse_error(bytes);
  EXPECT_EQ(error.code(), code) << error.what();
  EXPECT_THAT(error.what(), HasSubstr(part));
  EXPECT_THAT(error.what(), HasSubstr("test.gguf"));
}

GgufBuilder sample_gguf() {
  GgufBuilder builder;
  builder.string("text", "hello")
      .raw("u8", GgufBuilder::kU8, GgufBuilder::bytes_of<uint8_t>(200))
      .raw("i8", GgufBuilder::kI8, GgufBuilder::bytes_of<int8_t>(-2))
      .raw("u16", GgufBuilder::kU16, GgufBuilder::bytes_of<uint16_t>(65535))
      .raw("i16", GgufBuilder::kI16, GgufBuilder::bytes_of<int16_t>(-300))
      .u32("u32", 4000000000u)
      .raw("i32", GgufBuilder::kI32, GgufBuilder::bytes_of<int32_t>(-70000))
      .raw("u64", GgufBuilder::kU64, GgufBuilder::bytes_of<uint64_t>(uint64_t{1} << 40))
      .raw("i64", GgufBuilder::kI64, GgufBuilder::bytes_of<int64_t>(-(int64_t{1} << 40)))
      .raw("huge", GgufBuilder::kU64, GgufBuilder::bytes_of<uint64_t>(uint64_t{1} << 63))
      .f32("f32", 1.5f)
      .raw("f64", GgufBuilder::kF64, GgufBuilder::bytes_of(2.25))
      .boolean("yes", true)
      .strings("words", {"a", "", "ccc"})
      .i32s("numbers", {1, -2, 3})
      .f32s("floats", {0.5f, -1.0f})
      .array("flags", GgufBuilder::kBool, 2, std::string("\1\0", 2));
  return builder;
}

TEST(GgufFile, ReadsEveryValueType) {
  const std::string bytes = sample_gguf().build();
  const GgufFile file = parse_gguf(bytes);
  EXPECT_EQ(file.string("text"), "hello");
  EXPECT_EQ(file.integer("u8"), 200);
  EXPECT_EQ(file.integer("i8"), -2);
  EXPECT_EQ(file.integer("u16"), 65535);
  EXPECT_EQ(file.integer("i16"), -300);
  EXPECT_EQ(file.integer("u32"), 4000000000);
  EXPECT_EQ(file.integer("i32"), -70000);
  EXPECT_EQ(file.integer("u64"), int64_t{1} << 40);
  EXPECT_EQ(file.integer("i64"), -(int64_t{1} << 40));
  EXPECT_EQ(file.number("f32"), 1.5);
  EXPECT_EQ(file.number("f64"), 2.25);
  EXPECT_EQ(file.number("i8"), -2.0);
  EXPECT_EQ(file.boolean("yes"), true);
  EXPECT_THAT(*file.strings("words"), ElementsAre("a", "", "ccc"));
  EXPECT_THAT(*file.integers("numbers"), ElementsAre(1, -2, 3));
  EXPECT_THAT(*file.floats("floats"), ElementsAre(0.5f, -1.0f));
  EXPECT_THAT(*file.integers("flags"), ElementsAre(1, 0));
  EXPECT_TRUE(file.is_array("words"));
  EXPECT_FALSE(file.is_array("text"));
  EXPECT_FALSE(file.is_array("nothing"));
  EXPECT_EQ(file.keys().size(), 17u);
}

TEST(GgufFile, AbsentKeysAreNothing) {
  const std::string bytes = sample_gguf().build();
  const GgufFile file = parse_gguf(bytes);
  EXPECT_FALSE(file.has("nothing"));
  EXPECT_EQ(file.string("nothing"), std::nullopt);
  EXPECT_EQ(file.integer("nothing"), std::nullopt);
  EXPECT_EQ(file.number("nothing"), std::nullopt);
  EXPECT_EQ(file.boolean("nothing"), std::nullopt);
  EXPECT_EQ(file.strings("nothing"), std::nullopt);
  EXPECT_EQ(file.integers("nothing"), std::nullopt);
  EXPECT_EQ(file.floats("nothing"), std::nullopt);
}

TEST(GgufFile, WrongTypesAreNamed) {
  const std::string bytes = sample_gguf().build();
  const GgufFile file = parse_gguf(bytes);
  const std::vector<std::pair<std::function<void()>, std::string>> cases = {
      {[&] { file.string("u32"); }, "metadata key u32 is of type u32, not a string"},
      {[&] { file.integer("f32"); }, "metadata key f32 is of type f32, not an integer"},
      {[&] { file.integer("yes"); }, "metadata key yes is of type bool, not an integer"},
      {[&] { file.integer("huge"); }, "fits 63 bits"},
      {[&] { file.number("text"); }, "of type string, not a number"},
      {[&] { file.boolean("u8"); }, "not a boolean"},
      {[&] { file.strings("numbers"); }, "an array of i32, not an array of strings"},
      {[&] { file.strings("text"); }, "of type string, not an array of strings"},
      {[&] { file.integers("floats"); }, "an array of f32, not an array of integers"},
      {[&] { file.floats("numbers"); }, "not an array of f32"},
  };
  for (const auto& [get, message] : cases) {
    try {
      get();
      ADD_FAILURE() << "no error: " << message;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kCorrupt);
      EXPECT_THAT(error.what(), HasSubstr(message));
    }
  }
}

TEST(GgufFile, ReadsTensorsSortedByOffset) {
  GgufBuilder builder;
  builder.tensor("b", {2, 3}, {0, 1, 2, 3, 4, 5}).at_offset(64);
  builder.tensor("a", {4}, {9, 8, 7, 6}).at_offset(0);
  const std::string data = std::string(64, '\1') + std::string(32, '\2');
  const std::string bytes = builder.build() + data;
  const GgufFile file = parse_gguf(bytes);
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_EQ(file.tensors()[0].name, "a");
  EXPECT_EQ(file.tensors()[1].name, "b");
  const GgufTensor* b = file.find_tensor("b");
  ASSERT_NE(b, nullptr);
  EXPECT_EQ(b->shape, (Shape{2, 3}));
  EXPECT_EQ(b->type, GgmlType::kF32);
  EXPECT_EQ(b->size_bytes, 24u);
  EXPECT_EQ(b->offset % 32, 0u);
  EXPECT_EQ(file.tensor_bytes(*b)[0], 2);
  EXPECT_EQ(file.find_tensor("c"), nullptr);
}

TEST(GgufFile, OpensAFileOfVersionTwo) {
  const fixtures::TempDir folder;
  GgufBuilder().version(2).string("k", "v").write(folder / "m.gguf");
  const GgufFile file(folder / "m.gguf");
  EXPECT_EQ(file.string("k"), "v");
  EXPECT_EQ(file.name(), (folder / "m.gguf").string());
}

TEST(GgufFile, SurvivesBeingMoved) {
  const fixtures::TempDir folder;
  sample_gguf().tensor("t", {3}, {1, 2, 3}).write(folder / "m.gguf");
  GgufFile first(folder / "m.gguf");
  const GgufFile second = std::move(first);
  EXPECT_EQ(second.string("text"), "hello");
  EXPECT_EQ(second.tensor_bytes(second.tensors()[0]).size(), 12u);
}

TEST(GgufFile, HonoursTheAlignment) {
  GgufBuilder builder;
  builder.alignment(128).tensor("a", {1}, {5}).tensor("b", {1}, {6});
  const std::string bytes = builder.build();
  const GgufFile file = parse_gguf(bytes);
  EXPECT_EQ(file.tensors()[1].offset % 128, 0u);
  EXPECT_EQ(file.tensors()[1].offset - file.tensors()[0].offset, 128u);
}

TEST(GgufFile, RefusesAMissingFile) {
  EXPECT_THROW(GgufFile(fs::path("/nonexistent/m.gguf")), Error);
}

TEST(GgufFileHostile, Header) {
  expect_error("", ErrorCode::kCorrupt, "not a GGUF file");
  expect_error("GGML" + std::string(64, '\0'), ErrorCode::kCorrupt, "not a GGUF file");
  expect_error("GGUF", ErrorCode::kCorrupt, "ends inside the header");
  expect_error(GgufBuilder().version(1).build(), ErrorCode::kUnsupported, "GGUF version 1");
  expect_error(GgufBuilder().version(4).build(), ErrorCode::kUnsupported, "GGUF version 4");
  expect_error(GgufBuilder().version(0).build(), ErrorCode::kUnsupported, "GGUF version 0");
  expect_error(GgufBuilder().version(0x03000000).build(), ErrorCode::kUnsupported, "big-endian");
}

TEST(GgufFileHostile, EveryTruncationIsRefused) {
  const std::string bytes = sample_gguf().tensor("t", {2, 4}).build();
  for (size_t n = 0; n < bytes.size(); ++n)
    EXPECT_THROW(parse_gguf(bytes.substr(0, n)), Error) << n;
  EXPECT_NO_THROW(parse_gguf(bytes));
}

TEST(GgufFileHostile, CountsBeyondTheFile) {
  expect_error(GgufBuilder().declare(0, uint64_t{1} << 60).build(), ErrorCode::kCorrupt,
               "metadata values");
  expect_error(GgufBuilder().declare(~uint64_t{0}, 0).build(), ErrorCode::kCorrupt, "tensors");
  expect_error(GgufBuilder().string("k", "v").declare(0, 2).build(), ErrorCode::kCorrupt, "");
  for (const uint32_t type : {GgufBuilder::kU8, GgufBuilder::kF64, GgufBuilder::kString}) {
    for (const uint64_t count : {uint64_t{1} << 20, uint64_t{1} << 61, ~uint64_t{0}}) {
      expect_error(GgufBuilder().array("list", type, count, "").build(), ErrorCode::kCorrupt,
                   "key list has");
    }
  }
}

TEST(GgufFileHostile, Metadata) {
  const std::string long_string = GgufBuilder::bytes_of(~uint64_t{0} - 3);
  expect_error(GgufBuilder().raw("k", GgufBuilder::kString, long_string).build(),
               ErrorCode::kCorrupt, "ends inside k");
  expect_error(GgufBuilder().array("k", GgufBuilder::kString, 1, long_string).build(),
               ErrorCode::kCorrupt, "ends inside k");
  expect_error(GgufBuilder().raw("k", 13, "xxxx").build(), ErrorCode::kCorrupt, "value type 13");
  expect_error(GgufBuilder().array("k", 77, 1, "xxxx").build(), ErrorCode::kCorrupt,
               "value type 77");
  expect_error(GgufBuilder().array("k", GgufBuilder::kArray, 1, std::string(24, '\0')).build(),
               ErrorCode::kUnsupported, "array of arrays");
  expect_error(GgufBuilder().raw("k", GgufBuilder::kBool, "\2").build(), ErrorCode::kCorrupt,
               "neither 0 nor 1");
  expect_error(GgufBuilder().u32("k", 1).raw("k", GgufBuilder::kU32, "abcd", true).build(),
               ErrorCode::kCorrupt, "duplicate metadata key k");
  expect_error(GgufBuilder().u32("", 1).build(), ErrorCode::kCorrupt, "a metadata key of 0 bytes");
  expect_error(GgufBuilder().u32(std::string(65536, 'k'), 1).build(), ErrorCode::kCorrupt,
               "a metadata key of 65536 bytes");
  expect_error(GgufBuilder().u32("a\nb", 1).build(), ErrorCode::kCorrupt, "printable ASCII");
}

TEST(GgufFileHostile, Alignment) {
  for (const uint32_t value : {0u, 1u, 4u, 12u, 24u, 1u << 21}) {
    expect_error(GgufBuilder().u32("general.alignment", value).tensor("t", {8}).build(),
                 ErrorCode::kCorrupt, "general.alignment is");
  }
  expect_error(GgufBuilder().string("general.alignment", "32").tensor("t", {8}).build(),
               ErrorCode::kCorrupt, "general.alignment is of type string");
}

TEST(GgufFileHostile, TensorDirectory) {
  const std::string data(64, '\0');
  expect_error(GgufBuilder().tensor("t", kF32Type, {1, 1, 1, 1, 1}, data).build(),
               ErrorCode::kCorrupt, "tensor t has 5 dimensions");
  expect_error(GgufBuilder().tensor("t", kF32Type, {}, data).build(), ErrorCode::kCorrupt,
               "0 dimensions");
  expect_error(GgufBuilder().tensor("t", kF32Type, {2, 0}, data).build(), ErrorCode::kCorrupt,
               "a dimension of 0");
  expect_error(GgufBuilder().tensor("t", kF32Type, {2, -4}, data).build(), ErrorCode::kCorrupt,
               "a dimension of -4");
  const int64_t big = int64_t{1} << 32;
  expect_error(GgufBuilder().tensor("t", kF32Type, {big, big}, data).build(), ErrorCode::kCorrupt,
               "impossible size");
  expect_error(GgufBuilder().tensor("t", kF32Type, {int64_t{1} << 61, 2}, data).build(),
               ErrorCode::kCorrupt, "impossible size");
  expect_error(
      GgufBuilder().tensor("t", static_cast<uint32_t>(GgmlType::kQ4_K), {1, 128}, data).build(),
      ErrorCode::kCorrupt, "no multiple of the 256");
  expect_error(GgufBuilder().tensor("", {8}).build(), ErrorCode::kCorrupt, "a tensor name of 0");
  expect_error(GgufBuilder().tensor("t", {8}).tensor("t", {8}).build(), ErrorCode::kCorrupt,
               "duplicate tensor t");
}

TEST(GgufFileHostile, TensorPlaces) {
  expect_error(GgufBuilder().tensor("t", {8}).at_offset(16).build() + std::string(64, '\0'),
               ErrorCode::kCorrupt, "no multiple of the alignment 32");
  expect_error(GgufBuilder().tensor("t", {8}).at_offset(64).build(), ErrorCode::kCorrupt,
               "reaches beyond");
  expect_error(GgufBuilder().tensor("t", {8}).at_offset(~uint64_t{31}).build(), ErrorCode::kCorrupt,
               "reaches beyond");
  expect_error(GgufBuilder().tensor("a", {16}).tensor("b", {8}).at_offset(32).build(),
               ErrorCode::kCorrupt, "tensors a and b overlap");
  expect_error(GgufBuilder().tensor("a", {16}).tensor("b", {8}).at_offset(0).build(),
               ErrorCode::kCorrupt, "overlap");
}

// Those that exist are listed for who only looks; whether they can be decoded is not asked here.
TEST(GgufFileHostile, TypesThatAreNotRead) {
  const std::string data(96, '\0');
  const std::string bytes = GgufBuilder().tensor("w", 40, {1, 128}, data).build();
  const GgufFile file({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()}, "m.gguf");
  EXPECT_EQ(file.tensors()[0].size_bytes, 2u * 36);  // nvfp4
  EXPECT_EQ(find_ggml_type(40), nullptr);
  expect_error(GgufBuilder().tensor("w", 20, {1, 33}, data).build(), ErrorCode::kCorrupt,
               "no multiple of the 32 of a iq4_nl block");
  expect_error(GgufBuilder().tensor("w", 31, {1, 32}, data).build(), ErrorCode::kUnsupported,
               "tensor w has ggml type 31 (q4_0_4_4)");
  expect_error(GgufBuilder().tensor("w", 999, {1, 32}, data).build(), ErrorCode::kUnsupported,
               "999 (unknown)");
}

}  // namespace
}  // namespace tq
