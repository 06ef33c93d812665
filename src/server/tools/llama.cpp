// Llama 3: {"name": "f", "parameters": {"x": 1}} as the answer, or behind <|python_tag|>; several
// calls stand behind one another, with semicolons between.
#include <algorithm>
#include <array>

#include "server/tools/read_text.h"

namespace tq {
namespace {

constexpr std::string_view kPythonTag = "<|python_tag|>";

// Whether an object that begins so may be a call: an answer of other JSON need not wait for its
// end.
TextReader::Has may_be_call(std::string_view text, bool at_end) {
  using Has = TextReader::Has;
  constexpr std::array<std::string_view, 5> kKeys = {R"("name")", R"("type")", R"("function")",
                                                     R"("parameters")", R"("arguments")"};
  TextReader reader(text, at_end);
  reader.skip(1);
  reader.skip_white_space();
  Has best = Has::kNo;
  for (const std::string_view key : kKeys) {
    const Has has = reader.starts_with(key);
    if (has == Has::kYes) return has;
    if (has == Has::kMore) best = has;
  }
  return best;
}

CallsRead read_llama(std::string_view text, bool at_end, const Json& tools,
                     CallProgress& progress) {
  using Has = TextReader::Has;
  using Kind = CallsRead::Kind;
  TextReader reader(text, at_end);
  const bool tagged = reader.starts_with(kPythonTag) == Has::kYes;
  reader.skip(std::max(progress.n_read, tagged ? kPythonTag.size() : 0));
  reader.skip_white_space();
  progress.n_read = reader.position();
  if (reader.rest().empty()) return {};
  const CallsRead none = {.kind = Kind::kNone, .n_bytes = tagged ? kPythonTag.size() : 1};
  if (reader.rest()[0] != '{') return none;
  const Has possible = progress.json.has_begun() ? Has::kYes : may_be_call(reader.rest(), at_end);
  if (possible != Has::kYes) return possible == Has::kMore ? CallsRead{} : none;
  Json json;
  const Has taken = reader.take_json(json, progress.json);
  if (taken != Has::kYes) return taken == Has::kMore ? CallsRead{} : none;
  const auto function = json.find("function");
  const bool wrapped = function != json.end() && function->is_object();
  const auto call = call_of(wrapped ? *function : json, "parameters", "arguments");
  // Without a tag it may be any JSON that was asked for.
  if (!call || !has_tool(tools, call->name)) return none;
  return {.kind = Kind::kCalls, .n_bytes = reader.position(), .calls = {*call}};
}

GrammarExpr write_llama(CallWriter& writer, const ForcedTool& tool) {
  const std::string begin = "{\"name\": " + json_line(Json(tool.name)) + ", \"parameters\": ";
  return writer.sequence({writer.text(begin), writer.json(tool.parameters), writer.text("}")});
}

bool is_llama(std::string_view chat_template) {
  return chat_template.find(kPythonTag) != std::string_view::npos ||
         (chat_template.find("<|start_header_id|>") != std::string_view::npos &&
          chat_template.find(R"("parameters":)") != std::string_view::npos);
}

}  // namespace

const ToolFormat kLlamaFormat = {
    .name = "llama",
    .is_of = is_llama,
    .openings = {kPythonTag},
    .end_letters = "}",
    .read = read_llama,
    .tags = {kPythonTag},
    .write = write_llama,
    .between_calls = "; ",
    .first_opening = "{",
    .separators = ";",
};

}  // namespace tq
