// Structured output: what a request says its answer must be. Fields as OpenAI (response_format),
// vLLM (guided_..., structured_outputs) and llama.cpp (grammar, json_schema) have them.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "base/json.h"
#include "engine/constraint.h"
#include "session/grammars.h"
#include "session/prompt.h"

namespace tq {

struct AskedGrammar {
  std::string field;  // that asks for it, for messages
  GrammarSource source;
};

// Absent when the answer may be any text. Throws ApiError 400: for fields of a wrong type, for two
// that ask for something, and for what is not known.
std::optional<AskedGrammar> read_grammar(const Json& body);

// Compiles it, and makes what holds each answer to it. Throws ApiError 400 that names field, place
// and keyword.
std::function<std::shared_ptr<Constraint>(const Prompt& prompt)> constrain_to(
    const AskedGrammar& asked, std::shared_ptr<Grammars> grammars);

}  // namespace tq
