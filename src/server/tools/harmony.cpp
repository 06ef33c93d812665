// gpt-oss: an answer is a row of messages, whose channels say what they are.
//   <|channel|>analysis<|message|>REASONING<|end|>
//   <|start|>assistant<|channel|>commentary to=functions.f
//   <|constrain|>json<|message|>{"x":1}<|call|>
//   <|start|>assistant<|channel|>final<|message|>ANSWER<|return|>
// The receiver may stand before the channel, too. Headers that cannot be read are text.
#include <algorithm>
#include <utility>

#include "base/overlap.h"
#include "server/tools/read_text.h"

namespace tq {
namespace {

constexpr std::string_view kStartTag = "<|start|>";
constexpr std::string_view kChannelTag = "<|channel|>";
constexpr std::string_view kMessageTag = "<|message|>";
constexpr std::string_view kEndTag = "<|end|>";
constexpr std::string_view kCallTag = "<|call|>";
constexpr std::string_view kReturnTag = "<|return|>";
constexpr std::string_view kConstrainTag = "<|constrain|>";
constexpr size_t kMostHeader = 512;

class HarmonyParser : public ToolParser {
 public:
  std::vector<ToolPiece> push(std::string_view text) override {
    held_ += text;
    std::vector<ToolPiece> pieces;
    while (advance(false, pieces)) {
    }
    return pieces;
  }
  std::vector<ToolPiece> finish() override {
    std::vector<ToolPiece> pieces;
    while (advance(true, pieces)) {
    }
    return pieces;
  }

 private:
  enum class State : uint8_t { kBetween, kHeader, kBody };
  enum class Body : uint8_t { kText, kReasoning, kCall };

  // Where the first of the tags stands; npos: nowhere.
  static size_t find_first(std::string_view text, std::initializer_list<std::string_view> tags,
                           size_t from = 0) {
    size_t first = std::string_view::npos;
    for (const std::string_view tag : tags) first = std::min(first, text.find(tag, from));
    return first;
  }
  // From the front of what is held.
  void drop(size_t n_bytes) {
    held_.erase(0, n_bytes);
    n_searched_ = 0;
  }

  bool advance(bool at_end, std::vector<ToolPiece>& pieces) {
    switch (state_) {
      case State::kBetween:
        return begin_message(at_end);
      case State::kHeader:
        return read_header(at_end);
      case State::kBody:
        return read_body(at_end, pieces);
    }
    return false;
  }

  // What begins without a header is text.
  bool begin_message(bool at_end) {
    TextReader reader(held_, at_end);
    reader.skip(n_searched_);
    reader.skip_white_space();
    n_searched_ = reader.position();
    if (reader.rest().empty()) {
      if (at_end) drop(held_.size());
      return false;
    }
    bool more = false;
    for (const std::string_view tag : {kStartTag, kChannelTag, kMessageTag}) {
      const TextReader::Has has = reader.starts_with(tag);
      if (has == TextReader::Has::kYes) {
        drop(reader.position());
        state_ = State::kHeader;
        return true;
      }
      more |= has == TextReader::Has::kMore;
    }
    if (more) return false;
    begin_body(Body::kText, "");
    return true;
  }

  bool read_header(bool at_end) {
    const std::string_view limited = std::string_view(held_).substr(0, kMostHeader);
    const size_t message = limited.find(kMessageTag);
    const size_t broken = find_first(limited, {kEndTag, kCallTag, kReturnTag});
    if (message == std::string_view::npos || broken < message) {
      if (broken == std::string_view::npos && held_.size() < kMostHeader && !at_end) return false;
      drop(held_.find('>') + 1);  // its tag, which begins no header again
      begin_body(Body::kText, "");
      return true;
    }
    const std::string header = held_.substr(0, message + kMessageTag.size());
    drop(header.size());
    constexpr std::string_view kTo = "to=functions.";
    call_name_.clear();
    if (const size_t to = header.find(kTo); to != std::string::npos) {
      const size_t begin = to + kTo.size();
      call_name_ = header.substr(begin, header.find_first_of(" \t\r\n<", begin) - begin);
    }
    const size_t channel = header.find(kChannelTag);
    const std::string_view named =
        channel == std::string::npos
            ? ""
            : std::string_view(header).substr(channel + kChannelTag.size());
    const bool reasons = trim(named).starts_with("analysis");
    begin_body(!call_name_.empty() ? Body::kCall
               : reasons           ? Body::kReasoning
                                   : Body::kText,
               header);
    return true;
  }

