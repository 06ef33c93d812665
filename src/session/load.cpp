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

namespace tq {
namespace {

constexpr const char* kGenerationConfig = "generation_config.json";
constexpr const char* kTokenizerConfig = "tokenizer_config.json";

Json read_json(const Checkpoint& checkpoint, const char* name) {
  const auto text = checkpoint.text_file(name);
  if (!text) return Json::object();
  Json json = parse_json(*text, checkpoint.name_of(name));
  if (!json.is_object()) {
    fail(ErrorCode::kCorrupt, "{}: must be a JSON object", checkpoint.name_of(name));
  }
  return json;
}

// Adds config[key], an id or a list of ids, to ids; negative ones are how some files say "none".
void add_ids(const Json& config, const std::string& name, const char* key,
             std::vector<int32_t>& ids) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return;
  const Json list = found->is_array() ? *found : Json::array({*found});
  for (const Json& id : list) {
    const auto number = json_integer(id, INT32_MIN, INT32_MAX);
    if (!number) {
      fail(ErrorCode::kCorrupt, "{}: {} holds {}, not a token id", name, key, json_for_message(id));
    }
    if (*number >= 0) ids.push_back(static_cast<int32_t>(*number));
  }
}

void sort_unique(std::vector<int32_t>& ids) {
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
}

[[noreturn]] void not_a(const char* what, const Json& value, const char* key,
                        const std::string& name) {
  fail(ErrorCode::kCorrupt, "{}: {} is {}, not {}", name, key, json_for_message(value), what);
}

void read_number(const Json& config, const std::string& name, const char* key, float& value) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return;
  const auto number = json_float(*found);
  if (!number) not_a("a number that fp32 can hold", *found, key, name);
  value = *number;
}

void read_number(const Json& config, const std::string& name, const char* key, int& value) {
  const auto found = config.find(key);
  if (found == config.end() || found->is_null()) return;
  const auto number = json_integer(*found, INT32_MIN, INT32_MAX);
  if (!number) not_a("an integer of 32 bits", *found, key, name);
  value = static_cast<int>(*number);
}

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
  const MemoryPlanner planner(checkpoint, backend, options.model, options.kv_format, limit);
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

std::vector<int32_t> read_eos_ids(const Checkpoint& checkpoint, const Tokenizer* tokenizer) {
  std::vector<int32_t> ids;
  constexpr const char* kKey = "eos_token_id";
  add_ids(read_json(checkpoint, kGenerationConfig), checkpoint.name_of(kGenerationConfig), kKey,
          ids);
  const Json& config = checkpoint.config();
  const std::string config_name = checkpoint.name_of("config.json");
  add_ids(config, config_name, kKey, ids);
  if (const auto text = config.find("text_config"); text != config.end() && text->is_object()) {
    add_ids(*text, config_name, kKey, ids);
  }
  if (tokenizer != nullptr) {
    // Gemma 4 hands over to a tool with this one, which its files do not list.
    for (const auto id : {tokenizer->eos(), tokenizer->token_id("<|tool_response>")}) {
      if (id) ids.push_back(*id);
    }
  }
  sort_unique(ids);
  return ids;
}

std::vector<int32_t> read_not_text_ids(const Checkpoint& checkpoint, const Tokenizer* tokenizer) {
  std::vector<int32_t> ids;
  add_ids(read_json(checkpoint, kGenerationConfig), checkpoint.name_of(kGenerationConfig),
          "suppress_tokens", ids);
  for (const std::string name : {"image", "audio", "video", "boi", "eoi", "boa", "eoa"}) {
    for (const char* suffix : {"_token_id", "_token_index"}) {
      add_ids(checkpoint.config(), checkpoint.name_of("config.json"), (name + suffix).c_str(), ids);
    }
  }
  for (int32_t id = 0; tokenizer != nullptr && id < tokenizer->vocab_size(); ++id) {
    if (tokenizer->token_bytes(id).empty()) ids.push_back(id);
  }
  sort_unique(ids);
  return ids;
}

SamplingParams read_default_sampling(const Checkpoint& checkpoint) {
  const Json config = read_json(checkpoint, kGenerationConfig);
  const std::string name = checkpoint.name_of(kGenerationConfig);
  SamplingParams params;
  if (config.value("do_sample", Json(false)) != Json(true)) return params;
  params.temperature = 1;
  read_number(config, name, "temperature", params.temperature);
  read_number(config, name, "top_k", params.top_k);
  read_number(config, name, "top_p", params.top_p);
  read_number(config, name, "min_p", params.min_p);
  read_number(config, name, "repetition_penalty", params.repetition_penalty);
  try {
    params.validate();
  } catch (const Error& error) {
    fail(ErrorCode::kCorrupt, "{}: {}", name, error.what());
  }
  return params;
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
    Json changed = read_json(checkpoint, kTokenizerConfig);
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
