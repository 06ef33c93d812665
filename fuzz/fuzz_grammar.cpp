// Texts of grammars: a letter says which kind, the rest is JSON schema (j), regular expression (r)
// or GBNF (g). Whatever comes is refused with a tq::Error or becomes a grammar; then a few answers
// are written through masks, and every token that a mask allows is accepted.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "grammar/matcher.h"
#include "unit/grammar/grammar_testing.h"

namespace {

tq::GrammarPtr compile(std::string_view text) {
  const std::string_view rest = text.substr(1);
  switch (text[0]) {
    case 'j':
      return tq::compile_json_schema(tq::parse_json(rest, "schema"));
    case 'r':
      return tq::compile_regex(rest);
    case 'g':
      return tq::compile_gbnf(rest);
    default:
      return nullptr;
  }
}

void write_answer(const std::shared_ptr<tq::TokenGrammar>& grammar, uint32_t choice) {
  tq::GrammarMatcher matcher(grammar);
  std::vector<uint32_t> bits(grammar->vocabulary().n_words());
  for (int step = 0; step < 30; ++step) {
    matcher.fill_mask(bits);
    std::vector<int32_t> ids;
    for (int32_t id = 0; id < grammar->vocabulary().size(); ++id) {
      if (bits[static_cast<size_t>(id) / 32] >> (id % 32) & 1) ids.push_back(id);
    }
    if (ids.empty()) return;
    choice = choice * 1664525 + 1013904223;
    if (!matcher.accept(ids[(choice >> 8) % ids.size()])) std::abort();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto tokenizer = tq::fixtures::ListTokenizer::bytes_and(
      {"\":", "\",\"", "true", "null", "aaaa", "{\"", "}}", "12", "\\u00", "  ", "\n  ",
       "abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"});
  static const auto vocabulary = std::make_shared<const tq::Vocabulary>(*tokenizer);
  if (size == 0) return 0;
  try {
    const tq::GrammarPtr grammar =
        compile(std::string_view(reinterpret_cast<const char*>(data), size));
    if (!grammar) return 0;
    const auto tokens = std::make_shared<tq::TokenGrammar>(grammar, vocabulary);
    for (uint32_t answer = 0; answer < 3; ++answer) write_answer(tokens, answer);
  } catch (const tq::Error& error) {
    if (error.code() == tq::ErrorCode::kInternal) std::abort();
  }
  return 0;
}
