#include "text/word_scanner.h"

#include <array>
#include <string>

#include "text/split_pattern.h"
#include "text/unicode.h"
#include "text/utf8.h"

namespace tq {
namespace {

constexpr std::string_view kCl100kTail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";

struct Char {
  char32_t code_point = 0;
  size_t size = 0;
  CharClass kind = CharClass::kOther;
};

Char char_at(std::string_view text, size_t pos) {
  const Utf8Char c = utf8_at(text, pos);
  return {c.code_point, static_cast<size_t>(c.size_bytes), char_class(c.code_point)};
}

bool has_kind(std::string_view text, size_t pos, CharClass kind) {
  return pos < text.size() && char_at(text, pos).kind == kind;
}

size_t skip_kind(std::string_view text, size_t pos, CharClass kind) {
  while (pos < text.size()) {
    const Char c = char_at(text, pos);
    if (c.kind != kind) break;
    pos += c.size;
  }
  return pos;
}

bool is_newline(char c) { return c == '\r' || c == '\n'; }

char ascii_lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; }

// 's|'t|'re|'ve|'m|'ll|'d after the apostrophe at text[pos]; 0 when there is none.
size_t contraction_size(std::string_view text, size_t pos, const WordRules& rules) {
  const auto letter = [&](size_t i) {
    if (pos + i >= text.size()) return '\0';
    return rules.gpt2 ? text[pos + i] : ascii_lower(text[pos + i]);
  };
  const char first = letter(1);
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  const char second = letter(2);
  if ((first == 'r' || first == 'v') && second == 'e') return 3;
  if (first == 'l' && second == 'l') return 3;
  if (rules.fold_long_s && text.substr(pos + 1, 2) == "\xC5\xBF") return 3;
  return 0;
}

// \s+(?!\S)|\s+ for the run [pos, end): a run before a word leaves its last character to the word.
size_t spaces_end(std::string_view text, size_t pos, size_t end) {
  if (end == text.size()) return end;
  const auto last = static_cast<size_t>(utf8_last(text.substr(pos, end - pos)).size_bytes);
  return end - pos == last ? end : end - last;
}

size_t gpt2_end(std::string_view text, size_t pos) {
  const size_t start = text[pos] == ' ' ? pos + 1 : pos;
  if (start < text.size()) {
    const CharClass kind = char_at(text, start).kind;
    if (kind != CharClass::kSpace) return skip_kind(text, start, kind);
  }
  return spaces_end(text, pos, skip_kind(text, pos, CharClass::kSpace));
}

size_t cl100k_end(std::string_view text, size_t pos, int max_digits) {
  const Char first = char_at(text, pos);
  if (first.kind == CharClass::kLetter) return skip_kind(text, pos, CharClass::kLetter);
  if (first.kind == CharClass::kNumber) {
    for (int i = 0; i < max_digits && has_kind(text, pos, CharClass::kNumber); ++i) {
      pos += char_at(text, pos).size;
    }
    return pos;
  }
  if (!is_newline(text[pos]) && has_kind(text, pos + first.size, CharClass::kLetter)) {
    return skip_kind(text, pos + first.size, CharClass::kLetter);
  }
  const size_t start = text[pos] == ' ' ? pos + 1 : pos;
  if (has_kind(text, start, CharClass::kOther)) {
    size_t end = skip_kind(text, start, CharClass::kOther);
    while (end < text.size() && is_newline(text[end])) ++end;
    return end;
  }
  const size_t run_end = skip_kind(text, pos, CharClass::kSpace);
  for (size_t end = run_end; end > pos; --end) {
    if (is_newline(text[end - 1])) return end;  // \s*[\r\n]+ reaches to the last newline
  }
  return spaces_end(text, pos, run_end);
}

}  // namespace

std::optional<WordRules> known_word_rules(std::string_view regex) {
  if (regex == kGpt2Pattern) return WordRules{.gpt2 = true};
  struct Contractions {
    std::string_view regex;
    bool fold_long_s;
  };
  constexpr std::array<Contractions, 3> kContractions = {{
      {R"((?i:'s|'t|'re|'ve|'m|'ll|'d))", true},
      {R"((?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]))", false},
      {R"('[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])", false},
  }};
  for (const Contractions& contractions : kContractions) {
    const std::string head = std::string(contractions.regex) + R"(|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})";
    if (!regex.starts_with(head) || !regex.ends_with(kCl100kTail)) continue;
    const std::string_view digits =
        regex.substr(head.size(), regex.size() - head.size() - kCl100kTail.size());
    if (digits.empty()) return WordRules{false, 1, contractions.fold_long_s};
    if (digits == "{1,3}") return WordRules{false, 3, contractions.fold_long_s};
  }
  return std::nullopt;
}

size_t word_end(std::string_view text, size_t pos, const WordRules& rules) {
  if (text[pos] == '\'') {
    const size_t size = contraction_size(text, pos, rules);
    if (size > 0) return pos + size;
  }
  return rules.gpt2 ? gpt2_end(text, pos) : cl100k_end(text, pos, rules.max_digits);
}

}  // namespace tq
