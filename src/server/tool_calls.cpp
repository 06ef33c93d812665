#include "server/tool_calls.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace tq {
namespace {

constexpr std::string_view kWhiteSpace = " \t\r\n";
constexpr std::string_view kGemmaQuote = "<|\"|>";
constexpr int kMostDepth = 64;

std::string_view trim(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kWhiteSpace), text.size()));
  return text.substr(0, text.find_last_not_of(kWhiteSpace) + 1);
}

// Length of the longest end of text that is a beginning of tag, but not all of it.
size_t overlap_of(std::string_view text, std::string_view tag) {
  for (size_t n = std::min(text.size(), tag.size() - 1); n > 0; --n) {
    if (text.ends_with(tag.substr(0, n))) return n;
  }
  return 0;
}

std::string dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::optional<ToolCall> parse_hermes(std::string_view body) {
  try {
    const Json json = parse_json(trim(body), "call");
    if (!json.is_object() || !json.contains("name") || !json["name"].is_string()) {
      return std::nullopt;
    }
    Json arguments = json.value("arguments", Json::object());
    if (arguments.is_string()) {
      arguments = parse_json(arguments.get_ref<const std::string&>(), "arguments");
    }
    if (arguments.is_null()) arguments = Json::object();
    if (!arguments.is_object()) return std::nullopt;
    return ToolCall{json["name"].get<std::string>(), dump(arguments)};
  } catch (const Error&) {
    return std::nullopt;
  }
}

// Gemma's own notation of values: keys are bare, texts stand between tokens of their own.
class GemmaValues {
 public:
  explicit GemmaValues(std::string_view text) : text_(text) {}

  // The object that is all of the text; absent when it is none.
  std::optional<Json> read() {
    Json value;
    if (!text_.starts_with('{') || !read_value(value, 0) || !text_.empty()) return std::nullopt;
    return value;
  }

 private:
  bool take(std::string_view word) {
    if (!text_.starts_with(word)) return false;
    text_.remove_prefix(word.size());
    return true;
  }
  bool read_quoted(std::string& out) {
    const size_t end = text_.find(kGemmaQuote);
    if (end == std::string_view::npos) return false;
    out = text_.substr(0, end);
    text_.remove_prefix(end + kGemmaQuote.size());
    return true;
  }
  bool read_key(std::string& key) {
    if (take(kGemmaQuote)) return read_quoted(key) && take(":");
    const size_t end = text_.find_first_of(":{}[],");
    if (end == std::string_view::npos || end == 0 || text_[end] != ':') return false;
    key = trim(text_.substr(0, end));
    text_.remove_prefix(end + 1);
    return true;
  }
  bool read_items(Json& out, char close, int depth) {
    const std::string_view end(&close, 1);
    if (take(end)) return true;
    do {
      std::string key;
      if (out.is_object() && (!read_key(key) || out.contains(key))) return false;
      Json item;
      if (!read_value(item, depth + 1)) return false;
      if (out.is_object()) {
        out[key] = std::move(item);
      } else {
        out.push_back(std::move(item));
      }
    } while (take(","));
    return take(end);
  }
  bool read_value(Json& out, int depth) {
    if (depth > kMostDepth) return false;
    if (take("{")) return read_items(out = Json::object(), '}', depth);
    if (take("[")) return read_items(out = Json::array(), ']', depth);
    if (take(kGemmaQuote)) {
      std::string text;
      if (!read_quoted(text)) return false;
      out = text;
      return true;
    }
    const std::string_view word = text_.substr(0, text_.find_first_of(",}]"));
    text_.remove_prefix(word.size());
    const std::string literal(trim(word));
    try {
      out = parse_json(literal, "value");
    } catch (const Error&) {
      out = literal;  // a text without quotes
    }
    return !literal.empty();
  }

  std::string_view text_;
};

std::optional<ToolCall> parse_gemma(std::string_view body) {
  constexpr std::string_view kCall = "call:";
  body = trim(body);
  const size_t begin = body.find('{');
  if (!body.starts_with(kCall) || begin == std::string_view::npos) return std::nullopt;
  const std::string_view name = trim(body.substr(kCall.size(), begin - kCall.size()));
  const auto arguments = GemmaValues(body.substr(begin)).read();
  if (name.empty() || !arguments) return std::nullopt;
  return ToolCall{std::string(name), dump(*arguments)};
}

constexpr ToolFormat kHermes = {"hermes", "<tool_call>", "</tool_call>", "", parse_hermes};
constexpr ToolFormat kGemma4 = {"gemma4", "<|tool_call>", "<tool_call|>", kGemmaQuote, parse_gemma};

}  // namespace

const ToolFormat* find_tool_format(std::string_view chat_template) {
  const auto has = [chat_template](std::string_view text) {
    return chat_template.find(text) != std::string_view::npos;
  };
  if (has(kGemma4.open)) return &kGemma4;
  // Others write something else than JSON between the same tags: GLM and Qwen3-Coder.
  if (has(kHermes.open) && !has("arg_key") && !has("<function=")) return &kHermes;
  return nullptr;
}

std::vector<int32_t> tool_tag_ids(const ToolFormat& format, const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  for (const std::string_view tag : {format.open, format.close, format.quote}) {
    const auto id = tag.empty() ? std::nullopt : tokenizer.token_id(tag);
    if (id) ids.push_back(*id);
  }
  return ids;
}

std::vector<ToolPiece> ToolCallParser::push(std::string_view text) {
  held_ += text;
  std::vector<ToolPiece> pieces;
  while (advance(pieces)) {
  }
  return pieces;
}

bool ToolCallParser::advance(std::vector<ToolPiece>& pieces) {
  const std::string_view held = held_;
  if (in_call_) {
    const size_t end = held.find(format_.close);
    if (end == std::string_view::npos) return false;
    const std::string body(held.substr(0, end));
    held_.erase(0, end + format_.close.size());
    in_call_ = false;
    add_call(body, true, pieces);
    return true;
  }
  const size_t begin = held.find(format_.open);
  const bool opens = begin != std::string_view::npos;
  const std::string_view before =
      held.substr(0, opens ? begin : held.size() - overlap_of(held, format_.open));
  const size_t n_text = before.find_last_not_of(kWhiteSpace) + 1;  // white space may touch a call
  if (n_text > 0) {
    pieces.push_back({std::string(before.substr(0, n_text)), {}});
    after_call_ = false;
  }
  held_.erase(0, opens ? begin + format_.open.size() : n_text);
  in_call_ = opens;
  return opens;
}

void ToolCallParser::add_call(std::string_view body, bool closed, std::vector<ToolPiece>& pieces) {
  if (auto call = format_.parse(body)) {
    pieces.push_back({"", std::move(call)});
    after_call_ = true;
    return;
  }
  std::string text(format_.open);
  text += body;
  if (closed) text += format_.close;
  pieces.push_back({std::move(text), {}});
  after_call_ = false;
}

std::vector<ToolPiece> ToolCallParser::finish() {
  std::vector<ToolPiece> pieces;
  const std::string rest = std::exchange(held_, {});
  if (std::exchange(in_call_, false)) {
    add_call(rest, false, pieces);
  } else if (!rest.empty() && !(after_call_ && trim(rest).empty())) {
    pieces.push_back({rest, {}});
  }
  return pieces;
}

}  // namespace tq
