#include "io/tied_head.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

namespace tq {
namespace {

constexpr const char* kTied = "tie_word_embeddings";
constexpr int64_t kElementsAtOnce = int64_t{1} << 18;

// The places of text decoders in checkpoints.
constexpr std::pair<std::string_view, std::string_view> kNames[] = {
    {"model.embed_tokens.weight", "lm_head.weight"},
    {"model.language_model.embed_tokens.weight", "lm_head.weight"},
    {"language_model.model.embed_tokens.weight", "language_model.lm_head.weight"},
};

bool is_readable(const TensorEntry& tensor) {
  return !tensor.dtype || *tensor.dtype == DType::kF64 || *tensor.dtype == DType::kF32 ||
         *tensor.dtype == DType::kF16 || *tensor.dtype == DType::kBF16;
}

bool same_rows(const Checkpoint& checkpoint, const TensorEntry& a, const TensorEntry& b,
               int64_t row, int64_t n) {
  if (a.dtype && a.dtype == b.dtype) {
    const int64_t row_bytes = a.in() * dtype_info(*a.dtype).bytes;
    return std::memcmp(checkpoint.raw(a).data() + row * row_bytes,
                       checkpoint.raw(b).data() + row * row_bytes,
                       static_cast<size_t>(n * row_bytes)) == 0;
  }
  const auto size = static_cast<size_t>(n * a.in());
  std::vector<float> values_a(size);
  std::vector<float> values_b(size);
  checkpoint.read_rows(a, row, n, values_a.data());
  checkpoint.read_rows(b, row, n, values_b.data());
  return std::memcmp(values_a.data(), values_b.data(), size * sizeof(float)) == 0;
}

}  // namespace

HeadTensors find_head(const Checkpoint& checkpoint) {
  for (const auto& [embedding, head] : kNames) {
    const HeadTensors found{checkpoint.find(embedding), checkpoint.find(head)};
    if (found.embedding != nullptr && found.head != nullptr) return found;
  }
  return {};
}

bool same_values(const Checkpoint& checkpoint, const TensorEntry& a, const TensorEntry& b) {
  if (a.shape != b.shape || !is_readable(a) || !is_readable(b)) return false;
  const int64_t rows = std::max<int64_t>(1, kElementsAtOnce / std::max<int64_t>(1, a.in()));
  for (int64_t row = 0; row < a.n_rows(); row += rows) {
    const int64_t n = std::min(rows, a.n_rows() - row);
    if (!same_rows(checkpoint, a, b, row, n)) return false;
    checkpoint.drop_rows(b, row, n);
  }
  return true;
}

bool says_tied(const Json& config, bool fallback) {
  for (const Json* at :
       {&config, config.contains("text_config") ? &config["text_config"] : nullptr}) {
    if (at == nullptr || !at->is_object()) continue;
    const auto found = at->find(kTied);
    if (found != at->end() && found->is_boolean()) return found->get<bool>();
  }
  return fallback;
}

void say_tied(Json& config, bool tied) {
  config[kTied] = tied;
  const auto text = config.find("text_config");
  if (text != config.end() && text->is_object()) (*text)[kTied] = tied;
}

}  // namespace tq
