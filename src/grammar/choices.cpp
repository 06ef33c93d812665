#include <string>
#include <vector>

#include "base/error.h"
#include "grammar/builder.h"
#include "text/utf8.h"

namespace tq {

GrammarPtr compile_choices(std::span<const std::string> texts) {
  if (texts.empty()) fail(ErrorCode::kInvalidArgument, "a choice of no texts");
  GrammarBuilder builder;
  std::vector<GrammarExpr> options;
  size_t n_bytes = 0;
  for (const std::string& text : texts) {
    n_bytes += text.size();
    if (n_bytes > GrammarLimits::kTextBytes) {
      fail(ErrorCode::kInvalidArgument, "the choices have more than {} bytes together",
           GrammarLimits::kTextBytes);
    }
    if (!is_valid_utf8(text)) fail(ErrorCode::kInvalidArgument, "a choice is not UTF-8");
    options.push_back(builder.text(text));
  }
  return builder.compile(builder.choice(std::move(options)));
}

}  // namespace tq
