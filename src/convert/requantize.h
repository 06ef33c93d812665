// What compressing weights that are quantised already gains and loses. Pure functions.
#pragma once

#include <string>

#include "convert/plan.h"
#include "io/checkpoint.h"

namespace tq {

// A note for people: the source's and the result's size, and what to convert instead. Empty when no
// quantised weight is encoded again (those that are copied lose nothing).
std::string requantize_note(const Checkpoint& source, const ConvertPlan& plan);

}  // namespace tq
