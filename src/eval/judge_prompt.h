// What a judge is asked, and what its answers say. The record of a conversation goes to the judge
// as JSON in which nothing that the subject wrote can look like anything else than a string: see
// record_of(). Pure functions.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "eval/conversation.h"

namespace tq {

// One criterion's verdict.
struct Verdict {
  std::string criterion;
  int score = 0;  // 1 to 5
  std::string reason;
};

enum class Preference { kFirst, kSecond, kTie };

struct PairVerdict {
  Preference preference = Preference::kTie;
  std::string reason;
};

// Criteria in the order that the judge is asked for.
enum class CriteriaOrder { kGiven, kReversed };

// The conversation as one line of JSON: {"system": ..., "turns": [{"user", "assistant"}, ...]}.
// Every character with which a special token, a tag or a fence of some model's template could begin
// is written as an escape of JSON (\u003c for '<'), so that the line has no such text, no line
// break and no quote that ends a string early. It reads back as what was said.
std::string record_of(const Conversation& conversation);

// Messages and schema for a score of each criterion. most_reason: characters of a reason at most.
Json judge_messages(const Conversation& conversation, CriteriaOrder order);
Json judge_schema(const Scenario& scenario, CriteriaOrder order, int64_t most_reason);

// The same for two conversations of one scenario, of which the judge is not told whose they are.
Json pair_messages(const Conversation& first, const Conversation& second);
Json pair_schema(int64_t most_reason);

// What an answer says; nothing where it is not what the schema asks for, whether the judge's
// program could hold it to that or not. In the order of the scenario's criteria.
std::optional<std::vector<Verdict>> read_verdicts(const std::string& answer,
                                                  const Scenario& scenario);
std::optional<PairVerdict> read_pair_verdict(const std::string& answer);

// What to say to a judge whose answer could not be read.
std::string ask_again_text();

}  // namespace tq
