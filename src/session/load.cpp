#include "session/load.h"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <optional>

#include "backend/devices.h"
#include "base/error.h"
#include "base/file_faults.h"
#include "base/host_memory.h"
#include "base/human.h"
#include "base/json.h"
#include "base/log.h"
#include "model/arch/registry.h"
#include "session/generation_config.h"

namespace tq {
namespace {

constexpr const char* kTokenizerConfig = "tokenizer_config.json";

MemoryPlan plan_device_memory(const MemoryPlanner& planner, std::optional<int64_t> context,
                              int64_t fallback) {
  if (!context) context = planner.longest_context(0);
  const MemoryPlan plan = planner.plan(*context > 0 ? *context : fallback);
  planner.check_runs(plan);
  return plan;
}

// Decides model.max_context.
MemoryPlan plan_memory(const Checkpoint& checkpoint, const Backend& backend,
                       const LoadModelOptions& options, LoadOptions& model) {
  const bool on_host = backend.on_host();
  const int64_t limit = on_host ? available_host_memory() : backend.memory_limit();
  const MemoryPlanner unshared(checkpoint, backend, options.model, limit);
  const MemoryPlanner planner = options.shared_pages ? unshared.with_shared_pages() : unshared;
  const int64_t asked =
      model.max_context > 0 ? model.max_context : read_spec(checkpoint).max_position;
  std::optional<int64_t> context;
  if (!options.longest_context) context = asked;
  const MemoryPlan plan = on_host ? plan_host_memory(planner, context, asked)
                                  : plan_device_memory(planner, context, asked);
  model.max_context = plan.context;
  info("memory: {}", plan.text());
  if (!plan.fits()) {
    warn(
        "the weights are mapped from files, and with all that is needed besides there is no room "
        "for {} of them: what does not stay in memory is read again for every token, which is slow",
        human_bytes(static_cast<double>(plan.total_bytes() - plan.limit_bytes)));
  }
  return plan;
}

void warn_of_edits(const Checkpoint& checkpoint) {
  for (const std::string& edit : checkpoint.edited_files()) {
    warn(
        "{} since tq convert wrote the checkpoint; if that is your edit, tq verify --update "
        "accepts it",
        (checkpoint.path() / edit).string());
  }
}

// Null also where it cannot be used and is not needed.
std::shared_ptr<const Tokenizer> read_usable_tokenizer(const Checkpoint& checkpoint,
                                                       const LoadModelOptions& options) {
  try {
    return read_tokenizer(checkpoint);
  } catch (const Error& error) {
    if (options.text) throw;
    warn("no text can be read or shown: {}", error.what());
    return nullptr;
  }
}

}  // namespace

ChatTemplates read_chat_templates(const Checkpoint& checkpoint) {
  return ChatTemplates(
      checkpoint.text_files(), [&](std::string_view name) { return checkpoint.text_file(name); },
      checkpoint.name_of(""));
}

int64_t choose_context(const ModelSpec& spec, int64_t asked, int64_t fallback) {
  if (asked > spec.max_position) {
    fail(ErrorCode::kInvalidArgument,
         "a context of {} tokens is more than the {} this model was trained for", asked,
         spec.max_position);
  }
  return asked > 0 ? asked : std::min(fallback, spec.max_position);
}

std::shared_ptr<const Tokenizer> read_tokenizer(const Checkpoint& checkpoint) {
  const auto json = checkpoint.text_file("tokenizer.json");
  if (!json) {
    if (const auto problem = checkpoint.tokenizer_problem()) throw *problem;
    return nullptr;
  }
  auto config = checkpoint.text_file(kTokenizerConfig).value_or("");
  const Json type = checkpoint.config().value("model_type", Json());
  if (type.is_string() && type.get<std::string>().starts_with("gemma")) {
    Json changed = read_side_file(checkpoint, kTokenizerConfig);
    changed["add_bos_token"] = true;
    config = changed.dump();
  }
  try {
    return Tokenizer::from_json(*json, config);
  } catch (const Error& error) {
    rethrow_located(error, checkpoint);
  }
}

std::string resolve_device(const std::string& name) {
  if (name != "auto") return name;
  return list_cuda_devices().devices.empty() ? "cpu" : "cuda";
}

std::unique_ptr<Backend> open_device(const LoadModelOptions& options) {
  constexpr std::string_view kCuda = "cuda";
  const std::string device = resolve_device(options.device);
  const std::string_view name = device;
  if (name == "cpu") return make_cpu_backend(options.cpu);
  CudaOptions cuda = options.cuda;
  if (name == kCuda) return make_cuda_backend(cuda);
  if (name.starts_with("cuda:")) {
    const std::string_view number = name.substr(kCuda.size() + 1);
    const auto parsed = std::from_chars(number.data(), number.data() + number.size(), cuda.device);
    if (parsed.ec == std::errc() && parsed.ptr == number.data() + number.size()) {
      return make_cuda_backend(cuda);
    }
  }
  fail(ErrorCode::kInvalidArgument, "no device is called \"{}\": auto, cpu, cuda, cuda:N", name);
}

LoadedModel load_model(std::unique_ptr<Checkpoint> checkpoint, const LoadModelOptions& options) {
  const auto start = std::chrono::steady_clock::now();
  warn_of_edits(*checkpoint);
  LoadedModel loaded;
  loaded.checkpoint = std::move(checkpoint);
  loaded.tokenizer = read_usable_tokenizer(*loaded.checkpoint, options);
  loaded.eos_ids = read_eos_ids(*loaded.checkpoint, loaded.tokenizer.get());
  loaded.not_text = read_not_text_ids(*loaded.checkpoint, loaded.tokenizer.get());
  loaded.sampling = read_default_sampling(*loaded.checkpoint);
  loaded.backend = open_device(options);
  LoadOptions model = options.model;
  loaded.memory = plan_memory(*loaded.checkpoint, *loaded.backend, options, model);
  loaded.model = Model::load(*loaded.checkpoint, *loaded.backend, model);
  check_file_faults();
  loaded.load_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return loaded;
}

}  // namespace tq
