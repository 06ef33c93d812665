// Whether a checkpoint can be run, asked before it is shown or converted: its config, the index of
// its tensors, its tokenizer and the other small files. Reads no weights.
#pragma once

#include <optional>
#include <string>

#include "base/error.h"
#include "io/checkpoint.h"
#include "model/summary.h"

namespace tq {

struct SourceCheck {
  std::optional<ModelSummary> summary;  // none where the model cannot be run

  // Why not: an unknown architecture, missing or foreign tensors, an adapter; empty if it can.
  std::string problem;
  ErrorCode code = ErrorCode::kInternal;  // of the problem

  // A small file that cannot be read: a Git LFS pointer, JSON that is none; empty if all can.
  std::string text_problem;
  ErrorCode text_code = ErrorCode::kInternal;

  // Why there is no text but only token ids though all files are sound: no tokenizer, or one of a
  // kind that is not read.
  std::string text_note;
};

SourceCheck check_source(const Checkpoint& checkpoint);

// Throws the first problem of a source of tq convert; with `anyway` warns about all instead.
void require_sound_source(const Checkpoint& checkpoint, bool anyway);

}  // namespace tq
