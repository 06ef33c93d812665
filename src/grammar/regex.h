// Regular expressions as expressions of a GrammarBuilder, for guided_regex and for "pattern".
#pragma once

#include <functional>
#include <string_view>

#include "grammar/builder.h"

namespace tq {

struct RegexOptions {
  // How one character of a set is written; absent: as UTF-8.
  std::function<GrammarExpr(const CharSet&)> chars;
  // Whether the text need only hold a match, unless ^ and $ say more; otherwise it is one.
  bool searches = false;
};

GrammarExpr add_regex(GrammarBuilder& builder, std::string_view pattern,
                      const RegexOptions& options);

}  // namespace tq
