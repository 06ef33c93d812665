#include "io/safetensors/safetensors_file.h"

#include <gtest/gtest.h>

#include <string>

#include "io/safetensors/safetensors_index.h"
#include "support/expect_error.h"
#include "support/safetensors_builder.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::SafetensorsBuilder;
using fixtures::TempDir;
using fixtures::write_bytes;

constexpr float kValues[] = {1, 2, 3, 4};

void write_tensors(const fs::path& path, std::initializer_list<std::string> names) {
  SafetensorsBuilder builder;
  for (const std::string& name : names) builder.add_floats(name, {2, 2}, kValues);
  builder.write(path);
}

void write_index(const TempDir& dir, const std::string& weight_map) {
  write_bytes(dir / kSafetensorsIndexName,
              R"({"metadata":{"total_size":1},"weight_map":)" + weight_map + "}");
}

TEST(SafetensorsSet, OpensALoneFile) {
  const TempDir dir;
  write_tensors(dir / "any.safetensors", {"b", "a"});
  for (const fs::path& path : {dir.path(), dir / "any.safetensors"}) {
    const SafetensorsSet set(path);
    ASSERT_EQ(set.tensors().size(), 2u);
    EXPECT_EQ(set.tensors()[0].name(), "b");  // in file order
    ASSERT_NE(set.find("a"), nullptr);
    EXPECT_EQ(set.find("a")->bytes().size(), 16u);
    EXPECT_EQ(set.find("c"), nullptr);
    EXPECT_EQ(set.files(), std::vector<fs::path>{dir / "any.safetensors"});
  }
}

TEST(SafetensorsSet, OpensShardsInOrder) {
  const TempDir dir;
  write_tensors(dir / "model-00001-of-00002.safetensors", {"z"});
  write_tensors(dir / "model-00002-of-00002.safetensors", {"a", "m"});
  write_index(dir, R"({"a":"model-00002-of-00002.safetensors",
                       "m":"model-00002-of-00002.safetensors",
                       "z":"model-00001-of-00002.safetensors"})");
  const SafetensorsSet set(dir.path());
  ASSERT_EQ(set.tensors().size(), 3u);
  EXPECT_EQ(set.tensors()[0].name(), "z");
  EXPECT_EQ(set.find("m")->file->path(), dir / "model-00002-of-00002.safetensors");
  EXPECT_EQ(set.files().size(), 2u);
}

TEST(SafetensorsSet, TrustsAPlainFileRatherThanAStaleIndex) {
  const TempDir dir;
  write_tensors(dir / "model.safetensors", {"w"});
  write_index(dir, R"({"old":"model-00001-of-00009.safetensors"})");
  EXPECT_NE(SafetensorsSet(dir.path()).find("w"), nullptr);
}

TEST(SafetensorsSet, NamesMissingShards) {
  const TempDir dir;
  write_tensors(dir / "one.safetensors", {"a"});
  write_index(dir, R"({"a":"one.safetensors","b":"two.safetensors","c":"three.safetensors"})");
  expect_error(ErrorCode::kNotFound, {"2 of 3 shards are missing", "three.safetensors, two"},
               [&] { SafetensorsSet set(dir.path()); });
}

TEST(SafetensorsSet, RefusesAnIndexThatContradictsTheShards) {
  const TempDir dir;
  write_tensors(dir / "one.safetensors", {"a"});
  write_tensors(dir / "two.safetensors", {"b"});
  write_index(dir, R"({"a":"one.safetensors","b":"one.safetensors","c":"two.safetensors"})");
  expect_error(ErrorCode::kCorrupt, {"\"b\"", "not in one.safetensors"},
               [&] { SafetensorsSet set(dir.path()); });
}

TEST(SafetensorsSet, RefusesATensorInTwoShards) {
  const TempDir dir;
  write_tensors(dir / "one.safetensors", {"a", "b"});
  write_tensors(dir / "two.safetensors", {"b"});
  write_index(dir, R"({"a":"one.safetensors","b":"two.safetensors"})");
  expect_error(ErrorCode::kCorrupt,
               {"\"b\" is in two shards", "one.safetensors", "two.safetensors"},
               [&] { SafetensorsSet set(dir.path()); });
}

TEST(SafetensorsSet, RefusesFilesWithoutAnIndex) {
  const TempDir dir;
  expect_error(ErrorCode::kNotFound, {"no .safetensors file"},
               [&] { SafetensorsSet set(dir.path()); });
  write_tensors(dir / "model-00001-of-00002.safetensors", {"a"});
  expect_error(ErrorCode::kNotFound,
               {"missing: model-00002-of-00002.safetensors", kSafetensorsIndexName},
               [&] { SafetensorsSet set(dir.path()); });
  write_tensors(dir / "other.safetensors", {"b"});
  expect_error(ErrorCode::kNotFound, {"2 .safetensors files", kSafetensorsIndexName},
               [&] { SafetensorsSet set(dir.path()); });
}

