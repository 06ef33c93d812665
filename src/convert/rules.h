// Rules that choose a tensor's storage format by its name: an ordered list, the first match wins.
// Plain values; thread safe.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "convert/class_formats.h"

namespace tq {

struct Rule {
  std::string match;   // glob on the whole tensor name: '*' any run of characters, '?' any one
  std::string format;  // the name of a storage format, or kKeep
};

// True when the pattern covers the whole text. Linear space, at most |pattern| * |text| steps.
bool glob_match(std::string_view pattern, std::string_view text);

// The first rule that matches the name, or null.
const Rule* first_match(std::span<const Rule> rules, std::string_view tensor_name);

// [{"match": "*.down_proj.weight", "format": "tq4"}, ...]. Throws kInvalidArgument naming the rule
// for anything else: other keys, an empty pattern, a format that does not exist.
std::vector<Rule> parse_rules(const Json& json, const std::string& name);
std::vector<Rule> read_rules(const fs::path& path);

}  // namespace tq
