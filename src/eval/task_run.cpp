#include "eval/task_run.h"

#include <algorithm>
#include <condition_variable>
#include <mutex>

#include "base/ascii.h"
#include "base/error.h"
#include "engine/candidates.h"
#include "eval/language.h"
#include "session/prompt.h"
#include "session/service.h"

namespace tq {
namespace {

// Puts questions, one group of those with the same context after the other.
class TaskRunner {
 public:
  TaskRunner(const LoadedModel& loaded, std::span<const TaskItem> items, const TaskOptions& options,
             const EvalProgress& told)
      : loaded_(loaded), items_(items), options_(options), told_(told), answers_(items.size()) {}

  std::vector<TaskAnswer> run() {
    told_(0, total());
    choose_all();
    generate_all();
    return std::move(answers_);
  }

 private:
  int64_t total() const { return static_cast<int64_t>(items_.size()); }
  void check_stop() const {
    if (options_.stops && options_.stops()) fail(ErrorCode::kCancelled, "interrupted");
  }

  void choose_all() {
    if (std::all_of(items_.begin(), items_.end(),
                    [](const TaskItem& item) { return item.choices.empty(); })) {
      return;
    }
    CandidateScorer scorer(*loaded_.model, options_.kv_format);
    for (size_t i = 0; i < items_.size(); ++i) {
      if (items_[i].choices.empty()) continue;
      check_stop();
      try {
        choose(scorer, items_[i], answers_[i]);
      } catch (const Error& error) {
        if (error.code() != ErrorCode::kInvalidArgument) throw;
        fail(error.code(), "question {}: {}", items_[i].id, error.what());
      }
      told_(++done_, total());
    }
  }

  void choose(CandidateScorer& scorer, const TaskItem& item, TaskAnswer& answer) {
    const size_t n = item.choices.size();
    std::vector<SplitIds> split;
    for (size_t c = 0; c < n; ++c) {
      split.push_back(split_ids(*loaded_.tokenizer, item.context(c), item.choices[c]));
    }
    for (size_t begin = 0; begin < n;) {
      std::vector<std::vector<int32_t>> continuations;
      size_t end = begin;
      for (; end < n && split[end].context == split[begin].context; ++end) {
        continuations.push_back(split[end].continuation);
      }
      for (const CandidateScore& score : scorer.score(split[begin].context, continuations)) {
        answer.log_probabilities.push_back(score.log_probability);
      }
      begin = end;
    }
    const auto best = [&](const auto& value) {
      size_t at = 0;
      for (size_t c = 1; c < n; ++c) {
        if (value(c) > value(at)) at = c;
      }
      return at;
    };
    answer.chosen = best([&](size_t c) { return answer.log_probabilities[c]; });
    // The space between is no part of the choice.
    answer.chosen_by_byte = best([&](size_t c) {
      return answer.log_probabilities[c] / static_cast<double>(trim(item.choices[c]).size());
    });
    answer.is_right = answer.chosen == item.right;
    answer.is_right_by_byte = answer.chosen_by_byte == item.right;
  }

