// For test programs that ask for more memory than there is: under a sanitizer such a request then
// fails as it does without (instead of ending the program). Include it in one file of a program.
#pragma once

extern "C" {
inline constexpr const char* kAllowHugeAllocations = "allocator_may_return_null=1";
const char* __asan_default_options() { return kAllowHugeAllocations; }  // NOLINT
const char* __tsan_default_options() { return kAllowHugeAllocations; }  // NOLINT
}
