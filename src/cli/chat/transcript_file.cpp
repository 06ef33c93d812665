#include "cli/chat/transcript_file.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/file.h"

namespace tq {
namespace {

void check_message(const Json& message, size_t number, const std::string& path) {
  constexpr std::array<std::string_view, 5> kRoles = {"system", "developer", "user", "assistant",
                                                      "tool"};
  const auto refuse = [&](const std::string& why) {
    fail(ErrorCode::kCorrupt, "{}: message {}: {}", path, number, why);
  };
  if (!message.is_object()) refuse("not an object with role and content");
  const auto role = message.find("role");
  if (role == message.end() || !role->is_string()) refuse("it has no role");
  const auto& name = role->get_ref<const std::string&>();
  if (std::find(kRoles.begin(), kRoles.end(), name) == kRoles.end()) {
    refuse("role '" + name + "' is none of system, developer, user, assistant, tool");
  }
  const auto content = message.find("content");
  const bool has_content = content != message.end() && !content->is_null();
  if (!has_content && !message.contains("tool_calls")) refuse("it has no content");
  if (has_content && !content->is_string() && !content->is_array()) {
    refuse("its content is neither a text nor a list of parts");
  }
}

}  // namespace

Json read_transcript(const std::string& path) {
  Json json = parse_json(read_text_file(path), path);
  if (json.is_object()) {
    const auto found = json.find("messages");
    if (found == json.end()) fail(ErrorCode::kCorrupt, "{}: an object without messages", path);
    json = Json(*found);
  }
  if (!json.is_array()) fail(ErrorCode::kCorrupt, "{}: not a list of messages", path);
  for (size_t i = 0; i < json.size(); ++i) check_message(json[i], i + 1, path);
  return json;
}

void write_transcript(const std::string& path, std::string_view model, const Json& messages) {
  std::error_code error;
  if (fs::exists(fs::symlink_status(path, error))) {
    try {
      if (!fs::is_regular_file(path, error)) fail(ErrorCode::kInvalidArgument, "not a file");
      read_transcript(path);
    } catch (const Error&) {
      fail(ErrorCode::kInvalidArgument,
           "{} exists and is not a saved conversation: choose another name", path);
    }
  }
  const Json json = {{"model", std::string(model)}, {"messages", messages}};
  write_file_atomic(path, json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n");
}

}  // namespace tq
