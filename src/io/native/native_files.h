// What a native checkpoint's tq_config.json knows of the checkpoint's files ("files", docs/
// formats.md): the bytes of tensors have hashes of their own, everything else is hashed here, so
// that no bit of the folder can change unnoticed. Plain data and pure functions of files.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/json.h"

namespace tq {

// Whether it is "name" or "folder/name": a file that a checkpoint may have, which leads nowhere
// else.
bool is_name_within(std::string_view name);

struct NativeFiles {
  // A safetensors file: its size, and the hash of what stands before the tensors (length word and
  // JSON).
  struct Shard {
    uint64_t bytes = 0;
    std::string header;
    bool operator==(const Shard&) const = default;
  };
  std::map<std::string, Shard> shards;
  std::map<std::string, std::string> texts;  // every other file but tq_config.json: its hash
  std::string own;                           // of tq_config.json with this hash as zeros

  // Throws kCorrupt; `name` is the file for messages.
  static NativeFiles from_json(const Json& json, const std::string& name);
  Json to_json() const;
  bool operator==(const NativeFiles&) const = default;
};

// tq_config.json's text with the hash of itself in the place of zeros, where NativeFiles::own is
// empty; text without that place is left as it is.
std::string with_own_hash(std::string text);
// Whether a text is as with_own_hash() made it; `own` is the hash that it states.
bool has_own_hash(std::string_view text, const std::string& own);

// The shard as it is in the folder now. Throws kNotFound, kIo, kCorrupt.
NativeFiles::Shard shard_of(const fs::path& path);
// Hash of the whole file. Throws kNotFound, kIo.
std::string file_hash(const fs::path& path);

// What the hashes cannot be reconciled with: "tokenizer.json: has changed", "...: is missing" for
// tq_config.json and the texts, "...: was added" for those of `now`, the names of the texts that
// are read, that are not listed. Throws kIo.
std::vector<std::string> edited_files(const fs::path& folder, const NativeFiles& files,
                                      const std::vector<std::string>& now);

}  // namespace tq
