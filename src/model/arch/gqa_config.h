// What most configs say about grouped-query attention in the same words.
#pragma once

#include <cstdint>

#include "model/config_reader.h"
#include "model/spec.h"

namespace tq {

// Heads, key and value heads (as many unless said), head size (hidden / heads unless said) and the
// scale head_dim^-0.5. Throws kCorrupt when hidden does not divide by the heads and no head_dim is
// there.
GqaSpec read_gqa(ConfigReader& config, int64_t hidden);

// Of families of which no published model slides, though all configs carry the fields. Throws
// kUnsupported for one that does.
void refuse_windows(ConfigReader& config);

}  // namespace tq
