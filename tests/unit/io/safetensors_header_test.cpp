#include "io/safetensors/safetensors_header.h"

#include <gtest/gtest.h>

#include <string>

#include "support/expect_error.h"
#include "support/safetensors_builder.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::raw_safetensors;
using fixtures::SafetensorsBuilder;

SafetensorsHeader parse_header(const std::string& file) {
  return parse_safetensors_header({reinterpret_cast<const uint8_t*>(file.data()), file.size()},
                                  "x.safetensors");
}

void expect_corrupt(const std::string& file, std::initializer_list<std::string> parts) {
  SCOPED_TRACE(file.substr(0, 200));
  expect_error(ErrorCode::kCorrupt, parts, [&] { parse_header(file); });
}

std::string data(size_t size) { return std::string(size, 'd'); }

TEST(SafetensorsHeader, ReadsEntriesByOffsetAndMetadata) {
  const std::string header = R"({"__metadata__":{"format":"pt"},)"
                             R"("b":{"data_offsets":[4,10],"shape":[3],"dtype":"BF16"},)"
                             R"("a":{"dtype":"F32","shape":[],"data_offsets":[0,4]},)"
                             R"("empty":{"dtype":"I64","shape":[0,7],"data_offsets":[4,4]}} )";
  const SafetensorsHeader parsed = parse_header(raw_safetensors(header, data(10)));
  ASSERT_EQ(parsed.entries.size(), 3u);
  EXPECT_EQ(parsed.entries[0].name, "a");
  EXPECT_EQ(parsed.entries[0].offset, 8 + header.size());
  EXPECT_EQ(parsed.entries[0].size_bytes, 4u);
  EXPECT_TRUE(parsed.entries[0].shape.empty());
  EXPECT_EQ(parsed.entries[1].name, "empty");
  EXPECT_EQ(parsed.entries[1].size_bytes, 0u);
  EXPECT_EQ(parsed.entries[2].name, "b");
  EXPECT_EQ(parsed.entries[2].dtype, DType::kBF16);
  EXPECT_EQ(parsed.entries[2].shape, (Shape{3}));
  EXPECT_EQ(parsed.entries[2].offset, 8 + header.size() + 4);
  EXPECT_EQ(parsed.metadata.at("format"), "pt");
}

TEST(SafetensorsHeader, ReadsAFileWithoutTensors) {
  EXPECT_TRUE(parse_header(raw_safetensors("{}", "")).entries.empty());
}

TEST(SafetensorsHeader, RefusesTruncatedFiles) {
  const float values[] = {1, 2, 3};
  const std::string file = SafetensorsBuilder().add_floats("w", {3}, values).bytes();
  ASSERT_EQ(parse_header(file).entries.size(), 1u);
  for (size_t size = 0; size < file.size(); ++size) {
    SCOPED_TRACE(size);
    expect_error(ErrorCode::kCorrupt, {"x.safetensors"},
                 [&] { parse_header(file.substr(0, size)); });
  }
}

TEST(SafetensorsHeader, RefusesAnOversizedHeader) {
  std::string file = raw_safetensors("{}", "");
  file[4] = 1;  // 2^32 + 2
  expect_corrupt(file, {"4294967298 bytes", "100000000"});
  file = raw_safetensors("{}", data(100));
  file[0] = 127;
  expect_corrupt(file, {"truncated"});
}

TEST(SafetensorsHeader, RefusesWhatIsNoObject) {
  for (const char* header :
       {"", "[]", "null", "1", "\"x\"", " {}", "\xEF\xBB\xBF{}", "{", "{}{}", "{} x", "{'a':1}",
        "{\"a\":{}", "{\"a\" {}}", "{\"a\":NaN}", "{\"a\":{\"shape\":[NaN]}}", "{\"\xff\":{}}"}) {
    expect_corrupt(raw_safetensors(header, ""), {"x.safetensors"});
  }
  expect_corrupt(raw_safetensors(std::string("{}\0{}", 5), ""), {"and nothing else"});
}

TEST(SafetensorsHeader, RefusesEntriesOfAnotherForm) {
  const auto entry = [](const std::string& value) {
    return raw_safetensors("{\"w\":" + value + "}", data(4));
  };
  for (const char* value : {"1", "-1", "1.5", "true", "null", "\"x\"", "[]"}) {
    expect_corrupt(entry(value), {"\"w\"", "unexpected"});
  }
  expect_corrupt(entry("{}"), {"needs dtype, shape and data_offsets"});
  expect_corrupt(entry(R"({"dtype":"F32","shape":[1]})"), {"needs dtype"});
  expect_corrupt(entry(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1})"),
                 {"unknown key \"x\""});
  expect_corrupt(entry(R"({"dtype":["F32"],"shape":[1],"data_offsets":[0,4]})"), {"unexpected"});
  expect_corrupt(entry(R"({"dtype":"F32","shape":{},"data_offsets":[0,4]})"), {"unexpected"});
  expect_corrupt(entry(R"({"dtype":"F32","shape":["1"],"data_offsets":[0,4]})"), {"unexpected"});
  expect_corrupt(entry(R"({"dtype":"F32","shape":[1.0],"data_offsets":[0,4]})"), {"1.0"});
  expect_corrupt(entry(R"({"dtype":"F32","shape":[[1]],"data_offsets":[0,4]})"), {"unexpected"});
  expect_corrupt(entry(R"({"dtype":"F32","shape":[1],"data_offsets":[0]})"), {"two numbers"});
  expect_corrupt(entry(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4,4]})"), {"more than two"});
}

