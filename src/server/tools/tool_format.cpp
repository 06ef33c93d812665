#include "server/tools/tool_format.h"

#include "server/call.h"
#include "server/tools/call_finder.h"

namespace tq {

// The first that fits counts: several families write between the same tags.
const std::vector<const ToolFormat*>& tool_formats() {
  static const std::vector<const ToolFormat*> kFormats = {
      &kHarmonyFormat, &kGemmaFormat,   &kGlmFormat,   &kQwenXmlFormat,
      &kHermesFormat,  &kMistralFormat, &kLlamaFormat,
  };
  return kFormats;
}

const ToolFormat* find_tool_format(std::string_view chat_template) {
  for (const ToolFormat* format : tool_formats()) {
    if (format->is_of(chat_template)) return format;
  }
  return nullptr;
}

std::vector<int32_t> tool_tag_ids(const ToolFormat& format, const Tokenizer& tokenizer) {
  std::vector<int32_t> ids;
  for (const std::string_view tag : format.tags) {
    const auto id = tag.empty() ? std::nullopt : tokenizer.token_id(tag);
    if (id) ids.push_back(*id);
  }
  return ids;
}

std::unique_ptr<ToolParser> make_tool_parser(const ToolFormat& format, const Json& tools) {
  if (format.make != nullptr) return format.make();
  return std::make_unique<CallFinder>(format, tools);
}

std::string make_call_id(const ToolFormat& format) {
  if (format.n_id_letters == 0) return "call_" + random_name();
  return random_name().substr(0, format.n_id_letters);
}

}  // namespace tq
