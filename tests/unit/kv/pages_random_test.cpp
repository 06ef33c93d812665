// Random lives of sequences on shared pages, against a cache that remembers what was written where:
// after every step no page is lost or owned twice, and every sequence still reads its own past.
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <optional>
#include <tuple>
#include <vector>

#include "base/error.h"
#include "kv/pages.h"

namespace tq {
namespace {

// What stands in the place of a token: a hash of it and all before it.
using History = uint64_t;
History next_history(History before, int32_t token) {
  const uint64_t mixed = (before ^ static_cast<uint64_t>(token)) * 0xbf58476d1ce4e5b9u;
  return mixed ^ (mixed >> 29);
}

// One operation; rapidcheck makes them up and takes away what a failure does not need.
using Op = std::tuple<uint8_t, uint8_t, uint8_t>;

class World : public PageMover {
 public:
  // n_host_pages: that there is room for in host memory; 0: there is none.
  // n_sinks: of near pages, whose tail is 2 * window, beside a group that keeps nearly all; none:
  // there are two windows.
  World(int64_t window, int64_t n_pages, int64_t n_window_pages, int64_t n_host_pages,
        std::optional<int64_t> n_sinks = {})
      : windows_{0, n_sinks ? 1000 : window, 2 * window},
        near_{n_sinks ? size_t{2} : 0, n_sinks.value_or(0)},
        pages_(windows_, counts(n_pages, n_sinks ? n_pages : n_window_pages, n_window_pages),
               near_),
        has_host_(n_host_pages > 0),
        host_(Buffer(static_cast<size_t>(n_host_pages * kPageBytes)),
              {kPageBytes, kPageBytes, kPageBytes}) {
    for (size_t g = 0; g < windows_.size(); ++g) {
      memory_.emplace_back(static_cast<size_t>(pages_.n_pages(g) * kKvBlockTokens));
    }
    if (has_host_) pages_.keep_on_host(host_, *this);
  }

  void save(size_t group, PageId page, std::byte* to) override {
    if (++n_moves_ % 23 == 0) fail(ErrorCode::kDevice, "the device broke");
    std::memcpy(to, &memory_[group][static_cast<size_t>(page * kKvBlockTokens)], kPageBytes);
  }
  void load(size_t group, PageId page, const std::byte* from) override {
    if (++n_moves_ % 23 == 0) fail(ErrorCode::kDevice, "the device broke");
    std::memcpy(&memory_[group][static_cast<size_t>(page * kKvBlockTokens)], from, kPageBytes);
  }

  void apply(const Op& op) {
    const auto [what, a, b] = op;
    if (sequences_.empty() || what % 8 == 0) {
      begin(a, b);
    } else {
      const size_t index = a % sequences_.size();
      switch (what % 8) {
        case 1:
          end(index, /*keeps=*/true);
          break;
        case 2:
          end(index, /*keeps=*/false);
          break;
        case 3:
          fork(index);
          break;
        default:
          go_on(index, b);
      }
    }
    std::vector<const PageTable*> tables;
    for (const auto& sequence : sequences_) tables.push_back(&sequence->table);
    pages_.check(tables);
    for (const auto& sequence : sequences_) check_past(*sequence);
  }

  void finish() {
    while (!sequences_.empty()) end(0, true);
    pages_.check({});
    for (size_t g = 0; g < windows_.size(); ++g) {
      RC_ASSERT(pages_.n_available(g) == pages_.n_pages(g));
    }
  }
  int64_t n_adopted() const { return n_adopted_; }
  int64_t n_brought() const { return n_brought_; }    // tokens, from host memory
  int64_t n_read_far() const { return n_read_far_; }  // tokens of tails without near pages

 private:
  static constexpr int64_t kPageBytes = kKvBlockTokens * sizeof(History);

  struct Sequence {
    PageTable table;
    std::vector<int32_t> tokens;  // all that are cached
  };

  int64_t n_sink_tokens(size_t g) const {
    return near_.group > 0 && g == near_.group ? near_.n_sinks * kKvBlockTokens : 0;
  }
  static std::vector<int64_t> counts(int64_t n_pages, int64_t n_middle, int64_t n_last) {
    return {n_pages, n_middle, n_last};
  }
  // Few texts, which begin alike and branch.
  static int32_t text(uint8_t which, int64_t position) {
    return position < 10 * (which % 8) ? 1 : 1 + which % 4;
  }

  void begin(uint8_t which, uint8_t length) {
    std::vector<int32_t> prompt;
    for (int64_t i = 0; i <= length; ++i) prompt.push_back(text(which, i));
    auto sequence = std::make_unique<Sequence>();
    const int64_t expected = pages_.n_adoptable(prompt);
    const int64_t n = pages_.adopt(sequence->table, prompt);
    RC_ASSERT(n == expected || (has_host_ && n > expected));
    n_brought_ += n - expected;
    RC_ASSERT(n <= length);
    n_adopted_ += n;
    sequence->tokens.assign(prompt.begin(), prompt.begin() + n);
    check_past(*sequence);
    sequences_.push_back(std::move(sequence));
  }

  void go_on(size_t index, uint8_t b) {
    Sequence& sequence = *sequences_[index];
    const auto at = static_cast<int64_t>(sequence.tokens.size());
    const int64_t n = 1 + b % 40;
    pages_.slide(sequence.table, at);
    const int64_t most = pages_.most_tokens(sequence.table);
    const bool grown = pages_.grow(sequence.table, at + n);
    RC_ASSERT(grown == (at + n <= most));
    if (!grown) return end(index, true);
    for (int64_t i = 0; i < n; ++i) {
      sequence.tokens.push_back(text(b, at + i));
    }
    History history = 0;
    for (int64_t i = 0; i < at + n; ++i) {
      history = next_history(history, sequence.tokens[static_cast<size_t>(i)]);
      if (i < at) continue;
      for (size_t g = 0; g < windows_.size(); ++g) {
        memory_[g][static_cast<size_t>(kv_slot(sequence.table, i, g))] = history;
      }
    }
    pages_.publish(sequence.table, sequence.tokens);
  }

