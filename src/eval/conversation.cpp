#include "eval/conversation.h"

#include <algorithm>

namespace tq {
namespace {

// Leads conversations side by side.
class Leader {
 public:
  Leader(ChatModel& subject, const SubjectOptions& options, const EvalProgress& told)
      : subject_(subject), options_(options), told_(told) {}

  std::vector<Conversation> lead(std::span<const Scenario> scenarios) {
    for (const Scenario& scenario : scenarios) {
      for (const uint64_t seed : options_.seeds) {
        conversations_.push_back({.scenario = &scenario, .seed = seed, .turns = {}, .fault = {}});
        total_ += n_turns(scenario);
      }
    }
    told_(0, total_);
    for (Conversation& conversation : conversations_) say(conversation);
    subject_.run();
    return std::move(conversations_);
  }

 private:
  int64_t n_turns(const Scenario& scenario) const {
    const auto n = static_cast<int64_t>(scenario.turns.size());
    return options_.max_turns > 0 ? std::min(n, options_.max_turns) : n;
  }

  void say(Conversation& conversation) {
    const size_t at = conversation.turns.size();
    const Turn& turn = conversation.scenario->turns[at];
    const std::string user = user_text(turn, at == 0 ? "" : conversation.turns.back().answer.text);
    ChatAsk ask{.messages = messages_of(conversation, user),
                .max_tokens = options_.max_tokens,
                .temperature = options_.temperature,
                .seed = conversation.seed};
    subject_.ask(std::move(ask), [this, &conversation, user](ChatAnswer answer) {
      hear(conversation, user, std::move(answer));
    });
  }

  void hear(Conversation& conversation, const std::string& user, ChatAnswer answer) {
    const Scenario& scenario = *conversation.scenario;
    const auto before = static_cast<int64_t>(conversation.turns.size());
    if (answer.fault != ChatFault::kNone) {
      conversation.fault = answer.message.empty() ? "no answer" : answer.message;
      done_ += n_turns(scenario) - before;
      return told_(done_, total_);
    }
    SaidTurn said{.user = user, .answer = std::move(answer), .checks = {}};
    for (const Check& check : scenario.turns[static_cast<size_t>(before)].checks) {
      said.checks.push_back({check.name, passes(check, said.answer.text)});
    }
    conversation.turns.push_back(std::move(said));
    told_(++done_, total_);
    if (before + 1 < n_turns(scenario)) say(conversation);
  }

  ChatModel& subject_;
  const SubjectOptions& options_;
  const EvalProgress& told_;
  std::vector<Conversation> conversations_;
  int64_t done_ = 0;
  int64_t total_ = 0;
};

}  // namespace

int64_t Conversation::n_checks() const {
  int64_t n = 0;
  for (const SaidTurn& turn : turns) n += static_cast<int64_t>(turn.checks.size());
  return n;
}

int64_t Conversation::n_passed() const {
  int64_t n = 0;
  for (const SaidTurn& turn : turns) {
    n += std::count_if(turn.checks.begin(), turn.checks.end(),
                       [](const CheckResult& check) { return check.passed; });
  }
  return n;
}

Json messages_of(const Conversation& conversation, const std::string& user) {
  Json messages = Json::array();
  if (!conversation.scenario->system.empty()) {
    messages.push_back({{"role", "system"}, {"content", conversation.scenario->system}});
  }
  for (const SaidTurn& turn : conversation.turns) {
    messages.push_back({{"role", "user"}, {"content", turn.user}});
    messages.push_back({{"role", "assistant"}, {"content", turn.answer.text}});
  }
  messages.push_back({{"role", "user"}, {"content", user}});
  return messages;
}

std::vector<Conversation> converse(ChatModel& subject, std::span<const Scenario> scenarios,
                                   const SubjectOptions& options, const EvalProgress& told) {
  return Leader(subject, options, told).lead(scenarios);
}

}  // namespace tq
