// The judge's part: scores of conversations, and preferences between two. Each is asked for in two
// orders, so that what a judge owes to an order alone does not count; an answer that cannot be read
// is asked for again.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "eval/judge_prompt.h"

namespace tq {

struct JudgeOptions {
  int64_t max_tokens = 1024;  // of a judge's answer, reasoning included
  int64_t most_reason = 200;  // characters of a reason
  int orders = 2;             // 1 or 2
  int tries = 3;              // for an answer that can be read
};

// What a judge says of one conversation.
struct Judgement {
  // For each order its verdicts, in the order of the scenario's criteria; none of them when there
  // is a fault, or nothing to be judged.
  std::vector<std::vector<Verdict>> orders;
  std::string fault;

  bool is_complete() const { return fault.empty() && !orders.empty(); }
  // Of a criterion, by its place in the scenario, over the orders.
  double score(size_t criterion) const;
  // Over criteria and orders.
  double mean() const;
};

// Scores all conversations. One that has a fault of its own, or no criteria, is not judged. Throws
// what ChatModel::run() throws.
std::vector<Judgement> judge_scores(ChatModel& judge, std::span<const Conversation> conversations,
                                    const JudgeOptions& options, const EvalProgress& told);

// How one pair went: a is the first subject's.
struct PairJudgement {
  std::vector<PairVerdict> orders;  // as the judge said it: a stood first, then b did
  std::string fault;

  bool is_complete() const { return fault.empty() && !orders.empty(); }
  // 1: a is better, 0: b is, 0.5: a tie. With two orders only what holds in both counts: a verdict
  // that turns round with the order is a tie (as MT-Bench does, Zheng et al. 2023).
  double points() const;
  bool is_order_bound() const;  // the verdict turned round
};

// Compares a[i] with b[i], which are of the same scenario.
std::vector<PairJudgement> judge_pairs(ChatModel& judge, std::span<const Conversation> a,
                                       std::span<const Conversation> b, const JudgeOptions& options,
                                       const EvalProgress& told);

}  // namespace tq
