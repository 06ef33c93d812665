#include "eval/language.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <utility>

#include "text/unicode.h"
#include "text/utf8.h"

namespace tq {
namespace {

// Words that hardly any text of a language does without, and few texts of the others have.
constexpr std::string_view kEnglish[] = {
    "the",   "and",    "is",    "of",    "to",    "in",      "that",  "it",   "you",
    "your",  "for",    "with",  "are",   "was",   "this",    "not",   "be",   "have",
    "has",   "can",    "will",  "would", "if",    "or",      "what",  "how",  "from",
    "which", "they",   "them",  "there", "their", "we",      "our",   "by",   "at",
    "as",    "an",     "a",     "i",     "she",   "because", "about", "but",  "when",
    "where", "should", "could", "do",    "does",  "these",   "more",  "than", "please",
    "here",  "yes",    "no",    "my",    "it's",  "i'm",     "so",    "any",  "all"};
constexpr std::string_view kFinnish[] = {
    "ja",    "on",   "ei",    "että",  "se",     "hän",   "mutta",   "kun",    "niin",
    "ovat",  "oli",  "voi",   "myös",  "tai",    "jos",   "sen",     "mitä",   "mikä",
    "joka",  "kuin", "ole",   "olen",  "sinun",  "minun", "sinä",    "minä",   "te",
    "me",    "he",   "ne",    "tämä",  "tämän",  "nyt",   "vain",    "kanssa", "koska",
    "voit",  "voin", "kyllä", "hyvä",  "kiitos", "ennen", "jälkeen", "siitä",  "niiden",
    "sitä",  "eli",  "sekä",  "vielä", "siis",   "onko",  "olisi",   "teidän", "meidän",
    "ilman", "asti", "noin",  "kuten", "hei",    "olla",  "sillä",   "ensin",  "sitten",
    "en",    "et",   "siinä", "minkä", "missä",  "miten", "ettei",   "tiedä"};
constexpr std::string_view kSwedish[] = {
    "och",    "att",    "det",  "är",    "som",  "en",   "ett",  "på",  "för",   "av",    "med",
    "den",    "inte",   "har",  "till",  "jag",  "du",   "vi",   "kan", "om",    "men",   "de",
    "från",   "eller",  "din",  "ditt",  "dina", "så",   "vad",  "hur", "ska",   "var",   "när",
    "också",  "mycket", "vår",  "våra",  "er",   "ert",  "bara", "här", "där",   "nu",    "vill",
    "skulle", "alla",   "utan", "efter", "hej",  "tack", "än",   "mer", "detta", "denna", "mig"};

struct Known {
  std::string_view name;
  std::span<const std::string_view> words;
};
constexpr Known kKnown[] = {{"en", kEnglish}, {"fi", kFinnish}, {"sv", kSwedish}};
constexpr std::string_view kOther = "other";

bool ends_with_any(std::string_view word, std::span<const std::string_view> ends) {
  return std::any_of(ends.begin(), ends.end(),
                     [&](std::string_view end) { return word.ends_with(end); });
}

// Endings of cases and persons, which make most words of a Finnish text.
bool looks_finnish(std::string_view word) {
  static constexpr std::string_view kEnds[] = {
      "ssa", "ssä", "sta",  "stä",  "lla", "llä", "lta",  "ltä", "lle",  "een",
      "iin", "aan", "ään",  "ksi",  "mme", "tte", "nsa",  "nsä", "inen", "isen",
      "uus", "yys", "tään", "taan", "vat", "vät", "kaan", "kään"};
  return word.size() > 4 && ends_with_any(word, kEnds);
}

bool has_any(std::string_view word, std::initializer_list<std::string_view> parts) {
  return std::any_of(parts.begin(), parts.end(), [&](std::string_view part) {
    return word.find(part) != std::string_view::npos;
  });
}

// How much a word speaks for each of kKnown.
std::array<double, std::size(kKnown)> votes_of(const std::string& word) {
  std::array<double, std::size(kKnown)> votes{};
  for (size_t i = 0; i < std::size(kKnown); ++i) {
    const auto& words = kKnown[i].words;
    if (std::find(words.begin(), words.end(), word) != words.end()) votes[i] += 1;
  }
  if (looks_finnish(word)) votes[1] += 0.7;
  if (has_any(word, {"ää", "öö", "yö", "äy"})) votes[1] += 0.5;
  if (has_any(word, {"å"})) votes[2] += 0.7;
  return votes;
}

char32_t folded(char32_t c) {
  if ((c >= U'A' && c <= U'Z') || (c >= 0xC0 && c <= 0xDE && c != 0xD7)) return c + 0x20;
  if (c >= 0x100 && c <= 0x137 && c % 2 == 0) return c + 1;
  if (c >= 0x139 && c <= 0x148 && c % 2 == 1) return c + 1;
  if (c >= 0x14A && c <= 0x177 && c % 2 == 0) return c + 1;
  if (c == 0x178) return 0xFF;
  if (c == 0x179 || c == 0x17B || c == 0x17D) return c + 1;
  if (c >= 0x391 && c <= 0x3A9 && c != 0x3A2) return c + 0x20;
  if (c >= 0x410 && c <= 0x42F) return c + 0x20;
  if (c >= 0x400 && c <= 0x40F) return c + 0x50;
  return c;
}

}  // namespace

std::string fold_case(std::string_view given) {
  const std::string text = replace_invalid_utf8(given);
  std::string out;
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = utf8_at(text, at);
    append_utf8(folded(c.code_point), out);
    at += static_cast<size_t>(c.size_bytes);
  }
  return out;
}

