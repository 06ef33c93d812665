#include "text/chat_template.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "base/error.h"
#include "text/jinja/interpreter.h"

namespace tq {
namespace {

constexpr std::string_view kDefault = "default";
constexpr std::string_view kToolUse = "tool_use";

// Parser and interpreter begin their messages with this; they do not know the file.
constexpr std::string_view kPrefix = "chat template: ";

[[noreturn]] void rethrow_with_file(const Error& error, const std::string& where) {
  const std::string_view message = error.what();
  if (where.empty() || !message.starts_with(kPrefix)) throw error;
  fail(error.code(), "chat template {}: {}", where, message.substr(kPrefix.size()));
}

jinja::Block parse_template(std::string_view source, const std::string& where) {
  try {
    return jinja::parse(source);
  } catch (const Error& error) {
    rethrow_with_file(error, where);
  }
}

// A special token is a string or an object with "content"; empty: there is none.
std::string token_text(const Json& token) {
  if (token.is_string()) return token.get<std::string>();
  if (token.is_object() && token.contains("content") && token["content"].is_string()) {
    return token["content"].get<std::string>();
  }
  return "";
}

// Adds what a template sees of tokenizer_config.json or special_tokens_map.json.
void add_special_tokens(const Json& config, Json& tokens) {
  for (const char* name : {"bos_token", "eos_token", "unk_token", "sep_token", "pad_token",
                           "cls_token", "mask_token"}) {
    const std::string text = token_text(config.value(name, Json()));
    if (!text.empty() && !tokens.contains(name)) tokens[name] = text;
  }
  for (const char* list : {"extra_special_tokens", "model_specific_special_tokens"}) {
    const Json named = config.value(list, Json());
    if (!named.is_object()) continue;
    for (const auto& [name, token] : named.items()) {
      const std::string text = token_text(token);
      if (!text.empty() && !tokens.contains(name)) tokens[name] = text;
    }
  }
}

// About what a value would take as JSON text.
size_t json_bytes(const Json& json) {
  size_t bytes = 8;
  if (json.is_string()) bytes += json.get_ref<const std::string&>().size();
  if (!json.is_structured()) return bytes;
  for (const auto& [key, item] : json.items()) {
    bytes += (json.is_object() ? key.size() : 0) + json_bytes(item);
  }
  return bytes;
}

Json read_object(const ChatTemplates::ReadFile& read, const std::string& folder,
                 const std::string& file) {
  const auto text = read(file);
  if (!text || text->empty()) return Json::object();
  Json json = parse_json(*text, folder + file);
  if (!json.is_object()) fail(ErrorCode::kCorrupt, "{}{}: expected an object", folder, file);
  return json;
}

}  // namespace

struct ChatTemplate::Impl {
  std::string source;
  std::string where;
  jinja::Block block;
  Json special_tokens;
};

ChatTemplate::ChatTemplate(std::string_view source, std::string where, const Json& special_tokens)
    : impl_(std::make_unique<Impl>(
          Impl{std::string(source), where, parse_template(source, where), special_tokens})) {}
ChatTemplate::~ChatTemplate() = default;
ChatTemplate::ChatTemplate(ChatTemplate&&) noexcept = default;

const std::string& ChatTemplate::source() const { return impl_->source; }

std::string ChatTemplate::render(const Json& messages, const RenderOptions& options) const {
  using jinja::Value;
  if (!messages.is_array()) {
    fail(ErrorCode::kInvalidArgument, "chat template: messages must be an array");
  }
  jinja::Dict variables;
  const auto set = [&](const std::string& name, Value value) {
    variables.set(Value(name), std::move(value));
  };
  set("bos_token", Value(std::string()));
  set("eos_token", Value(std::string()));
  for (const auto& [name, token] : impl_->special_tokens.items())
    set(name, Value::from_json(token));
  set("messages", Value::from_json(messages));
  set("tools", Value::from_json(options.tools));
  set("documents", Value(nullptr));
  set("add_generation_prompt", Value(options.add_generation_prompt));
  for (const auto& [name, value] : options.extra.items()) set(name, Value::from_json(value));
  const size_t bytes = json_bytes(messages) + json_bytes(options.tools) + json_bytes(options.extra);
  jinja::Interpreter interpreter(jinja::limits_for_input(bytes),
                                 options.now != 0 ? options.now : std::time(nullptr));
  try {
    return interpreter.render(impl_->block, variables);
  } catch (const Error& error) {
    rethrow_with_file(error, impl_->where);
  }
}

ChatTemplates::ChatTemplates(const std::vector<std::string>& names, const ReadFile& read,
                             const std::string& folder) {
  constexpr std::string_view kFolder = "additional_chat_templates/";
  constexpr std::string_view kSuffix = ".jinja";
  const auto add_file = [&](std::string_view name, const std::string& file) {
    auto text = read(file);
    if (text && !text->empty()) add(std::string(name), std::move(*text), folder + file);
  };
  add_file(kDefault, "chat_template.jinja");
  for (const std::string& file : names) {
    if (!file.starts_with(kFolder) || !file.ends_with(kSuffix)) continue;
    const std::string_view name = std::string_view(file).substr(kFolder.size());
    add_file(name.substr(0, name.size() - kSuffix.size()), file);
  }
  for (const char* file :
       {"chat_template.json", "tokenizer_config.json", "processor_config.json"}) {
    const Json config = read_object(read, folder, file);
    add_from(config, folder + file);
    add_special_tokens(config, special_tokens_);
  }
  add_special_tokens(read_object(read, folder, "special_tokens_map.json"), special_tokens_);
}

void ChatTemplates::add_from(const Json& config, const std::string& file) {
  const Json templates = config.value("chat_template", Json());
  if (templates.is_string()) {
    add(std::string(kDefault), templates.get<std::string>(), file);
  } else if (templates.is_object()) {
    for (const auto& [name, text] : templates.items()) {
      if (text.is_string()) add(name, text.get<std::string>(), file);
    }
  } else if (templates.is_array()) {
    for (const Json& item : templates) {
      if (!item.is_object() || !item.value("name", Json()).is_string() ||
          !item.value("template", Json()).is_string()) {
        fail(ErrorCode::kCorrupt, "{}: chat_template: an entry without a name and a template",
             file);
      }
      add(item["name"].get<std::string>(), item["template"].get<std::string>(), file);
    }
  } else if (!templates.is_null()) {
    fail(ErrorCode::kCorrupt, "{}: chat_template is neither a text nor a list of them", file);
  }
}

void ChatTemplates::add(std::string name, std::string text, std::string where) {
  if (text.empty() || find(name) != nullptr) return;
  if (name != kDefault) where += fmt::format(" ({})", name);
  sources_.push_back({std::move(name), std::move(text), std::move(where)});
}

const ChatTemplates::Source* ChatTemplates::find(std::string_view name) const {
  const auto found = std::find_if(sources_.begin(), sources_.end(),
                                  [&](const Source& source) { return source.name == name; });
  return found == sources_.end() ? nullptr : &*found;
}

std::vector<std::string> ChatTemplates::names() const {
  std::vector<std::string> names;
  for (const Source& source : sources_) names.push_back(source.name);
  return names;
}

ChatTemplate ChatTemplates::parse(std::string_view source, std::string where) const {
  return ChatTemplate(source, std::move(where), special_tokens_);
}

ChatTemplate ChatTemplates::open(std::string_view name) const {
  const Source* source = find(name);
  if (source == nullptr) {
    fail(ErrorCode::kNotFound, "no chat template is called \"{}\"; there is {}", name,
         empty() ? "none" : fmt::format("{}", fmt::join(names(), ", ")));
  }
  return parse(source->text, source->where);
}

std::unique_ptr<ChatTemplate> ChatTemplates::choose(bool has_tools) const {
  if (empty()) return nullptr;
  const bool tool_use = has_tools && find(kToolUse) != nullptr;
  const Source* source = tool_use ? find(kToolUse) : find(kDefault);
  if (source == nullptr) {
    fail(ErrorCode::kInvalidArgument,
         "this model has several chat templates and none is the default: choose one of {}",
         fmt::join(names(), ", "));
  }
  return std::make_unique<ChatTemplate>(parse(source->text, source->where));
}

}  // namespace tq
