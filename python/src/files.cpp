// Checkpoints: converting, looking at and verifying them.
#include "convert/verify.h"
#include "module.h"
#include "session/conversion.h"
#include "session/inspect.h"
#include "session/option_reader.h"

namespace tq::python {
namespace {

std::string convert_to(const std::string& source, const std::string& destination,
                       const std::string& options, nb::object progress) {
  ConversionOptions conversion;
  OptionReader::read_all(parse(options), conversion);
  Watch watch(std::move(progress));
  std::optional<ConvertReport> report;
  watch.run([&] {
    ConversionCalls calls;
    calls.progress = [&](int64_t done, int64_t total) { watch.tell(done, total); };
    calls.cancelled = [&] { return watch.stops(); };
    report = run_conversion(source, destination, conversion, calls);
  });
  return json_line(conversion_json(report, destination));
}

std::string inspect(const std::string& path, bool tensors,
                    const std::vector<std::string>& ignore_config) {
  const nb::gil_scoped_release unlock;
  const auto checkpoint = open_checkpoint(path, {.ignore_config = ignore_config, .inspect = true});
  return json_line(inspect_json(*checkpoint, tensors));
}

std::string verify(const std::string& path, int threads, nb::object progress) {
  Watch watch(std::move(progress));
  std::unique_ptr<Checkpoint> checkpoint;
  VerifyReport report;
  watch.run([&] {
    checkpoint = open_checkpoint(path);
    VerifyOptions options;
    options.n_threads = threads;
    options.bytes = [&](int64_t done, int64_t total) { watch.tell(done, total); };
    options.cancelled = [&] { return watch.stops(); };
    report = verify_checkpoint(*checkpoint, options);
  });
  return json_line(verification_json(*checkpoint, report));
}

}  // namespace

void bind_files(nb::module_& module) {
  module.def("convert", convert_to, nb::arg("source"), nb::arg("destination"), nb::arg("options"),
             nb::arg("progress").none());
  module.def("inspect", inspect);
  module.def("verify", verify, nb::arg("path"), nb::arg("threads"), nb::arg("progress").none());
}

}  // namespace tq::python
