#include "session/inspect.h"

#include <algorithm>

#include "base/error.h"

namespace tq {
namespace {

constexpr std::string_view kCompressedKv = "k4v3";

// Empty where the tokenizer inside the file is damaged: the check's text_problem tells.
std::vector<std::string> text_files(const Checkpoint& checkpoint) {
  try {
    return checkpoint.text_files();
  } catch (const Error&) {
    return {};
  }
}

}  // namespace

TensorTotals count_totals(const Checkpoint& checkpoint) {
  const TensorRoles roles(checkpoint.config());
  TensorTotals totals;
  for (const TensorEntry& tensor : checkpoint.tensors()) {
    totals[{class_of(roles, tensor), tensor.storage}].add(tensor);
  }
  return totals;
}

TensorClass class_of(const TensorRoles& roles, const TensorEntry& tensor) {
  return class_of(roles.role(tensor.name, tensor.shape));
}

std::string architecture(const Json& config) {
  const auto architectures = config.find("architectures");
  if (architectures != config.end() && architectures->is_array() && !architectures->empty() &&
      architectures->front().is_string()) {
    return architectures->front().get<std::string>();
  }
  const auto model_type = config.find("model_type");
  if (model_type != config.end() && model_type->is_string()) return model_type->get<std::string>();
  return "";
}

std::vector<int64_t> shown_contexts(const ModelSummary& summary) {
  std::vector<int64_t> out;
  for (const int64_t n_tokens : {4096, 32768, 262144}) {
    out.push_back(std::min(n_tokens, summary.max_position));
  }
  out.erase(std::unique(out.begin(), out.end()), out.end());
  return out;
}

std::vector<ContextFit> context_fits(const Checkpoint& checkpoint) {
  const Capacity capacity(checkpoint, {});
  std::vector<ContextFit> out;
  for (const int64_t gib : kCommonMemoryGib) {
    out.push_back({gib << 30, capacity.longest_context(gib << 30)});
  }
  return out;
}

std::vector<Conversations> conversations(const Checkpoint& checkpoint, int64_t n_tokens) {
  std::vector<Conversations> out;
  for (const KvFormatId id : {kShownKv.format, find_kv_format(kCompressedKv)->id}) {
    Conversations row{kv_format_traits(id).name, {}};
    try {
      const Capacity capacity(checkpoint, {.kv = {.format = id}});
      for (const int64_t gib : kCardGib) {
        row.n.push_back(capacity.most_sequences(gib << 30, n_tokens));
      }
    } catch (const Error& error) {
      if (error.code() != ErrorCode::kUnsupported) throw;
    }
    out.push_back(std::move(row));
  }
  return out;
}

std::string text_state(const SourceCheck& check) {
  return check.text_problem.empty() ? check.text_note : check.text_problem;
}

namespace {

Json conversations_json(const Checkpoint& checkpoint, const ModelSummary& summary) {
  const int64_t n_tokens = std::min(kConversationTokens, summary.max_position);
  Json json = Json::array();
  for (const Conversations& row : conversations(checkpoint, n_tokens)) {
    for (size_t i = 0; i < row.n.size(); ++i) {
      json.push_back({{"kv_format", row.kv_format},
                      {"memory_bytes", kCardGib[i] << 30},
                      {"tokens", n_tokens},
                      {"conversations", row.n[i]}});
    }
  }
  return json;
}

Json fits_json(const Checkpoint& checkpoint) {
  Json json = Json::array();
  for (const ContextFit& fit : context_fits(checkpoint)) {
    json.push_back({{"memory_bytes", fit.memory_bytes}, {"longest_context", fit.context}});
  }
  return json;
}

Json model_json(const ModelSummary& summary) {
  Json layers = Json::array();
  for (const LayerGroup& group : summary.layers) {
    layers.push_back({{"layers", group.n_layers},
                      {"attention", group.attention},
                      {"window", group.window},
                      {"shared_kv", group.shared_kv},
                      {"heads", group.n_heads},
                      {"kv_heads", group.n_kv_heads},
                      {"head_dim", group.head_dim},
                      {"mlp_width", group.mlp_width},
                      {"experts", group.n_experts},
                      {"experts_per_token", group.top_k},
                      {"expert_width", group.expert_width}});
  }
  Json kv = Json::array();
  for (const int64_t n_tokens : shown_contexts(summary)) {
    kv.push_back({{"tokens", n_tokens},
                  {"bytes", summary.kv_bytes(n_tokens, kShownKv)},
                  {"bytes_read", summary.kv_bytes_read(n_tokens, kShownKv)}});
  }
  return {{"arch", summary.arch},
          {"hidden", summary.hidden},
          {"vocab", summary.vocab},
          {"tied_head", summary.tied_head},
          {"max_position", summary.max_position},
          {"n_layers", summary.n_layers},
          {"layers", std::move(layers)},
          {"parameters", summary.n_parameters},
          {"active_parameters", summary.active_parameters},
          {"weight_bytes", summary.weight_bytes},
          {"bytes_per_token", summary.bytes_per_token},
          {"kv_bytes_per_token", summary.kv_bytes_per_token(kShownKv.format)},
          {"kv", std::move(kv)}};
}

}  // namespace

Json inspect_json(const Checkpoint& checkpoint, bool list_tensors) {
  const TensorTotals totals = count_totals(checkpoint);
  Json classes = Json::array();
  TensorTotal sum;
  for (const auto& [key, total] : totals) {
    classes.push_back({{"class", tensor_class_name(key.first)},
                       {"storage", key.second},
                       {"tensors", total.n_tensors},
                       {"parameters", total.n_parameters},
                       {"bytes", total.stored_bytes},
                       {"bits_per_weight", total.bits_per_weight()}});
  }
  for (const TensorEntry& tensor : checkpoint.tensors()) sum.add(tensor);
  Json files = Json::array();
  for (const fs::path& path : checkpoint.files()) {
    files.push_back({{"path", path.string()}, {"bytes", fs::file_size(path)}});
  }
  Json json = {{"path", checkpoint.path().string()},
               {"kind", checkpoint_kind_name(checkpoint.kind())},
               {"architecture", architecture(checkpoint.config())},
               {"tensors", sum.n_tensors},
               {"parameters", sum.n_parameters},
               {"bytes", sum.stored_bytes},
               {"bits_per_weight", sum.bits_per_weight()},
               {"classes", std::move(classes)},
               {"files", std::move(files)},
               {"text_files", text_files(checkpoint)}};
  const SourceCheck check = check_source(checkpoint);
  json["model"] = check.summary ? model_json(*check.summary) : Json();
  if (check.summary) json["model"]["fits"] = fits_json(checkpoint);
  if (check.summary)
    json["model"]["conversations"] = conversations_json(checkpoint, *check.summary);
  if (!check.summary) json["not_runnable"] = check.problem;
  if (const std::string text = text_state(check); !text.empty()) json["no_text"] = text;
  if (list_tensors) {
    const TensorRoles roles(checkpoint.config());
    Json& list = json["tensor_list"] = Json::array();
    for (const TensorEntry& tensor : checkpoint.tensors()) {
      list.push_back({{"name", tensor.name},
                      {"class", tensor_class_name(class_of(roles, tensor))},
                      {"storage", tensor.storage},
                      {"shape", tensor.shape},
                      {"bytes", tensor.stored_bytes}});
    }
  }
  return json;
}

}  // namespace tq
