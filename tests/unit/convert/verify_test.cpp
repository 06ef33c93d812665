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
  VerifyTest() { convert_folder(source_, quick_options(result_)); }
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

TEST_F(VerifyTest, EveryOtherFileIsHashed) {
  EXPECT_TRUE(verify().files_hashed);
  EXPECT_THAT(verify().edited, IsEmpty());
  EXPECT_THAT(verify().extra, IsEmpty());
  write_bytes(result_ / "config.json", read_bytes(result_ / "config.json") + " ");
  fs::remove(result_ / "tokenizer.json");
  write_bytes(result_ / "chat_template.jinja", "{{ messages }}");
  write_bytes(result_ / "notes.txt", "mine");
  fs::create_directory(result_ / "pictures");
  write_bytes(result_ / "pictures/cat.png", "cat");
  const VerifyReport report = verify();
  EXPECT_THAT(report.faults, IsEmpty());
  EXPECT_THAT(report.edited, ElementsAre("config.json: has changed", "tokenizer.json: is missing",
                                         "chat_template.jinja: was added"));
  EXPECT_THAT(report.extra, ElementsAre("notes.txt", "pictures/"));
  EXPECT_FALSE(report.sound());
}

TEST_F(VerifyTest, TheHeaderOfAShardIsHashed) {
  std::string bytes = read_bytes(result_ / "model.safetensors");
  const size_t end = bytes.find("}}") + 2;  // of the JSON: what follows is padding
  ASSERT_EQ(bytes[end], ' ');
  bytes[end] = '\n';
  write_bytes(result_ / "model.safetensors", bytes);
  EXPECT_THAT(verify().faults, ElementsAre("model.safetensors: its header has changed"));
}

TEST_F(VerifyTest, AnUpdateAcceptsEdits) {
  const std::string description = read_bytes(result_ / "tq_config.json");
  update_hashes(result_);
  EXPECT_EQ(read_bytes(result_ / "tq_config.json"), description);  // nothing was to be done
  write_bytes(result_ / "config.json", read_bytes(result_ / "config.json") + " ");
  write_bytes(result_ / "chat_template.jinja", "{{ messages }}");
  fs::remove(result_ / "tokenizer.json");
  EXPECT_FALSE(verify().sound());
  update_hashes(result_);
  EXPECT_TRUE(verify().sound());
  EXPECT_TRUE(verify().files_hashed);
  write_bytes(result_ / "chat_template.jinja", "{{ message }}");
  EXPECT_THAT(verify().edited, ElementsAre("chat_template.jinja: has changed"));
}

TEST_F(VerifyTest, OlderCheckpointsHaveHashesOfTensorsOnly) {
  const std::string description = read_bytes(result_ / "tq_config.json");
  Json json = parse_json(description, "tq_config.json");
  ASSERT_TRUE(json.contains("files"));
  json.erase("files");
  write_bytes(result_ / "tq_config.json", json.dump(2) + "\n");
  EXPECT_THAT(open_checkpoint(result_)->edited_files(), IsEmpty());
  const VerifyReport report = verify();
  EXPECT_TRUE(report.hashed);
  EXPECT_FALSE(report.files_hashed);
  EXPECT_TRUE(report.sound());
  update_hashes(result_);
  EXPECT_EQ(read_bytes(result_ / "tq_config.json"), description);
  json.erase("hashes");
  write_bytes(result_ / "tq_config.json", json.dump(2) + "\n");
  EXPECT_THROW(update_hashes(result_), Error);
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
