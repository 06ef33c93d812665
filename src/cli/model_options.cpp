#include "cli/model_options.h"

#include <algorithm>
#include <limits>
#include <memory>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/progress.h"
#include "cli/sizes.h"
#include "cli/values.h"
#include "convert/class_formats.h"
#include "convert/plan.h"

namespace tq {
namespace {

// Most logits one forward call writes when those of all tokens are wanted.
constexpr int64_t kMaxLogits = int64_t{16} << 20;

// A number of tokens, or "auto".
CLI::Validator context_value() {
  const CLI::Validator tokens = token_count(0, int64_t{1} << 24);
  const auto read = [tokens](std::string& text) {
    if (text != "auto") return tokens(text);
    text = std::to_string(kLongestContext);
    return std::string();
  };
  return {read, "TOKENS or auto", "context"};
}

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

KvDType ModelOptions::kv() const {
  if (kv_dtype == "f32") return KvDType::kF32;
  if (kv_dtype == "bf16") return KvDType::kBF16;
  if (kv_dtype == "f16") return KvDType::kF16;
  return exact ? KvDType::kF32 : KvDType::kF16;
}

void add_ignore_config(CLI::App& command, std::vector<std::string>& fields) {
  command
      .add_option("--ignore-config", fields,
                  "Take a field of config.json (of GGUF: a metadata key) as if it were not there; "
                  "may be given again")
      ->type_name("FIELD")
      ->allow_extra_args(false)
      ->group("Model");
}

void add_model_options(CLI::App& command, ModelOptions& options, const std::string& default_ctx) {
  constexpr const char* kGroup = "Model";
  command
      .add_option("MODEL", options.path,
                  "Folder or file: native, Hugging Face or GGUF; or synth:NAME")
      ->required();
  CLI::Option* format =
      command
          .add_option("--format", options.format,
                      "Compress at load to this storage format, as tq convert plans it (fast "
                      "effort); without it weights stay as stored, and synthetic ones become auto")
          ->check(format_value())
          ->group(kGroup);
  command
      .add_option("--preset", options.preset,
                  "Compress at load to a format for each class of tensors: " + preset_names())
      ->excludes(format)
      ->group(kGroup);
  command
      .add_flag("--exact", options.exact,
                "Compute with fp32 activations and KV cache throughout (slower)")
      ->group(kGroup);
  command
      .add_option(
          "--device", options.device,
          "Where to compute: cpu, cuda, cuda:N, or auto: a GPU if there is one (tq devices)")
      ->group(kGroup);
  command
      .add_option("--gpu-memory", options.gpu_memory,
                  "GPU memory to use at most, such as 12GiB; without it what is free")
      ->transform(byte_size())
      ->group(kGroup);
  command
      .add_option(
          "--kernels", options.kernels,
          "Matrix products of the GPU: auto, or only those of one tier (tq devices --kernels)")
      ->check(one_of({"auto", "fused", "dequant", "reference"}))
      ->group(kGroup);
  command
      .add_flag("--batch-invariant", options.batch_invariant,
                "GPU: the same bits for a sequence whatever else is in its batch (slower for few)")
      ->group(kGroup);
  command.add_option("--threads", options.threads, "CPU threads; 0 is every CPU available")
      ->check(CLI::Range(0, 4096))
      ->group(kGroup);
  command
      .add_option("--ctx,--max-model-len", options.ctx,
                  "Context in tokens; 0 is " + default_ctx +
                      ", or the model's own if that is less; auto: the longest that fits in memory")
      ->transform(context_value())
      ->default_str(options.ctx == kLongestContext ? "auto" : std::to_string(options.ctx))
      ->group(kGroup);
  command
      .add_option("--kv-dtype", options.kv_dtype,
                  "Type of the KV cache; auto is f16, with --exact f32")
      ->check(one_of({"auto", "f32", "f16", "bf16"}))
      ->group(kGroup);
  command.add_option("--batch", options.batch, "Tokens of one forward pass at most")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 16))
      ->group(kGroup);
  add_ignore_config(command, options.ignore_config);
}

LoadedModel open_model(const ModelOptions& options, const ModelNeeds& needs,
                       const GlobalOptions& global) {
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
  load.kv_dtype = options.kv();
  load.text = needs.text;
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
  if (synthetic || !options.format.empty() || !options.preset.empty()) {
    const std::string format = options.format.empty() ? "auto" : options.format;
    plan_formats(*checkpoint, {.format = format, .preset = options.preset}, load.model);
  }
  Progress progress(global, "loading", ProgressUnit::kBytes);
  load.model.progress = [&](int64_t done, int64_t total) { progress.update(done, total); };
  return load_model(std::move(checkpoint), load);
}

std::vector<int32_t> read_token_file(const std::string& path, int64_t vocab) {
  const Json json = parse_json(read_text_file(path), path);
  if (!json.is_array()) fail(ErrorCode::kCorrupt, "{}: not a JSON list of token ids", path);
  std::vector<int32_t> ids;
  for (const Json& item : json) {
    if (!item.is_number_integer()) {
      fail(ErrorCode::kCorrupt, "{}: {} is not a token id", path, json_for_message(item));
    }
    const auto id = json_integer(item, 0, std::min<int64_t>(vocab - 1, INT32_MAX));
    if (!id) {
      fail(ErrorCode::kInvalidArgument, "{}: token id {}: ids are 0 to {}", path, item.dump(),
           vocab - 1);
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  if (ids.empty()) fail(ErrorCode::kInvalidArgument, "{}: an empty list of token ids", path);
  return ids;
}

}  // namespace tq
