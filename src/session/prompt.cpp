#include "session/prompt.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/error.h"
#include "base/file.h"
#include "session/load.h"

namespace tq {

Prompt text_prompt(const Tokenizer& tokenizer, std::string_view text) {
  Prompt prompt;
  prompt.ids = tokenizer.encode(text);
  const auto& ids = prompt.ids;
  if (ids.size() > 1 && ids[0] == ids[1] && tokenizer.bos() == ids[0]) {
    prompt.ids.erase(prompt.ids.begin());
  }
  return prompt;
}

Prompt chat_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                   const Json& messages, const Json& variables) {
  return chat_prompt(tokenizer, chat_template, messages, RenderOptions{.extra = variables});
}

Prompt chat_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                   const Json& messages, const RenderOptions& options) {
  return rendered_prompt(tokenizer, chat_template, chat_template.render(messages, options));
}

Prompt rendered_prompt(const Tokenizer& tokenizer, const ChatTemplate& chat_template,
                       std::string_view text) {
  Prompt prompt;
  prompt.ids = tokenizer.encode(text, {.add_special = false, .parse_special = true});
  if (const auto tags = find_reasoning_tags(tokenizer, chat_template.source())) {
    prompt.parser.emplace(*tags, text);
    prompt.shown_ids = reasoning_tag_ids(*tags, tokenizer);
  }
  return prompt;
}

int most_tokens(std::optional<int> asked, int64_t context, size_t prompt_tokens) {
  constexpr int64_t kDefault = 512;
  if (asked && *asked != -1) return *asked;
  const int64_t left = context - static_cast<int64_t>(prompt_tokens);
  return static_cast<int>(
      std::clamp<int64_t>(left, 1, asked ? std::numeric_limits<int>::max() : kDefault));
}

Json user_messages(const std::string& system, const std::string& text) {
  Json messages = Json::array();
  if (!system.empty()) messages.push_back({{"role", "system"}, {"content", system}});
  messages.push_back({{"role", "user"}, {"content", text}});
  return messages;
}

std::unique_ptr<ChatTemplate> open_chat_template(const Checkpoint& checkpoint,
                                                 const std::string& asked, bool has_tools) {
  const ChatTemplates templates = read_chat_templates(checkpoint);
  if (asked.empty()) return templates.choose(has_tools);
  const std::vector<std::string> names = templates.names();
  if (std::find(names.begin(), names.end(), asked) != names.end()) {
    return std::make_unique<ChatTemplate>(templates.open(asked));
  }
  const bool is_source =
      asked.find("{{") != std::string::npos || asked.find("{%") != std::string::npos;
  if (is_source) {
    return std::make_unique<ChatTemplate>(templates.parse(asked, "of --chat-template"));
  }
  if (!is_there(asked)) {
    fail(ErrorCode::kNotFound,
         "--chat-template {}: neither a file nor a template of this model, which has {}", asked,
         names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", ")));
  }
  return std::make_unique<ChatTemplate>(templates.parse(read_text_file(asked), asked));
}

}  // namespace tq
