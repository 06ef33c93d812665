// The output head and the embedding table as the files have them. config.json says whether they are
// one matrix (tie_word_embeddings), but tools that write checkpoints get the flag wrong: what is in
// the files decides. Pure functions, thread safe.
#pragma once

#include "io/checkpoint.h"

namespace tq {

struct HeadTensors {
  const TensorEntry* embedding = nullptr;
  const TensorEntry* head = nullptr;
};

// Both, where the checkpoint has both; else two nulls.
HeadTensors find_head(const Checkpoint& checkpoint);

// Whether two tensors of the checkpoint have the same shape and the same numbers. Reads both to the
// first difference.
bool same_values(const Checkpoint& checkpoint, const TensorEntry& a, const TensorEntry& b);

// Whether config.json says that the head is the embedding table; `fallback` where it is silent. Of
// a multimodal config the outer field wins.
bool says_tied(const Json& config, bool fallback);
// Makes it say so, or the opposite, wherever a reader of the config looks.
void say_tied(Json& config, bool tied);

}  // namespace tq
