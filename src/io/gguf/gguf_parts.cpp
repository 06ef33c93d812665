#include "io/gguf/gguf_parts.h"

#include <string>
#include <utility>

#include "base/error.h"
#include "io/folder.h"
#include "io/folder_hints.h"
#include "io/shard_name.h"

namespace tq {
namespace {

// The part's own word of which one it is.
void check_part(const GgufFile& file, const ShardName& shard) {
  const auto number = file.integer("split.no");
  const auto count = file.integer("split.count");
  if (number == shard.number - 1 && count == shard.count) return;
  fail(ErrorCode::kCorrupt, "{}: its metadata says part {} of {} (split.no, split.count)",
       file.name(), number.value_or(-1) + 1, count.value_or(0));
}

GgufFile open_all(const fs::path& folder, const ShardName& shard) {
  const auto part_path = [&](int64_t number) { return folder / shard_name(shard, number); };
  for (int64_t i = 1; i <= shard.count; ++i) {
    if (is_there(part_path(i))) continue;
    fail(ErrorCode::kNotFound,
         "{}: part {} of a model of {} files is missing; put all into one folder",
         part_path(i).string(), i, shard.count);
  }
  GgufFile file(part_path(1));
  check_part(file, {shard.prefix, 1, shard.count, shard.extension});
  for (int64_t i = 2; i <= shard.count; ++i) {
    GgufFile part(part_path(i));
    check_part(part, {shard.prefix, i, shard.count, shard.extension});
    file.add_part(std::move(part));
  }
  const auto n_tensors = file.integer("split.tensors.count");
  if (n_tensors && *n_tensors != static_cast<int64_t>(file.tensors().size())) {
    fail(ErrorCode::kCorrupt, "{}: {} parts with {} tensors, not {} (split.tensors.count)",
         file.name(), shard.count, file.tensors().size(), *n_tensors);
  }
  return file;
}

}  // namespace

GgufFile open_gguf_parts(const fs::path& path) {
  GgufFile file(path);
  const auto count = file.integer("split.count").value_or(1);
  if (count <= 1) return file;
  const std::string name = path.filename();
  const auto shard = parse_shard_name(name);
  if (!shard || shard->count != count) {
    fail(ErrorCode::kUnsupported, "{}: {}", path.string(), split_gguf_text(path, count));
  }
  check_part(file, *shard);
  return open_all(path.parent_path(), *shard);
}

}  // namespace tq
