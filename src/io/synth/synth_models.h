// The synthetic models: published shapes without the published weights. THE LIST is in
// synth_models.cpp, one row a model; the tensors follow from its config by family. Constant tables
// and pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "io/synth/synth_tensors.h"

namespace tq {

struct SynthModel {
  std::string name;
  Json config;  // config.json as published, but for token ids: synth_tokenizer.h
  std::vector<SynthTensor> tensors;
};

// In the order of the list.
std::vector<std::string> synth_model_names();

// With `changes` to its config (the text_config of multimodal ones): fewer layers, say. Throws
// kNotFound, with all names, for a name that is not on the list.
SynthModel make_synth_model(std::string_view name, const Json& changes = Json::object());

}  // namespace tq
