// What a render may spend. Chat templates come from downloads: whatever one does, it must end soon
// and stay small. Every value, scope and growing text that is made during a render holds its bytes
// of the render's Budget until it dies, and whoever is about to do work in proportion to some size
// charges steps for it first. The budget of the running render is found through the thread, because
// values are made and copied in too many places for an argument to reach all of them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace tq::jinja {

// A step is about 0.1 us: a node of the template evaluated, an item of a list visited, 64 bytes of
// text copied or searched. Bytes are those alive at one time, with what the allocator adds.
struct Limits {
  int64_t max_steps = 2'000'000;
  int max_depth = 600;                    // nested evaluations and macro calls
  int64_t max_bytes = int64_t{24} << 20;  // of values, scopes and output
};

// The limits for variables of this many bytes: long conversations may cost more, in proportion.
Limits limits_for_input(size_t bytes);

class Budget {
 public:
  explicit Budget(const Limits& limits) : limits_(limits) {}
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

  // These throw kUnsupported past the limit.
  void step(int64_t n);
  void hold(size_t bytes);
  void release(size_t bytes) noexcept { bytes_ -= static_cast<int64_t>(bytes); }

  // That of the render this thread is in; null outside of one (values then cost nothing).
  static Budget* current();

  // Makes a budget the current one while it lives.
  class Use {
   public:
    explicit Use(Budget& budget);
    ~Use();
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;

   private:
    Budget* outer_;
  };

 private:
  Limits limits_;
  int64_t steps_ = 0;
  int64_t bytes_ = 0;
};

// Charges the current budget, if there is one: for n units of work; for work that reads or copies
// bytes at the speed of memory; for work on each character of a text.
void charge_steps(size_t n);
inline void charge_scan(size_t bytes) { charge_steps(bytes / 64 + 1); }
inline void charge_characters(size_t bytes) { charge_steps(bytes / 8 + 1); }
// Throws now if so many bytes could not be held: before short-lived working memory of that size.
void require_bytes(size_t bytes);

// Bytes held of the budget that was current when the lease was made. A copy holds as many again.
class Lease {
 public:
  Lease() = default;
  explicit Lease(size_t bytes) { grow(bytes); }
  Lease(const Lease& other) : Lease(other.bytes_) {}
  Lease(Lease&& other) noexcept;
  Lease& operator=(Lease other) noexcept;
  ~Lease();

  void grow(size_t bytes);

 private:
  Budget* budget_ = nullptr;
  size_t bytes_ = 0;
};

// A text that grows, charged before it does.
class TextBuilder {
 public:
  TextBuilder& operator+=(std::string_view text);
  TextBuilder& operator+=(char c) { return *this += std::string_view(&c, 1); }
  void append(size_t n, char c);
  size_t size() const { return text_.size(); }
  bool empty() const { return text_.empty(); }
  // The text; the builder is then empty.
  std::string take();

 private:
  void make_room(size_t more);

  std::string text_;
  Lease lease_;
};

}  // namespace tq::jinja
