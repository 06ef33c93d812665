// Fuzzes tokenizers of GGUF files in use: any bytes either are refused with a tq::Error, or give a
// tokenizer that encodes a text and decodes the ids.
#include <algorithm>
#include <cstdint>
#include <span>
#include <string_view>

#include "base/log.h"
#include "io/gguf/gguf_file.h"
#include "io/gguf/gguf_tokenizer.h"
#include "scratch_folder.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  tq::set_log_level(tq::LogLevel::kQuiet);
  // The input's own end is a text that the tokens were mutated together with.
  const std::string_view end(
      reinterpret_cast<const char*>(data) + size - std::min<size_t>(size, 64),
      std::min<size_t>(size, 64));
  tq::fuzz::attempt([&] {
    const tq::GgufFile file(std::span(data, size), "fuzz.gguf");
    const tq::GgufTokenizer made = tq::gguf_tokenizer(file);
    const auto json = made.files.find("tokenizer.json");
    if (json == made.files.end()) return;
    const auto config = made.files.find("tokenizer_config.json");
    const auto tokenizer = tq::Tokenizer::from_json(
        json->second, config == made.files.end() ? std::string_view() : config->second);
    for (const std::string_view text :
         {std::string_view("It's 42\n\n  \u4f60\u597d \u2581<s></s> e\u0301"), end}) {
      const auto ids = tokenizer->encode(text);
      tokenizer->decode(ids, false);
      tq::StreamDetokenizer detokenizer(tokenizer, true);
      for (const int32_t id : ids) detokenizer.push(id);
      detokenizer.finish();
    }
  });
  return 0;
}
