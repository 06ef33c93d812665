// ShardPlan: the output files and every plane's place in them, known before any data is. Plain
// data, immutable once made.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"
#include "convert/plan.h"
#include "convert/quantize.h"
#include "io/safetensors/safetensors_layout.h"

namespace tq {

struct Shard {
  std::string file_name;  // model.safetensors or model-00001-of-00003.safetensors
  SafetensorsLayout layout;
};

struct ShardPlace {
  size_t shard = 0;
  std::array<uint64_t, kMaxPlanes> offsets{};  // absolute in the file, parallel to the planes
};

struct ShardPlan {
  std::vector<Shard> shards;
  std::vector<ShardPlace> places;  // parallel to ConvertPlan::tensors

  uint64_t total_bytes() const;
  Json index() const;  // of model.safetensors.index.json
};

constexpr const char* kIndexName = "model.safetensors.index.json";

// Fills files in the plan's order, each with at most shard_bytes of data unless one tensor alone is
// larger. The planes of a tensor stay together. One file when everything fits.
ShardPlan lay_out(const ConvertPlan& plan, uint64_t shard_bytes);

}  // namespace tq
