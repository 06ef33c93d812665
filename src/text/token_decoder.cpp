#include "text/token_decoder.h"

#include <charconv>
#include <optional>

#include "base/error.h"
#include "text/byte_alphabet.h"
#include "text/json_component.h"
#include "text/normalizer.h"
#include "text/utf8.h"

namespace tq {
namespace {

constexpr const char* kWhere = "tokenizer.json: decoder";

// The byte of "<0x0A>".
std::optional<char> byte_of_fallback_token(std::string_view token) {
  if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return std::nullopt;
  unsigned value = 0;
  const char* end = token.data() + 5;
  const auto result = std::from_chars(token.data() + 3, end, value, 16);
  if (result.ec != std::errc() || result.ptr != end) return std::nullopt;
  return static_cast<char>(value);
}

bool is_one_char(std::string_view text) {
  return !text.empty() && static_cast<size_t>(utf8_at(text, 0).size_bytes) == text.size();
}

}  // namespace

TokenDecoder::TokenDecoder(const Json& section) {
  bool fused = false;
  for (JsonComponent& json : flatten_components(section, "decoders", kWhere)) {
    if (byte_level_) json.unsupported("coming after ByteLevel");
    if (json.type() == "ByteLevel") {
      for (const char* key : {"add_prefix_space", "trim_offsets", "use_regex"}) json.ignore(key);
      if (byte_fallback_ || !replacements_.empty()) json.unsupported("coming after others");
      byte_level_ = true;
    } else if (json.type() == "Replace") {
      std::string pattern = read_string_pattern(json);
      if (fused && !is_one_char(pattern)) json.unsupported("a pattern that may span tokens");
      replacements_.emplace_back(std::move(pattern), json.text("content"));
    } else if (json.type() == "ByteFallback") {
      byte_fallback_ = true;
    } else if (json.type() == "Fuse") {
      fused = true;
    } else if (json.type() == "Strip") {
      if (!fused) json.unsupported("coming before Fuse");
      if (!strip_.empty() || json.integer("stop", 0) != 0 || json.integer("start", 0) != 1) {
        json.unsupported("anything but one character at the start");
      }
      strip_ = json.text("content");
      if (!is_one_char(strip_)) json.corrupt("\"content\" is not one character");
    } else if (json.type() == "Metaspace") {
      for (const char* key : {"split", "str_rep"}) json.ignore(key);
      const bool legacy_prefix = json.flag("add_prefix_space", true);
      const std::string scheme = json.text("prepend_scheme", legacy_prefix ? "always" : "never");
      replacements_.emplace_back(json.text("replacement", "\u2581"), " ");
      if (replacements_.back().first.empty()) json.corrupt("\"replacement\" is empty");
      if (scheme != "never") strip_ = " ";
      strip_all_ = true;
    } else {
      json.unsupported("this kind");
    }
    json.finish();
  }
  if (section.is_null()) fail(ErrorCode::kUnsupported, "{}: none is not supported", kWhere);
}

std::string TokenDecoder::bytes(std::string_view token, TextBudget& budget) const {
  if (byte_level_) return bytes_of_token(token);
  std::string text(token);
  for (const auto& [pattern, content] : replacements_) {
    budget.work(text.size() / 16 + 1);
    text = replace_all(text, pattern, content, budget);
  }
  budget.made(text.size());
  if (byte_fallback_) {
    if (const auto byte = byte_of_fallback_token(text)) return {*byte};
  }
  return text;
}

size_t TokenDecoder::first_token_drop(std::string_view bytes) const {
  size_t drop = 0;
  if (strip_.empty()) return drop;
  while (bytes.substr(drop).starts_with(strip_)) {
    drop += strip_.size();
    if (!strip_all_) break;
  }
  return drop;
}

}  // namespace tq
