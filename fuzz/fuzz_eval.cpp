// Fuzzes what tq eval scenarios and tasks read: files of scenarios, lines of tasks, and answers of
// subjects and judges. The first byte says which. A file is read and used, or refused with a
// tq::Error; whatever a subject answers is one string of the record that a judge is given.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "eval/judge_prompt.h"
#include "eval/language.h"
#include "eval/task_file.h"
#include "text/utf8.h"

namespace {

void require(bool holds) {
  if (!holds) __builtin_trap();
}

void use_scenario(const std::string& text) {
  const tq::Scenario scenario = tq::read_scenario(text, "fuzzed", "fuzzed.json");
  require(!scenario.turns.empty());
  for (const tq::Turn& turn : scenario.turns) {
    for (const std::string& answer : {scenario.system, turn.user, std::string("42, no.")}) {
      (void)tq::user_text(turn, answer);
      for (const tq::Check& check : turn.checks) (void)tq::passes(check, answer);
    }
  }
  for (const auto order : {tq::CriteriaOrder::kGiven, tq::CriteriaOrder::kReversed}) {
    (void)tq::judge_schema(scenario, order, 200);
  }
}

void use_task(const std::string& line) {
  const tq::TaskItem item = tq::read_task_item(tq::parse_json(line, "line 1"), "line 1");
  require(item.choices.empty() || item.right < item.choices.size());
  require(item.choices.empty() != item.answers.empty());
  (void)item.solved();
  for (const std::string& answer : item.answers) (void)tq::is_right(item, answer);
  for (size_t i = 0; i < item.choices.size(); ++i) (void)item.context(i);
}

// A subject's answer in the record, and a judge's.
void use_answer(const std::string& text) {
  static const tq::Scenario scenario = tq::built_in_scenarios().front();
  const auto verdicts = tq::read_verdicts(text, scenario);
  require(!verdicts || verdicts->size() == scenario.criteria.size());
  (void)tq::read_pair_verdict(text);
  (void)tq::numbers_of(text);
  tq::Conversation conversation;
  conversation.scenario = &scenario;
  conversation.turns.resize(1);
  conversation.turns[0].answer.text = text;
  const std::string record = tq::record_of(conversation);
  require(record.find_first_of("<>`#\n") == std::string::npos);
  if (!tq::is_valid_utf8(text)) return;
  require(tq::parse_json(record, "record")["turns"][0]["assistant"].get<std::string>() == text);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string text(reinterpret_cast<const char*>(data) + 1, size - 1);
  try {
    if (data[0] == 's') use_scenario(text);
    if (data[0] == 't') use_task(text);
    if (data[0] == 'a') use_answer(text);
  } catch (const tq::Error&) {
  }
  return 0;
}
