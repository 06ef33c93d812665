// Filters: the `x | NAME(args)` of templates.
#include "text/jinja/filters.h"

namespace tq::jinja {

Builtin find_filter(std::string_view name) {
  for (const auto rows : {text_filters(), sequence_filters()}) {
    for (const BuiltinRow& row : rows) {
      if (row.name == name) return row.function;
    }
  }
  return nullptr;
}

}  // namespace tq::jinja
