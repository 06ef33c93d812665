// Logits, and how far one model's are from another's.
#include <mutex>

#include "arrays.h"
#include "base/error.h"
#include "embed/logit_model.h"
#include "session/option_reader.h"

namespace tq::python {
namespace {

// For any number of threads, one after the other.
class Logits : public LogitModel {
 public:
  using LogitModel::LogitModel;
  std::mutex mutex;
};

void construct_logits(Logits* place, const std::string& path, const std::string& options,
                      nb::object progress) {
  ModelOptions model;
  OptionReader::read_all(parse(options), model);
  model.path = path;
  Watch watch(std::move(progress));
  watch.run([&] {
    new (place)
        Logits(model, [&](int64_t done, int64_t total) { watch.tell_or_throw(done, total); });
  });
}

NewArray<float> logits(Logits& logits, const std::vector<int32_t>& ids) {
  Watch watch{nb::object(nb::none())};
  std::vector<float> out;
  watch.run([&] {
    const std::lock_guard lock(logits.mutex);
    out =
        logits.logits(ids, [&](int64_t done, int64_t total) { watch.tell_or_throw(done, total); });
  });
  return new_array(std::move(out), {ids.size(), static_cast<size_t>(logits.vocab())});
}

std::vector<int32_t> encode_text(const Logits& model, const std::string& text) {
  if (model.tokenizer() == nullptr) {
    fail(ErrorCode::kInvalidArgument, "this model has no tokenizer: give token ids");
  }
  const nb::gil_scoped_release unlock;
  return model.tokenizer()->encode(text, {.add_special = true});
}

// KL(reference || logits) of each row.
NewArray<double> kld(const Matrix<float>& logits, const Matrix<float>& reference) {
  const size_t n_rows = logits.shape(0);
  const size_t vocab = logits.shape(1);
  if (reference.shape(0) != n_rows || reference.shape(1) != vocab || vocab == 0) {
    fail(ErrorCode::kInvalidArgument, "logits are [{}, {}], and the reference's [{}, {}]", n_rows,
         vocab, reference.shape(0), reference.shape(1));
  }
  std::vector<double> out(n_rows);
  {
    const nb::gil_scoped_release unlock;
    for (size_t i = 0; i < n_rows; ++i) {
      try {
        out[i] =
            divergence(0, {logits.data() + i * vocab, vocab}, {reference.data() + i * vocab, vocab})
                .kld;
      } catch (const Error& error) {
        fail(ErrorCode::kInvalidArgument, "row {}: {}", i, error.what());
      }
    }
  }
  return new_array(std::move(out), {n_rows});
}

}  // namespace

void bind_logits(nb::module_& module) {
  nb::class_<Logits>(module, "LogitModel")
      .def("__init__", construct_logits, nb::arg("path"), nb::arg("options"),
           nb::arg("progress").none())
      .def("logits", logits)
      .def("encode", encode_text)
      .def_prop_ro("context", &Logits::context)
      .def_prop_ro("vocab", &Logits::vocab);
  module.def("kld", kld);
}

}  // namespace tq::python
