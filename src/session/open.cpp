#include "session/open.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <unordered_map>

#include "base/log.h"
#include "model/arch/registry.h"
#include "session/device_memory.h"

namespace tq {
namespace {

// Most logits one forward call writes when those of all tokens are wanted.
constexpr int64_t kMaxLogits = int64_t{16} << 20;

// Compression at load follows the plan that tq convert would make.
void plan_formats(const Checkpoint& checkpoint, const PlanOptions& plan_options,
                  LoadOptions& options) {
  const ConvertPlan plan = make_plan(checkpoint, plan_options);
  for (const std::string& note : plan.notes) info("{}", note);
  options.encode.effort = Effort::kFast;
  options.format_for = formats_at_load(checkpoint, plan);
}

// Options that were given but change nothing where the model will run.
void warn_of_ignored(const ModelOptions& options) {
  const bool on_cpu = resolve_device(options.device) == "cpu";
  const auto warn_if = [on_cpu](bool given, const char* option, const char* why) {
    if (given) warn("{} has no effect on {}: {}", option, on_cpu ? "the CPU" : "a GPU", why);
  };
  const KvOptions kv = options.kv_options();
  const KvOptions usual;
  if (!kv.is_compressed() &&
      (kv.sinks != usual.sinks || kv.tail != usual.tail || kv.skip_layers != usual.skip_layers)) {
    warn("--kv-sink, --kv-tail and --kv-skip-layers have no effect on a KV cache of {}",
         kv_format_traits(kv.format).name);
  }
  if (on_cpu) {
    warn_if(options.gpu_memory > 0, "--gpu-memory", "no GPU is used");
    warn_if(options.kernels != "auto", "--kernels", "it chooses among the GPU's kernels");
    warn_if(options.batch_invariant, "--batch-invariant", "results never depend on the batch here");
  } else {
    warn_if(options.threads > 0, "--threads", "it only concerns loading");
  }
}

}  // namespace

std::function<std::string(const TensorEntry&)> formats_at_load(const Checkpoint& checkpoint,
                                                               const ConvertPlan& plan) {
  auto formats = std::make_shared<std::unordered_map<std::string, std::string>>();
  for (const PlannedTensor& planned : plan.tensors) {
    if (planned.traits == nullptr) continue;
    const auto source = static_cast<size_t>(planned.source);
    formats->emplace(checkpoint.tensors()[source].name, planned.traits->name);
  }
  return [formats](const TensorEntry& tensor) {
    const auto found = formats->find(tensor.name);
    return found == formats->end() ? std::string() : found->second;
  };
}

KvFormatId ModelOptions::kv() const {
  const KvFormatTraits* chosen = find_kv_format(kv_format);
  return chosen != nullptr ? chosen->id : default_kv_format(exact);
}

KvOptions ModelOptions::kv_options() const {
  return {.format = kv(), .sinks = kv_sink, .tail = kv_tail, .skip_layers = kv_skip_layers};
}

ModelOptions ModelOptions::as_stored(const std::string& other) const {
  ModelOptions model = *this;
  model.path = other;
  model.format.clear();
  model.preset.clear();
  return model;
}

ModelOptions ModelOptions::as_reference(const std::string& other) const {
  const ModelOptions defaults;
  ModelOptions model = as_stored(other);
  model.kv_format = defaults.kv_format;
  model.kv_sink = defaults.kv_sink;
  model.kv_tail = defaults.kv_tail;
  model.kv_skip_layers = defaults.kv_skip_layers;
  return model;
}

LoadedModel open_model(const ModelOptions& options, const ModelNeeds& needs,
                       const std::function<void(int64_t done, int64_t total)>& progress) {
  auto checkpoint = open_checkpoint(options.path, {.ignore_config = options.ignore_config});
  const ModelSpec spec = read_spec(*checkpoint);
  warn_of_ignored(options);
  LoadModelOptions load;
  load.device = options.device;
  load.cpu = {.threads = options.threads, .exact = options.exact};
  load.cuda = {.exact = options.exact,
               .batch_invariant = options.batch_invariant,
               .kernels = options.kernels};
  load.cuda.memory_bytes = static_cast<int64_t>(
      std::min<uint64_t>(options.gpu_memory, std::numeric_limits<int64_t>::max()));
  load.model.threads = options.threads;
  load.model.kv = options.kv_options();
  load.text = needs.text;
  load.shared_pages = needs.shared_pages;
  load.longest_context = options.ctx == kLongestContext;
  load.model.max_context = choose_context(spec, options.ctx, needs.default_ctx);
  load.model.max_sequences = needs.max_sequences;
  load.model.max_batch_tokens = std::max(options.batch, needs.max_sequences);
  load.model.max_logit_rows = needs.max_sequences;
  if (needs.logits_of_all) {
    load.model.max_logit_rows =
        std::clamp<int64_t>(kMaxLogits / spec.vocab, 1, load.model.max_batch_tokens);
  }
  // Synthetic weights lie nowhere: kept as they are they would fill the memory.
  const bool synthetic = checkpoint->kind() == CheckpointKind::kSynthetic && !needs.as_stored;
  if (needs.formats != nullptr) {
    plan_formats(*checkpoint, {.formats = *needs.formats}, load.model);
  } else if (synthetic || !options.format.empty() || !options.preset.empty()) {
    const std::string format = options.format.empty() ? "auto" : options.format;
    PlanOptions plan{.format = format, .preset = options.preset};
    fit_device(*checkpoint, options.device, load.cuda.memory_bytes,
               {load.model, load.model.max_context}, plan);
    plan_formats(*checkpoint, plan, load.model);
  }
  load.model.progress = progress;
  return load_model(std::move(checkpoint), load);
}

}  // namespace tq
