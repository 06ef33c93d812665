// Fields of Hugging Face configs that cannot change what a forward pass computes: identity,
// storage, training, generation, labels, tokens, the way attention is implemented. Told by pattern,
// because every tool that saves a model adds fields of its own. Pure function, thread safe.
#pragma once

#include <string_view>

namespace tq {

// Only for fields that no reader of an architecture has asked for: some names ("top_k") mean
// something else where they are asked for.
bool is_harmless_field(std::string_view name);

}  // namespace tq
