// A synthetic model as a Checkpoint: no files, values made when they are read. It looks like a
// Hugging Face folder of bf16 tensors whose bytes cannot be mapped.
#pragma once

#include <memory>
#include <optional>
#include <string_view>

#include "base/file.h"
#include "io/checkpoint.h"
#include "io/synth/synth_models.h"

namespace tq {

// "synth:NAME" names a synthetic model wherever a checkpoint's path is expected; the NAME of such a
// path, nothing of any other. (A file of that name can be given as "./synth:...".)
std::optional<std::string_view> synth_model_name(const fs::path& path);

// Throws kNotFound for a name that is not in the list of synth_models.h.
std::unique_ptr<Checkpoint> open_synth_checkpoint(std::string_view name);
std::unique_ptr<Checkpoint> open_synth_checkpoint(SynthModel model);

}  // namespace tq
