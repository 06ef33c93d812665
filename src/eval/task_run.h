// Questions put to a model in this process, and what its answers come to.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "engine/evaluate.h"
#include "eval/task_file.h"
#include "session/load.h"

namespace tq {

struct TaskAnswer {
  // Of multiple choice: log probabilities of the choices, and which is the most probable, in all
  // and for a byte of its text (lm-evaluation-harness's acc and acc_norm).
  std::vector<double> log_probabilities = {};
  size_t chosen = 0;
  size_t chosen_by_byte = 0;
  // Generated.
  std::string text = {};
  bool is_right = false;
  bool is_right_by_byte = false;  // multiple choice only
};

struct TaskOptions {
  KvFormatId kv_format = default_kv_format();
  int64_t max_tokens = 64;                 // of what is generated
  std::vector<std::string> stop = {"\n"};  // texts that end it
  std::function<bool()> stops;             // null: never; true ends run_tasks(): kCancelled
};

// Answers all, in order. The model must have been loaded with a tokenizer, for logits of all tokens
// and as many sequences as are to run at a time. Throws kInvalidArgument naming the question that
// is longer than the context.
std::vector<TaskAnswer> run_tasks(const LoadedModel& loaded, std::span<const TaskItem> items,
                                  const TaskOptions& options, const EvalProgress& told);

// The ids of a context and of what continues it, as lm-evaluation-harness cuts them: white space at
// the context's end belongs to the continuation, and both are encoded as one text. Where the
// context is nothing but that, it is BOS.
struct SplitIds {
  std::vector<int32_t> context;
  std::vector<int32_t> continuation;
};
SplitIds split_ids(const Tokenizer& tokenizer, const std::string& context,
                   const std::string& continuation);

// Means with their standard errors.
struct TaskScores {
  RunningMean choice;          // multiple choice: right by log probability
  RunningMean choice_by_byte;  // by log probability for a byte
  RunningMean generated;       // generated: exact match
};
TaskScores task_scores(std::span<const TaskItem> items, std::span<const TaskAnswer> answers);

// Two models' answers to the same questions.
struct TaskAgreement {
  RunningMean same;        // the same choice, or the same text but for form
  RunningMean difference;  // right (1 or 0) of a minus right of b: paired, so its error is small
  int64_t only_a = 0;      // right only of a
  int64_t only_b = 0;
};
TaskAgreement task_agreement(std::span<const TaskItem> items, std::span<const TaskAnswer> a,
                             std::span<const TaskAnswer> b);

}  // namespace tq