std::vector<std::string> words_of(std::string_view given) {
  const std::string text = fold_case(given);
  std::vector<std::string> words;
  std::string word;
  std::string joint;  // an apostrophe or a hyphen that belongs to the word if a letter follows
  for (size_t at = 0; at < text.size();) {
    const Utf8Char c = utf8_at(text, at);
    const std::string_view bytes =
        std::string_view(text).substr(at, static_cast<size_t>(c.size_bytes));
    at += bytes.size();
    const CharClass kind = char_class(c.code_point);
    if (kind == CharClass::kLetter || kind == CharClass::kNumber) {
      word += std::exchange(joint, "");
      word += bytes;
    } else if (!word.empty() && joint.empty() &&
               (c.code_point == U'\'' || c.code_point == U'’' || c.code_point == U'-')) {
      joint = c.code_point == U'-' ? "-" : "'";
    } else {
      if (!word.empty()) words.push_back(std::exchange(word, ""));
      joint.clear();
    }
  }
  if (!word.empty()) words.push_back(word);
  return words;
}

std::string detect_language(std::string_view text) {
  const std::vector<std::string> words = words_of(text);
  std::array<double, std::size(kKnown)> votes{};
  int64_t n_latin = 0;
  int64_t n_letters = 0;
  for (const std::string& word : words) {
    const auto of_word = votes_of(word);
    for (size_t i = 0; i < votes.size(); ++i) votes[i] += of_word[i];
    for (size_t at = 0; at < word.size();) {
      const Utf8Char c = utf8_at(word, at);
      at += static_cast<size_t>(c.size_bytes);
      if (char_class(c.code_point) != CharClass::kLetter) continue;
      ++n_letters;
      if (c.code_point < 0x250) ++n_latin;
    }
  }
  if (n_letters > 4 && n_latin * 2 < n_letters) return std::string(kOther);
  if (words.size() < 3) return "";
  const auto best =
      static_cast<size_t>(std::max_element(votes.begin(), votes.end()) - votes.begin());
  double second = 0;
  for (size_t i = 0; i < votes.size(); ++i) {
    if (i != best) second = std::max(second, votes[i]);
  }
  // At least one word in twelve must speak for it, and twice as much as for the next.
  if (votes[best] * 12 < static_cast<double>(words.size()) || votes[best] < 2 * second) return "";
  return std::string(kKnown[best].name);
}

bool is_known_language(std::string_view name) {
  return name == kOther || std::any_of(std::begin(kKnown), std::end(kKnown),
                                       [&](const Known& known) { return known.name == name; });
}

}  // namespace tq
