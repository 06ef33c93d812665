// Conversations that were written before: read from files nobody vouches for.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "loadgen/completion.h"

namespace tq {

// What users say, one after the other, and what stands before it all.
struct LoadConversation {
  std::string system = {};
  std::vector<LoadPrompt> turns;
};

// One line: {"conversations": [{"from": "human", "value": ...}]} (ShareGPT),
// {"messages": [{"role": "user", "content": ...}]} (OpenAI; content may be parts of type text), or
// {"prompt": ...}. Answers in it are left out: the server gives its own. Of turns that follow each
// other without an answer between them each is one. Throws kCorrupt "<name>: ..." for what is none
// of these, or has no user's turn.
LoadConversation read_conversation(std::string_view line, const std::string& name);

// The conversations of a file: JSON objects, one a line, or a list of them (of up to 64 MiB); and
// at most `most` of them. Any other file is a text, which is cut at blanks into prompts of about
// `prompt_bytes`. max_tokens is what each turn gets. Throws kCorrupt naming file and line, and
// for a file without any; what MappedFile throws.
std::vector<LoadConversation> read_dataset(const std::string& path, size_t most,
                                           size_t prompt_bytes);

}  // namespace tq
