// The toy as a model that calls tools: what it says can be chosen.
#pragma once

#include <fmt/format.h>

#include <map>
#include <set>
#include <string>
#include <vector>

#include "unit/server/served_toy.h"

namespace tq {

// Ids that stand for other texts than letters.
class SpokenTokenizer : public ToyTokenizer {
 public:
  std::string token_bytes(int32_t id) const override {
    const auto found = spoken.find(id);
    return found != spoken.end() ? found->second : ToyTokenizer::token_bytes(id);
  }
  std::map<int32_t, std::string> spoken;
};

class ApiTools : public ServedToy {
 protected:
  ApiTools() : ServedToy({}, 64, std::make_shared<SpokenTokenizer>()) {
    ServedModel model = served();
    model.tool_template = &tool_template_;
    api_->open_model(model);
  }
  // Lets the model say the texts to a prompt, and then something to stop at: returns the request.
  std::string let_say(const std::vector<std::string>& texts, const std::string& fields) {
    auto& spoken = static_cast<SpokenTokenizer&>(*tokenizer_).spoken;
    spoken.clear();
    for (char letter = 'a'; letter <= 'z'; ++letter) {
      const std::string prompt(1, letter);
      const auto ids =
          toy_greedy(tokenizer_->encode(prompt + " ", {}), static_cast<int>(texts.size()) + 1, 30);
      const std::set<int32_t> different(ids.begin(), ids.end());
      if (different.size() < ids.size() || different.count(ToyTokenizer::kSpecial) > 0) continue;
      for (size_t i = 0; i < texts.size(); ++i) spoken[ids[i]] = texts[i];
      return fmt::format(R"({{"messages":[{{"role":"user","content":"{}"}}],"max_tokens":50,)"
                         R"("stop_token_ids":[{}],{}}})",
                         prompt, ids.back(), fields);
    }
    ADD_FAILURE() << "the toy never says so many different tokens";
    return "{}";
  }

  ChatTemplate tool_template_{
      "{# writes <tool_call> #}{% for m in messages %}{{ m.content }} {% endfor %}", "toy",
      Json::object()};
  static constexpr const char* kTools = R"("tools":[{"type":"function","function":{"name":"f"}}])";
};

}  // namespace tq
