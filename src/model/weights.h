// The weights of a decoder, bound to its layers: every tensor a ModelSpec needs, found by its name
// in a checkpoint, checked and brought into a form that the backend computes with. Const after
// loading; views point into the checkpoint's mapping or into buffers owned here.
#pragma once

#include <cstdint>
#include <optional>
#include <variant>
#include <vector>

#include "model/arch/registry.h"
#include "model/layers/attention.h"
#include "model/layers/delta_net.h"
#include "model/layers/latent_attention.h"
#include "model/layers/mlp.h"
#include "model/layers/moe.h"
#include "model/layers/per_layer_input.h"
#include "model/materialize.h"
#include "model/model.h"

namespace tq {

struct DecoderLayer {
  const float* input_norm = nullptr;  // norms: [hidden]
  std::variant<Gqa, Mla, DeltaNet> attention;
  const float* post_attention_norm = nullptr;  // null where the spec has none
  const float* ffn_norm = nullptr;
  std::variant<Mlp, Moe, MlpMoe> ffn;
  const float* post_ffn_norm = nullptr;
  std::optional<PerLayerBlock> per_layer_block;
  float output_scale = 1;
};

// What products with a matrix need as input; planning takes the largest.
struct InputShape {
  InputForm form;
  int64_t in_padded;
  int group;
  int64_t rows_per_token;
  bool operator==(const InputShape&) const = default;
};

struct DecoderWeights {
  WeightView embedding;  // [vocab, hidden]
  Linear head;           // the embedding when tied
  const float* final_norm = nullptr;
  std::optional<PerLayerInputs> per_layer_inputs;
  std::vector<DecoderLayer> layers;

  std::vector<InputShape> inputs;     // of all matrices, each shape once
  bool compressed_on_device = false;  // some of them, while they were loaded
  int64_t n_parameters = 0;
  int64_t size_bytes = 0;       // as they are computed with
  int64_t mapped_bytes = 0;     // of these: in host memory as the checkpoint maps them
  int64_t bytes_per_token = 0;  // read per decoded token: of tables a row, of experts the chosen

  std::vector<Buffer> owned;

  uint8_t* own(Buffer buffer) {
    owned.push_back(std::move(buffer));
    return owned.back().data();
  }
  void add_input(const WeightView& weight, int64_t rows_per_token);
};

// Throws kNotFound listing missing tensors, kCorrupt naming a misshapen tensor or one that holds
// NaN, kUnsupported for a tensor inside the decoder's layers that the spec does not account for.
DecoderWeights load_weights(const Checkpoint& checkpoint, const ModelSpec& spec,
                            const TensorNames& names, Backend& backend, const LoadOptions& options,
                            WeightValues values = WeightValues::kRead);

}  // namespace tq
