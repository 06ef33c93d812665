#include "io/safetensors/safetensors_layout.h"

#include <algorithm>
#include <cstring>
#include <string_view>
#include <utility>

#include "base/error.h"
#include "base/math.h"
#include "io/safetensors/safetensors_header.h"

namespace tq {
namespace {

constexpr uint64_t kAlignment = 64;

uint64_t item_bytes(const SafetensorsItem& item) {
  const auto elements = checked_product(item.shape);
  const auto bytes = elements ? checked_mul(*elements, dtype_info(item.dtype).bytes) : std::nullopt;
  if (!bytes) {
    fail(ErrorCode::kInvalidArgument, "tensor \"{}\": shape {} overflows", item.name,
         shape_string(item.shape));
  }
  return static_cast<uint64_t>(*bytes);
}

void check_names(const std::vector<SafetensorsItem>& items) {
  std::vector<std::string_view> names;
  for (const SafetensorsItem& item : items) names.push_back(item.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) {
    fail(ErrorCode::kInvalidArgument, "tensor \"{}\" twice in one file", *twice);
  }
  if (std::binary_search(names.begin(), names.end(), "__metadata__")) {
    fail(ErrorCode::kInvalidArgument, "no tensor may be named __metadata__");
  }
}

}  // namespace

SafetensorsLayout::SafetensorsLayout(std::vector<SafetensorsItem> items,
                                     const std::map<std::string, std::string>& metadata)
    : items_(std::move(items)) {
  check_names(items_);
  std::stable_partition(items_.begin(), items_.end(),
                        [](const auto& item) { return item_bytes(item) % kAlignment == 0; });

  // Appended as text: a JSON object of ours looks up each key it is given, which is quadratic.
  std::string json = "{";
  const auto append = [&](const std::string& key, const Json& value) {
    if (json.size() > 1) json += ',';
    json += Json(key).dump() + ":" + value.dump();
  };
  if (!metadata.empty()) append("__metadata__", metadata);
  uint64_t end = 0;
  for (const SafetensorsItem& item : items_) {
    const uint64_t begin = end;
    const auto sum =
        checked_add(static_cast<int64_t>(begin), static_cast<int64_t>(item_bytes(item)));
    if (!sum) fail(ErrorCode::kInvalidArgument, "tensor \"{}\": file too large", item.name);
    end = static_cast<uint64_t>(*sum);
    append(item.name, {{"dtype", dtype_info(item.dtype).name},
                       {"shape", item.shape},
                       {"data_offsets", {begin, end}}});
    offsets_.push_back(begin);
  }
  json += '}';

  const auto data_begin =
      static_cast<uint64_t>(round_up(static_cast<int64_t>(kLengthBytes + json.size()), kAlignment));
  json.resize(data_begin - kLengthBytes, ' ');
  if (json.size() > kMaxSafetensorsHeaderBytes) {
    fail(ErrorCode::kInvalidArgument,
         "{} tensors make a safetensors header of {} bytes, at most {}"
         " are allowed: use more shards",
         items_.size(), json.size(), kMaxSafetensorsHeaderBytes);
  }
  const uint64_t length = json.size();
  header_.resize(kLengthBytes);
  std::memcpy(header_.data(), &length, kLengthBytes);
  header_ += json;
  for (uint64_t& offset : offsets_) offset += data_begin;
  file_bytes_ = data_begin + end;
}

uint64_t SafetensorsLayout::size_bytes(size_t item) const { return item_bytes(items_[item]); }

Json safetensors_index(const std::vector<std::string>& file_names,
                       const std::vector<const SafetensorsLayout*>& layouts) {
  uint64_t total_bytes = 0;
  std::vector<std::pair<std::string_view, std::string_view>> places;  // tensor, file
  for (size_t file = 0; file < layouts.size(); ++file) {
    const SafetensorsLayout& layout = *layouts[file];
    for (size_t i = 0; i < layout.items().size(); ++i) {
      total_bytes += layout.size_bytes(i);
      places.emplace_back(layout.items()[i].name, file_names[file]);
    }
  }
  std::sort(places.begin(), places.end());
  Json::object_t weight_map;
  for (const auto& [tensor, file] : places) {
    // Names are unique: appending to the underlying vector skips the map's linear look-up.
    static_cast<Json::object_t::Container&>(weight_map).emplace_back(tensor, file);
  }
  return {{"metadata", {{"total_size", total_bytes}}}, {"weight_map", std::move(weight_map)}};
}

}  // namespace tq
