#include "model/tensor_lookup.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <optional>
#include <set>
#include <string>

#include "base/error.h"
#include "base/log.h"

namespace tq {
namespace {

const TensorNames::Place& find_place(const Checkpoint& checkpoint, const TensorNames& names) {
  std::string tried;
  for (const TensorNames::Place& place : names.places) {
    const std::string name = fmt::format("{}{}.weight", place.body, names.embedding);
    if (checkpoint.find(name) != nullptr) return place;
    tried += fmt::format("{}{}", tried.empty() ? "" : ", ", name);
  }
  fail(ErrorCode::kNotFound, "{}: no embedding table (looked for {})", checkpoint.path().string(),
       tried);
}

// Finds every requested tensor and checks its shape.
void resolve(const Checkpoint& checkpoint, std::vector<TensorRequest>& requests) {
  constexpr int kListed = 5;
  std::string missing;
  int n_missing = 0;
  for (TensorRequest& request : requests) {
    request.entry = checkpoint.find(request.name);
    if (request.entry != nullptr) continue;
    if (++n_missing <= kListed) missing += "\n  " + request.name;
  }
  if (n_missing > 0) {
    fail(ErrorCode::kNotFound, "{}: {} tensors the config asks for are missing:{}{}",
         checkpoint.path().string(), n_missing, missing, n_missing > kListed ? "\n  ..." : "");
  }
  for (const TensorRequest& request : requests) {
    if (request.entry->shape == request.shape) continue;
    fail(ErrorCode::kCorrupt, "{}: {} has shape {}, the config asks for {}",
         checkpoint.path().string(), request.name, shape_string(request.entry->shape),
         shape_string(request.shape));
  }
}

// The number in "<layers>7.mlp..."; nothing for other names.
std::optional<int64_t> layer_number(std::string_view name, std::string_view layers) {
  if (!name.starts_with(layers)) return std::nullopt;
  name.remove_prefix(layers.size());
  int64_t number = 0;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end == name.data() + name.size() || *end != '.') return std::nullopt;
  return number;
}

bool is_known_leftover(std::string_view name, const TensorNames& names,
                       const TensorNames::Place& place) {
  // Left in some quantised checkpoints beside weights that no longer need them.
  constexpr auto kQuantiserLeftovers =
      std::to_array<std::string_view>({".weight_scale_inv", ".weight_scale", ".input_scale"});
  const auto inside = [&](std::string_view part) {
    return name.find(part) != std::string_view::npos;
  };
  return std::any_of(names.unused.begin(), names.unused.end(), inside) ||
         std::any_of(kQuantiserLeftovers.begin(), kQuantiserLeftovers.end(),
                     [&](std::string_view end) { return name.ends_with(end); }) ||
         name == fmt::format("{}.weight", place.head);  // a copy of a tied head
}

// Some checkpoints hold keys and values for layers that use another layer's.
bool is_shared_kv(std::string_view name, const TensorNames& names, const LayerSpec& layer) {
  const auto* gqa = std::get_if<GqaSpec>(&layer.attention);
  const auto inside = [&](std::string_view part) {
    return name.find(part) != std::string_view::npos;
  };
  return gqa != nullptr && gqa->kv_from &&
         (inside(names.k) || inside(names.v) || inside(names.k_norm));
}

// Tensors that are left out knowingly are counted and told, a tensor of a decoder layer that the
// spec has no place for would be mathematics left out, any other is worth a warning.
void check_leftovers(const Checkpoint& checkpoint, const ModelSpec& spec,
                     const std::vector<TensorRequest>& requests, const TensorNames& names,
                     const TensorNames::Place& place, bool tell) {
  std::set<std::string_view> used;
  for (const TensorRequest& request : requests) used.insert(request.name);
  const std::string layers = fmt::format("{}layers.", place.body);
  const auto n_layers = static_cast<int64_t>(spec.layers.size());
  std::string_view example;
  int64_t n_unused = 0;
  std::string_view skipped_example;
  int64_t n_skipped = 0;
  int64_t skipped_bytes = 0;
  for (const TensorEntry& entry : checkpoint.tensors()) {
    if (used.contains(entry.name)) continue;
    const std::optional<int64_t> layer = layer_number(entry.name, layers);
    const bool mtp = layer && *layer >= n_layers && *layer < n_layers + spec.n_mtp_layers;
    const bool shared_kv =
        layer && *layer < n_layers &&
        is_shared_kv(entry.name, names, spec.layers[static_cast<size_t>(*layer)]);
    if (mtp || shared_kv || is_known_leftover(entry.name, names, place)) {
      if (n_skipped++ == 0) skipped_example = entry.name;
      skipped_bytes += entry.stored_bytes;
      continue;
    }
    if (layer) {
      fail(ErrorCode::kUnsupported, "{}: the architecture has no tensor {}",
           checkpoint.path().string(), entry.name);
    }
    if (n_unused++ == 0) example = entry.name;
  }
  if (!tell) return;
  if (n_skipped > 0) {
    info("{}: {} tensors ({:.1f} MB) play no part in text and are not loaded, such as {}",
         checkpoint.path().string(), n_skipped, static_cast<double>(skipped_bytes) * 1e-6,
         skipped_example);
  }
  if (n_unused > 0) {
    warn("{}: {} tensors are not used by the model, such as {}", checkpoint.path().string(),
         n_unused, example);
  }
}

}  // namespace

std::vector<TensorRequest> find_tensors(const Checkpoint& checkpoint, const ModelSpec& spec,
                                        const TensorNames& names, Backend& backend,
                                        DecoderWeights& weights, bool tell) {
  const TensorNames::Place& place = find_place(checkpoint, names);
  std::vector<TensorRequest> requests =
      request_tensors({spec, names, place, checkpoint, backend}, weights);
  resolve(checkpoint, requests);
  check_leftovers(checkpoint, spec, requests, names, place, tell);
  return requests;
}

}  // namespace tq
