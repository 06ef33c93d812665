#include "eval/task_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "eval/needle.h"
#include "eval/self_kld.h"
#include "eval/task_run.h"
#include "support/expect_error.h"
#include "support/temp_dir.h"

namespace tq {
namespace {

using fixtures::expect_error;
using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

TaskItem item_of(const char* json) { return read_task_item(parse_json(json, "task"), "f: line 1"); }

TEST(TaskFile, OurForm) {
  const TaskItem choice =
      item_of(R"({"id": "q", "prompt": "1+1=", "choices": ["3", "2"], "answer": 1})");
  EXPECT_EQ(choice.id, "q");
  EXPECT_THAT(choice.contexts, ElementsAre("1+1="));
  EXPECT_THAT(choice.choices, ElementsAre(" 3", " 2"));
  EXPECT_EQ(choice.right, 1u);
  EXPECT_EQ(choice.solved(), "1+1= 2");
  EXPECT_EQ(item_of(R"({"prompt": "a ", "choices": ["x", "y"], "answer": "y"})").solved(), "a y");
  const TaskItem generated = item_of(R"({"prompt": "Q:", "answers": ["yes", "ja"]})");
  EXPECT_THAT(generated.choices, IsEmpty());
  EXPECT_THAT(generated.answers, ElementsAre("yes", "ja"));
  EXPECT_EQ(generated.solved(), "Q: yes");
}

TEST(TaskFile, FormsOfLmEval) {
  const TaskItem arc = item_of(R"({"id": "M1", "question": "Why?", "answerKey": "B",
      "choices": {"text": ["a", "b"], "label": ["A", "B"]}})");
  EXPECT_EQ(arc.solved(), "Question: Why?\nAnswer: b");
  const TaskItem open_book = item_of(R"({"question_stem": "The sun is", "answerKey": "1",
      "choices": {"text": ["hot", "cold"], "label": ["1", "2"]}})");
  EXPECT_EQ(open_book.solved(), "The sun is hot");
  const TaskItem mmlu =
      item_of(R"({"question": "2+2?", "subject": "x", "choices": ["3", "4"], "answer": 1})");
  EXPECT_EQ(mmlu.solved(), "2+2?\nA. 3\nB. 4\nAnswer: B");
  EXPECT_EQ(item_of(R"({"question": "2+2?", "choices": ["3", "4"], "answer": "B"})").right, 1u);
  const TaskItem hellaswag =
      item_of(R"({"ctx_a": "A man sits. [header]x", "ctx_b": "he", "label": "1",
      "activity_label": "Sitting", "endings": ["stands [title] up.", "sleeps."]})");
  EXPECT_THAT(hellaswag.contexts, ElementsAre("Sitting: A man sits. x He"));
  EXPECT_THAT(hellaswag.choices, ElementsAre(" stands. up.", " sleeps."));
  EXPECT_EQ(hellaswag.right, 1u);
  EXPECT_EQ(item_of(R"({"goal": "open it", "sol1": "push", "sol2": "pull", "label": 1})").solved(),
            "Question: open it\nAnswer: pull");
  const TaskItem wino = item_of(
      R"({"sentence": "It fell as _ was loose.", "option1": "A", "option2": "B", "answer": "2"})");
  EXPECT_THAT(wino.contexts, ElementsAre("It fell as A", "It fell as B"));
  EXPECT_THAT(wino.choices, ElementsAre(" was loose.", " was loose."));
  EXPECT_EQ(wino.solved(), "It fell as B was loose.");
  EXPECT_EQ(item_of(R"({"passage": "P.", "question": "is it", "answer": true})").solved(),
            "P.\nQuestion: is it?\nAnswer: yes");
  const TaskItem gsm = item_of(R"({"question": "How many?", "answer": "2*3=6\n#### 1,006"})");
  EXPECT_TRUE(gsm.is_number);
  EXPECT_TRUE(is_right(gsm, "It is 7, no: 1006."));
  EXPECT_FALSE(is_right(gsm, "1006 or 1007"));
  const TaskItem trivia =
      item_of(R"({"question": "Who?", "answer": {"value": "Åke", "aliases": ["The King"]}})");
  EXPECT_TRUE(is_right(trivia, "åke."));
  EXPECT_TRUE(is_right(trivia, " King"));
  EXPECT_FALSE(is_right(trivia, "Åke and the King"));
  EXPECT_FALSE(is_right(trivia, "the"));
}

