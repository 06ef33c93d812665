// Answers that must be calls of tools: tool_choice "required", or a tool by name.
#pragma once

#include <string>

#include "base/json.h"
#include "server/structured.h"
#include "server/tools/tool_format.h"

namespace tq {

struct ForcedCalls {
  const ToolFormat* format = nullptr;
  Json tools;           // as read_tools() gives them
  std::string name;     // of the one to call; empty: any
  bool several = true;  // calls, where the format has such answers
};

// The grammar of such answers. Throws ApiError 400 for a format without one. The tokenizer is kept.
AskedGrammar forced_calls_grammar(const ForcedCalls& forced,
                                  std::shared_ptr<const Tokenizer> tokenizer);

}  // namespace tq
