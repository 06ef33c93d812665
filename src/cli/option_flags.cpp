#include "cli/option_flags.h"

#include <charconv>

#include "cli/sizes.h"
#include "cli/values.h"

namespace tq {
namespace {

// A number of tokens, or "auto".
CLI::Validator context_value() {
  const CLI::Validator tokens = token_count(0, kMostContext);
  const auto read = [tokens](std::string& text) {
    if (text != "auto") return tokens(text);
    text = std::to_string(kLongestContext);
    return std::string();
  };
  return {read, "TOKENS or auto", "context"};
}

// A number, or -1 for one that is drawn now.
CLI::Validator seed_value() {
  const auto read = [](std::string& text) -> std::string {
    if (text == "-1") text = std::to_string(draw_seed());
    uint64_t seed = 0;
    const char* end = text.data() + text.size();
    const auto [after, error] = std::from_chars(text.data(), end, seed);
    if (error == std::errc() && after == end) return "";
    return "a seed is a number from 0 to 18446744073709551615, or -1 to draw one, not " + text;
  };
  return {read, "NUMBER or -1", "seed"};
}

}  // namespace

std::string OptionFlags::flags(const OptionText& text) {
  const std::string name = "--" + std::string(text.name);
  if (text.also.empty()) return name;
  return text.also.size() == 1 ? fmt::format("-{},{}", text.also, name)
                               : fmt::format("{},--{}", name, text.also);
}

std::string OptionFlags::help(const OptionText& text) const {
  std::string help(text.help);
  for (const auto& [word, meaning] : words_) {
    const std::string place = "{" + word + "}";
    if (const size_t at = help.find(place); at != std::string::npos) {
      help.replace(at, place.size(), meaning);
    }
  }
  return help;
}

void OptionFlags::limit(CLI::Option& option, const OneOf& values) {
  option.check(one_of(values.names));
}
void OptionFlags::limit(CLI::Option& option, const Range& values) {
  option.check(CLI::Range(values.least, values.most));
}
void OptionFlags::limit(CLI::Option& option, FormatName /*values*/) {
  option.check(format_value());
}
void OptionFlags::limit(CLI::Option& option, KvFormatName /*values*/) {
  option.check(kv_format_value({"auto"}));
}
void OptionFlags::limit(CLI::Option& option, ByteSize /*values*/) { option.transform(byte_size()); }
void OptionFlags::limit(CLI::Option& option, ContextLength /*values*/) {
  option.transform(context_value());
}
void OptionFlags::limit(CLI::Option& option, TokenCount /*values*/) {
  option.transform(token_count(0, kMostContext));
}
void OptionFlags::limit(CLI::Option& option, StoredKvFormat /*values*/) {
  option.check(kv_format_value());
}
void OptionFlags::limit(CLI::Option& option, const Decimals& values) {
  option.check(CLI::Range(values.least, values.most));
}
void OptionFlags::limit(CLI::Option& option, Seed /*values*/) { option.transform(seed_value()); }

}  // namespace tq
