// A Hugging Face checkpoint of gpt-oss, whose experts lie like those of no other model: gate and up
// interleaved, packed as MXFP4 or, in copies of 16 bits, transposed. Presents them as stacks with
// rows as everywhere: experts.gate_proj.weight, up_proj, down_proj [experts, rows, in] and their
// biases [experts, rows].
#pragma once

#include <memory>

#include "io/checkpoint.h"

namespace tq {

// Throws as open_hf_checkpoint does, and kCorrupt for planes that do not fit together.
std::unique_ptr<Checkpoint> open_gpt_oss_checkpoint(const fs::path& folder,
                                                    const OpenOptions& options = {});

}  // namespace tq
