// What a checkpoint is: kind, architecture, what running it takes, tensors by class and storage,
// files. For tq inspect and for programs that have the engine inside. Reads no weights.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "convert/plan.h"
#include "session/capacity.h"
#include "session/source_check.h"

namespace tq {

struct TensorTotal {
  int64_t n_tensors = 0;
  int64_t n_parameters = 0;
  int64_t stored_bytes = 0;

  void add(const TensorEntry& tensor) {
    ++n_tensors;
    n_parameters += tensor.n_elements();
    stored_bytes += tensor.stored_bytes;
  }
  double bits_per_weight() const {
    if (n_parameters == 0) return 0;
    return 8.0 * static_cast<double>(stored_bytes) / static_cast<double>(n_parameters);
  }
};

// By class and storage, in the order of classes.
using TensorTotals = std::map<std::pair<TensorClass, std::string>, TensorTotal>;
TensorTotals count_totals(const Checkpoint& checkpoint);

TensorClass class_of(const TensorRoles& roles, const TensorEntry& tensor);

// The first architecture the config names, else its model type; empty if it names none.
std::string architecture(const Json& config);

// Contexts to show: the usual ones and the longest there is.
std::vector<int64_t> shown_contexts(const ModelSummary& summary);

inline const KvOptions kShownKv;  // what tq run uses unless told otherwise

// The longest contexts for the memories that there are, 0 where the model does not fit, with the
// weights as they are stored.
struct ContextFit {
  int64_t memory_bytes;
  int64_t context;
};
std::vector<ContextFit> context_fits(const Checkpoint& checkpoint);

// Conversations that fit at a time, in the usual format of the cache and in a compressed one.
constexpr int64_t kConversationTokens = 4096;
constexpr std::array<int64_t, 4> kCardGib = {12, 24, 48, 80};
struct Conversations {
  std::string_view kv_format;
  std::vector<int64_t> n;  // for each of kCardGib; none: the model cannot be kept in the format
};
std::vector<Conversations> conversations(const Checkpoint& checkpoint, int64_t n_tokens);

// Why texts cannot be read and written; empty if they can.
std::string text_state(const SourceCheck& check);

// All of it (docs/cli.md). list_tensors: with one entry for each. The checkpoint is opened with
// OpenOptions::inspect.
Json inspect_json(const Checkpoint& checkpoint, bool list_tensors);

}  // namespace tq
