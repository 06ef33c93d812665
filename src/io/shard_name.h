// Names of files that are parts of one model: "PREFIX-00001-of-00004.safetensors" or ".gguf".
// Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace tq {

struct ShardName {
  std::string_view prefix;  // into the name that was given
  int64_t number = 0;       // 1 to count
  int64_t count = 0;
  std::string_view extension;  // ".gguf"
};

// Nothing for names of another form.
std::optional<ShardName> parse_shard_name(std::string_view name);

// The name of part `number` of the same model.
std::string shard_name(const ShardName& any, int64_t number);

// What names of one folder make up, if they all are parts of one model.
struct ShardList {
  int64_t count = 0;  // parts that the model has; 0 when the names belong to no or several models
  std::vector<std::string> missing;  // at most 10 of those that are not there
};
ShardList list_shards(const std::vector<std::string>& names);

}  // namespace tq
