#include "engine/scheduler.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "engine/sequence.h"

namespace tq {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

class SchedulerTest : public ::testing::Test {
 protected:
  // token: all that the prompt says.
  Sequence& make(int n_prompt, int max_tokens, int32_t token = 1) {
    Request request;
    request.prompt.assign(static_cast<size_t>(n_prompt), token);
    request.sampling.max_tokens = max_tokens;
    const auto id = static_cast<int64_t>(sequences_.size());
    sequences_.push_back(std::make_unique<Sequence>(id, std::move(request), 10));
    return *sequences_.back();
  }

  // Runs the next step as an engine would; returns (sequence, tokens) of each run.
  std::vector<std::pair<int64_t, int64_t>> step(Scheduler& scheduler, Pages& pages) {
    std::vector<std::pair<int64_t, int64_t>> runs;
    const ScheduledStep& step = scheduler.next();
    for (size_t i = 0; i < step.batch.size(); ++i) {
      Sequence& sequence = *step.sequences[i];
      const BatchSequence& run = step.batch[i];
      const auto n = static_cast<int64_t>(run.token_ids.size());
      EXPECT_EQ(run.first_position, sequence.n_cached);
      EXPECT_EQ(run.token_ids.data(), sequence.tokens.data() + sequence.n_cached);
      EXPECT_EQ(run.pages, &sequence.pages);
      EXPECT_GE(run.pages->capacity_tokens(), sequence.n_cached + n);
      EXPECT_EQ(run.n_logits, n == sequence.n_pending() ? 1 : 0);
      runs.emplace_back(sequence.id, n);
      sequence.n_cached += n;
      pages.publish(sequence.pages, sequence.cached_tokens());
      if (run.n_logits == 1) sequence.tokens.push_back(2);
    }
    return runs;
  }

  void end(size_t index, Scheduler& scheduler, Pages& pages) {
    Sequence& sequence = *sequences_[index];
    scheduler.remove(sequence);
    pages.retire(sequence.pages, sequence.cached_tokens());
  }

  std::vector<std::unique_ptr<Sequence>> sequences_;
};

TEST_F(SchedulerTest, NothingToDo) {
  Pages pages(4);
  Scheduler scheduler({.max_batch_tokens = 8, .max_sequences = 4}, pages);
  EXPECT_THAT(step(scheduler, pages), IsEmpty());
}

TEST_F(SchedulerTest, LongPromptsAreCutIntoChunks) {
  Pages pages(4);
  Scheduler scheduler({.max_batch_tokens = 8, .max_sequences = 4}, pages);
  scheduler.add(make(20, 3));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 8)));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 8)));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 4)));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1)));
}

TEST_F(SchedulerTest, DecodingGoesBeforePrompts) {
  Pages pages(8);
  Scheduler scheduler({.max_batch_tokens = 8, .max_sequences = 4}, pages);
  scheduler.add(make(3, 9));
  scheduler.add(make(12, 9));
  scheduler.add(make(2, 9));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 3), Pair(1, 5)));
  // 0 decodes; 1 has 7 left, exactly the budget; 2 must wait for its turn.
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1), Pair(1, 7)));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1), Pair(1, 1), Pair(2, 2)));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1), Pair(1, 1), Pair(2, 1)));
}

TEST_F(SchedulerTest, OnlySoManySequencesRunAtOnce) {
  Pages pages(8);
  Scheduler scheduler({.max_batch_tokens = 8, .max_sequences = 2}, pages);
  for (int i = 0; i < 3; ++i) scheduler.add(make(1, 4));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1), Pair(1, 1)));
  scheduler.remove(*sequences_[0]);
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(1, 1), Pair(2, 1)));
}

// What a step needs is enough to be admitted; the context that may come of it is not reserved.
TEST_F(SchedulerTest, PagesAreTakenAsSequencesGrow) {
  Pages pages(4);
  Scheduler scheduler({.max_batch_tokens = 64, .max_sequences = 4}, pages);
  scheduler.add(make(10, 50));  // 4 pages in the end
  scheduler.add(make(10, 50, 5));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 10), Pair(1, 10)));
  EXPECT_EQ(pages.n_available(), 2);
  for (int i = 0; i < 6; ++i) step(scheduler, pages);
  EXPECT_EQ(pages.n_available(), 2) << "both pages are full";
  step(scheduler, pages);
  EXPECT_EQ(pages.n_available(), 0);
}