  void generate_all() {
    if (std::none_of(items_.begin(), items_.end(),
                     [](const TaskItem& item) { return item.choices.empty(); })) {
      return;
    }
    std::mutex mutex;
    std::condition_variable changed;
    std::vector<Output> ends;  // of requests, in the order in which they ended
    std::vector<std::string> texts(items_.size());
    Service service(*loaded_.model, loaded_.tokenizer, loaded_.eos_ids,
                    {.kv_format = options_.kv_format, .suppressed_ids = loaded_.not_text});
    std::vector<size_t> asked;
    for (size_t i = 0; i < items_.size(); ++i) {
      if (!items_[i].choices.empty()) continue;
      Request request;
      request.prompt = text_prompt(*loaded_.tokenizer, items_[i].contexts[0]).ids;
      request.sampling = {.max_tokens = static_cast<int>(options_.max_tokens),
                          .stop = options_.stop};
      request.on_output = [&, i](const Output& output) {
        const std::lock_guard lock(mutex);
        texts[i] += output.text;
        if (output.finish == FinishReason::kNone) return;
        ends.push_back(output);
        changed.notify_one();
      };
      service.submit(std::move(request));
      asked.push_back(i);
    }
    for (size_t n_ended = 0; n_ended < asked.size();) {
      check_stop();  // what is left is cancelled with the service
      std::vector<Output> now;
      {
        std::unique_lock lock(mutex);
        changed.wait_for(lock, std::chrono::milliseconds(50), [&] { return !ends.empty(); });
        now.swap(ends);
      }
      for (const Output& output : now) {
        ++n_ended;
        if (output.finish == FinishReason::kError) {
          // Requests are numbered from 1 in the order in which they were submitted.
          const size_t i = asked[static_cast<size_t>(output.request - 1)];
          fail(output.error_code, "question {}: {}", items_[i].id, output.error);
        }
        told_(++done_, total());
      }
    }
    for (const size_t i : asked) {
      answers_[i].text = std::string(trim(texts[i]));
      answers_[i].is_right = is_right(items_[i], answers_[i].text);
    }
  }

  const LoadedModel& loaded_;
  std::span<const TaskItem> items_;
  const TaskOptions& options_;
  const EvalProgress& told_;
  std::vector<TaskAnswer> answers_;
  int64_t done_ = 0;
};

}  // namespace

std::vector<TaskAnswer> run_tasks(const LoadedModel& loaded, std::span<const TaskItem> items,
                                  const TaskOptions& options, const EvalProgress& told) {
  return TaskRunner(loaded, items, options, told).run();
}

SplitIds split_ids(const Tokenizer& tokenizer, const std::string& context,
                   const std::string& continuation) {
  const size_t end = context.find_last_not_of(kWhiteSpace) + 1;  // 0: all is white space
  const std::string before = context.substr(0, end);
  const std::vector<int32_t> whole = text_prompt(tokenizer, context + continuation).ids;
  SplitIds out;
  out.context = text_prompt(tokenizer, before).ids;
  if (before.empty() && out.context.empty()) {
    if (const auto bos = tokenizer.bos()) out.context = {*bos};
    out.continuation = whole;
    if (out.context.empty() && whole.size() > 1) {  // without BOS the first token is given
      out.context = {whole.front()};
      out.continuation.erase(out.continuation.begin());
    }
  } else {
    const size_t n = std::min(out.context.size(), whole.size());
    out.continuation.assign(whole.begin() + static_cast<std::ptrdiff_t>(n), whole.end());
  }
  if (out.context.empty() || out.continuation.empty()) {
    fail(ErrorCode::kInvalidArgument, "there is no token to be predicted in {}",
         json_for_message(continuation));
  }
  return out;
}

TaskScores task_scores(std::span<const TaskItem> items, std::span<const TaskAnswer> answers) {
  TaskScores scores;
  for (size_t i = 0; i < items.size(); ++i) {
    if (items[i].choices.empty()) {
      scores.generated.add(answers[i].is_right ? 1 : 0);
    } else {
      scores.choice.add(answers[i].is_right ? 1 : 0);
      scores.choice_by_byte.add(answers[i].is_right_by_byte ? 1 : 0);
    }
  }
  return scores;
}

TaskAgreement task_agreement(std::span<const TaskItem> items, std::span<const TaskAnswer> a,
                             std::span<const TaskAnswer> b) {
  TaskAgreement out;
  for (size_t i = 0; i < items.size(); ++i) {
    const bool same = items[i].choices.empty() ? words_of(a[i].text) == words_of(b[i].text)
                                               : a[i].chosen == b[i].chosen;
    out.same.add(same ? 1 : 0);
    out.difference.add((a[i].is_right ? 1 : 0) - (b[i].is_right ? 1 : 0));
    if (a[i].is_right && !b[i].is_right) ++out.only_a;
    if (b[i].is_right && !a[i].is_right) ++out.only_b;
  }
  return out;
}

}  // namespace tq
