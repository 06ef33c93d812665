// The tables of filters by subject; for filters.cpp.
#pragma once

#include <span>

#include "text/jinja/interpreter.h"

namespace tq::jinja {

std::span<const BuiltinRow> text_filters();      // filters_text.cpp
std::span<const BuiltinRow> sequence_filters();  // filters_sequence.cpp

}  // namespace tq::jinja
