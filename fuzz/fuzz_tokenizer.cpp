// Any bytes as a tokenizer.json: loading either throws tq::Error or gives a tokenizer that encodes
// and decodes without fault.
#include <algorithm>
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  try {
    const auto tokenizer = tq::Tokenizer::from_json(input);
    // The input's own end is a text that its patterns were mutated together with.
    for (const std::string_view text :
         {std::string_view("It's 42\n\n  \u4f60\u597d \u2581<s> e\u0301"),
          input.substr(size - std::min<size_t>(size, 64))}) {
      for (const bool special : {false, true}) {
        const auto ids = tokenizer->encode(text, {special, special});
        tokenizer->decode(ids, special);
        tq::StreamDetokenizer detokenizer(tokenizer, special);
        for (const int32_t id : ids) detokenizer.push(id);
        detokenizer.finish();
      }
    }
  } catch (const tq::Error&) {
  }
  return 0;
}
