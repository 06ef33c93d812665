// The standard descriptors of the process.
#pragma once

namespace tq {

// Opens those of 0, 1 and 2 that the caller closed, so that no file of ours becomes one of them and
// is written over by what is printed. They read and write nothing: using one is an error, as it
// was. Before anything else is opened.
void reserve_standard_descriptors();

}  // namespace tq
