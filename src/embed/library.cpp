#include "embed/library.h"

#include <cstdio>
#include <mutex>
#include <utility>

#include "hub/find_model.h"
#include "hub/hub_client.h"
#include "io/checkpoint.h"

namespace tq {
namespace {

void print_warning(bool is_warning, const std::string& message) {
  if (!is_warning) return;
  const std::string line = "turboquant: warning: " + message + "\n";
  std::fwrite(line.data(), 1, line.size(), stderr);
}

}  // namespace

void prepare_library() {
  static std::once_flag once;
  std::call_once(once, [] {
    prepare_hub_client();
    set_checkpoint_finder([](const fs::path& path) { return find_hub_model(path, {}); });
    set_library_log({});
  });
}

void set_library_log(LogSink sink) { set_log_sink(sink ? std::move(sink) : print_warning); }

}  // namespace tq
