#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/split_pattern.h"

#include <pcre2.h>

#include <array>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "text/word_scanner.h"

namespace tq {
namespace {

std::string pcre2_message(int code) {
  std::array<PCRE2_UCHAR, 256> buffer{};
  pcre2_get_error_message(code, buffer.data(), buffer.size());
  return reinterpret_cast<const char*>(buffer.data());
}

// Oniguruma's notation and character classes in PCRE2's terms: \uHHHH, and \s without U+180E.
std::string translate(const std::string& pattern) {
  std::string out;
  for (size_t i = 0; i < pattern.size(); ++i) {
    if (pattern[i] != '\\' || i + 1 == pattern.size()) {
      out += pattern[i];
      continue;
    }
    const char escaped = pattern[++i];
    if (escaped == 'u' && i + 4 < pattern.size()) {
      out += "\\x{" + pattern.substr(i + 1, 4) + '}';
      i += 4;
    } else if (escaped == 's' || escaped == 'S') {
      out += escaped == 's' ? "\\p{White_Space}" : "\\P{White_Space}";
    } else {
      out += {'\\', escaped};
    }
  }
  return out;
}

std::shared_ptr<const pcre2_code> compile(const std::string& original) {
  const std::string pattern = translate(original);
  int error = 0;
  PCRE2_SIZE offset = 0;
  pcre2_code* code =
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(),
                    PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C, &error, &offset, nullptr);
  if (code == nullptr) {
    fail(ErrorCode::kCorrupt, "tokenizer.json: pre_tokenizer: regex \"{}\": {} at offset {}",
         original, pcre2_message(error), offset);
  }
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);  // without it (no JIT here) matching still works
  return {code, [](pcre2_code* owned) { pcre2_code_free(owned); }};
}

// Steps of one match; the whole text's are limited by time.
constexpr uint32_t kMatchLimit = 5'000'000;

void find_regex(const pcre2_code& code, std::string_view text, std::vector<Span>& matches,
                TextBudget& budget) {
  const std::unique_ptr<pcre2_match_context, void (*)(pcre2_match_context*)> context(
      pcre2_match_context_create(nullptr), pcre2_match_context_free);
  if (!context) fail(ErrorCode::kOutOfMemory, "no memory to match a regex");
  pcre2_set_match_limit(context.get(), kMatchLimit);
  const std::unique_ptr<pcre2_match_data, void (*)(pcre2_match_data*)> data(
      pcre2_match_data_create_from_pattern(&code, nullptr), pcre2_match_data_free);
  if (!data) fail(ErrorCode::kOutOfMemory, "no memory to match a regex");
  const auto* subject = reinterpret_cast<PCRE2_SPTR>(text.data());
  size_t pos = 0;
  while (pos < text.size()) {
    budget.check_time();
    const int count = pcre2_match(&code, subject, text.size(), pos, PCRE2_NO_UTF_CHECK, data.get(),
                                  context.get());
    if (count == PCRE2_ERROR_NOMATCH) return;
    if (count < 0) {
      fail(ErrorCode::kUnsupported, "splitting text by the tokenizer's regex: {}",
           pcre2_message(count));
    }
    const PCRE2_SIZE* where = pcre2_get_ovector_pointer(data.get());
    const Span match{where[0], where[1]};
    if (match.begin < match.end) {  // an empty match cuts off nothing
      matches.push_back(match);
      pos = match.end;
    } else {
      pos = match.end + 1;
      while (pos < text.size() && (static_cast<unsigned char>(text[pos]) & 0xC0) == 0x80) ++pos;
    }
  }
}

}  // namespace

const char* const kGpt2Pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

SplitPattern SplitPattern::regex(const std::string& pattern) {
  if (const auto rules = known_word_rules(pattern)) {
    const auto scan = [rules = *rules](std::string_view text, std::vector<Span>& matches,
                                       TextBudget&) {
      for (size_t pos = 0; pos < text.size();) {
        const size_t end = word_end(text, pos, rules);
        matches.push_back({pos, end});
        pos = end;
      }
    };
    return {scan, true};
  }
  return {
      [code = compile(pattern)](std::string_view text, std::vector<Span>& matches,
                                TextBudget& budget) { find_regex(*code, text, matches, budget); },
      false};
}

SplitPattern SplitPattern::literal(std::string pattern) {
  return {[pattern = std::move(pattern)](std::string_view text, std::vector<Span>& matches,
                                         TextBudget&) {
            const void* hit = nullptr;  // memmem is linear whatever the pattern; find is not
            for (size_t pos = 0; (hit = memmem(text.data() + pos, text.size() - pos, pattern.data(),
                                               pattern.size())) != nullptr;) {
              const auto begin = static_cast<size_t>(static_cast<const char*>(hit) - text.data());
              pos = begin + pattern.size();
              matches.push_back({begin, pos});
            }
          },
          false};
}

}  // namespace tq
