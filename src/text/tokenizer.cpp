#include "text/tokenizer.h"

#include <utility>

namespace tq {

TextIds split_bos(const Tokenizer& tokenizer, std::vector<int32_t> ids) {
  TextIds out{std::move(ids), {}};
  const auto bos = tokenizer.bos();
  if (bos && !out.ids.empty() && out.ids.front() == *bos) {
    out.ids.erase(out.ids.begin());
    out.prefix = {*bos};
  }
  return out;
}

}  // namespace tq