// The shards' names say enough when all are there.
TEST(SafetensorsSet, OpensAllShardsOfOneModelWithoutAnIndex) {
  const TempDir dir;
  write_tensors(dir / "model-00001-of-00002.safetensors", {"a"});
  write_tensors(dir / "model-00002-of-00002.safetensors", {"b"});
  const SafetensorsSet set(dir.path());
  EXPECT_EQ(set.tensors().size(), 2u);
  EXPECT_EQ(set.find("b")->file->path(), dir / "model-00002-of-00002.safetensors");
}

TEST(SafetensorsSet, SaysThatAnIndexIsStale) {
  const TempDir dir;
  write_index(dir, R"({"a":"model-00001-of-00004.safetensors"})");
  write_tensors(dir / "model-00001-of-00002.safetensors", {"a"});
  expect_error(ErrorCode::kNotFound,
               {"is stale", "model-00001-of-00004.safetensors", "fetch the index"},
               [&] { SafetensorsSet set(dir.path()); });
  write_tensors(dir / "model-00002-of-00002.safetensors", {"b"});
  expect_error(ErrorCode::kNotFound, {"is stale", "remove it"},
               [&] { SafetensorsSet set(dir.path()); });
}

TEST(SafetensorsSet, NamesTheFileOfAFault) {
  const TempDir dir;
  write_bytes(dir / "bad.safetensors", "PK\x03\x04 a zip file of some sort");
  expect_error(ErrorCode::kUnsupported, {(dir / "bad.safetensors").string(), "a zip archive"},
               [&] { SafetensorsSet set(dir / "bad.safetensors"); });
  write_bytes(dir / "bad.safetensors", "no tensors but some text");
  expect_error(ErrorCode::kCorrupt, {(dir / "bad.safetensors").string(), "not a safetensors file"},
               [&] { SafetensorsSet set(dir / "bad.safetensors"); });
  write_bytes(dir / "empty.safetensors", "");
  expect_error(ErrorCode::kCorrupt, {"empty.safetensors", "is empty"},
               [&] { SafetensorsSet set(dir / "empty.safetensors"); });
  expect_error(ErrorCode::kNotFound, {"gone.safetensors"},
               [&] { SafetensorsSet set(dir / "gone.safetensors"); });
}

SafetensorsIndex parse_index_text(const std::string& text) {
  return parse_safetensors_index(text, "index.json");
}

TEST(SafetensorsIndex, ReadsTheWeightMapOnly) {
  const auto index = parse_index_text(
      R"({"metadata":{"a":[1,{"weight_map":2.5}],"b":null},"weight_map":{"y":"f","x":"g"},
                "later":[true]})");
  EXPECT_EQ(index, (SafetensorsIndex{{"x", "g"}, {"y", "f"}}));
}

TEST(SafetensorsIndex, RefusesBrokenDocuments) {
  for (const std::string text :
       {"", "[]", "1", "null", "{}", "{", R"({"weight_map":[]})", R"({"weight_map":1})",
        R"({"weight_map":{"a":1}})", R"({"weight_map":{"a":{}}})", R"({"weight_map":{"a":["f"]}})",
        R"({"weight_map":{"a":null}})", R"({"weight_map":{}} x)", R"({"a":NaN,"weight_map":{}})"}) {
    SCOPED_TRACE(text);
    expect_error(ErrorCode::kCorrupt, {"index.json"}, [&] { parse_index_text(text); });
  }
  expect_error(ErrorCode::kCorrupt, {"\"a\" twice"},
               [] { parse_index_text(R"({"weight_map":{"a":"f","b":"f","a":"g"}})"); });
  expect_error(ErrorCode::kCorrupt, {"weight_map twice"},
               [] { parse_index_text(R"({"weight_map":{},"weight_map":{}})"); });
  expect_error(ErrorCode::kCorrupt, {"deeper"},
               [] { parse_index_text("{\"a\":" + std::string(100000, '[')); });
  expect_error(ErrorCode::kCorrupt, {"NUL"},
               [] { parse_index_text(std::string("{\"weight_map\":{}}\0x", 19)); });
}

TEST(SafetensorsIndex, RefusesShardNamesThatLeaveTheFolder) {
  for (const std::string name :
       {"", ".", "..", "../x.safetensors", "/etc/passwd", "a/b.safetensors", "a\\\\b"}) {
    SCOPED_TRACE(name);
    expect_error(ErrorCode::kCorrupt, {"\"w\"", "within the folder"},
                 [&] { parse_index_text(R"({"weight_map":{"w":")" + name + "\"}}"); });
  }
}

}  // namespace
}  // namespace tq
