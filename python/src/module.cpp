// turboquant._core: the engine for the Python package, which wraps it. Errors become
// turboquant.Error.
#include "module.h"

#include <exception>
#include <filesystem>
#include <new>

#include "base/error.h"
#include "embed/library.h"

namespace tq::python {
namespace {

// turboquant._errors.make(code, message): the exception for an error.
void raise(void* make, ErrorCode code, const char* message) {
  const nb::handle function(static_cast<PyObject*>(make));
  try {
    const nb::object error = function(error_name(code), message);
    PyErr_SetObject(reinterpret_cast<PyObject*>(Py_TYPE(error.ptr())), error.ptr());
  } catch (nb::python_error& failed) {
    failed.restore();
  }
}

void translate(const std::exception_ptr& thrown, void* make) {
  try {
    std::rethrow_exception(thrown);
  } catch (const Error& error) {
    raise(make, error.code(), error.what());
  } catch (const std::filesystem::filesystem_error& error) {
    raise(make, errno_code(error.code().value()), error.what());
  }
}

}  // namespace

void Watch::tell(int64_t done, int64_t total) {
  constexpr std::chrono::milliseconds kBetween{50};
  const nb::gil_scoped_acquire lock;
  if (stops_) return;
  const auto now = std::chrono::steady_clock::now();
  if (done < total && now - last_ < kBetween) return;
  last_ = now;
  try {
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
    if (told_) told_(done, total);
  } catch (...) {
    raised_ = std::current_exception();
    stops_ = true;
  }
}

void Watch::tell_or_throw(int64_t done, int64_t total) {
  tell(done, total);
  if (stops_) fail(ErrorCode::kCancelled, "stopped");
}

Json parse(const std::string& text) {
  try {
    return parse_json(text, "a request");
  } catch (const Error& error) {
    throw Error(ErrorCode::kInvalidArgument, error.what());
  }
}

}  // namespace tq::python

NB_MODULE(_core, module) {
  namespace nb = nanobind;
  namespace python = tq::python;
  tq::prepare_library();
  module.doc() = "The engine; turboquant is what programs use.";
  // Kept as long as the module's own translator, which is for ever.
  const nb::object make = nb::module_::import_("turboquant._errors").attr("make");
  nb::register_exception_translator(python::translate, make.inc_ref().ptr());
  module.attr("version") = TQ_VERSION;
  module.def(
      "set_log",
      [](nb::object function) {
        python::PyFunction told(std::move(function));
        const nb::gil_scoped_release unlock;
        if (!told) return tq::set_library_log({});
        tq::set_library_log([told](bool is_warning, const std::string& message) {
          const nb::gil_scoped_acquire lock;
          try {
            told(is_warning, message);
          } catch (nb::python_error& failed) {
            failed.discard_as_unraisable("turboquant's log");
          }
        });
      },
      nb::arg("function").none());
  python::bind_llm(module);
  python::bind_files(module);
  python::bind_codecs(module);
  python::bind_logits(module);
  python::bind_server(module);
}
