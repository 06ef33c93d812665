#include "cli/chat/chat_settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "base/ascii.h"
#include "base/error.h"

namespace tq {
namespace {

struct Setting {
  std::string_view name;
  std::string_view other_names;  // between blanks
  std::string_view values;
  std::string (*get)(const ChatSettings&);
  // False for a value that it cannot have.
  bool (*set)(ChatSettings&, std::string_view value);
  bool is_switch = false;  // its name alone turns it on
};

template <typename T>
bool read_number(std::string_view text, T& out) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return false;
  out = value;
  return true;
}

bool read_switch(std::string_view text, bool& out) {
  if (text != "on" && text != "off") return false;
  out = text == "on";
  return true;
}

template <auto Member>
Setting sampling_number(std::string_view name, std::string_view other_names,
                        std::string_view values) {
  return {name, other_names, values,
          [](const ChatSettings& s) { return fmt::format("{}", s.sampling.*Member); },
          [](ChatSettings& s, std::string_view v) { return read_number(v, s.sampling.*Member); }};
}

template <auto Member>
Setting on_off(std::string_view name, std::string_view other_names, std::string_view values) {
  return {name,
          other_names,
          values,
          [](const ChatSettings& s) { return std::string(s.*Member ? "on" : "off"); },
          [](ChatSettings& s, std::string_view v) { return read_switch(v, s.*Member); },
          true};
}

bool set_max_tokens(ChatSettings& settings, std::string_view value) {
  if (value == "auto" || value == "-1") {
    settings.max_tokens.reset();
    return true;
  }
  int n = 0;
  if (!read_number(value, n) || n < 1) return false;
  settings.max_tokens = n;
  return true;
}

bool set_stop(ChatSettings& settings, std::string_view value) {
  settings.sampling.stop.clear();
  if (value != "off") settings.sampling.stop.emplace_back(unquoted(value));
  return true;
}

bool set_think(ChatSettings& settings, std::string_view value) {
  if (value != "on" && value != "off" && value != "auto") return false;
  settings.reasoning.think = value == "auto" ? "" : value;
  return true;
}

bool set_thinking_budget(ChatSettings& settings, std::string_view value) {
  if (value == "off") {
    settings.thinking_budget.reset();
    return true;
  }
  int n = 0;
  if (!read_number(value, n) || n < 0) return false;
  settings.thinking_budget = n;
  return true;
}

bool set_reasoning(ChatSettings& settings, std::string_view value) {
  if (value != "auto" && value != "show" && value != "hide") return false;
  settings.reasoning.show = value;
  return true;
}

bool set_context_full(ChatSettings& settings, std::string_view value) {
  if (value != "stop" && value != "drop-oldest") return false;
  settings.drop_oldest = value == "drop-oldest";
  return true;
}

const std::vector<Setting>& all_settings() {
  using S = ChatSettings;
  static const std::vector<Setting> settings = {
      sampling_number<&SamplingParams::temperature>("temperature", "temp", "0 is greedy"),
      sampling_number<&SamplingParams::top_k>("top-k", "", "0 is off"),
      sampling_number<&SamplingParams::top_p>("top-p", "", "1 is off"),
      sampling_number<&SamplingParams::min_p>("min-p", "", "0 is off"),
      sampling_number<&SamplingParams::repetition_penalty>("repeat-penalty", "repetition-penalty",
                                                           "1 is off"),
      sampling_number<&SamplingParams::presence_penalty>("presence-penalty", "", "0 is off"),
      sampling_number<&SamplingParams::frequency_penalty>("frequency-penalty", "", "0 is off"),
      sampling_number<&SamplingParams::seed>("seed", "", "a whole number"),
      {"max-tokens", "n num-predict n-predict", "of an answer, or auto: what the context leaves",
       [](const S& s) { return s.max_tokens ? fmt::format("{}", *s.max_tokens) : "auto"; },
       set_max_tokens},
      {"stop", "", "a text that ends an answer, or off",
       [](const S& s) {
         return s.sampling.stop.empty() ? "off"
                                        : fmt::format("{}", fmt::join(s.sampling.stop, ", "));
       },
       set_stop},
      {"think", "", "on, off, or auto: as the model's template has it",
       [](const S& s) { return s.reasoning.think.empty() ? "auto" : s.reasoning.think; }, set_think,
       true},
      {"thinking-budget", "", "tokens of reasoning at most, or off",
       [](const S& s) { return s.thinking_budget ? fmt::format("{}", *s.thinking_budget) : "off"; },
       set_thinking_budget},
      {"reasoning", "", "show, hide, or auto: show on a terminal",
       [](const S& s) { return s.reasoning.show; }, set_reasoning},
      {"context-full", "", "stop, or drop-oldest: the model sees the oldest turns no more",
       [](const S& s) { return std::string(s.drop_oldest ? "drop-oldest" : "stop"); },
       set_context_full},
      on_off<&S::wrap>("wrap", "wordwrap word-wrap", "on or off: lines broken between words"),
      on_off<&S::stats>("stats", "verbose", "on or off: speed after each answer"),
  };
  return settings;
}

// Ollama's words that hold name and value.
struct Shorthand {
  std::string_view word;
  std::string_view name;
  std::string_view value;
};
constexpr std::array<Shorthand, 4> kShorthands = {{{"nothink", "think", "off"},
                                                   {"nowordwrap", "wrap", "off"},
                                                   {"quiet", "stats", "off"},
                                                   {"noverbose", "stats", "off"}}};

bool has_name(const Setting& setting, std::string_view name) {
  if (setting.name == name) return true;
  for (WordAndRest other = split_word(setting.other_names); !other.word.empty();
       other = split_word(other.rest)) {
    if (other.word == name) return true;
  }
  return false;
}

std::string usual_form(std::string_view name) {
  std::string out(name);
  std::transform(out.begin(), out.end(), out.begin(), [](unsigned char c) {
    return c == '_' ? '-' : static_cast<char>(std::tolower(c));
  });
  return out;
}

}  // namespace

