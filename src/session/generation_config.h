// What a checkpoint's side files (generation_config.json, config.json) say about generating: end
// ids, ids that are no text, default sampling. All throw kCorrupt for what is not what it should
// be.
#pragma once

#include <cstdint>
#include <vector>

#include "base/json.h"
#include "engine/sampler.h"
#include "io/checkpoint.h"
#include "text/tokenizer.h"

namespace tq {

// A side file, which must hold a JSON object; an empty one where there is no such file.
Json read_side_file(const Checkpoint& checkpoint, const char* name);

// LoadedModel::eos_ids; tokenizer may be null.
std::vector<int32_t> read_eos_ids(const Checkpoint& checkpoint, const Tokenizer* tokenizer);
// LoadedModel::not_text: those that generation_config.json suppresses, that config.json names as
// places of images, sound and video, and that the tokenizer has no token for.
std::vector<int32_t> read_not_text_ids(const Checkpoint& checkpoint, const Tokenizer* tokenizer);
// LoadedModel::sampling.
SamplingParams read_default_sampling(const Checkpoint& checkpoint);

}  // namespace tq
