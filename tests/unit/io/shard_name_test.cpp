#include "io/shard_name.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tq {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(ShardName, ReadsAndWritesNames) {
  const auto shard = parse_shard_name("model-00002-of-00010.safetensors");
  ASSERT_TRUE(shard);
  EXPECT_EQ(shard->prefix, "model");
  EXPECT_EQ(shard->number, 2);
  EXPECT_EQ(shard->count, 10);
  EXPECT_EQ(shard->extension, ".safetensors");
  EXPECT_EQ(shard_name(*shard, 7), "model-00007-of-00010.safetensors");
  EXPECT_EQ(parse_shard_name("a-of-b-00001-of-00001.gguf")->prefix, "a-of-b");
  for (const char* name :
       {"model.safetensors", "", "-", "model-00002-of-00010", "model-2-of-10.gguf",
        "model-00000-of-00002.gguf", "model-00003-of-00002.gguf", "model-0000x-of-00002.gguf",
        "model00001-of-00002.gguf", "00001-of-00002.gguf", "model-00001-of-+0002.gguf"}) {
    EXPECT_FALSE(parse_shard_name(name)) << name;
  }
}

TEST(ShardName, TellsWholeSetsFromOthers) {
  const auto parts = [](std::vector<std::string> names) { return list_shards(names); };
  EXPECT_EQ(parts({"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}).count, 2);
  EXPECT_THAT(parts({"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}).missing, IsEmpty());
  EXPECT_THAT(parts({"m-00002-of-00003.gguf"}).missing,
              ElementsAre("m-00001-of-00003.gguf", "m-00003-of-00003.gguf"));
  EXPECT_EQ(parts({"m-00001-of-99999.gguf"}).missing.size(), 10u);
  EXPECT_EQ(parts({}).count, 0);
  EXPECT_EQ(parts({"m.gguf"}).count, 0);
  EXPECT_EQ(parts({"m-00001-of-00002.gguf", "n-00002-of-00002.gguf"}).count, 0);
  EXPECT_EQ(parts({"m-00001-of-00002.gguf", "m-00001-of-00003.gguf"}).count, 0);
  EXPECT_EQ(parts({"m-00001-of-00002.gguf", "other.gguf"}).count, 0);
}

}  // namespace
}  // namespace tq
