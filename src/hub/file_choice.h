// Which files of a repository are taken. Of safetensors: the weights, configuration, tokenizer and
// templates at the top of the repository. Of GGUF: one quantization. Never pickles, ONNX or other
// copies of the same weights. Pure functions.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "hub/hub_name.h"
#include "hub/listing.h"

namespace tq {

struct FileChoice {
  std::vector<HubFile> files;
  std::string note;  // what was chosen where there was a choice; empty otherwise
};

// include: globs of fnmatch(3) over whole paths, where '*' matches '/' as well, as in Hugging
// Face's tools; with any, what they match is taken and nothing else. Throws kNotFound, with what
// there is, where the repository has nothing to run or not what the name asks for.
FileChoice choose_files(const Listing& listing, const HubName& name,
                        std::span<const std::string> include);

// A model in GGUF files: one file, or the parts of one.
struct GgufModel {
  std::string quantization;        // upper case; empty where its name has none
  std::vector<std::string> paths;  // the parts in order
  bool complete = true;            // all parts are there

  const std::string& label() const { return quantization.empty() ? paths.front() : quantization; }
};

// The models among paths, without projectors and importance matrices, by name.
std::vector<GgufModel> gguf_models(std::span<const std::string> paths);

// The model that the name asks for, or the default; null where there is none of that name.
const GgufModel* choose_gguf_model(std::span<const GgufModel> models, const HubName& name);

// "Q4_K_M, Q8_0": all quantizations, each once, in order.
std::vector<std::string> quantizations(std::span<const GgufModel> models);

// The safetensors files, at the top of a repository, that make up the model; empty without any.
std::vector<std::string> safetensors_weights(std::span<const std::string> paths);

}  // namespace tq
