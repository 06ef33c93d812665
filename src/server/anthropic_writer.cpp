#include <fmt/format.h>

#include <utility>

#include "server/anthropic.h"
#include "server/json_text.h"

namespace tq {
namespace {

std::string event(std::string_view type, std::string_view fields) {
  return fmt::format("event: {0}\ndata: {{\"type\":\"{0}\"{1}}}\n\n", type, fields);
}

// Tokens that were cached do not count as input there.
std::string messages_usage_json(const Usage& usage) {
  return fmt::format(
      R"({{"input_tokens":{},"cache_creation_input_tokens":0,"cache_read_input_tokens":{},)"
      R"("output_tokens":{}}})",
      usage.prompt_tokens - usage.cached_tokens, usage.cached_tokens, usage.completion_tokens);
}

// Why an answer ended, and the stop text if one did.
std::string stop_json(const ReplyChoice& choice) {
  std::string_view reason = choice.stop_text.empty() ? "end_turn" : "stop_sequence";
  if (choice.finish == "tool_calls") reason = "tool_use";
  if (choice.finish == "length") reason = "max_tokens";
  return fmt::format(R"("stop_reason":"{}","stop_sequence":{})", reason,
                     reason == "stop_sequence" ? json_string(choice.stop_text) : "null");
}

std::string tool_use_json(const IdentifiedCall& call, const std::string& input) {
  return fmt::format(R"({{"type":"tool_use","id":{},"name":{},"input":{}}})", json_string(call.id),
                     json_string(call.call.name), input);
}

class MessagesWriter : public ReplyWriter {
 public:
  MessagesWriter(ReplyHead head, int64_t n_prompt) : head_(std::move(head)), n_prompt_(n_prompt) {}

  std::string begin(size_t) override {
    return event("message_start",
                 ",\"message\":" + message_json("", R"("stop_reason":null,"stop_sequence":null)",
                                                {n_prompt_, 0, 0}));
  }

  std::string deltas(size_t, std::span<const ReplyDelta> deltas,
                     std::span<const TokenAlternatives>) override {
    std::string out;
    for (const ReplyDelta& delta : deltas) {
      switch (delta.kind) {
        case ReplyDelta::Kind::kText:
          out += enter(Block::kText, R"({"type":"text","text":""})");
          out += block_delta(R"("type":"text_delta","text":)" + json_string(delta.text));
          break;
        case ReplyDelta::Kind::kReasoning:
          out += enter(Block::kThinking, R"({"type":"thinking","thinking":"","signature":""})");
          out += block_delta(R"("type":"thinking_delta","thinking":)" + json_string(delta.text));
          break;
        case ReplyDelta::Kind::kCall:
          out += enter(Block::kCall, tool_use_json(delta.call, "{}"));
          out += block_delta(R"("type":"input_json_delta","partial_json":)" +
                             json_string(delta.call.call.arguments));
          out += leave();
          break;
      }
    }
    return out;
  }

  std::string finish(size_t, const ReplyChoice& whole) override {
    stop_ = stop_json(whole);
    return leave();
  }

  std::string end(const Usage& usage) override {
    return event("message_delta",
                 fmt::format(R"(,"delta":{{{}}},"usage":{})", stop_, messages_usage_json(usage))) +
           event("message_stop", "");
  }

  std::string error(const ApiError& error) override {
    return "event: error\ndata: " + messages_error_json(error) + "\n\n";
  }

  std::string whole(std::span<const ReplyChoice> choices, const Usage& usage) override {
    const ReplyChoice& choice = choices[0];
    std::string blocks;
    const auto add = [&](const std::string& block) {
      blocks += (blocks.empty() ? "" : ",") + block;
    };
    for (const ReplyDelta& part : choice.parts) {
      switch (part.kind) {
        case ReplyDelta::Kind::kReasoning:
          add(fmt::format(R"({{"type":"thinking","thinking":{},"signature":""}})",
                          json_string(part.text)));
          break;
        case ReplyDelta::Kind::kText:
          add(fmt::format(R"({{"type":"text","text":{}}})", json_string(part.text)));
          break;
        case ReplyDelta::Kind::kCall:
          add(tool_use_json(part.call, part.call.call.arguments));
          break;
      }
    }
    return message_json(blocks, stop_json(choice), usage);
  }

 private:
  enum class Block : uint8_t { kNone, kText, kThinking, kCall };

  std::string message_json(const std::string& blocks, const std::string& stop,
                           const Usage& usage) const {
    return fmt::format(R"({{"id":{},"type":"message","role":"assistant","model":{},"content":[{}],)"
                       R"({},"usage":{}}})",
                       json_string(head_.id), json_string(head_.model), blocks, stop,
                       messages_usage_json(usage));
  }

  // Begins a block unless it is the one that is open.
  std::string enter(Block block, const std::string& content) {
    if (block_ == block) return "";
    std::string out = leave();
    block_ = block;
    return out + event("content_block_start",
                       fmt::format(",\"index\":{},\"content_block\":{}", n_blocks_, content));
  }
  std::string leave() {
    if (block_ == Block::kNone) return "";
    block_ = Block::kNone;
    return event("content_block_stop", fmt::format(",\"index\":{}", n_blocks_++));
  }
  std::string block_delta(const std::string& fields) const {
    return event("content_block_delta",
                 fmt::format(",\"index\":{},\"delta\":{{{}}}", n_blocks_, fields));
  }

  ReplyHead head_;
  int64_t n_prompt_;
  Block block_ = Block::kNone;
  size_t n_blocks_ = 0;  // that are closed
  std::string stop_;     // as stop_json() has it
};

}  // namespace

bool is_messages_path(std::string_view path) { return path.starts_with("/v1/messages"); }

std::string messages_error_json(const ApiError& error) {
  return R"({"type":"error",)" + error_json(error).substr(1);
}

std::unique_ptr<ReplyWriter> make_messages_writer(ReplyHead head, int64_t n_prompt) {
  return std::make_unique<MessagesWriter>(std::move(head), n_prompt);
}

}  // namespace tq
