#include "session/generation_config.h"

#include <algorithm>
#include <cstdint>

#include "base/error.h"
#include "base/sort_unique.h"

namespace tq {
namespace {

constexpr const char* kGenerationConfig = "generation_config.json";

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

}  // namespace

Json read_side_file(const Checkpoint& checkpoint, const char* name) {
  const auto text = checkpoint.text_file(name);
  if (!text) return Json::object();
  Json json = parse_json(*text, checkpoint.name_of(name));
  if (!json.is_object()) {
    fail(ErrorCode::kCorrupt, "{}: must be a JSON object", checkpoint.name_of(name));
  }
  return json;
}

std::vector<int32_t> read_eos_ids(const Checkpoint& checkpoint, const Tokenizer* tokenizer) {
  std::vector<int32_t> ids;
  constexpr const char* kKey = "eos_token_id";
  add_ids(read_side_file(checkpoint, kGenerationConfig), checkpoint.name_of(kGenerationConfig),
          kKey, ids);
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
  add_ids(read_side_file(checkpoint, kGenerationConfig), checkpoint.name_of(kGenerationConfig),
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
  const Json config = read_side_file(checkpoint, kGenerationConfig);
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

}  // namespace tq
