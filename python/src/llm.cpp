// Answers: the model, requests on their way.
#include "embed/llm.h"

#include "module.h"
#include "session/option_reader.h"

namespace tq::python {
namespace {

HostOptions host_options(const std::string& path, const std::string& options) {
  HostOptions host;
  OptionReader::read_all(parse(options), host);
  host.model.path = path;
  return host;
}

// Its end waits for threads that may be calling Python.
class Model : public Llm {
 public:
  using Llm::Llm;
  ~Model() {
    const nb::gil_scoped_release unlock;
    close();
  }
};

const char* kind_name(AskEvent::Kind kind) {
  switch (kind) {
    case AskEvent::Kind::kChunk:
      return "chunk";
    case AskEvent::Kind::kEnd:
      return "end";
    case AskEvent::Kind::kError:
      break;
  }
  return "error";
}

// told(kind, text, code): on a thread of the model's.
OnAskEvent teller(nb::object function) {
  return [told = PyFunction(std::move(function))](AskEvent event) {
    const nb::gil_scoped_acquire lock;
    try {
      told(kind_name(event.kind), nb::bytes(event.text.data(), event.text.size()),
           error_name(event.code));
    } catch (nb::python_error& failed) {
      failed.discard_as_unraisable("turboquant's answers");
    }
  };
}

void construct(Model* place, const std::string& path, const std::string& options,
               nb::object progress) {
  const HostOptions host = host_options(path, options);
  Watch watch(std::move(progress));
  watch.run([&] {
    new (place) Model(host, [&](int64_t done, int64_t total) { watch.tell_or_throw(done, total); });
  });
}

}  // namespace

void bind_llm(nb::module_& module) {
  using nb::call_guard;
  using nb::gil_scoped_release;
  nb::class_<Ask>(module, "Ask").def("cancel", &Ask::cancel, call_guard<gil_scoped_release>());
  nb::class_<Model>(module, "Llm")
      .def("__init__", construct, nb::arg("path"), nb::arg("options"), nb::arg("progress").none())
      .def("ask",
           [](Model& llm, const std::string& request, bool stream, nb::object told) {
             const Json json = parse(request);
             OnAskEvent events = teller(std::move(told));
             const gil_scoped_release unlock;
             return llm.ask(json, stream, std::move(events));
           })
      .def("render",
           [](Model& llm, const std::string& request) {
             const Json json = parse(request);
             const gil_scoped_release unlock;
             return llm.render(json);
           })
      .def("encode",
           [](const Model& llm, const std::string& text, bool add_special) {
             const gil_scoped_release unlock;
             return llm.encode(text, add_special);
           })
      .def("decode",
           [](const Model& llm, const std::vector<int32_t>& ids, bool skip_special) {
             const std::string text = llm.decode(ids, skip_special);
             return nb::steal<nb::str>(PyUnicode_DecodeUTF8(
                 text.data(), static_cast<Py_ssize_t>(text.size()), "replace"));
           })
      .def("describe", [](const Model& llm) { return json_line(llm.describe()); })
      .def("close", &Model::close, call_guard<gil_scoped_release>());
}

}  // namespace tq::python
