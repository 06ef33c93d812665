// The C interface to checkpoints: converting, looking at and verifying them.
#include "capi/handles.h"
#include "convert/verify.h"
#include "embed/library.h"
#include "session/conversion.h"
#include "session/inspect.h"
#include "session/option_reader.h"

namespace tq::capi {
namespace {

// Tells progress, and whether to stop, on any thread.
class Watcher {
 public:
  explicit Watcher(const tq_watch* watch) : watch_(watch == nullptr ? tq_watch{} : *watch) {}

  void tell(int64_t done, int64_t total) {
    if (watch_.progress != nullptr && watch_.progress(done, total, watch_.user) != 0) {
      stopped_ = true;
    }
  }
  bool stops() const { return stopped_ || (watch_.stop != nullptr && watch_.stop->thrown); }

 private:
  const tq_watch watch_;
  std::atomic<bool> stopped_ = false;
};

}  // namespace
}  // namespace tq::capi

using namespace tq;
using namespace tq::capi;

tq_status tq_convert(const char* source, const char* destination, const tq_option* options,
                     size_t n_options, const tq_watch* watch, char** report) {
  return guarded([&] {
    require(source, "source");
    require(destination, "destination");
    prepare_library();
    ConversionOptions conversion;
    OptionReader::read_all(read_texts(options, n_options), conversion, OptionValues::kTexts);
    Watcher watcher(watch);
    ConversionCalls calls;
    calls.progress = [&](int64_t done, int64_t total) { watcher.tell(done, total); };
    calls.cancelled = [&] { return watcher.stops(); };
    const auto made = run_conversion(source, destination, conversion, calls);
    if (report != nullptr) *report = copy_text(json_line(conversion_json(made, destination)));
  });
}

tq_status tq_inspect(const char* path, int list_tensors, char** json) {
  return guarded([&] {
    require(path, "path");
    require(json, "json");
    prepare_library();
    const auto checkpoint = open_checkpoint(path, {.inspect = true});
    *json = copy_text(json_line(inspect_json(*checkpoint, list_tensors != 0)));
  });
}

tq_status tq_verify(const char* path, const tq_watch* watch, char** json) {
  return guarded([&] {
    require(path, "path");
    require(json, "json");
    prepare_library();
    const auto checkpoint = open_checkpoint(path);
    Watcher watcher(watch);
    VerifyOptions options;
    options.bytes = [&](int64_t done, int64_t total) { watcher.tell(done, total); };
    options.cancelled = [&] { return watcher.stops(); };
    *json = copy_text(
        json_line(verification_json(*checkpoint, verify_checkpoint(*checkpoint, options))));
  });
}
