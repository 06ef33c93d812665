// What a conversion's source is, by content: resuming must not mix two sources, and a source must
// not change while it is read. Pure functions of files.
#pragma once

#include <string>

#include "base/json.h"
#include "io/checkpoint.h"

namespace tq {

// File name -> size, time of change and a hash of the content: of all bytes up to 64 MiB, above
// that of both ends and 512 pieces in between. Throws kNotFound, kIo.
Json source_identity(const Checkpoint& source);

}  // namespace tq