TEST(SafetensorsHeader, RefusesDeepJson) {
  const std::string deep(100000, '[');
  expect_corrupt(raw_safetensors("{\"w\":" + deep, ""), {"unexpected"});
  expect_corrupt(raw_safetensors("{\"w\":{\"shape\":" + deep, ""), {"unexpected"});
  std::string objects;
  for (int i = 0; i < 10000; ++i) objects += "{\"a\":";
  expect_corrupt(raw_safetensors(objects, ""), {"x.safetensors"});
}

TEST(SafetensorsHeader, RefusesDuplicateKeys) {
  const std::string w = R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})";
  const std::string v = R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})";
  expect_corrupt(raw_safetensors("{\"w\":" + w + ",\"w\":" + v + "}", data(8)),
                 {"duplicate tensor \"w\""});
  expect_corrupt(
      raw_safetensors(R"({"w":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})",
                      data(4)),
      {"\"w\"", "duplicate key \"dtype\""});
  expect_corrupt(
      raw_safetensors(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"shape":[1]}})",
                      data(4)),
      {"duplicate key \"shape\""});
  expect_corrupt(raw_safetensors(R"({"__metadata__":{"a":"1","a":"2"}})", ""),
                 {"duplicate key \"a\""});
  expect_corrupt(raw_safetensors(R"({"__metadata__":{},"__metadata__":{}})", ""),
                 {"duplicate key \"__metadata__\""});
}

TEST(SafetensorsHeader, RefusesMetadataThatIsNotStrings) {
  for (const char* value : {"1", "null", "{}", "[]", "true", "1.5"}) {
    expect_corrupt(raw_safetensors("{\"__metadata__\":{\"a\":" + std::string(value) + "}}", ""),
                   {"__metadata__", "unexpected"});
  }
  expect_corrupt(raw_safetensors(R"({"__metadata__":"x"})", ""), {"__metadata__"});
}

TEST(SafetensorsHeader, RefusesUnknownDtypes) {
  expect_error(ErrorCode::kUnsupported, {"\"w\"", "unknown dtype \"F4\""}, [] {
    parse_header(
        raw_safetensors(R"({"w":{"dtype":"F4","shape":[1],"data_offsets":[0,4]}})", data(4)));
  });
}

TEST(SafetensorsHeader, RefusesImpossibleShapes) {
  const auto shaped = [](const std::string& shape) {
    return raw_safetensors(
        "{\"w\":{\"dtype\":\"F32\",\"shape\":" + shape + ",\"data_offsets\":[0,4]}}", data(4));
  };
  ASSERT_EQ(parse_header(shaped("[1,1]")).entries.size(), 1u);
  expect_corrupt(shaped("[-1]"), {"\"w\"", "-1"});
  expect_corrupt(shaped("[9223372036854775808]"), {"out of range"});
  expect_corrupt(shaped("[99999999999999999999999]"), {"unexpected"});
  expect_corrupt(shaped("[4294967296,4294967296]"), {"overflows"});
  expect_corrupt(shaped("[9223372036854775807]"), {"overflows"});  // times four bytes
  expect_corrupt(shaped("[4294967296,4294967296,0]"), {"overflows"});
  expect_corrupt(shaped("[2]"), {"takes 8 bytes", "span 4"});
  expect_corrupt(shaped("[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]"), {"more than 16 dimensions"});
}

TEST(SafetensorsHeader, RefusesOffsetsThatDoNotTileTheFile) {
  const auto two = [](const std::string& a, const std::string& b, size_t bytes) {
    return raw_safetensors(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + a +
                               R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + b + "}}",
                           data(bytes));
  };
  ASSERT_EQ(parse_header(two("[4,8]", "[0,4]", 8)).entries[0].name, "b");
  expect_corrupt(two("[0,4]", "[2,6]", 6), {"\"b\"", "overlapping"});
  expect_corrupt(two("[0,4]", "[0,4]", 4), {"overlapping"});
  expect_corrupt(two("[0,4]", "[5,9]", 9), {"\"b\"", "hole"});
  expect_corrupt(two("[1,5]", "[5,9]", 9), {"\"a\"", "hole"});
  expect_corrupt(two("[0,4]", "[4,8]", 9), {"1 bytes after the last tensor"});
  expect_corrupt(two("[0,4]", "[4,8]", 7), {"\"b\"", "truncated"});
  expect_corrupt(two("[0,4]", "[8,4]", 8), {"\"b\"", "backwards"});
  expect_corrupt(two("[0,4]", "[18446744073709551612,18446744073709551615]", 8), {"truncated"});
}

TEST(SafetensorsHeader, RefusesNamesUnfitForMessages) {
  const std::string entry = R"({"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
  expect_corrupt(raw_safetensors("{\"\":" + entry + "}", ""), {"empty"});
  expect_corrupt(raw_safetensors("{\"a\\u0000b\":" + entry + "}", ""), {"a?b"});
  expect_corrupt(raw_safetensors("{\"a\\nb\":" + entry + "}", ""), {"a?b"});
  expect_corrupt(raw_safetensors("{\"" + std::string(5000, 'n') + "\":" + entry + "}", ""),
                 {"nnn...", "1024"});
}

}  // namespace
}  // namespace tq
