#include "text/jinja/budget.h"

#include <algorithm>
#include <utility>

#include "base/error.h"

namespace tq::jinja {
namespace {

thread_local Budget* current_budget = nullptr;

}  // namespace

Limits limits_for_input(size_t bytes) {
  Limits limits;
  const auto size = static_cast<int64_t>(std::min<size_t>(bytes, size_t{1} << 32));
  // A template may look at all messages for each of them.
  limits.max_steps = 5'000'000 + 4 * size;
  limits.max_bytes += 4 * size;
  return limits;
}

void Budget::step(int64_t n) {
  if (n > limits_.max_steps - steps_) {
    fail(ErrorCode::kUnsupported, "chat template: it does more than {} steps of work",
         limits_.max_steps);
  }
  steps_ += n;
}

void Budget::hold(size_t bytes) {
  if (bytes > static_cast<size_t>(std::max<int64_t>(limits_.max_bytes - bytes_, 0))) {
    fail(ErrorCode::kUnsupported, "chat template: it needs more than {} bytes of memory",
         limits_.max_bytes);
  }
  bytes_ += static_cast<int64_t>(bytes);
}

Budget* Budget::current() { return current_budget; }

Budget::Use::Use(Budget& budget) : outer_(std::exchange(current_budget, &budget)) {}
Budget::Use::~Use() { current_budget = outer_; }

void charge_steps(size_t n) {
  if (current_budget == nullptr) return;
  current_budget->step(static_cast<int64_t>(std::min<size_t>(n, size_t{1} << 62)));
}

void require_bytes(size_t bytes) {
  if (current_budget == nullptr) return;
  current_budget->hold(bytes);
  current_budget->release(bytes);
}

Lease::Lease(Lease&& other) noexcept
    : budget_(std::exchange(other.budget_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}

Lease& Lease::operator=(Lease other) noexcept {
  std::swap(budget_, other.budget_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

Lease::~Lease() {
  if (budget_ != nullptr) budget_->release(bytes_);
}

void Lease::grow(size_t bytes) {
  if (budget_ == nullptr) budget_ = current_budget;
  if (budget_ == nullptr) return;
  budget_->hold(bytes);
  bytes_ += bytes;
}

void TextBuilder::make_room(size_t more) {
  if (more <= text_.capacity() - text_.size()) return;
  if (more > text_.max_size() / 4) more = text_.max_size() / 4;  // refused by the budget
  const size_t room = std::max(text_.size() + more, 2 * text_.capacity());
  charge_scan(text_.size());
  Lease grown(room);  // while it is copied, both are there
  if (room > text_.max_size() / 4) fail(ErrorCode::kUnsupported, "chat template: text too long");
  text_.reserve(room);
  lease_ = std::move(grown);
}

TextBuilder& TextBuilder::operator+=(std::string_view text) {
  make_room(text.size());
  if (text.size() >= 64) charge_scan(text.size());
  text_ += text;
  return *this;
}

void TextBuilder::append(size_t n, char c) {
  make_room(n);
  charge_scan(n);
  text_.append(n, c);
}

std::string TextBuilder::take() {
  lease_ = Lease();
  return std::exchange(text_, {});
}

}  // namespace tq::jinja
