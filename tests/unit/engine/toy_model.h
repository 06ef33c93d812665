// A model small enough to be obvious: it keeps every token it is given in the KV pages (as fp32
// "keys") and its logits are a hash of the whole history as it reads it back through the page
// table. Wrong positions, pages or chunks change what it says. With a window it has a second layer,
// which must hold the same of the last tokens.
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "backend/backend.h"
#include "base/check.h"
#include "base/error.h"
#include "model/model.h"
#include "text/tokenizer.h"

namespace tq {

constexpr int32_t kToyVocab = 40;
// A history that holds this token gives NaN logits; the toy never says it itself.
constexpr int32_t kToyNan = 39;

// Logit of token `id` after a history, between 0 and 8 (-8 for kToyNan).
inline float toy_logit(std::span<const int32_t> history, int32_t id) {
  if (id == kToyNan) return -8;
  uint64_t hash = 0x9e3779b97f4a7c15u;
  for (const int32_t token : history) {
    hash = (hash ^ static_cast<uint64_t>(token)) * 0xbf58476d1ce4e5b9u;
    hash ^= hash >> 29;
  }
  hash = (hash ^ (static_cast<uint64_t>(id) << 32)) * 0x94d049bb133111ebu;
  hash ^= hash >> 31;
  return static_cast<float>(hash % 100000) * 8e-5f;
}

// What greedy decoding must give.
inline std::vector<int32_t> toy_greedy(std::vector<int32_t> history, int n, int32_t n_tokens) {
  std::vector<int32_t> out;
  for (int i = 0; i < n; ++i) {
    int32_t best = 0;
    for (int32_t id = 1; id < n_tokens; ++id) {
      if (toy_logit(history, id) > toy_logit(history, best)) best = id;
    }
    history.push_back(best);
    out.push_back(best);
  }
  return out;
}

class ToyModel : public Model {
 public:
  struct Run {
    int64_t first_position;
    int64_t n_tokens;
    int64_t n_logits;
  };

  explicit ToyModel(const LoadOptions& options, int64_t window = 0)
      : options_(options), window_(window), backend_(make_cpu_backend({.threads = 1})) {
    spec_.arch = "toy";
    spec_.vocab = kToyVocab;
    spec_.max_position = 1000;
    GqaSpec attention;
    attention.n_heads = attention.n_kv_heads = attention.head_dim = 1;
    spec_.layers.push_back({.attention = attention, .ffn = MlpSpec{}});
    attention.window = window;
    if (window > 0) spec_.layers.push_back({.attention = attention, .ffn = MlpSpec{}});
  }

  const ModelSpec& spec() const override { return spec_; }
  Backend& backend() const override { return *backend_; }
  const LoadOptions& options() const override { return options_; }
  KvLayout kv_layout() const override {
    return KvLayout::plan(spec_.kv_layers(), spec_.windows(), options_.max_context,
                          options_.max_batch_tokens);
  }
  int64_t weight_bytes() const override { return 0; }
  int64_t bytes_per_token() const override { return 0; }
  int64_t n_parameters() const override { return 0; }
  void set_observer(Observer) override {}

  void forward(Batch batch, KvCache& kv, std::span<float> logits) override {
    if (before_step) before_step();
    steps.emplace_back();
    if (static_cast<int64_t>(steps.size()) == broken_step) {
      fail(ErrorCode::kDevice, "the toy broke");
    }
    size_t out = 0;
    int64_t n_logits = 0;
    for (const BatchSequence& run : batch) n_logits += run.n_logits;
    TQ_CHECK(logits.size() == static_cast<size_t>(n_logits * kToyVocab), "{} for {} rows",
             logits.size(), n_logits);
    for (const BatchSequence& run : batch) {
      const auto n = static_cast<int64_t>(run.token_ids.size());
      steps.back().push_back({run.first_position, n, run.n_logits});
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t layer = 0; layer < kv.n_layers(); ++layer) {
          key(kv, layer, run, run.first_position + i) =
              static_cast<float>(run.token_ids[static_cast<size_t>(i)]);
        }
      }
      for (int64_t row = n - run.n_logits; row < n; ++row) {
        std::vector<int32_t> history;
        bool broken = false;
        const int64_t last = run.first_position + row;
        for (int64_t position = 0; position <= last; ++position) {
          history.push_back(static_cast<int32_t>(key(kv, 0, run, position)));
          broken = broken || history.back() == kToyNan;
          if (window_ == 0 || position <= last - window_) continue;
          TQ_CHECK(key(kv, 0, run, position) == key(kv, 1, run, position),
                   "position {} of {} is lost in the window", position, last);
        }
        for (int32_t id = 0; id < kToyVocab; ++id) {
          logits[out++] = broken ? std::numeric_limits<float>::quiet_NaN() : toy_logit(history, id);
        }
      }
    }
  }

  std::vector<std::vector<Run>> steps;  // what was run
  int64_t broken_step = 0;              // which throws, counted from 1
  std::function<void()> before_step;

 private:
  static float& key(KvCache& kv, int64_t layer, const BatchSequence& run, int64_t position) {
    const auto group = static_cast<size_t>(kv.shapes()[static_cast<size_t>(layer)].group);
    return static_cast<float*>(kv.layer(layer).k)[kv_slot(*run.pages, position, group)];
  }

  ModelSpec spec_;
  LoadOptions options_;
  int64_t window_;
  std::unique_ptr<Backend> backend_;
};

// Ids are the letters a to z, a space, "é" and "-"; 29 is special.
class ToyTokenizer : public Tokenizer {
 public:
  static constexpr int32_t kSpecial = 29;

  std::vector<int32_t> encode(std::string_view text, const EncodeTextOptions&) const override {
    std::vector<int32_t> ids;
    for (const char c : text) ids.push_back(c == ' ' ? 26 : c - 'a');
    return ids;
  }
  std::string decode(std::span<const int32_t> ids, bool skip_special) const override {
    std::string text;
    for (const int32_t id : ids) {
      if (!skip_special || !is_special(id)) text += token_bytes(id);
    }
    return text;
  }
  std::string token_bytes(int32_t id) const override {
    if (id < 26) return std::string(1, static_cast<char>('a' + id));
    if (id == 26) return " ";
    if (id == 27) return "\xc3\xa9";
    if (id == 28) return "-";
    return id == kSpecial ? "<end>" : "";
  }
  int32_t vocab_size() const override { return 30; }
  bool is_special(int32_t id) const override { return id == kSpecial; }
  std::optional<int32_t> token_id(std::string_view) const override { return std::nullopt; }
  std::optional<int32_t> bos() const override { return std::nullopt; }
  std::optional<int32_t> eos() const override { return kSpecial; }
};

}  // namespace tq