TEST_F(SchedulerTest, TheFirstThatGetsNoPagesHoldsTheOthersBack) {
  Pages pages(4);
  Scheduler scheduler({.max_batch_tokens = 64, .max_sequences = 4}, pages);
  scheduler.add(make(17, 20));    // 2 pages, then 3
  scheduler.add(make(30, 2, 5));  // 2 pages; but one is left for the first
  scheduler.add(make(1, 1));      // 1 page would be there
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 17)));
  EXPECT_EQ(scheduler.n_waiting(), 2u);
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1)));
  end(0, scheduler, pages);
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(1, 30), Pair(2, 1)));
  EXPECT_EQ(pages.n_available(), 1);
}

// The newest makes room, waits before all others, and goes on where it was.
TEST_F(SchedulerTest, TheNewestIsPreempted) {
  Pages pages(6);
  Scheduler scheduler({.max_batch_tokens = 64, .max_sequences = 2}, pages);
  scheduler.add(make(47, 100));
  scheduler.add(make(3, 100, 5));
  scheduler.add(make(5, 5, 6));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 47), Pair(1, 3)));
  for (int i = 0; i < 17; ++i) {
    EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1), Pair(1, 1)));
  }
  EXPECT_EQ(sequences_[0]->n_cached, 64) << "four pages are full";
  EXPECT_EQ(pages.n_available(), 0);
  const std::vector<int32_t> before = sequences_[1]->tokens;
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1)));
  EXPECT_EQ(sequences_[1]->stats.preemptions, 1);
  EXPECT_EQ(sequences_[1]->n_cached, 0);
  EXPECT_EQ(sequences_[1]->tokens, before);
  EXPECT_EQ(pages.n_available(), 1);
  EXPECT_EQ(scheduler.n_waiting(), 2u);
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1))) << "the third waits behind it";
  end(0, scheduler, pages);
  // Of its 21 tokens the first page was kept.
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(1, 5), Pair(2, 5)));
  EXPECT_EQ(sequences_[1]->stats.reused_tokens, 0) << "its prompt was computed";
}

TEST_F(SchedulerTest, TheNewestDoesNotTakeFromOthers) {
  Pages pages(3);
  Scheduler scheduler({.max_batch_tokens = 64, .max_sequences = 2}, pages);
  scheduler.add(make(1, 16));  // one page
  scheduler.add(make(20, 20, 5));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1), Pair(1, 20)));
  for (int i = 0; i < 12; ++i) {
    EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1), Pair(1, 1)));
  }
  EXPECT_EQ(sequences_[1]->n_cached, 32) << "both its pages are full";
  for (int i = 0; i < 2; ++i) EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1)));
  EXPECT_EQ(sequences_[1]->stats.preemptions, 1);
  EXPECT_EQ(sequences_[0]->stats.preemptions, 0);
  end(0, scheduler, pages);
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(1, 1))) << "its pages were kept";
}

// A prompt under way takes what there is before it makes others wait.
TEST_F(SchedulerTest, APromptIsCutWherePagesEnd) {
  Pages pages(4);
  Scheduler scheduler({.max_batch_tokens = 40, .max_sequences = 4}, pages);
  scheduler.add(make(10, 6));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 10)));
  scheduler.add(make(60, 2, 5));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1), Pair(1, 39)));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1), Pair(1, 9)));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1))) << "until there are more";
  end(0, scheduler, pages);
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(1, 12)));
}

TEST_F(SchedulerTest, WhatBeginsAlikeIsRunOnce) {
  Pages pages(8);
  Scheduler scheduler({.max_batch_tokens = 64, .max_sequences = 4}, pages);
  scheduler.add(make(40, 9));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 40)));
  scheduler.add(make(50, 9));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1), Pair(1, 18)));
  EXPECT_EQ(sequences_[1]->stats.reused_tokens, 32);
  EXPECT_EQ(pages.n_available(), 8 - 3 - 2);
}

// A prompt that begins like one under way waits for its pages, keeps its place, and holds up nobody
// else.
TEST_F(SchedulerTest, WhatIsBeingComputedIsWaitedFor) {
  Pages pages(32);
  Scheduler scheduler({.max_batch_tokens = 64, .max_sequences = 3}, pages);
  scheduler.add(make(100, 9));
  scheduler.add(make(110, 9));    // 6 pages are the first's
  scheduler.add(make(15, 9, 5));  // begins otherwise
  scheduler.add(make(15, 9, 5));  // likewise, but for it no place is left
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 64)));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 36), Pair(2, 15)));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1), Pair(2, 1), Pair(1, 14)));
  EXPECT_EQ(sequences_[1]->stats.reused_tokens, 96);
  EXPECT_EQ(scheduler.n_waiting(), 1u);
}

// It would wait for as long as others of its priority come.
TEST_F(SchedulerTest, NobodyWaitsForAPromptThatItGoesBefore) {
  Pages pages(32);
  Scheduler scheduler({.max_batch_tokens = 64, .max_sequences = 3}, pages);
  make(90, 9).request.priority = 1;
  scheduler.add(*sequences_[0]);
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 64)));
  scheduler.add(make(90, 9));
  EXPECT_THAT(step(scheduler, pages), ::testing::Contains(::testing::Key(1)));
}