  // What the next token would see.
  void check_past(const Sequence& sequence) const {
    const auto at = static_cast<int64_t>(sequence.tokens.size());
    History history = 0;
    for (int64_t i = 0; i < at; ++i) {
      history = next_history(history, sequence.tokens[static_cast<size_t>(i)]);
      for (size_t g = 0; g < windows_.size(); ++g) {
        const PageTable::Group& group = sequence.table.groups[g];
        const bool is_sink = i < n_sink_tokens(g);
        if (windows_[g] > 0 && i <= at - windows_[g] && !is_sink) continue;
        if (near_.group > 0 && g == near_.group && !is_sink && i < group.begin_tokens()) {
          ++n_read_far_;
          continue;
        }
        RC_ASSERT(memory_[g][static_cast<size_t>(kv_slot(sequence.table, i, g))] == history);
      }
    }
  }

  void fork(size_t index) {
    const Sequence& from = *sequences_[index];
    const auto copy = [&](size_t group, PageId page, PageId to) {
      for (int64_t i = 0; i < kKvBlockTokens; ++i) {
        memory_[group][static_cast<size_t>(to * kKvBlockTokens + i)] =
            memory_[group][static_cast<size_t>(page * kKvBlockTokens + i)];
      }
    };
    auto table = pages_.fork(from.table, static_cast<int64_t>(from.tokens.size()), copy);
    if (!table) return;
    auto forked = std::make_unique<Sequence>();
    forked->table = std::move(*table);
    forked->tokens = from.tokens;
    sequences_.push_back(std::move(forked));
  }

  void end(size_t index, bool keeps) {
    Sequence& sequence = *sequences_[index];
    if (keeps) {
      pages_.retire(sequence.table, sequence.tokens);
    } else {
      pages_.release(sequence.table);
    }
    sequences_.erase(sequences_.begin() + static_cast<std::ptrdiff_t>(index));
  }

  std::vector<int64_t> windows_;
  NearPages near_;
  Pages pages_;
  std::vector<std::vector<History>> memory_;  // of each group, by slot
  std::vector<std::unique_ptr<Sequence>> sequences_;
  int64_t n_adopted_ = 0;
  int64_t n_brought_ = 0;
  mutable int64_t n_read_far_ = 0;
  bool has_host_;
  HostPages host_;
  int64_t n_moves_ = 0;
};

TEST(PagesRandom, NothingIsLostOrSharedWrongly) {
  // The same lives in every run; RC_PARAMS asks for others.
  setenv("RC_PARAMS", "seed=20 max_success=300 max_size=200", /*overwrite=*/0);
  int64_t n_adopted = 0;
  const bool ok = rc::check([&] {
    World world(*rc::gen::inRange<int64_t>(1, 60), *rc::gen::inRange<int64_t>(1, 60),
                *rc::gen::inRange<int64_t>(1, 30), 0);
    for (const Op& op : *rc::gen::arbitrary<std::vector<Op>>()) world.apply(op);
    n_adopted += world.n_adopted();
    world.finish();
  });
  EXPECT_TRUE(ok);
  EXPECT_GT(n_adopted, 10'000) << "next to nothing was shared: the test is blind";
}

// The same where the last group is one of near pages: what of its tail is not there is said to be.
TEST(PagesRandom, NearPagesHoldTheSinksAndATail) {
  setenv("RC_PARAMS", "seed=20 max_success=300 max_size=200", /*overwrite=*/0);
  int64_t n_adopted = 0;
  int64_t n_read_far = 0;
  const bool ok = rc::check([&] {
    World world(*rc::gen::inRange<int64_t>(1, 30), *rc::gen::inRange<int64_t>(1, 100),
                *rc::gen::inRange<int64_t>(1, 12), *rc::gen::inRange<int64_t>(0, 100),
                *rc::gen::inRange<int64_t>(0, 3));
    for (const Op& op : *rc::gen::arbitrary<std::vector<Op>>()) world.apply(op);
    n_adopted += world.n_adopted();
    n_read_far += world.n_read_far();
    world.finish();
  });
  EXPECT_TRUE(ok);
  EXPECT_GT(n_adopted, 10'000) << "next to nothing was shared: the test is blind";
  EXPECT_GT(n_read_far, 1'000) << "no tail was lacking: the test is blind";
}

// The same with a second place for what is given up, in which some moves fail.
TEST(PagesRandom, WhatComesBackFromHostMemoryIsWhatWasThere) {
  setenv("RC_PARAMS", "seed=20 max_success=300 max_size=200", /*overwrite=*/0);
  int64_t n_brought = 0;
  const bool ok = rc::check([&] {
    World world(*rc::gen::inRange<int64_t>(1, 60), *rc::gen::inRange<int64_t>(1, 40),
                *rc::gen::inRange<int64_t>(1, 30), *rc::gen::inRange<int64_t>(1, 100));
    for (const Op& op : *rc::gen::arbitrary<std::vector<Op>>()) world.apply(op);
    n_brought += world.n_brought();
    world.finish();
  });
  EXPECT_TRUE(ok);
  EXPECT_GT(n_brought, 3'000) << "next to nothing came back: the test is blind";
}

}  // namespace
}  // namespace tq
