#include "base/json.h"

#include <set>
#include <vector>

#include "base/error.h"

namespace tq {

Json parse_json(std::string_view text, const std::string& name, const JsonLimits& limits) {
  if (static_cast<int64_t>(text.size()) > limits.max_bytes) {
    fail(ErrorCode::kCorrupt, "{}: {} bytes of JSON, more than the {} allowed", name, text.size(),
         limits.max_bytes);
  }
  // The lexer would skip a byte order mark and take a NUL byte for the end of the text.
  if (text.starts_with("\xef\xbb\xbf") || text.find('\0') != std::string_view::npos) {
    fail(ErrorCode::kCorrupt, "{}: not valid JSON: it has a byte order mark or a NUL byte", name);
  }
  std::vector<std::set<std::string>> keys;  // the keys seen in each open object
  const auto check = [&](int depth, Json::parse_event_t event, Json& parsed) {
    if (depth > limits.max_depth) {
      fail(ErrorCode::kCorrupt, "{}: JSON nested deeper than {}", name, limits.max_depth);
    }
    if (event == Json::parse_event_t::object_start) {
      keys.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      keys.pop_back();
    } else if (event == Json::parse_event_t::key) {
      const auto& key = parsed.get_ref<const std::string&>();
      if (!keys.back().insert(key).second) {
        fail(ErrorCode::kCorrupt, "{}: duplicate key \"{}\"", name, key);
      }
    }
    return true;
  };
  try {
    return Json::parse(text, check);
  } catch (const nlohmann::json::exception& e) {
    fail(ErrorCode::kCorrupt, "{}: not valid JSON: {}", name, e.what());
  }
}

}  // namespace tq
