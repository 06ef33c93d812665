// Gemma 4:  <|tool_call>call:f{x:1,s:<|"|>text<|"|>}<tool_call|>
// Keys are bare, texts stand between tokens of their own.
#include <algorithm>
#include <utility>

#include "server/tools/read_text.h"

namespace tq {
namespace {

constexpr std::string_view kGemmaOpen = "<|tool_call>";
constexpr std::string_view kGemmaClose = "<tool_call|>";
constexpr std::string_view kGemmaQuote = "<|\"|>";
constexpr int kMostDepth = 64;

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
    out = read_json(literal).value_or(literal);  // or a text without quotes
    return !literal.empty();
  }

  std::string_view text_;
};

std::optional<ToolCall> gemma_call(std::string_view body) {
  constexpr std::string_view kCall = "call:";
  body = trim(body);
  const size_t begin = body.find('{');
  if (!body.starts_with(kCall) || begin == std::string_view::npos) return std::nullopt;
  const std::string_view name = trim(body.substr(kCall.size(), begin - kCall.size()));
  const auto arguments = GemmaValues(body.substr(begin)).read();
  if (name.empty() || !arguments) return std::nullopt;
  return ToolCall{std::string(name), json_line(*arguments)};
}

CallsRead read_gemma(std::string_view text, bool at_end, const Json&, CallProgress& progress) {
  using Kind = CallsRead::Kind;
  const size_t close = text.find(kGemmaClose, progress.n_searched);
  const bool closed = close != std::string_view::npos;
  if (!closed && !at_end) {
    progress.n_searched = text.size() - std::min(text.size(), kGemmaClose.size() - 1);
    return {};
  }
  const auto call = gemma_call(text.substr(0, close).substr(kGemmaOpen.size()));
  if (!call) return {.kind = Kind::kNone, .n_bytes = kGemmaOpen.size()};
  return {.kind = Kind::kCalls,
          .n_bytes = closed ? close + kGemmaClose.size() : text.size(),
          .calls = {*call}};
}

// Values in the notation of above, for a grammar.
class GemmaGrammar {
 public:
  explicit GemmaGrammar(CallWriter& writer)
      : writer_(writer), builder_(writer.builder()), any_(builder_.add_rule("gemma value")) {
    const GrammarExpr word = builder_.repeat(
        builder_.chars(CharSet({{'a', 'z'}, {'A', 'Z'}, {'0', '9'}, {'_', '_'}, {'-', '-'}})), 1,
        std::nullopt);
    const GrammarExpr pair = writer_.sequence({word, writer_.text(":"), builder_.call(any_)});
    any_object_ = in("{", list(pair), "}");
    any_list_ = in("[", list(builder_.call(any_)), "]");
    builder_.define(any_, builder_.choice({string(), simple("number"), simple("boolean"),
                                           simple("null"), any_object_, any_list_}));
  }

  // {k:v,...}
  GrammarExpr object(const Json& schema) {
    const auto members = CallWriter::members_of(schema);
    if (members.empty()) return schema.contains("properties") ? writer_.text("{}") : any_object_;
    // Node 2i: before member i, and none was written; 2i + 1: some was.
    std::vector<GrammarBuilder::GraphEdge> edges;
    const auto n = static_cast<int32_t>(members.size());
    for (int32_t i = 0; i < n; ++i) {
      const CallWriter::Member& member = members[static_cast<size_t>(i)];
      const GrammarExpr pair =
          writer_.sequence({writer_.text(member.key + ":"), value(member.schema)});
      edges.push_back({2 * i, 2 * i + 3, pair});
      edges.push_back({2 * i + 1, 2 * i + 3, writer_.sequence({writer_.text(","), pair})});
      if (member.required) continue;
      edges.push_back({2 * i, 2 * i + 2, builder_.empty()});
      edges.push_back({2 * i + 1, 2 * i + 3, builder_.empty()});
    }
    edges.push_back({2 * n, 2 * n + 2, builder_.empty()});
    edges.push_back({2 * n + 1, 2 * n + 2, builder_.empty()});
    return in("{", builder_.graph(2 * n + 3, std::move(edges)), "}");
  }

 private:
  GrammarExpr in(const char* open, GrammarExpr what, const char* close) {
    return writer_.sequence({writer_.text(open), what, writer_.text(close)});
  }
  GrammarExpr list(GrammarExpr item) { return builder_.optional(writer_.row(item, ",")); }
  GrammarExpr string() {
    const GrammarExpr quote = writer_.tag(kGemmaQuote);
    return writer_.sequence({quote, writer_.text_without(kGemmaQuote), quote});
  }
  GrammarExpr simple(const std::string& type) { return writer_.json({{"type", type}}); }

  GrammarExpr value(const Json& schema) {
    if (const auto values = schema.find("enum"); values != schema.end() && values->is_array()) {
      std::vector<GrammarExpr> options;
      for (const Json& one : *values) {
        const GrammarExpr quote = writer_.tag(kGemmaQuote);
        options.push_back(
            one.is_string() ? writer_.sequence({quote, writer_.text(one.get<std::string>()), quote})
                            : writer_.text(json_line(one)));
      }
      return builder_.choice(std::move(options));
    }
    const Json type = schema.is_object() ? schema.value("type", Json()) : Json();
    if (type == "string") return string();
    if (type == "object") return object(schema);
    if (type == "array") {
      const auto items = schema.find("items");
      return items == schema.end() ? any_list_ : in("[", list(value(*items)), "]");
    }
    const bool is_simple =
        type == "integer" || type == "number" || type == "boolean" || type == "null";
    return is_simple ? writer_.json(schema) : builder_.call(any_);
  }

  CallWriter& writer_;
  GrammarBuilder& builder_;
  int32_t any_;
  GrammarExpr any_object_;
  GrammarExpr any_list_;
};

GrammarExpr write_gemma(CallWriter& writer, const ForcedTool& tool) {
  return writer.sequence({writer.tag(kGemmaOpen), writer.text("call:" + tool.name),
                          GemmaGrammar(writer).object(tool.parameters), writer.tag(kGemmaClose)});
}

bool is_gemma(std::string_view chat_template) {
  return chat_template.find(kGemmaOpen) != std::string_view::npos;
}

}  // namespace

const ToolFormat kGemmaFormat = {
    .name = "gemma4",
    .is_of = is_gemma,
    .openings = {kGemmaOpen},
    .end_letters = ">",
    .read = read_gemma,
    .tags = {kGemmaOpen, kGemmaClose, kGemmaQuote},
    .write = write_gemma,
};

}  // namespace tq