TEST(TaskFile, FaultsAreNamed) {
  for (const char* json :
       {"[]", "{}", R"({"text": "x"})", R"({"prompt": 5, "answer": "x"})",
        R"({"prompt": "x", "choices": ["a"], "answer": 0})",
        R"({"prompt": "x", "choices": ["a", ""], "answer": 0})",
        R"({"prompt": " ", "choices": ["a", "b"], "answer": 0})",
        R"({"prompt": "x", "choices": ["a", "b"], "answer": "c"})",
        R"({"prompt": "x", "answers": []})", R"({"question": "x", "answer": {}})",
        R"({"question": "x", "answer": {"value": 5}})",
        R"({"question": "x", "choices": {"text": 5}, "answerKey": "A"})",
        R"({"question": "x", "choices": ["a", "b"], "answerKey": "A"})",
        R"({"sentence": "x", "option1": "A", "option2": "B", "answer": "1"})",
        R"({"goal": "x", "sol1": "a", "sol2": "b", "label": -1})"}) {
    expect_error(ErrorCode::kCorrupt, {"f: line 1"}, [&] { item_of(json); });
  }
}

TEST(TaskFile, LinesLimitsAndShots) {
  const fixtures::TempDir dir;
  const auto path = dir / "t.jsonl";
  fixtures::write_bytes(
      path,
      "{\"prompt\": \"a\", \"answer\": \"1\"}\r\n\n"
      "{\"prompt\": \"b\", \"answer\": \"2\"}\n{\"prompt\": \"c\", \"answer\": \"3\"}");
  const auto items = read_task_file(path.string(), 0);
  ASSERT_THAT(items, SizeIs(3));
  EXPECT_EQ(items[1].id, "3");  // the line's number
  EXPECT_THAT(read_task_file(path.string(), 2), SizeIs(2));
  const auto shot = with_shots(items, 2);
  ASSERT_THAT(shot, SizeIs(1));
  EXPECT_EQ(shot[0].contexts[0], "a 1\n\nb 2\n\nc");
  expect_error(ErrorCode::kInvalidArgument, {"3 examples"}, [&] { with_shots(items, 3); });
  fixtures::write_bytes(path, "{\"prompt\": \"a\", \"answer\": \"1\"}\n{\"prompt\"\n");
  expect_error(ErrorCode::kCorrupt, {"t.jsonl: line 2"}, [&] { read_task_file(path.string(), 0); });
}

TEST(TaskScores, AgreementIsInPairs) {
  const std::vector<TaskItem> items{
      {.id = "1", .choices = {" a", " b"}, .contexts = {"x"}, .right = 0},
      {.id = "2", .choices = {" a", " b"}, .contexts = {"x"}, .right = 1},
      {.id = "3", .choices = {}, .contexts = {"x"}, .answers = {"Yes"}}};
  const std::vector<TaskAnswer> a{
      {.chosen = 0, .is_right = true}, {.chosen = 0}, {.text = "Yes.", .is_right = true}};
  const std::vector<TaskAnswer> b{{.chosen = 1}, {.chosen = 0}, {.text = "yes", .is_right = true}};
  const TaskScores scores = task_scores(items, a);
  EXPECT_EQ(scores.choice.n(), 2);
  EXPECT_EQ(scores.choice.mean(), 0.5);
  EXPECT_EQ(scores.generated.mean(), 1);
  const TaskAgreement agreement = task_agreement(items, a, b);
  EXPECT_DOUBLE_EQ(agreement.same.mean(), 2.0 / 3);
  EXPECT_DOUBLE_EQ(agreement.difference.mean(), 1.0 / 3);
  EXPECT_EQ(agreement.only_a, 1);
  EXPECT_EQ(agreement.only_b, 0);
}

TEST(Needle, TheFactLiesWhereItIsAskedFor) {
  const auto sentences = needle_sentences("One. Two! Three?\nFour", 6, 1);
  EXPECT_THAT(sentences, ElementsAre("One.", "Two!", "Three?", "Four", "One.", "Two!"));
  const NeedlePrompt first = needle_prompt(sentences, 4, 0, 7);
  const size_t fact = first.text.find("The secret number of ");
  EXPECT_LT(fact, first.text.find("One."));
  EXPECT_THAT(first.text.substr(fact), HasSubstr(first.answer.substr(1)));
  EXPECT_THAT(first.text, EndsWith(" is"));
  const NeedlePrompt last = needle_prompt(sentences, 4, 1, 7);
  EXPECT_GT(last.text.find("The secret number of "), last.text.find("Four"));
  const NeedlePrompt middle = needle_prompt(sentences, 4, 0.5, 7);
  EXPECT_THAT(middle.text.substr(middle.text.find("Two!")),
              StartsWith("Two! The secret number of "));
  EXPECT_NE(needle_prompt(sentences, 4, 0, 8).answer, first.answer);
  EXPECT_THAT(needle_sentences("", 50, 1), SizeIs(50));
  EXPECT_THAT(needle_sentences(" \n. ", 2, 1), SizeIs(2));
}

TEST(SelfKld, PlacesGrowByFours) {
  EXPECT_EQ(places_of(0), std::pair(int64_t{1}, int64_t{16}));
  EXPECT_EQ(places_of(1), std::pair(int64_t{17}, int64_t{64}));
  EXPECT_EQ(places_of(2), std::pair(int64_t{65}, int64_t{256}));
}

}  // namespace
}  // namespace tq
