#include "server/tools/forced_calls.h"

#include <utility>

#include "server/api_error.h"
#include "server/tools/call_writer.h"
#include "server/tools/read_text.h"

namespace tq {

AskedGrammar forced_calls_grammar(const ForcedCalls& forced,
                                  std::shared_ptr<const Tokenizer> tokenizer) {
  constexpr const char* kField = "tool_choice";
  if (forced.format == nullptr) {
    throw ApiError(400,
                   "a call cannot be forced: how this model writes calls is not known from its "
                   "chat template",
                   kField, "unsupported_parameter");
  }
  std::vector<ForcedTool> tools;
  std::string key = "calls " + std::string(forced.format->name) + (forced.several ? " +" : "");
  for (const Json& tool : forced.tools) {
    const Json& function = tool["function"];
    const auto name = function["name"].get<std::string>();
    if (!forced.name.empty() && name != forced.name) continue;
    Json parameters = function.value("parameters", Json());
    if (!parameters.is_object() || parameters.empty()) parameters = {{"type", "object"}};
    key += " " + json_line(Json(name)) + " " + json_line(parameters);
    tools.push_back({name, std::move(parameters)});
  }
  const bool several = forced.several && !forced.format->one_call_an_answer;
  return {kField,
          {std::move(key), [tools = std::move(tools), format = forced.format, several,
                            tokenizer = std::move(tokenizer)] {
             GrammarBuilder builder;
             CallWriter writer(builder, *tokenizer);
             std::vector<GrammarExpr> calls;
             for (const ForcedTool& tool : tools) calls.push_back(format->write(writer, tool));
             const GrammarExpr one = builder.choice(std::move(calls));
             return builder.compile(several ? writer.row(one, format->between_calls) : one);
           }}};
}

}  // namespace tq
