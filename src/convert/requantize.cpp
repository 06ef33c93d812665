#include "convert/requantize.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "base/human.h"

namespace tq {
namespace {

bool is_quantised(const TensorEntry& tensor) {
  if (tensor.dtype) return false;
  const FormatTraits* format = find_format(tensor.storage);  // plain where only rows are permuted
  return format == nullptr || format->has_scales;
}

// "q4_1 and q6_k": the storage of most weights first, two at most.
std::string main_storage(const std::map<std::string, int64_t>& weights) {
  std::vector<std::pair<int64_t, std::string>> by_size;
  for (const auto& [storage, n] : weights) by_size.emplace_back(n, storage);
  std::sort(by_size.rbegin(), by_size.rend());
  std::string text = by_size[0].second;
  if (by_size.size() == 2) text += " and " + by_size[1].second;
  if (by_size.size() > 2) text += ", " + by_size[1].second + " and others";
  return text;
}

}  // namespace

std::string requantize_note(const Checkpoint& source, const ConvertPlan& plan) {
  std::map<std::string, int64_t> storage;  // of what is encoded again: weights
  double before = 0;
  const auto after = static_cast<double>(stored_bytes(plan));
  for (const PlannedTensor& tensor : plan.tensors) {
    const TensorEntry& entry = source.tensors()[static_cast<size_t>(tensor.source)];
    before += static_cast<double>(source_bytes(tensor, entry));
    const bool again = is_encoded(tensor.action) && tensor.compressed();
    if (again && is_quantised(entry)) storage[entry.storage] += tensor.n_rows * entry.in();
  }
  if (storage.empty()) return "";
  const std::string origin = source.made_from().empty()
                                 ? std::string("the original (bf16 or f16) checkpoint")
                                 : fmt::format("the original, {},", source.made_from());
  const std::string sizes = fmt::format("{} -> {}", human_bytes(before), human_bytes(after));
  const std::string what =
      fmt::format("the source is quantised already ({})", main_storage(storage));
  if (after >= before) {
    return fmt::format(
        "{}: converting gains no space ({}) and adds a second rounding to the first; use the "
        "source as it is, or convert {} instead",
        what, sizes, origin);
  }
  return fmt::format(
      "{}: converting gains space ({}) and adds a second rounding to the first; {} converted to "
      "the "
      "same formats takes the same space and is closer to the model",
      what, sizes, origin);
}

}  // namespace tq
