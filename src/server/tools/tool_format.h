// ToolFormat: how a family of models writes calls of tools in its answers. Each is a file of this
// folder, a declaration below and a row of the table in tool_format.cpp.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "server/tools/call_writer.h"
#include "server/tools/tool_parser.h"
#include "text/tokenizer.h"

namespace tq {

// What a format reads where a call may begin.
struct CallsRead {
  enum class Kind : uint8_t {
    kMore,   // it takes more text to know
    kNone,   // no call
    kCalls,  // one or several
  };
  Kind kind = Kind::kMore;
  size_t n_bytes = 0;  // of the calls; of kNone: that are text, at least 1
  std::vector<ToolCall> calls = {};
};

// Finds the end of a JSON object or array with which a text begins, by its brackets and quotes
// alone, while the text grows.
class JsonScan {
 public:
  // The length; npos when it goes on. What was looked at by an earlier call is not again.
  size_t length(std::string_view text);
  bool has_begun() const { return position_ > 0; }

 private:
  size_t position_ = 0;
  size_t depth_ = 0;
  bool in_string_ = false;
  bool escaped_ = false;
  bool ended_ = false;
};

// What a format remembers of a text that may be a call until there is more of it, so that reading
// takes time by its length, however often that grows. A new one for each opening.
struct CallProgress {
  size_t n_read = 0;               // bytes that need not be read again
  size_t n_searched = 0;           // behind those, where the end is not
  std::string name;                // of the tool; empty: not read yet
  std::optional<std::string> key;  // of the argument whose value comes
  Json arguments = Json::object();
  JsonScan json;
};

struct ToolFormat {
  std::string_view name;
  // Whether a chat template is one of this family.
  bool (*is_of)(std::string_view chat_template);
  // Texts with which calls begin; empty ones are none.
  std::array<std::string_view, 2> openings;
  // Letters with one of which every call ends: read() is not asked in between.
  std::string_view end_letters;
  // Reads the text, which starts with an opening. What it says of a text must be so of every longer
  // one, but kMore. at_end: there is no more, and kMore is as kNone. tools: as read_tools() gives
  // them. progress: what it made of shorter beginnings of the same text.
  CallsRead (*read)(std::string_view text, bool at_end, const Json& tools, CallProgress& progress);
  // Tokens that a detokenizer must not hide; empty ones are none.
  std::array<std::string_view, 7> tags;
  // One call, for answers that must be calls.
  GrammarExpr (*write)(CallWriter& writer, const ForcedTool& tool);
  // A text that may stand between two such calls.
  std::string_view between_calls = "";
  bool one_call_an_answer = false;
  // A further opening, which counts only where nothing but white space came before, or a call.
  std::string_view first_opening = {};
  // What may stand between two calls, besides white space.
  std::string_view separators = {};
  // Letters of a call's id, where templates insist on a number of them.
  size_t n_id_letters = 0;
  // Instead of read(): a parser of its own, which reads answers without tools, too.
  std::unique_ptr<ToolParser> (*make)() = nullptr;
};

// Rows of the table.
extern const ToolFormat kHermesFormat;
extern const ToolFormat kQwenXmlFormat;
extern const ToolFormat kGlmFormat;
extern const ToolFormat kGemmaFormat;
extern const ToolFormat kMistralFormat;
extern const ToolFormat kLlamaFormat;
extern const ToolFormat kHarmonyFormat;

const std::vector<const ToolFormat*>& tool_formats();
// By what the chat template writes; null for a family that is not known.
const ToolFormat* find_tool_format(std::string_view chat_template);

// The ids of its tags that are tokens: StreamDetokenizer must show them, special or not.
std::vector<int32_t> tool_tag_ids(const ToolFormat& format, const Tokenizer& tokenizer);

// For one answer. The format and the tools must outlive it.
std::unique_ptr<ToolParser> make_tool_parser(const ToolFormat& format, const Json& tools);

// An id for a call, as the format's templates take it back.
std::string make_call_id(const ToolFormat& format);

}  // namespace tq
