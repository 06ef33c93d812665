// Methods of str values.
#pragma once

#include <span>

#include "text/jinja/interpreter.h"

namespace tq::jinja {

std::span<const BuiltinRow> string_methods();

}  // namespace tq::jinja
