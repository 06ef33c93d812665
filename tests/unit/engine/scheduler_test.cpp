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
  Sequence& make(int n_prompt, int max_tokens) {
    Request request;
    request.prompt.assign(static_cast<size_t>(n_prompt), 1);
    request.sampling.max_tokens = max_tokens;
    const auto id = static_cast<int64_t>(sequences_.size());
    sequences_.push_back(std::make_unique<Sequence>(id, std::move(request), 10));
    return *sequences_.back();
  }

  // Runs the next step as an engine would; returns (sequence, tokens) of each run.
  std::vector<std::pair<int64_t, int64_t>> step(Scheduler& scheduler) {
    std::vector<std::pair<int64_t, int64_t>> runs;
    const Step& step = scheduler.next();
    for (size_t i = 0; i < step.batch.size(); ++i) {
      Sequence& sequence = *step.sequences[i];
      const BatchSequence& run = step.batch[i];
      const auto n = static_cast<int64_t>(run.token_ids.size());
      EXPECT_EQ(run.first_position, sequence.n_cached);
      EXPECT_EQ(run.token_ids.data(), sequence.tokens.data() + sequence.n_cached);
      EXPECT_EQ(run.blocks, &sequence.blocks);
      EXPECT_GE(run.blocks->capacity_tokens(), sequence.n_cached + n);
      EXPECT_EQ(run.n_logits, n == sequence.n_pending() ? 1 : 0);
      runs.emplace_back(sequence.id, n);
      sequence.n_cached += n;
      if (run.n_logits == 1) sequence.tokens.push_back(2);
    }
    return runs;
  }

  std::vector<std::unique_ptr<Sequence>> sequences_;
};

TEST_F(SchedulerTest, NothingToDo) {
  BlockManager blocks(4);
  Scheduler scheduler({.max_batch_tokens = 8, .max_sequences = 4}, blocks);
  EXPECT_THAT(step(scheduler), IsEmpty());
  EXPECT_EQ(scheduler.first_waiting(), nullptr);
}

TEST_F(SchedulerTest, LongPromptsAreCutIntoChunks) {
  BlockManager blocks(4);
  Scheduler scheduler({.max_batch_tokens = 8, .max_sequences = 4}, blocks);
  scheduler.add(make(20, 3));
  EXPECT_THAT(step(scheduler), ElementsAre(Pair(0, 8)));
  EXPECT_THAT(step(scheduler), ElementsAre(Pair(0, 8)));
  EXPECT_THAT(step(scheduler), ElementsAre(Pair(0, 4)));
  EXPECT_THAT(step(scheduler), ElementsAre(Pair(0, 1)));
}

TEST_F(SchedulerTest, DecodingGoesBeforePrompts) {
  BlockManager blocks(8);
  Scheduler scheduler({.max_batch_tokens = 8, .max_sequences = 4}, blocks);
  scheduler.add(make(3, 9));
  scheduler.add(make(12, 9));
  scheduler.add(make(2, 9));
  EXPECT_THAT(step(scheduler), ElementsAre(Pair(0, 3), Pair(1, 5)));
  // 0 decodes; 1 has 7 left, exactly the budget; 2 must wait for its turn.
  EXPECT_THAT(step(scheduler), ElementsAre(Pair(0, 1), Pair(1, 7)));
  EXPECT_THAT(step(scheduler), ElementsAre(Pair(0, 1), Pair(1, 1), Pair(2, 2)));
  EXPECT_THAT(step(scheduler), ElementsAre(Pair(0, 1), Pair(1, 1), Pair(2, 1)));
}

TEST_F(SchedulerTest, OnlySoManySequencesRunAtOnce) {
  BlockManager blocks(8);
  Scheduler scheduler({.max_batch_tokens = 8, .max_sequences = 2}, blocks);
  for (int i = 0; i < 3; ++i) scheduler.add(make(1, 4));
  EXPECT_THAT(step(scheduler), ElementsAre(Pair(0, 1), Pair(1, 1)));
  scheduler.remove(*sequences_[0]);
  EXPECT_THAT(step(scheduler), ElementsAre(Pair(1, 1), Pair(2, 1)));
}

TEST_F(SchedulerTest, TheFirstThatGetsNoPagesHoldsTheOthersBack) {
  BlockManager blocks(3);
  Scheduler scheduler({.max_batch_tokens = 64, .max_sequences = 4}, blocks);
  scheduler.add(make(17, 1));  // 2 pages
  scheduler.add(make(30, 2));  // 2 pages: 31 tokens are cached at most
  scheduler.add(make(1, 1));   // 1 page would be there
  EXPECT_THAT(step(scheduler), ElementsAre(Pair(0, 17)));
  EXPECT_EQ(scheduler.first_waiting(), sequences_[1].get());
  EXPECT_EQ(blocks.free_blocks(), 1);
  EXPECT_THAT(step(scheduler), ElementsAre(Pair(0, 1)));
  scheduler.remove(*sequences_[0]);
  blocks.release(sequences_[0]->blocks);
  EXPECT_THAT(step(scheduler), ElementsAre(Pair(1, 30), Pair(2, 1)));
  EXPECT_EQ(blocks.free_blocks(), 0);
}

TEST_F(SchedulerTest, RemovingAWaitingSequence) {
  BlockManager blocks(8);
  Scheduler scheduler({.max_batch_tokens = 4, .max_sequences = 1}, blocks);
  for (int i = 0; i < 3; ++i) scheduler.add(make(1, 4));
  scheduler.remove(*sequences_[1]);
  EXPECT_THAT(step(scheduler), ElementsAre(Pair(0, 1)));
  scheduler.remove(*sequences_[0]);
  EXPECT_THAT(step(scheduler), ElementsAre(Pair(2, 1)));
}

}  // namespace
}  // namespace tq
