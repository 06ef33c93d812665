#include "cli/hub_models.h"

#include <csignal>

#include "base/ascii.h"
#include "base/error.h"
#include "cli/progress.h"
#include "hub/hub_client.h"
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
  // "folder/model.gguf" was meant as a path, and stays on this machine.
  const bool is_address = path.string().find("://") != std::string::npos;
  const std::string end = lower_case(fs::path(name->repository).extension().string());
  if (!is_address && (end == ".gguf" || end == ".safetensors")) return std::nullopt;
  const NetworkSignals signals;
  Progress progress(global, "pulling", ProgressUnit::kBytes);
  PullOptions options;
  options.progress = [&](int64_t done, int64_t total) { progress.update(done, total); };
  try {
    fs::path found = find_or_pull(*name, options);
    progress.finish();
    return found;
  } catch (const Error& error) {
    if (error.code() != ErrorCode::kNotFound || is_address) throw;
    fail(ErrorCode::kNotFound, "{}: no such file or folder, and as a name of the hub: {}",
         path.string(), error.what());
  }
}

}  // namespace

NetworkSignals::NetworkSignals()
    : pipe_(std::signal(SIGPIPE, SIG_IGN)), file_size_(std::signal(SIGXFSZ, SIG_IGN)) {}

NetworkSignals::~NetworkSignals() {
  std::signal(SIGPIPE, pipe_);
  std::signal(SIGXFSZ, file_size_);
}

void find_models_by_name(const GlobalOptions& global) {
  prepare_hub_client();
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
