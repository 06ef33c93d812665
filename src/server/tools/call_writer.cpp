#include "server/tools/call_writer.h"

#include <algorithm>

#include "base/check.h"
#include "base/error.h"
#include "grammar/grammar.h"
#include "server/tools/read_text.h"

namespace tq {

GrammarExpr CallWriter::tag(std::string_view text) {
  const auto id = tokenizer_.token_id(text);
  return id && tokenizer_.is_special(*id) ? builder_.token(*id) : builder_.text(text);
}

GrammarExpr CallWriter::text_without(std::string_view end) {
  TQ_CHECK(end.rfind(end[0]) == 0, "a tag that begins within itself");
  // Node i: the last i letters are the first of `end`.
  const auto n = static_cast<int32_t>(end.size());
  std::vector<GrammarBuilder::GraphEdge> edges;
  for (int32_t i = 0; i < n; ++i) {
    const auto first = static_cast<char32_t>(end[0]);
    const auto next = static_cast<char32_t>(end[static_cast<size_t>(i)]);
    if (i + 1 < n)
      edges.push_back({i, i + 1, builder_.text(end.substr(static_cast<size_t>(i), 1))});
    if (i > 0) edges.push_back({i, 1, builder_.text(end.substr(0, 1))});
    edges.push_back({i, 0, builder_.chars(CharSet({{first, first}, {next, next}}).negated())});
    edges.push_back({i, n, builder_.empty()});
  }
  return builder_.graph(n + 1, std::move(edges));
}

GrammarExpr CallWriter::row(GrammarExpr one, std::string_view separator) {
  return sequence({one, builder_.repeat(sequence({text(separator), one}), 0, std::nullopt)});
}

GrammarExpr CallWriter::bare_value(const Json& schema, std::string_view end) {
  if (const auto values = schema.find("enum"); values != schema.end() && values->is_array()) {
    std::vector<GrammarExpr> options;
    for (const Json& value : *values) {
      options.push_back(text(value.is_string() ? value.get<std::string>() : json_line(value)));
    }
    return builder_.choice(std::move(options));
  }
  return may_be_text(&schema) ? text_without(end) : json(schema);
}

std::vector<CallWriter::Member> CallWriter::members_of(const Json& parameters) {
  std::vector<Member> members;
  const auto properties = parameters.find("properties");
  if (properties == parameters.end() || !properties->is_object()) return members;
  const Json required = parameters.value("required", Json::array());
  // Every member gets them.
  size_t n_bytes = 0;
  for (const char* definitions : {"$defs", "definitions"}) {
    if (const auto found = parameters.find(definitions); found != parameters.end()) {
      n_bytes += json_line(*found).size();
    }
  }
  constexpr size_t kMostBytes = 16 * GrammarLimits::kTextBytes;
  if (n_bytes > kMostBytes / std::max<size_t>(properties->size(), 1)) {
    fail(ErrorCode::kInvalidArgument, "the definitions of a tool's parameters are too large");
  }
  for (const auto& [key, given] : properties->items()) {
    Json schema = given;
    for (const char* definitions : {"$defs", "definitions"}) {
      const auto found = parameters.find(definitions);
      if (found != parameters.end() && schema.is_object()) schema[definitions] = *found;
    }
    const bool needed = std::find(required.begin(), required.end(), Json(key)) != required.end();
    members.push_back({key, std::move(schema), needed});
  }
  return members;
}

}  // namespace tq
