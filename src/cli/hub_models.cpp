#include "cli/hub_models.h"

#include <csignal>

#include "base/error.h"
#include "cli/progress.h"
#include "hub/find_model.h"
#include "hub/hub_client.h"
#include "io/checkpoint.h"

namespace tq {
namespace {

std::optional<fs::path> find_showing(const fs::path& path, const GlobalOptions& global) {
  const NetworkSignals signals;
  Progress progress(global, "pulling", ProgressUnit::kBytes);
  PullOptions options;
  options.progress = [&](int64_t done, int64_t total) { progress.update(done, total); };
  auto found = find_hub_model(path, options);
  progress.finish();
  return found;
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
  set_checkpoint_finder([&global](const fs::path& path) { return find_showing(path, global); });
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
