// Conversations: scenarios as a subject has gone through them, and what the checks say of its
// answers.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/evaluate.h"
#include "eval/chat_model.h"
#include "eval/scenario.h"

namespace tq {

struct CheckResult {
  std::string name;
  bool passed = false;
};

struct SaidTurn {
  std::string user;
  ChatAnswer answer;
  std::vector<CheckResult> checks;
};

struct Conversation {
  const Scenario* scenario = nullptr;
  uint64_t seed = 0;
  std::vector<SaidTurn> turns;  // as many as were answered
  std::string fault;            // why there are no more; empty: all were answered

  int64_t n_checks() const;
  int64_t n_passed() const;
};

struct SubjectOptions {
  double temperature = 0;
  std::vector<uint64_t> seeds = {1};  // a conversation each, of every scenario
  int64_t max_tokens = 512;           // of an answer
  int64_t max_turns = 0;              // of a scenario at most; 0: all it has
};

// Leads the subject through all scenarios, once for each seed: scenarios in their order, for each
// the seeds in theirs. The scenarios must outlive the result. A conversation ends at an answer that
// failed. `told` counts answers. Throws what ChatModel::run() throws.
std::vector<Conversation> converse(ChatModel& subject, std::span<const Scenario> scenarios,
                                   const SubjectOptions& options, const EvalProgress& told);

// The messages with which a subject is asked for its next answer.
Json messages_of(const Conversation& conversation, const std::string& user);

}  // namespace tq
