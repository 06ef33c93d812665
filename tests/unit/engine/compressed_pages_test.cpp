// The engine over a compressed KV cache with near pages, on a golden model: what is shared, and
// what preemption leaves of it.
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "engine/engine.h"
#include "unit/engine/received.h"

namespace tq {
namespace {

class CompressedPages : public ::testing::Test {
 protected:
  static constexpr int64_t kTail = 32;

  Engine make_engine(int64_t n_pages, int64_t host_bytes = 0) {
    return {*model_,
            nullptr,
            {},
            {.kv_format = kv_.format, .n_pages = n_pages, .host_cache_bytes = host_bytes}};
  }
  static std::vector<int32_t> text(int64_t n, int32_t seed) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < n; ++i) ids.push_back(static_cast<int32_t>((seed * 31 + i * i) % 120));
    return ids;
  }
  static Received ask(Engine& engine, const std::vector<int32_t>& prompt, int n) {
    Received received;
    engine.add(make_request(prompt, n, received));
    run_all(engine);
    return received;
  }

  const KvOptions kv_ = {.format = find_kv_format("k4v3")->id, .sinks = 4, .tail = kTail};
  std::unique_ptr<Checkpoint> checkpoint_ = open_checkpoint(TQ_TEST_DATA "/golden/models/llama");
  std::unique_ptr<Backend> backend_ = make_cpu_backend({.threads = 2});
  std::unique_ptr<Model> model_ = Model::load(*checkpoint_, *backend_,
                                              {.max_batch_tokens = 48,
                                               .max_logit_rows = 4,
                                               .max_sequences = 4,
                                               .max_context = 400,
                                               .kv = kv_});
};

TEST_F(CompressedPages, EveryRequestEndsWherePagesAreFew) {
  Engine engine = make_engine(26);
  std::vector<std::unique_ptr<Received>> received;
  for (int32_t i = 0; i < 8; ++i) {
    received.push_back(std::make_unique<Received>());
    engine.add(make_request(text(40 + 25 * i, i), 90, *received.back()));
  }
  run_all(engine);
  int64_t n_preemptions = 0, n_undisturbed = 0;
  for (int32_t i = 0; i < 8; ++i) {
    const Received& one = *received[static_cast<size_t>(i)];
    EXPECT_EQ(one.finish, FinishReason::kLength);
    ASSERT_EQ(one.ids.size(), 90u);
    n_preemptions += one.stats.preemptions;
    // Who was preempted may have lost its near pages, but not what it had said before.
    Engine alone = make_engine(0);
    const std::vector<int32_t> expected = ask(alone, text(40 + 25 * i, i), 90).ids;
    EXPECT_EQ(one.ids[0], expected[0]) << i;
    if (one.stats.preemptions > 0) continue;
    EXPECT_EQ(one.ids, expected) << i;
    ++n_undisturbed;
  }
  EXPECT_GT(n_preemptions, 0);
  EXPECT_GT(n_undisturbed, 0);
  EXPECT_EQ(engine.n_available_pages(), 26);
}

TEST_F(CompressedPages, CompanyChangesNothing) {
  std::vector<std::vector<int32_t>> alone;
  for (int32_t i = 0; i < 4; ++i) {
    Engine engine = make_engine(0);
    alone.push_back(ask(engine, text(30 + 40 * i, i), 60).ids);
  }
  Engine engine = make_engine(0);
  std::vector<std::unique_ptr<Received>> received;
  for (int32_t i = 0; i < 4; ++i) {
    received.push_back(std::make_unique<Received>());
    engine.add(make_request(text(30 + 40 * i, i), 60, *received.back()));
  }
  run_all(engine);
  for (size_t i = 0; i < 4; ++i) EXPECT_EQ(received[i]->ids, alone[i]) << i;
}

// The next turn of a conversation finds its tail: the same ids as without any sharing.
TEST_F(CompressedPages, AConversationGoesOnExactly) {
  Engine engine = make_engine(0);
  std::vector<int32_t> tokens = text(100, 1);
  for (int turn = 0; turn < 3; ++turn) {
    Engine fresh = make_engine(0);
    const std::vector<int32_t> expected = ask(fresh, tokens, 20).ids;
    const Received answer = ask(engine, tokens, 20);
    EXPECT_EQ(answer.ids, expected);
    if (turn > 0) {
      EXPECT_GE(answer.stats.reused_tokens, static_cast<int64_t>(tokens.size()) - 32);
    }
    tokens.insert(tokens.end(), answer.ids.begin(), answer.ids.end());
    for (const int32_t id : text(11, turn)) tokens.push_back(id);
  }
}

// Prompts that begin alike share all but a tail, though the near pages there are long overwritten.
TEST_F(CompressedPages, BeginningsAreShared) {
  for (const int64_t host_bytes : {0, 1 << 20}) {
    Engine engine = make_engine(120, host_bytes);
    for (int32_t i = 0; i < 6; ++i) {
      std::vector<int32_t> prompt = text(160, 1);
      for (const int32_t id : text(150, 10 + i)) prompt.push_back(id);
      const Received answer = ask(engine, prompt, 30);
      EXPECT_EQ(answer.ids.size(), 30u);
      if (i > 0) {
        EXPECT_GE(answer.stats.reused_tokens, 160 - kTail - 16) << i;
      }
    }
  }
}

}  // namespace
}  // namespace tq
