// What a program that has the engine inside sets up once.
#pragma once

#include "base/log_format.h"

namespace tq {

// Before anything else, any number of times, on any thread: names of the hub are found and pulled,
// and of what the engine says besides errors only warnings go to stderr.
void prepare_library();

// Where all of it goes instead; empty: as above.
void set_library_log(LogSink sink);

}  // namespace tq
