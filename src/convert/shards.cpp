#include "convert/shards.h"

#include <map>
#include <string_view>

#include "base/error.h"
#include "base/math.h"

namespace tq {
namespace {

uint64_t planned_bytes(const PlannedTensor& tensor) {
  uint64_t bytes = 0;
  for (const SafetensorsItem& plane : tensor.planes) {
    const auto elements = checked_product(plane.shape);
    const auto size = elements ? checked_mul(*elements, dtype_info(plane.dtype).bytes) : elements;
    if (!size) fail(ErrorCode::kUnsupported, "tensor {} is too large to store", plane.name);
    bytes += static_cast<uint64_t>(*size);
  }
  return bytes;
}

// The number of the shard each tensor goes to.
std::vector<size_t> assign(const ConvertPlan& plan, uint64_t shard_bytes) {
  std::vector<size_t> shard_of;
  size_t shard = 0;
  uint64_t filled = 0;
  for (const PlannedTensor& tensor : plan.tensors) {
    const uint64_t bytes = planned_bytes(tensor);
    if (filled > 0 && filled + bytes > shard_bytes) {
      ++shard;
      filled = 0;
    }
    filled += bytes;
    shard_of.push_back(shard);
  }
  return shard_of;
}

}  // namespace

uint64_t ShardPlan::total_bytes() const {
  uint64_t bytes = 0;
  for (const Shard& shard : shards) bytes += shard.layout.file_bytes();
  return bytes;
}

Json ShardPlan::index() const {
  std::vector<std::string> names;
  std::vector<const SafetensorsLayout*> layouts;
  for (const Shard& shard : shards) {
    names.push_back(shard.file_name);
    layouts.push_back(&shard.layout);
  }
  return safetensors_index(names, layouts);
}

ShardPlan lay_out(const ConvertPlan& plan, uint64_t shard_bytes) {
  const std::vector<size_t> shard_of = assign(plan, shard_bytes);
  const size_t n_shards = shard_of.empty() ? 1 : shard_of.back() + 1;
  std::vector<std::vector<SafetensorsItem>> items(n_shards);
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    const auto& planes = plan.tensors[t].planes;
    items[shard_of[t]].insert(items[shard_of[t]].end(), planes.begin(), planes.end());
  }

  ShardPlan out;
  std::map<std::string, uint64_t, std::less<>> offsets;
  for (size_t s = 0; s < n_shards; ++s) {
    const std::string name =
        n_shards == 1 ? "model.safetensors"
                      : fmt::format("model-{:05d}-of-{:05d}.safetensors", s + 1, n_shards);
    out.shards.push_back({name, SafetensorsLayout(std::move(items[s]), {{"format", "pt"}})});
    const SafetensorsLayout& layout = out.shards.back().layout;
    for (size_t i = 0; i < layout.items().size(); ++i) {
      offsets[layout.items()[i].name] = layout.offset(i);
    }
  }
  for (size_t t = 0; t < plan.tensors.size(); ++t) {
    ShardPlace place{shard_of[t], {}};
    for (size_t p = 0; p < plan.tensors[t].planes.size(); ++p) {
      place.offsets[p] = offsets.at(plan.tensors[t].planes[p].name);
    }
    out.places.push_back(place);
  }
  return out;
}

}  // namespace tq
