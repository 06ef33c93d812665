#include "cli/hub_models.h"

#include "base/error.h"
#include "cli/progress.h"
#include "hub/pull.h"
#include "io/checkpoint.h"

namespace tq {
namespace {

std::optional<fs::path> find_hub_model(const fs::path& path, const GlobalOptions& global) {
  const auto name = parse_hub_name(path.string());
  if (!name) return std::nullopt;
  // A folder of that name is here: then the second part is a wrong name in it.
  std::error_code none;
  if (fs::is_directory(path.parent_path(), none)) return std::nullopt;
  Progress progress(global, "pulling", ProgressUnit::kBytes);
  PullOptions options;
  options.progress = [&](int64_t done, int64_t total) { progress.update(done, total); };
  fs::path found = find_or_pull(*name, options);
  progress.finish();
  return found;
}

}  // namespace

void find_models_by_name(const GlobalOptions& global) {
  set_checkpoint_finder([&global](const fs::path& path) { return find_hub_model(path, global); });
}

HubName read_hub_name(const std::string& text) {
  auto name = parse_hub_name(text);
  if (name) return *std::move(name);
  fail(ErrorCode::kInvalidArgument,
       "\"{}\" is no name of a repository; one is ORG/NAME, with :REVISION, :Q4_K_M or :FILE.gguf "
       "behind it where another than the usual is meant",
       text);
}

}  // namespace tq