WordAndRest split_word(std::string_view text) {
  const size_t begin = std::min(text.find_first_not_of(kWhiteSpace), text.size());
  const size_t end = std::min(text.find_first_of(kWhiteSpace, begin), text.size());
  const size_t rest = std::min(text.find_first_not_of(kWhiteSpace, end), text.size());
  return {text.substr(begin, end - begin), text.substr(rest)};
}

std::string_view unquoted(std::string_view text) {
  const bool quoted = text.size() >= 2 && text.front() == '"' && text.back() == '"';
  return quoted ? text.substr(1, text.size() - 2) : text;
}

void change_setting(ChatSettings& settings, std::string_view name, std::string_view value) {
  std::string usual = usual_form(name);
  for (const Shorthand& shorthand : kShorthands) {
    if (value.empty() && usual == shorthand.word) {
      usual = shorthand.name;
      value = shorthand.value;
    }
  }
  for (const Setting& setting : all_settings()) {
    if (!has_name(setting, usual)) continue;
    ChatSettings changed = settings;
    if (value.empty() && setting.is_switch) value = "on";
    if (value.empty() || !setting.set(changed, value)) {
      fail(ErrorCode::kInvalidArgument, "/set {} {}: {}", setting.name, value, setting.values);
    }
    changed.sampling.validate();
    settings = std::move(changed);
    return;
  }
  if (usual == "num-ctx" || usual == "ctx") {
    fail(ErrorCode::kInvalidArgument, "the context is chosen at the start: tq chat --ctx {}",
         value.empty() ? "TOKENS" : value);
  }
  fail(ErrorCode::kInvalidArgument, "/set {}: there is no such setting; /set lists them", name);
}

std::string list_settings(const ChatSettings& settings) {
  std::string out;
  for (const Setting& setting : all_settings()) {
    out += fmt::format("{:<18} {:<12} {}\n", setting.name, setting.get(settings), setting.values);
  }
  return out;
}

}  // namespace tq
