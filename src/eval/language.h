// Which of a few languages a text is in, by its most frequent words and letters: enough to tell
// whether an answer is in the language of its question. Pure functions, thread safe.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace tq {

// Lower-case letters in place of capitals, for Latin letters with and without marks, Greek and
// Cyrillic; other characters stay. Invalid UTF-8 becomes U+FFFD.
std::string fold_case(std::string_view text);

// Runs of letters and digits, folded. An apostrophe or a hyphen between letters belongs to a word.
std::vector<std::string> words_of(std::string_view text);

// "en", "fi" or "sv"; "other" where letters are mostly not Latin; "" when there are fewer than
// three words or none of the languages is clearly ahead.
std::string detect_language(std::string_view text);

// The names that detect_language() can give and scenarios can ask for.
bool is_known_language(std::string_view name);

}  // namespace tq
