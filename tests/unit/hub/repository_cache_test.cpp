#include "hub/repository_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "hub/cache_contents.h"
#include "hub/file_lock.h"
#include "hub/partial_file.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace tq {
namespace {

using fixtures::expect_error;
using fixtures::TempDir;
using fixtures::write_bytes;
using testing::ElementsAre;

const std::string kMainCommit(40, 'c');
const std::string kOtherCommit(40, 'd');

// A file of a hash that stands for its content.
HubFile put(const RepositoryCache& cache, const std::string& commit, const std::string& path,
            char hash) {
  const HubFile file{path, 7, std::string(40, hash)};
  cache.make(commit);
  write_bytes(cache.blob(file.hash), "content");
  cache.link(commit, file);
  return file;
}

TEST(RepositoryCache, LinksAreRelative) {
  const TempDir dir;
  const RepositoryCache cache(dir / "hub", "org/name");
  EXPECT_EQ(cache.folder(), dir / "hub/models--org--name");
  const HubFile file{"sub/x.json", 7, std::string(40, 'a')};
  EXPECT_FALSE(cache.has(kMainCommit, file));
  put(cache, kMainCommit, "sub/x.json", 'a');
  EXPECT_TRUE(cache.has(kMainCommit, file));
  EXPECT_EQ(fs::read_symlink(cache.snapshot(kMainCommit) / "sub/x.json"),
            "../../../blobs/" + file.hash);
  fs::rename(dir / "hub", dir / "moved");
  EXPECT_EQ(read_text_file(dir / "moved/models--org--name/snapshots" / kMainCommit / "sub/x.json"),
            "content");
}

TEST(RepositoryCache, LinksThatLeadElsewhereAreReplaced) {
  const TempDir dir;
  const RepositoryCache cache(dir / "hub", "org/name");
  cache.make(kMainCommit);
  fs::create_symlink("nowhere", cache.snapshot(kMainCommit) / "x");
  put(cache, kMainCommit, "x", 'a');
  EXPECT_EQ(read_text_file(cache.snapshot(kMainCommit) / "x"), "content");
}

// A hub that named another content for the same commit must not win for ever.
TEST(RepositoryCache, LinksToAnotherHashAreNotTheFile) {
  const TempDir dir;
  const RepositoryCache cache(dir / "hub", "org/name");
  put(cache, kMainCommit, "x", 'a');
  const HubFile right{"x", 7, std::string(40, 'b')};
  EXPECT_FALSE(cache.has(kMainCommit, right));
  write_bytes(cache.blob(right.hash), "CONTENT");
  cache.link(kMainCommit, right);
  EXPECT_EQ(read_text_file(cache.snapshot(kMainCommit) / "x"), "CONTENT");
  // Of a copy the size is all that there is.
  write_bytes(cache.snapshot(kMainCommit) / "copy", "content");
  EXPECT_TRUE(cache.has(kMainCommit, {"copy", 7, std::string(40, 'd')}));
  EXPECT_FALSE(cache.has(kMainCommit, {"copy", 8, std::string(40, 'd')}));
}

TEST(RepositoryCache, OnlyWhatIsThereIsLinked) {
  const TempDir dir;
  const RepositoryCache cache(dir / "hub", "org/name");
  const HubFile file = put(cache, kMainCommit, "x", 'a');
  fs::remove(cache.blob(file.hash));
  expect_error(ErrorCode::kIo, {"removed while it was pulled"},
               [&] { cache.link(kMainCommit, file); });
}

// Where a link cannot get its place, nothing of it is left in the snapshot.
TEST(RepositoryCache, TemporaryLinksAreOutsideOfSnapshots) {
  const TempDir dir;
  const RepositoryCache cache(dir / "hub", "org/name");
  const HubFile file = put(cache, kMainCommit, "x", 'a');
  fs::create_directories(cache.snapshot(kOtherCommit) / "x");
  cache.make(kOtherCommit);
  const fs::path temporary = cache.folder() / fmt::format(".{}.{}.tq-link", file.hash, ::getpid());
  fs::create_directories(temporary / "full");  // so that it cannot be made
  EXPECT_THROW(cache.link(kOtherCommit, {"y", 7, file.hash}), Error);
  fs::remove_all(temporary);
  EXPECT_THROW(cache.link(kOtherCommit, {"x", 7, file.hash}), Error);
  EXPECT_THAT(cache.all_files(kOtherCommit), ElementsAre());
}

TEST(RepositoryCache, NoReferenceMakesACommitAnother) {
  const TempDir dir;
  const RepositoryCache cache(dir / "hub", "org/name");
  cache.make(kMainCommit);
  cache.set_ref(kMainCommit, kOtherCommit);
  EXPECT_FALSE(fs::exists(cache.folder() / "refs" / kMainCommit));
  write_bytes(cache.folder() / "refs" / kMainCommit, kOtherCommit);
  EXPECT_EQ(cache.commit_of(kMainCommit), kMainCommit);
}

TEST(RepositoryCache, BranchesInEachOthersWay) {
  const TempDir dir;
  const RepositoryCache cache(dir / "hub", "org/name");
  cache.set_ref("f", kMainCommit);
  cache.check_ref("f");
  cache.check_ref("g/x");
  expect_error(ErrorCode::kInvalidArgument, {"refs/f first"}, [&] { cache.check_ref("f/x"); });
  fs::remove(cache.folder() / "refs/f");
  cache.set_ref("f/x", kMainCommit);
  expect_error(ErrorCode::kInvalidArgument, {"there can be no f;"}, [&] { cache.check_ref("f"); });
}

TEST(RepositoryCache, Revisions) {
  const TempDir dir;
  const RepositoryCache cache(dir / "hub", "org/name");
  EXPECT_EQ(cache.commit_of("main"), std::nullopt);
  cache.set_ref("refs/pr/1", kMainCommit);
  EXPECT_EQ(cache.commit_of("refs/pr/1"), kMainCommit);
  EXPECT_EQ(cache.commit_of(kMainCommit), std::nullopt);  // nothing of it is there
  cache.make(kMainCommit);
  EXPECT_EQ(cache.commit_of(kMainCommit), kMainCommit);
  write_bytes(cache.folder() / "refs/main", kOtherCommit + "\n");
  EXPECT_EQ(cache.commit_of("main"), kOtherCommit);
  write_bytes(cache.folder() / "refs/main", "../../../etc");
  EXPECT_EQ(cache.commit_of("main"), std::nullopt);
}

TEST(RepositoryCache, OnlyWholeModelsAreFound) {
  const TempDir dir;
  const RepositoryCache cache(dir / "hub", "org/name");
  const HubName name = *parse_hub_name("org/name");
  const auto found = [&](const char* text = "org/name") {
    return find_cached_model(dir / "hub", *parse_hub_name(text)).has_value();
  };
  EXPECT_FALSE(found());
  cache.set_ref("main", kMainCommit);
  put(cache, kMainCommit, "model-00001-of-00002.safetensors", 'b');
  EXPECT_FALSE(found());
  EXPECT_EQ(missing_part(cache, kMainCommit), "model-00002-of-00002.safetensors");
  put(cache, kMainCommit, "model-00002-of-00002.safetensors", 'e');
  const fs::path index = cache.snapshot(kMainCommit) / "model.safetensors.index.json";
  write_bytes(index, R"({"weight_map":{"w":"model-00001-of-00002.safetensors"}})");
  EXPECT_EQ(missing_part(cache, kMainCommit), "config.json");
  fs::remove(index);
  EXPECT_EQ(missing_part(cache, kMainCommit), "config.json");
  EXPECT_FALSE(found());
  put(cache, kMainCommit, "config.json", 'a');
  EXPECT_TRUE(found());
  EXPECT_FALSE(found("org/name:v2"));
  write_bytes(index, R"({"weight_map":{"w":"other.safetensors"}})");
  EXPECT_EQ(missing_part(cache, kMainCommit), "other.safetensors");
  EXPECT_FALSE(found());
}

TEST(RepositoryCache, GgufModelsAreFoundByQuantization) {
  const TempDir dir;
  const RepositoryCache cache(dir / "hub", "org/name");
  cache.set_ref("main", kMainCommit);
  put(cache, kMainCommit, "x-Q8_0.gguf", 'a');
  put(cache, kMainCommit, "x-Q4_K_M-00001-of-00002.gguf", 'b');
  const auto path_of = [&](const char* text) {
    const auto found = find_cached_model(dir / "hub", *parse_hub_name(text));
    return found ? found->path.filename().string() : "";
  };
  EXPECT_EQ(path_of("org/name"), "x-Q8_0.gguf");
  EXPECT_EQ(path_of("org/name:q8_0"), "x-Q8_0.gguf");
  EXPECT_EQ(path_of("org/name:Q4_K_M"), "");
  put(cache, kMainCommit, "x-Q4_K_M-00002-of-00002.gguf", 'e');
  EXPECT_EQ(path_of("org/name:Q4_K_M"), "x-Q4_K_M-00001-of-00002.gguf");
  EXPECT_EQ(path_of("org/name"), "x-Q4_K_M-00001-of-00002.gguf");
}

TEST(CacheContents, RemovesWhatNothingElseNeeds) {
  const TempDir dir;
  const RepositoryCache cache(dir / "hub", "org/name");
  cache.set_ref("main", kMainCommit);
  cache.set_ref("v1", kOtherCommit);
  for (const std::string& commit : {kMainCommit, kOtherCommit})
    put(cache, commit, "x-Q8_0.gguf", 'a');
  put(cache, kOtherCommit, "x-Q2_K.gguf", 'b');
  const std::vector<CachedRepository> listed = list_cache(dir / "hub");
  ASSERT_EQ(listed.size(), 1U);
  std::vector<std::string> names;
  for (const CachedEntry& entry : listed[0].entries) names.push_back(entry.name);
  EXPECT_THAT(names, ElementsAre("org/name:Q8_0", "org/name:v1:Q2_K", "org/name:v1:Q8_0"));

  const auto remove = [&](const char* text, bool dry_run = false) {
    return remove_cached(dir / "hub", *parse_hub_name(text), dry_run).what.size();
  };
  EXPECT_EQ(remove("org/name:v1", true), 2U);
  EXPECT_TRUE(fs::exists(cache.blob(std::string(40, 'b'))));
  EXPECT_EQ(remove("org/name:v1"), 2U);
  EXPECT_FALSE(fs::exists(cache.blob(std::string(40, 'b'))));
  EXPECT_TRUE(fs::exists(cache.blob(std::string(40, 'a'))));  // main has it, too
  EXPECT_FALSE(fs::exists(cache.folder() / "refs/v1"));
  expect_error(ErrorCode::kNotFound, {"org/name:Q2_K", "there are org/name:Q8_0"},
               [&] { remove("org/name:Q2_K"); });
  expect_error(ErrorCode::kNotFound, {"org/nam ", "did you mean org/name?"},
               [&] { remove("org/nam"); });
  EXPECT_EQ(remove("org/name"), 1U);
  EXPECT_FALSE(fs::exists(cache.folder()));
}

TEST(CacheContents, LinksOutOfTheCacheAreNotFollowed) {
  const TempDir dir;
  const RepositoryCache cache(dir / "hub", "org/name");
  put(cache, kMainCommit, "config.json", 'a');
  fs::create_directories(dir / "mine");
  write_bytes(dir / "mine/file", "x");
  fs::create_directory_symlink(dir / "mine", cache.snapshot(kMainCommit) / "sub");
  fs::create_directory_symlink(dir / "mine", dir / "hub/models--org--link");
  remove_cached(dir / "hub", *parse_hub_name("org/name"), false);
  EXPECT_THROW(remove_cached(dir / "hub", *parse_hub_name("org/link"), false), Error);
  EXPECT_TRUE(fs::exists(dir / "mine/file"));
}

TEST(CacheContents, LinkedSnapshotsAreNotRemoved) {
  const TempDir dir;
  const RepositoryCache cache(dir / "hub", "org/name");
  cache.make(kOtherCommit);
  cache.set_ref("main", kMainCommit);
  fs::create_directories(dir / "mine");
  write_bytes(dir / "mine/x-Q8_0.gguf", "x");
  fs::create_directory_symlink(dir / "mine", cache.snapshot(kMainCommit));
  for (const char* name : {"org/name:main", "org/name:main:Q8_0"}) {
    expect_error(ErrorCode::kInvalidArgument, {"behind a link"},
                 [&] { remove_cached(dir / "hub", *parse_hub_name(name), false); });
  }
  EXPECT_THROW(remove_cached(dir / "hub", *parse_hub_name("org/name:Q8_0"), false), Error);
  EXPECT_TRUE(fs::exists(dir / "mine/x-Q8_0.gguf"));
  // All of the snapshots as well.
  fs::remove_all(cache.folder() / "snapshots");
  fs::create_directories(dir / "all" / kMainCommit);
  write_bytes(dir / "all" / kMainCommit / "x-Q8_0.gguf", "x");
  fs::create_directory_symlink(dir / "all", cache.folder() / "snapshots");
  for (const char* name : {"org/name:main", "org/name:Q8_0"}) {
    EXPECT_THROW(remove_cached(dir / "hub", *parse_hub_name(name), false), Error);
  }
  EXPECT_TRUE(fs::exists(dir / "all" / kMainCommit / "x-Q8_0.gguf"));
  remove_cached(dir / "hub", *parse_hub_name("org/name"), false);
  EXPECT_TRUE(fs::exists(dir / "all" / kMainCommit / "x-Q8_0.gguf"));
}

TEST(CacheContents, OneOfTwoNamesOfACommit) {
  const TempDir dir;
  const RepositoryCache cache(dir / "hub", "org/name");
  put(cache, kMainCommit, "x-Q8_0.gguf", 'a');
  cache.set_ref("main", kMainCommit);
  cache.set_ref("v1", kMainCommit);
  const auto removed = [&](const char* name, bool dry_run) {
    return remove_cached(dir / "hub", *parse_hub_name(name), dry_run).what;
  };
  EXPECT_THAT(removed("org/name:v1", true), ElementsAre("refs/v1"));
  EXPECT_TRUE(fs::exists(cache.folder() / "refs/v1"));
  EXPECT_THAT(removed("org/name:v1", false), ElementsAre("refs/v1"));
  EXPECT_FALSE(fs::exists(cache.folder() / "refs/v1"));
  EXPECT_TRUE(find_cached_model(dir / "hub", *parse_hub_name("org/name")));
  removed("org/name:main", false);
  EXPECT_FALSE(fs::exists(cache.blob(std::string(40, 'a'))));
}

TEST(CacheContents, DeepFilesKeepTheirBlobs) {
  const TempDir dir;
  const RepositoryCache cache(dir / "hub", "org/name");
  std::string deep;
  for (int i = 0; i < 30; ++i) deep += "d/";
  put(cache, kMainCommit, deep + "x.json", 'a');
  put(cache, kOtherCommit, "y.json", 'a');
  cache.set_ref("v1", kOtherCommit);
  remove_cached(dir / "hub", *parse_hub_name("org/name:v1"), false);
  EXPECT_EQ(read_text_file(cache.snapshot(kMainCommit) / (deep + "x.json")), "content");
}

TEST(CacheContents, WhatCannotBeRemovedIsSaid) {
  const TempDir dir;
  const RepositoryCache cache(dir / "hub", "org/name");
  const HubFile file = put(cache, kMainCommit, "x-Q8_0.gguf", 'a');
  fs::remove(cache.blob(file.hash));
  fs::create_directories(cache.blob(file.hash) / "full");
  EXPECT_THROW(remove_cached(dir / "hub", *parse_hub_name("org/name:Q8_0"), false), Error);
  write_bytes(dir / "file", "x");
  EXPECT_THROW(list_cache(dir / "file"), Error);
  EXPECT_TRUE(list_cache(dir / "none").empty());
}

TEST(CacheContents, NothingGoesWhileItIsPulled) {
  const TempDir dir;
  const RepositoryCache cache(dir / "hub", "org/name");
  const HubFile file = put(cache, kMainCommit, "x-Q8_0.gguf", 'a');
  for (const fs::path& path : {cache.use_lock(), cache.lock(file.hash)}) {
    const auto lock = FileLock::try_take(path, FileLock::Kind::kShared);
    expect_error(ErrorCode::kInvalidArgument, {"is being fetched"},
                 [&] { remove_cached(dir / "hub", *parse_hub_name("org/name:Q8_0"), false); });
  }
  EXPECT_TRUE(fs::exists(cache.blob(file.hash)));
  EXPECT_EQ(remove_cached(dir / "hub", *parse_hub_name("org/name:Q8_0"), false).what.size(), 1U);
  write_bytes(partial_data(cache.blob(file.hash)), "x");
  expect_error(ErrorCode::kNotFound, {"`tq rm org/name` removes what an interrupted pull"},
               [&] { remove_cached(dir / "hub", *parse_hub_name("org/name:Q8_0"), false); });
}

TEST(CacheContents, FoldersOfOtherNames) {
  EXPECT_EQ(repository_of_folder("models--org--name"), "org/name");
  for (const char* name :
       {"datasets--org--name", "models--gpt2", "models--", "models--a--..", "x"}) {
    EXPECT_EQ(repository_of_folder(name), std::nullopt) << name;
  }
}

}  // namespace
}  // namespace tq
