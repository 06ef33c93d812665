#include "loadgen/dataset.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/ascii.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "text/utf8.h"

namespace tq {
namespace {

constexpr size_t kLongWord = 64;  // which is cut

// The text of a message: a string, or parts of type text.
std::string content_of(const Json& content, const std::string& name) {
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) fail(ErrorCode::kCorrupt, "{}: a message has no text", name);
  std::string text;
  for (const Json& part : content) {
    if (!part.is_object() || part.value("type", Json()) != "text" ||
        !part.value("text", Json()).is_string()) {
      fail(ErrorCode::kCorrupt, "{}: a part of a message is no text: {}", name,
           json_for_message(part));
    }
    text += part["text"].get_ref<const std::string&>();
  }
  return text;
}

LoadConversation conversation_of(const Json& json, const std::string& name) {
  LoadConversation out;
  if (!json.is_object()) {
    fail(ErrorCode::kCorrupt, "{}: {} is no conversation", name, json_for_message(json));
  }
  const bool share_gpt = json.contains("conversations");
  if (!share_gpt && !json.contains("messages")) {
    const Json prompt = json.value("prompt", Json());
    if (!prompt.is_string()) {
      fail(ErrorCode::kCorrupt, "{}: there is neither conversations nor messages nor prompt", name);
    }
    out.turns.push_back({.text = prompt.get<std::string>()});
    return out;
  }
  const Json& messages = json[share_gpt ? "conversations" : "messages"];
  if (!messages.is_array()) fail(ErrorCode::kCorrupt, "{}: the messages are no list", name);
  for (const Json& message : messages) {
    const Json role =
        message.is_object() ? message.value(share_gpt ? "from" : "role", Json()) : Json();
    if (!role.is_string()) {
      fail(ErrorCode::kCorrupt, "{}: {} is no message", name, json_for_message(message));
    }
    if (role == "user" || role == "human") {
      out.turns.push_back(
          {.text = content_of(message.value(share_gpt ? "value" : "content", Json()), name)});
    } else if (role == "system" || role == "developer") {
      out.system = content_of(message.value(share_gpt ? "value" : "content", Json()), name);
    }
  }
  if (out.turns.empty()) fail(ErrorCode::kCorrupt, "{}: no user says anything", name);
  return out;
}

std::vector<LoadConversation> read_list(std::string_view text, const std::string& path,
                                        size_t most) {
  std::vector<LoadConversation> out;
  const Json list = parse_json(text, path);
  if (!list.is_array()) fail(ErrorCode::kCorrupt, "{}: not a list of conversations", path);
  for (const Json& item : list) {
    if (out.size() == most) break;
    out.push_back(conversation_of(item, fmt::format("{}: entry {}", path, out.size())));
  }
  return out;
}

std::vector<LoadConversation> read_lines(std::string_view text, const std::string& path,
                                         size_t most) {
  std::vector<LoadConversation> out;
  for (size_t number = 1; !text.empty() && out.size() < most; ++number) {
    const size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = trim(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
    if (!line.empty()) out.push_back(read_conversation(line, fmt::format("{}:{}", path, number)));
  }
  return out;
}

std::vector<LoadConversation> cut_text(std::string_view text, size_t most, size_t prompt_bytes) {
  std::vector<LoadConversation> out;
  while (out.size() < most && !(text = trim(text)).empty()) {
    size_t end = std::min(std::max<size_t>(prompt_bytes, 1), text.size());
    // To the end of the word; of one without an end, of the character.
    const size_t blank = std::min(text.find_first_of(kWhiteSpace, end), text.size());
    if (blank < end + kLongWord) {
      end = blank;
    } else {
      while (end < text.size() && (text[end] & 0xc0) == 0x80) ++end;
    }
    LoadConversation conversation;
    conversation.turns.push_back({.text = replace_invalid_utf8(trim(text.substr(0, end)))});
    out.push_back(std::move(conversation));
    text.remove_prefix(end);
  }
  return out;
}

}  // namespace

LoadConversation read_conversation(std::string_view line, const std::string& name) {
  return conversation_of(parse_json(line, name), name);
}

std::vector<LoadConversation> read_dataset(const std::string& path, size_t most,
                                           size_t prompt_bytes) {
  const MappedFile file(path);
  const std::string_view text(reinterpret_cast<const char*>(file.bytes().data()),
                              file.bytes().size());
  const size_t first = text.find_first_not_of(kWhiteSpace);
  std::vector<LoadConversation> out;
  if (first != std::string_view::npos && text[first] == '{') {
    out = read_lines(text, path, most);
  } else if (first != std::string_view::npos && text[first] == '[') {
    out = read_list(text, path, most);
  } else {
    out = cut_text(text, most, prompt_bytes);
  }
  if (out.empty()) fail(ErrorCode::kCorrupt, "{}: there is no prompt in it", path);
  return out;
}

}  // namespace tq
