#include "cli/saved_reference.h"

#include "base/error.h"
#include "base/human.h"
#include "base/log.h"
#include "cli/result.h"

namespace tq {

ReferenceModel describe_reference(const std::string& name, const ModelSpec& spec) {
  return {.name = name,
          .arch = spec.arch,
          .n_layers = static_cast<int64_t>(spec.layers.size()),
          .hidden = spec.hidden,
          .vocab = spec.vocab};
}

void check_same_model(const ReferenceReader& reference, const LoadedModel& loaded,
                      const std::string& path) {
  const ReferenceModel& saved = reference.model();
  const ReferenceModel model = describe_reference(path, loaded.model->spec());
  if (saved.arch == model.arch && saved.n_layers == model.n_layers &&
      saved.hidden == model.hidden && saved.vocab == model.vocab) {
    return;
  }
  fail(
      ErrorCode::kInvalidArgument,
      "the saved logits are of {} ({}, {} layers of {}, vocabulary {}), which {} ({}, {} layers of "
      "{}, vocabulary {}) is not: --reference MODEL compares two models",
      saved.name, saved.arch, saved.n_layers, saved.hidden, saved.vocab, path, model.arch,
      model.n_layers, model.hidden, model.vocab);
}

RunningMean save_reference(LogitReader& reader, const ReferenceText& text, const SaveReference& to,
                           const EvalProgress& progress) {
  const ReferenceModel model = describe_reference(to.options.path, to.loaded.model->spec());
  info("{}: {} for {} tokens", to.path,
       human_bytes(static_cast<double>(reference_bytes(text, model.vocab))), text.ids.size());
  ReferenceWriter writer(to.path, text, model, result_json("eval kld", to.options, to.loaded));
  RunningMean nll;
  visit_scored(reader, text.text(), progress, [&](int32_t token, std::span<const float> logits) {
    nll.add(log_sum_exp(logits) - logits[static_cast<size_t>(token)]);
    writer.add(token, logits);
  });
  writer.finish();
  return nll;
}

}  // namespace tq
