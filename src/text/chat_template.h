// ChatTemplate: a Jinja chat template, rendered by our interpreter (text/jinja) under limits on
// steps, depth and memory. ChatTemplates: those that a checkpoint's files hold. Immutable and
// thread safe after construction.
#pragma once

#include <ctime>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace tq {

struct RenderOptions {
  bool add_generation_prompt = true;
  Json tools;                   // null or an array in OpenAI's schema
  Json extra = Json::object();  // further variables: enable_thinking, ...
  std::time_t now = 0;          // for strftime_now; 0: the clock
};

class ChatTemplate {
 public:
  // where: the file, for messages ("chat_template.jinja"); special_tokens: variables of the
  // template such as bos_token and eos_token, which are "" where absent. Throws kUnsupported or
  // kCorrupt with file and line when the template does not parse.
  ChatTemplate(std::string_view source, std::string where, const Json& special_tokens);
  ~ChatTemplate();
  ChatTemplate(ChatTemplate&&) noexcept;

  const std::string& source() const;

  // messages: array of {"role","content",...}, passed on as they are (reasoning_content,
  // tool_calls, ...). Throws kInvalidArgument for raise_exception() and
  // for messages the template cannot render, kUnsupported past a limit; both name file and line.
  std::string render(const Json& messages, const RenderOptions& options = {}) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// The chat templates of a checkpoint. Several files may hold them; of one name the first of these
// counts: chat_template.jinja, additional_chat_templates/NAME.jinja, chat_template.json,
// tokenizer_config.json and processor_config.json ("chat_template": a string, or a list of
// {"name", "template"}, or an object of them by name).
class ChatTemplates {
 public:
  // The text of a small file of the checkpoint, or nothing.
  using ReadFile = std::function<std::optional<std::string>(std::string_view name)>;

  // names: of the checkpoint's files; folder: what messages put before them, "model/". Throws
  // kCorrupt naming the file.
  ChatTemplates(const std::vector<std::string>& names, const ReadFile& read,
                const std::string& folder = "");

  bool empty() const { return sources_.empty(); }
  std::vector<std::string> names() const;
  // The template of this name. Throws kNotFound with the names that there are.
  ChatTemplate open(std::string_view name) const;
  // As Hugging Face chooses: "tool_use" where there are tools and there is one, else "default".
  // Null when there is no template at all. Throws kInvalidArgument when the choice is not clear.
  std::unique_ptr<ChatTemplate> choose(bool has_tools) const;
  // A template from elsewhere, with this checkpoint's special tokens.
  ChatTemplate parse(std::string_view source, std::string where) const;

 private:
  struct Source {
    std::string name;
    std::string text;
    std::string where;
  };
  const Source* find(std::string_view name) const;
  void add(std::string name, std::string text, std::string where);
  void add_from(const Json& config, const std::string& file);

  std::vector<Source> sources_;
  Json special_tokens_ = Json::object();
};

}  // namespace tq
