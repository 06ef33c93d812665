#include "io/native/native_files.h"

#include <gtest/gtest.h>

#include "io/native/native_manifest.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace tq {
namespace {

using namespace tq::fixtures;  // NOLINT(google-build-using-namespace): the fixture

const std::string kHash(32, 'a');

TEST(NativeFilesTest, ReadsWhatItWrites) {
  NativeFiles files;
  files.shards["model.safetensors"] = {12, kHash};
  files.texts["folder/name"] = kHash;
  files.own = kHash;
  EXPECT_EQ(NativeFiles::from_json(files.to_json(), "x"), files);
}

TEST(NativeFilesTest, RefusesWhatMakesNoSense) {
  const Json good = {{"config.json", kHash}, {kNativeConfigName, kHash}};
  EXPECT_NO_THROW(NativeFiles::from_json(good, "x"));
  const auto refused = [&](const std::string& name, const Json& value) {
    Json json = good;
    json[name] = value;
    expect_error(ErrorCode::kCorrupt, {"x", name}, [&] { NativeFiles::from_json(json, "x"); });
  };
  for (const char* name : {"../passwd", "/etc/passwd", "a/b/c", "..", "a/", "a/..", "."}) {
    refused(name, kHash);
  }
  for (const Json& value :
       {Json(kHash + "a"), Json(std::string(32, 'g')), Json(3), Json(nullptr), Json{{"bytes", 3}},
        Json{{"bytes", -3}, {"header", kHash}}, Json{{"bytes", 3}, {"header", "a"}}}) {
    refused("model.safetensors", value);
  }
  expect_error(ErrorCode::kCorrupt, {"x", kNativeConfigName},
               [] { NativeFiles::from_json(Json::object(), "x"); });
  expect_error(ErrorCode::kCorrupt, {"x", "object"},
               [] { NativeFiles::from_json(Json::array(), "x"); });
}

TEST(NativeFilesTest, TheHashOfItselfIsWrittenIntoTheText) {
  NativeFiles files;
  const std::string text = with_own_hash(files.to_json().dump(2));
  const std::string own = NativeFiles::from_json(parse_json(text, "x"), "x").own;
  EXPECT_TRUE(has_own_hash(text, own));
  EXPECT_FALSE(has_own_hash(text + " ", own));
  EXPECT_FALSE(has_own_hash(text, kHash));
}

}  // namespace
}  // namespace tq
