#include "eval/judge.h"

#include <fmt/format.h>

#include <functional>
#include <memory>
#include <utility>

#include "base/error.h"

namespace tq {
namespace {

constexpr size_t kShownAnswer = 200;

// One question to a judge, asked until its answer can be read.
struct Question {
  std::function<bool(const std::string&)> read;       // false: it cannot be
  std::function<void(const std::string& fault)> end;  // empty: it was read
};

// Puts questions to a judge, and counts what is done.
class Court {
 public:
  Court(ChatModel& judge, const JudgeOptions& options, const EvalProgress& told)
      : judge_(judge), options_(options), told_(told) {}

  void ask(Json messages, Json schema, Question question) {
    ++total_;
    put(std::move(messages), std::move(schema), 1, std::make_shared<Question>(std::move(question)));
  }
  void run() {
    told_(done_, total_);
    judge_.run();
  }

 private:
  void put(Json messages, Json schema, int attempt, std::shared_ptr<Question> question) {
    ChatAsk ask{.messages = messages, .max_tokens = options_.max_tokens, .schema = schema};
    judge_.ask(std::move(ask), [this, messages = std::move(messages), schema = std::move(schema),
                                attempt, question](ChatAnswer answer) {
      if (answer.fault == ChatFault::kNone && question->read(answer.text)) {
        return end(*question, "");
      }
      const bool may_try_again = answer.fault != ChatFault::kFailed && attempt < options_.tries;
      if (!may_try_again) return end(*question, fault_text(answer));
      Json again = messages;
      // A template may refuse an answer that is empty.
      again.push_back(
          {{"role", "assistant"}, {"content", answer.text.empty() ? "-" : answer.text}});
      again.push_back({{"role", "user"}, {"content", ask_again_text()}});
      put(std::move(again), schema, attempt + 1, question);
    });
  }

  void end(const Question& question, const std::string& fault) {
    question.end(fault);
    told_(++done_, total_);
  }

  static std::string fault_text(const ChatAnswer& answer) {
    if (answer.fault == ChatFault::kFailed) return "the judge failed: " + answer.message;
    if (answer.fault == ChatFault::kRefused) return "the judge refused: " + answer.message;
    return fmt::format("the judge's answer {} cannot be read{}",
                       json_for_message(answer.text.substr(0, kShownAnswer)),
                       answer.cut ? ", as it is cut" : "");
  }

  ChatModel& judge_;
  const JudgeOptions& options_;
  const EvalProgress& told_;
  int64_t done_ = 0;
  int64_t total_ = 0;
};

constexpr CriteriaOrder kOrders[] = {CriteriaOrder::kGiven, CriteriaOrder::kReversed};

// From what the judge called A and B to the subjects: in the second order they are swapped.
double points_of(Preference preference, bool swapped) {
  if (preference == Preference::kTie) return 0.5;
  return (preference == Preference::kFirst) != swapped ? 1 : 0;
}

}  // namespace

double Judgement::score(size_t criterion) const {
  double sum = 0;
  for (const auto& verdicts : orders) sum += verdicts[criterion].score;
  return sum / static_cast<double>(orders.size());
}

double Judgement::mean() const {
  double sum = 0;
  const size_t n = orders.front().size();
  for (size_t i = 0; i < n; ++i) sum += score(i);
  return sum / static_cast<double>(n);
}

std::vector<Judgement> judge_scores(ChatModel& judge, std::span<const Conversation> conversations,
                                    const JudgeOptions& options, const EvalProgress& told) {
  std::vector<Judgement> out(conversations.size());
  Court court(judge, options, told);
  for (size_t i = 0; i < conversations.size(); ++i) {
    const Conversation& conversation = conversations[i];
    const Scenario& scenario = *conversation.scenario;
    if (!conversation.fault.empty() || scenario.criteria.empty()) continue;
    out[i].orders.resize(static_cast<size_t>(options.orders));
    for (size_t o = 0; o < out[i].orders.size(); ++o) {
      Judgement& judgement = out[i];
      court.ask(judge_messages(conversation, kOrders[o]),
                judge_schema(scenario, kOrders[o], options.most_reason),
                {.read =
                     [&judgement, &scenario, o](const std::string& answer) {
                       auto verdicts = read_verdicts(answer, scenario);
                       if (!verdicts) return false;
                       judgement.orders[o] = std::move(*verdicts);
                       return true;
                     },
                 .end =
                     [&judgement](const std::string& fault) {
                       if (!fault.empty()) judgement.fault = fault;
                     }});
    }
  }
  court.run();
  for (Judgement& judgement : out) {
    if (!judgement.fault.empty()) judgement.orders.clear();
  }
  return out;
}

double PairJudgement::points() const {
  double points = points_of(orders[0].preference, false);
  if (orders.size() < 2) return points;
  const double swapped = points_of(orders[1].preference, true);
  return points == swapped ? points : 0.5;
}

bool PairJudgement::is_order_bound() const {
  return orders.size() == 2 && orders[0].preference == orders[1].preference &&
         orders[0].preference != Preference::kTie;
}

std::vector<PairJudgement> judge_pairs(ChatModel& judge, std::span<const Conversation> a,
                                       std::span<const Conversation> b, const JudgeOptions& options,
                                       const EvalProgress& told) {
  std::vector<PairJudgement> out(a.size());
  Court court(judge, options, told);
  for (size_t i = 0; i < a.size(); ++i) {
    if (!a[i].fault.empty() || !b[i].fault.empty()) continue;
    out[i].orders.resize(static_cast<size_t>(options.orders));
    for (size_t o = 0; o < out[i].orders.size(); ++o) {
      PairJudgement& judgement = out[i];
      court.ask(o == 0 ? pair_messages(a[i], b[i]) : pair_messages(b[i], a[i]),
                pair_schema(options.most_reason),
                {.read =
                     [&judgement, o](const std::string& answer) {
                       auto verdict = read_pair_verdict(answer);
                       if (!verdict) return false;
                       judgement.orders[o] = std::move(*verdict);
                       return true;
                     },
                 .end =
                     [&judgement](const std::string& fault) {
                       if (!fault.empty()) judgement.fault = fault;
                     }});
    }
  }
  court.run();
  for (PairJudgement& judgement : out) {
    if (!judgement.fault.empty()) judgement.orders.clear();
  }
  return out;
}

}  // namespace tq
