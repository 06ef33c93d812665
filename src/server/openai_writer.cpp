// The answers of OpenAI's chat and text completions.
#include <fmt/format.h>

#include <iterator>
#include <map>

#include "server/json_text.h"
#include "server/reply_writer.h"
#include "text/utf8.h"

namespace tq {
namespace {

std::string finish_json(const std::string& finish) {
  return finish.empty() ? "null" : json_string(finish);
}

std::string usage_json(const Usage& usage) {
  return fmt::format(R"({{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},)"
                     R"("prompt_tokens_details":{{"cached_tokens":{}}}}})",
                     usage.prompt_tokens, usage.completion_tokens,
                     usage.prompt_tokens + usage.completion_tokens, usage.cached_tokens);
}

// What is written between the braces of both kinds.
class OpenAiWriter : public ReplyWriter {
 public:
  OpenAiWriter(ReplyHead head, std::string_view object, std::string_view chunk)
      : head_(std::move(head)) {
    whole_ = fmt::format(R"({{"id":{},"object":"{}","created":{},"model":{})",
                         json_string(head_.id), object, head_.created, json_string(head_.model));
    chunk_ = fmt::format(R"(data: {{"id":{},"object":"{}","created":{},"model":{})",
                         json_string(head_.id), chunk, head_.created, json_string(head_.model));
  }

  std::string end(const Usage& usage) override {
    std::string out;
    if (head_.includes_usage) {
      out = fmt::format("{},\"choices\":[],\"usage\":{}}}\n\n", chunk_, usage_json(usage));
    }
    return out + "data: [DONE]\n\n";
  }

 protected:
  // A chunk of one choice; fields: of the choice.
  std::string chunk(size_t choice, std::string_view fields, const std::string& logprobs,
                    const std::string& finish) const {
    return fmt::format(R"({},"choices":[{{"index":{},{},"logprobs":{},"finish_reason":{}}}]{}}})"
                       "\n\n",
                       chunk_, choice, fields, logprobs, finish_json(finish),
                       head_.includes_usage ? ",\"usage\":null" : "");
  }
  std::string whole_answer(const std::string& choices, const Usage& usage) const {
    return fmt::format(R"({},"choices":[{}],"usage":{}}})", whole_, choices, usage_json(usage));
  }
  std::string bytes_of(int32_t id) const { return head_.tokenizer->token_bytes(id); }
  const ReplyHead& head() const { return head_; }

 private:
  ReplyHead head_;
  std::string whole_;
  std::string chunk_;
};

class ChatWriter : public OpenAiWriter {
 public:
  explicit ChatWriter(ReplyHead head)
      : OpenAiWriter(std::move(head), "chat.completion", "chat.completion.chunk") {}

  std::string begin(size_t choice) override {
    return chunk(choice, R"("delta":{"role":"assistant","content":""})", "null", "");
  }

  std::string deltas(size_t choice, std::span<const ReplyDelta> deltas,
                     std::span<const TokenAlternatives> logprobs) override {
    std::string out;
    std::string tokens = logprobs.empty() ? "null" : logprobs_json(logprobs);  // with the first
    for (const ReplyDelta& delta : deltas) {
      out += chunk(choice, "\"delta\":" + delta_json(delta), tokens, "");
      tokens = "null";
    }
    if (deltas.empty() && !logprobs.empty()) {
      out = chunk(choice, R"("delta":{"content":""})", tokens, "");
    }
    return out;
  }

  std::string finish(size_t choice, const ReplyChoice& whole) override {
    return chunk(choice, "\"delta\":{}", "null", whole.finish);
  }

  std::string whole(std::span<const ReplyChoice> choices, const Usage& usage) override {
    std::string out;
    for (size_t i = 0; i < choices.size(); ++i) {
      out += fmt::format(R"({}{{"index":{},"message":{},"logprobs":{},"finish_reason":{}}})",
                         i == 0 ? "" : ",", i, message_json(choices[i]),
                         head().has_logprobs ? logprobs_json(choices[i].logprobs) : "null",
                         finish_json(choices[i].finish));
    }
    return whole_answer(out, usage);
  }

 private:
  static std::string call_json(const IdentifiedCall& call) {
    return fmt::format(R"("id":{},"type":"function","function":{{"name":{},"arguments":{}}})",
                       json_string(call.id), json_string(call.call.name),
                       json_string(call.call.arguments));
  }

  static std::string delta_json(const ReplyDelta& delta) {
    switch (delta.kind) {
      case ReplyDelta::Kind::kText:
        return fmt::format(R"({{"content":{}}})", json_string(delta.text));
      case ReplyDelta::Kind::kReasoning:
        return fmt::format(R"({{"reasoning_content":{}}})", json_string(delta.text));
      case ReplyDelta::Kind::kCall:
        break;
    }
    return fmt::format(R"({{"tool_calls":[{{"index":{},{}}}]}})", delta.call_index,
                       call_json(delta.call));
  }

