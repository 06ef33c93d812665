#include "convert/rules.h"

#include "base/error.h"
#include "convert/class_formats.h"
#include "format/traits.h"

namespace tq {

bool glob_match(std::string_view pattern, std::string_view text) {
  size_t p = 0;
  size_t t = 0;
  size_t star = std::string_view::npos;  // the last '*' seen, and where its run ends so far
  size_t run_end = 0;
  while (t < text.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      run_end = t;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == text[t])) {
      ++p;
      ++t;
    } else if (star != std::string_view::npos) {  // let the last '*' take one character more
      p = star + 1;
      t = ++run_end;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

const Rule* first_match(std::span<const Rule> rules, std::string_view tensor_name) {
  for (const Rule& rule : rules) {
    if (glob_match(rule.match, tensor_name)) return &rule;
  }
  return nullptr;
}

std::vector<Rule> parse_rules(const Json& json, const std::string& name) {
  if (!json.is_array()) {
    fail(ErrorCode::kInvalidArgument,
         "{}: rules are a list, [{{\"match\": \"*.down_proj.weight\", \"format\": \"tq4\"}}, ...]",
         name);
  }
  std::vector<Rule> rules;
  for (const Json& item : json) {
    const std::string where = fmt::format("{}: rule {}", name, rules.size() + 1);
    const bool complete = item.is_object() && item.size() == 2 && item.contains("match") &&
                          item["match"].is_string() && item.contains("format") &&
                          item["format"].is_string();
    if (!complete) {
      fail(ErrorCode::kInvalidArgument,
           "{}: needs exactly the strings \"match\" and \"format\", got {}", where, item.dump());
    }
    Rule rule{item["match"].get<std::string>(), item["format"].get<std::string>()};
    if (rule.match.empty()) {
      fail(ErrorCode::kInvalidArgument, "{}: \"match\" is empty; \"*\" matches everything", where);
    }
    if (rule.format != kKeep && find_format(rule.format) == nullptr) {
      fail(ErrorCode::kInvalidArgument, "{}: unknown format \"{}\"; use {} or {}", where,
           rule.format, format_names(), kKeep);
    }
    rules.push_back(std::move(rule));
  }
  return rules;
}

std::vector<Rule> read_rules(const fs::path& path) {
  return parse_rules(parse_json(read_text_file(path), path.string()), path.string());
}

}  // namespace tq