  void begin_body(Body body, const std::string& header) {
    state_ = State::kBody;
    body_ = body;
    header_ = header;
    begins_ = true;
    n_searched_ = 0;
  }

  bool read_body(bool at_end, std::vector<ToolPiece>& pieces) {
    const size_t end =
        find_first(held_, {kEndTag, kCallTag, kReturnTag, kStartTag, kChannelTag}, n_searched_);
    const bool ended = end != std::string::npos;
    if (body_ == Body::kCall) {
      if (!ended && !at_end) {
        n_searched_ = held_.size() - n_held_back();
        return false;
      }
      give_call(held_.substr(0, end), pieces);
      drop(std::min(end, held_.size()));
    } else {
      const size_t certain = ended ? end : at_end ? held_.size() : held_.size() - n_held_back();
      give(held_.substr(0, certain), pieces);
      drop(certain);
    }
    if (!ended) return false;
    for (const std::string_view tag : {kEndTag, kCallTag, kReturnTag}) {
      if (held_.starts_with(tag)) drop(tag.size());
    }
    state_ = State::kBetween;
    return true;
  }

  // How much at the end may be the beginning of a tag.
  size_t n_held_back() const {
    size_t most = 0;
    for (const std::string_view tag : {kEndTag, kCallTag, kReturnTag, kStartTag, kChannelTag}) {
      most = std::max(most, overlap_of(held_, tag));
    }
    return most;
  }

  void give_call(const std::string& body, std::vector<ToolPiece>& pieces) {
    const auto json = read_json(trim(body).empty() ? "{}" : trim(body));
    if (json && json->is_object()) {
      pieces.push_back({.call = ToolCall{call_name_, json_line(*json)}});
    } else {
      body_ = Body::kText;
      give(header_ + body, pieces);
    }
  }

  // Messages of one kind are a line each.
  void give(std::string text, std::vector<ToolPiece>& pieces) {
    if (text.empty()) return;
    const bool reasoning = body_ == Body::kReasoning;
    bool& before = reasoning ? reasoned_ : answered_;
    if (std::exchange(begins_, false) && before) text.insert(0, "\n");
    before = true;
    pieces.push_back({.text = std::move(text), .is_reasoning = reasoning});
  }

  State state_ = State::kBetween;
  Body body_ = Body::kText;
  std::string header_;     // of the message
  std::string call_name_;  // of a call
  bool begins_ = false;    // the message gave nothing yet
  bool reasoned_ = false;  // some reasoning was given
  bool answered_ = false;  // likewise text
  std::string held_;       // not given out yet
  size_t n_searched_ = 0;  // of it, where nothing is that is looked for now
};

// With what is reasoned before it.
GrammarExpr write_harmony(CallWriter& writer, const ForcedTool& tool) {
  const GrammarExpr reasoning =
      writer.sequence({writer.tag(kChannelTag), writer.text("analysis"), writer.tag(kMessageTag),
                       writer.text_without(kEndTag), writer.tag(kEndTag), writer.tag(kStartTag),
                       writer.text("assistant")});
  return writer.sequence({writer.builder().optional(reasoning), writer.tag(kChannelTag),
                          writer.text("commentary to=functions." + tool.name + " "),
                          writer.tag(kConstrainTag), writer.text("json"), writer.tag(kMessageTag),
                          writer.json(tool.parameters)});
}

bool is_harmony(std::string_view chat_template) {
  return chat_template.find(kChannelTag) != std::string_view::npos &&
         chat_template.find(kMessageTag) != std::string_view::npos;
}

std::unique_ptr<ToolParser> make_harmony() { return std::make_unique<HarmonyParser>(); }

}  // namespace

const ToolFormat kHarmonyFormat = {
    .name = "harmony",
    .is_of = is_harmony,
    .openings = {},
    .end_letters = "",
    .read = nullptr,
    .tags = {kStartTag, kChannelTag, kMessageTag, kEndTag, kCallTag, kReturnTag, kConstrainTag},
    .write = write_harmony,
    .one_call_an_answer = true,  // its last token ends it
    .make = make_harmony,
};

}  // namespace tq