  static std::string message_json(const ReplyChoice& choice) {
    const std::string text = choice.text_of(ReplyDelta::Kind::kText);
    const std::string reasoning = choice.text_of(ReplyDelta::Kind::kReasoning);
    const bool only_calls = text.empty() && !choice.calls.empty();
    std::string out = R"({"role":"assistant","content":)";
    out += only_calls ? "null" : json_string(text);
    out += ",\"refusal\":null";
    if (!reasoning.empty()) out += ",\"reasoning_content\":" + json_string(reasoning);
    for (size_t i = 0; i < choice.calls.size(); ++i) {
      out += i == 0 ? ",\"tool_calls\":[{" : ",{";
      out += call_json(choice.calls[i]) + "}";
    }
    return out + (choice.calls.empty() ? "}" : "]}");
  }

  // Without the closing brace.
  std::string token_json(const TokenLogprob& token) const {
    const std::string bytes = bytes_of(token.id);
    std::string out = "{\"token\":" + json_string(bytes) + ",\"logprob\":";
    append_json_number(token.logprob, out);
    out += ",\"bytes\":[";
    for (size_t i = 0; i < bytes.size(); ++i) {
      fmt::format_to(std::back_inserter(out), "{}{}", i == 0 ? "" : ",",
                     static_cast<unsigned char>(bytes[i]));
    }
    return out + "]";
  }

  // null where none were asked for.
  std::string logprobs_json(std::span<const TokenAlternatives> logprobs) const {
    if (!head().has_logprobs) return "null";
    std::string out = "{\"content\":[";
    for (const TokenAlternatives& token : logprobs) {
      if (&token != logprobs.data()) out += ",";
      out += token_json(token[0]) + ",\"top_logprobs\":[";
      for (size_t i = 1; i < token.size(); ++i) {
        out += (i == 1 ? "" : ",") + token_json(token[i]) + "}";
      }
      out += "]}";
    }
    return out + "],\"refusal\":null}";
  }
};

class CompletionWriter : public OpenAiWriter {
 public:
  explicit CompletionWriter(ReplyHead head)
      : OpenAiWriter(std::move(head), "text_completion", "text_completion") {}

  std::string begin(size_t) override { return ""; }

  std::string deltas(size_t choice, std::span<const ReplyDelta> deltas,
                     std::span<const TokenAlternatives> logprobs) override {
    std::string text;
    for (const ReplyDelta& delta : deltas) text += delta.text;
    if (text.empty() && logprobs.empty()) return "";
    return chunk(choice, "\"text\":" + json_string(text), logprobs_json(choice, logprobs), "");
  }

  std::string finish(size_t choice, const ReplyChoice& whole) override {
    return chunk(choice, "\"text\":\"\"", "null", whole.finish);
  }

  std::string whole(std::span<const ReplyChoice> choices, const Usage& usage) override {
    std::string out;
    for (size_t i = 0; i < choices.size(); ++i) {
      out += fmt::format(R"({}{{"index":{},"text":{},"logprobs":{},"finish_reason":{}}})",
                         i == 0 ? "" : ",", i,
                         json_string(choices[i].text_of(ReplyDelta::Kind::kText)),
                         logprobs_json(i, choices[i].logprobs), finish_json(choices[i].finish));
    }
    return whole_answer(out, usage);
  }

 private:
  // Lists by token, and where each begins in the text, in characters.
  std::string logprobs_json(size_t choice, std::span<const TokenAlternatives> logprobs) {
    if (!head().has_logprobs) return "null";
    std::string names;
    std::string values;
    std::string best;
    std::string offsets;
    for (const TokenAlternatives& token : logprobs) {
      const char* comma = &token == logprobs.data() ? "" : ",";
      const std::string text = replace_invalid_utf8(bytes_of(token[0].id));
      names += comma + json_string(text);
      values += comma;
      append_json_number(token[0].logprob, values);
      best += comma + best_json(token);
      offsets += comma + std::to_string(offsets_[choice]);
      for (const char c : text) {
        if ((static_cast<unsigned char>(c) & 0xC0) != 0x80) ++offsets_[choice];
      }
    }
    return fmt::format(
        R"({{"tokens":[{}],"token_logprobs":[{}],"top_logprobs":[{}],"text_offset":[{}]}})", names,
        values, best, offsets);
  }

  // The most probable tokens by their text, which several may have: the first counts.
  std::string best_json(const TokenAlternatives& token) const {
    std::map<std::string, float> by_text;
    for (size_t i = 1; i < token.size(); ++i) {
      by_text.try_emplace(replace_invalid_utf8(bytes_of(token[i].id)), token[i].logprob);
    }
    std::string out;
    for (const auto& [text, logprob] : by_text) {
      out += (out.empty() ? "{" : ",") + json_string(text) + ":";
      append_json_number(logprob, out);
    }
    return out.empty() ? "{}" : out + "}";
  }

  std::map<size_t, int64_t> offsets_;
};

}  // namespace

std::unique_ptr<ReplyWriter> make_chat_writer(ReplyHead head) {
  return std::make_unique<ChatWriter>(std::move(head));
}

std::unique_ptr<ReplyWriter> make_completion_writer(ReplyHead head) {
  return std::make_unique<CompletionWriter>(std::move(head));
}

}  // namespace tq
