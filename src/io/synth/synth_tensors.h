// The tensors of model families, by the sizes in a config: names and shapes as published, and
// values that a forward pass can live with. Pure functions.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "io/synth/synth_values.h"
#include "tensor/dtype.h"

namespace tq {

struct SynthTensor {
  std::string name;  // as Hugging Face checkpoints have it
  Shape shape;
  SynthDistribution distribution;
  DType dtype = DType::kBF16;
};

// Of a decoder's config (the text_config of multimodal ones), one of our own: a missing field
// throws a JSON exception. In the order of a published checkpoint.
std::vector<SynthTensor> llama_tensors(const Json& config);
std::vector<SynthTensor> phi3_tensors(const Json& config);
std::vector<SynthTensor> gpt_oss_tensors(const Json& config);
std::vector<SynthTensor> qwen3_dense_tensors(const Json& config);
std::vector<SynthTensor> qwen3_moe_tensors(const Json& config);
std::vector<SynthTensor> gemma3_tensors(const Json& config);
std::vector<SynthTensor> gemma4_tensors(const Json& config);
std::vector<SynthTensor> qwen3_5_dense_tensors(const Json& config);
std::vector<SynthTensor> qwen3_5_moe_tensors(const Json& config);
std::vector<SynthTensor> glm4_moe_lite_tensors(const Json& config);

}  // namespace tq
