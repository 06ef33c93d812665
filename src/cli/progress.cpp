#include "cli/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>

#include "base/human.h"
#include "cli/terminal.h"

namespace tq {
namespace {

constexpr auto kBarInterval = std::chrono::milliseconds(200);
constexpr auto kLineInterval = std::chrono::seconds(2);
constexpr int kBarWidth = 24;

}  // namespace

Progress::Progress(const GlobalOptions& global, std::string label, ProgressUnit unit,
                   std::string unit_name)
    : bar_(global.show_progress_bar()),
      lines_(global.show_progress_lines()),
      label_(std::move(label)),
      unit_(unit),
      unit_name_(std::move(unit_name)) {}

Progress::~Progress() { finish(); }

void Progress::update(int64_t done, int64_t total) {
  if (!bar_ && !lines_) return;
  const std::scoped_lock lock(mutex_);
  if (finished_) return;
  const Clock::time_point now = Clock::now();
  if (!started_) {
    started_ = true;
    start_ = now;
    first_done_ = done;
    last_draw_ = now;  // what is done at once needs no bar, and 0 % no line
  }
  done_ = done;
  total_ = std::max(done, total);
  if (now - last_draw_ < (bar_ ? Clock::duration(kBarInterval) : Clock::duration(kLineInterval))) {
    return;
  }
  last_draw_ = now;
  draw(false);
}

void Progress::begin(int64_t done, int64_t total) {
  update(done, total);
  const std::scoped_lock lock(mutex_);
  if (bar_ && !finished_) draw(false);
}

void Progress::finish() {
  const std::scoped_lock lock(mutex_);
  if (finished_) return;
  finished_ = true;
  if (drawn_ || (started_ && lines_)) draw(true);
}

void Progress::vanish() {
  const std::scoped_lock lock(mutex_);
  if (lines_ && started_ && !finished_) {
    done_ = total_;
    draw(true);
  }
  if (bar_ && drawn_ && !finished_) {
    std::fputs("\r\x1b[K", stderr);
    std::fflush(stderr);
  }
  finished_ = true;
}

void Progress::draw(bool last) {
  drawn_ = true;
  const double seconds = std::chrono::duration<double>(Clock::now() - start_).count();
  const double fraction =
      total_ > 0 ? static_cast<double>(done_) / static_cast<double>(total_) : 1.0;
  const double rate = seconds > 0 ? static_cast<double>(done_ - first_done_) / seconds : 0;
  const auto amount = [&](double n) {
    return unit_ == ProgressUnit::kBytes ? human_bytes(n) : fmt::format("{:.0f}", n);
  };
  std::string text = fmt::format("{} / {} {}", amount(static_cast<double>(done_)),
                                 amount(static_cast<double>(total_)), unit_name_);
  if (rate > 0) text += fmt::format(" {}/s", amount(rate));
  if (last) {
    text += " in " + human_seconds(seconds);
  } else if (rate > 0) {
    text += " ETA " + human_seconds(static_cast<double>(total_ - done_) / rate);
  }
  if (lines_) {
    std::fprintf(stderr, "%s: %3.0f%% %s\n", label_.c_str(), 100 * fraction, text.c_str());
    return;
  }
  const int filled = static_cast<int>(fraction * kBarWidth);
  std::string line = fmt::format("{} [{:=<{}}{: <{}}] {:3.0f}% {}", label_, "", filled, "",
                                 kBarWidth - filled, 100 * fraction, text);
  const int columns = terminal_columns(STDERR_FILENO);
  line.resize(std::min(line.size(), static_cast<size_t>(columns > 0 ? columns - 1 : 79)));
  // \x1b[K clears what a longer line left behind.
  std::fprintf(stderr, "\r%s\x1b[K%s", line.c_str(), last ? "\n" : "");
  std::fflush(stderr);
}

}  // namespace tq
