#include "eval/chat_model.h"

#include <chrono>

#include "base/ascii.h"
#include "base/error.h"

namespace tq {
namespace {

constexpr int64_t kMostCounted = int64_t{1} << 40;

}  // namespace

Json ChatAsk::json() const {
  Json out = {{"messages", messages},
              {"max_tokens", max_tokens},
              {"temperature", temperature},
              {"seed", temperature > 0 ? seed : 0}};  // greedy answers depend on none
  if (!schema.is_null()) out["schema"] = schema;
  return out;
}

Json ChatAnswer::json() const {
  Json out = {{"text", text}};
  if (!reasoning.empty()) out["reasoning"] = reasoning;
  if (fault != ChatFault::kNone) {
    out["fault"] = fault == ChatFault::kRefused ? "refused" : "failed";
    out["message"] = message;
  }
  out.update({{"cut", cut},
              {"prompt_tokens", prompt_tokens},
              {"output_tokens", output_tokens},
              {"began", began},
              {"seconds", seconds}});
  return out;
}

ChatAnswer read_chat_answer(const Json& json, const std::string& where) {
  try {
    ChatAnswer answer;
    answer.text = json.at("text").get<std::string>();
    answer.reasoning = json.value("reasoning", "");
    answer.cut = json.at("cut").get<bool>();
    answer.prompt_tokens = json_integer(json.at("prompt_tokens"), 0, kMostCounted).value();
    answer.output_tokens = json_integer(json.at("output_tokens"), 0, kMostCounted).value();
    answer.began = json.at("began").get<double>();
    answer.seconds = json.at("seconds").get<double>();
    return answer;
  } catch (const std::exception&) {
    fail(ErrorCode::kCorrupt, "{}: this is no answer: {}", where, json_for_message(json));
  }
}

void split_off_reasoning(ChatAnswer& answer) {
  constexpr std::string_view kOpen = "<think>";
  constexpr std::string_view kClose = "</think>";
  const std::string_view text = trim(answer.text);
  const size_t close = text.find(kClose);
  // Without the opening tag, which a template may have written, only what is closed is reasoning.
  if (!text.starts_with(kOpen) && close == std::string_view::npos) return;
  std::string_view inside = text.substr(0, close);
  if (inside.starts_with(kOpen)) inside.remove_prefix(kOpen.size());
  std::string answered;
  if (close != std::string_view::npos) answered = trim(text.substr(close + kClose.size()));
  if (!answer.reasoning.empty()) answer.reasoning += '\n';
  answer.reasoning += trim(inside);
  answer.text = std::move(answered);
}

double unix_now() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace tq