TEST_F(SchedulerTest, LessThanAPageIsNotWaitedFor) {
  Pages pages(32);
  Scheduler scheduler({.max_batch_tokens = 64, .max_sequences = 3}, pages);
  scheduler.add(make(16, 9));
  scheduler.add(make(16, 9));  // its last token is run in any case
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 16), Pair(1, 16)));
  scheduler.add(make(17, 9));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1), Pair(1, 1), Pair(2, 1)));
}

// What is waited for is computed by the next one when it is not to come.
TEST_F(SchedulerTest, WhoWaitsForAPromptOutlivesIt) {
  Pages pages(32);
  Scheduler scheduler({.max_batch_tokens = 32, .max_sequences = 3}, pages);
  for (int i = 0; i < 3; ++i) scheduler.add(make(80, 9));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 32)));
  end(0, scheduler, pages);
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(1, 32)));
  EXPECT_EQ(sequences_[1]->n_cached, 64);
  // The last page is not worth waiting for: its last token is the third's own.
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(1, 16), Pair(2, 16)));
}

// The second prompt is preempted in its middle, and with it the third's wait.
TEST_F(SchedulerTest, WhoWaitsForAPromptThatIsPreemptedWaitsForItAgain) {
  Pages pages(7);
  Scheduler scheduler({.max_batch_tokens = 17, .max_sequences = 3}, pages);
  scheduler.add(make(16, 60));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 16)));
  scheduler.add(make(90, 3, 5));
  scheduler.add(make(90, 3, 5));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1), Pair(1, 16)));
  int n_steps = 0;
  for (; sequences_[1]->stats.preemptions == 0; ++n_steps) {
    step(scheduler, pages);
    ASSERT_LT(n_steps, 100);
    EXPECT_EQ(sequences_[2]->n_cached, 0);
  }
  EXPECT_EQ(sequences_[1]->n_cached, 0);
  end(0, scheduler, pages);
  while (sequences_[1]->n_pending() > 1) {
    EXPECT_EQ(sequences_[2]->n_cached, 0);
    step(scheduler, pages);
    ASSERT_LT(++n_steps, 100);
  }
  end(1, scheduler, pages);
  step(scheduler, pages);
  EXPECT_GE(sequences_[2]->stats.reused_tokens, 80) << "five pages are the second's";
}

TEST_F(SchedulerTest, PrioritiesOrderWhoWaits) {
  Pages pages(8);
  Scheduler scheduler({.max_batch_tokens = 8, .max_sequences = 2}, pages);
  scheduler.add(make(1, 9, 1));
  make(1, 9, 2).request.priority = 5;
  make(1, 9, 3).request.priority = -1;
  make(1, 9, 4).request.priority = 5;
  for (size_t i = 1; i < 4; ++i) scheduler.add(*sequences_[i]);
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(2, 1), Pair(0, 1)));
  end(0, scheduler, pages);
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(2, 1), Pair(1, 1)));  // the older one
  end(2, scheduler, pages);
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(1, 1), Pair(3, 1)));
}

// The first that came would be the last to be preempted, were it not for its priority.
TEST_F(SchedulerTest, TheLowestPriorityIsPreempted) {
  Pages pages(3);
  Scheduler scheduler({.max_batch_tokens = 64, .max_sequences = 4}, pages);
  make(15, 30, 1).request.priority = 1;
  scheduler.add(*sequences_[0]);
  scheduler.add(make(15, 30, 2));
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(1, 15), Pair(0, 15)));
  for (int i = 0; i < 40 && sequences_[0]->stats.preemptions == 0; ++i) step(scheduler, pages);
  EXPECT_EQ(sequences_[0]->stats.preemptions, 1);
  EXPECT_EQ(sequences_[1]->stats.preemptions, 0);
  // A new one of a better priority goes before the one that was preempted.
  scheduler.add(make(1, 1, 7));
  end(1, scheduler, pages);
  EXPECT_EQ(step(scheduler, pages).front().first, 2);
}

TEST_F(SchedulerTest, RemovingAWaitingSequence) {
  Pages pages(8);
  Scheduler scheduler({.max_batch_tokens = 4, .max_sequences = 1}, pages);
  for (int i = 0; i < 3; ++i) scheduler.add(make(1, 4));
  scheduler.remove(*sequences_[1]);
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(0, 1)));
  scheduler.remove(*sequences_[0]);
  EXPECT_THAT(step(scheduler, pages), ElementsAre(Pair(2, 1)));
}

}  // namespace
}  // namespace tq
