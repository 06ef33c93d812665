#include "convert/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <cerrno>
#include <string_view>

#include "base/error.h"
#include "io/native/native_files.h"

namespace tq {
namespace {

constexpr size_t kChecksumDigits = 16;
constexpr int64_t kMaxBytes = int64_t{1} << 30;

std::string checksum(std::string_view text) {
  return fmt::format("{:016x}", XXH3_64bits(text.data(), text.size()));
}

std::string checked_line(const Json& json) {
  const std::string text = json.dump();
  return checksum(text) + " " + text + "\n";
}

// The JSON text of the line that begins at `begin`, or nothing when it is torn.
std::optional<std::string_view> line_at(std::string_view text, size_t begin) {
  const size_t end = text.find('\n', begin);
  if (end == std::string_view::npos || end - begin <= kChecksumDigits) return std::nullopt;
  const std::string_view line = text.substr(begin, end - begin);
  const std::string_view body = line.substr(kChecksumDigits + 1);
  if (line.substr(0, kChecksumDigits) != checksum(body)) return std::nullopt;
  return body;
}

// Whether the text, of which no line is whole, is what a crash may leave of our first line: its
// beginning, or nothing, or zeros where the disk had no more.
bool is_torn(std::string_view text) {
  constexpr std::string_view kAfterChecksum = " {";
  for (size_t i = 0; i < std::min(text.size(), kChecksumDigits + kAfterChecksum.size()); ++i) {
    const char c = text[i];
    const bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
    const bool ours = i < kChecksumDigits ? digit : c == kAfterChecksum[i - kChecksumDigits];
    if (c != '\0' && !ours) return false;
  }
  return true;
}

// "options.format: tq3 before, tq4 now" for the first value that is not the same.
std::string first_difference(const Json& before, const Json& now) {
  for (const auto& [section, values] : now.items()) {
    for (const auto& [key, value] : values.items()) {
      const bool there = before.contains(section) && before[section].is_object();
      const Json old = there ? before[section].value(key, Json()) : Json();
      if (old != value) {
        return fmt::format("{} {}: {} before, {} now", section, key, old.dump(), value.dump());
      }
    }
  }
  return "its description";
}

Json result_json(const FinishedTensor& finished) {
  const TensorResult& result = finished.result;
  return {{"tensor", finished.tensor},
          {"squared_error", result.stats.squared_error},
          {"squared_norm", result.stats.squared_norm},
          {"non_finite", result.non_finite},
          {"hashes", result.hashes}};
}

}  // namespace

std::unique_ptr<Journal> Journal::open(const FolderHandle& work) {
  const int fd = work.open_file(kJournalName, O_RDWR);
  if (fd < 0) {
    const std::vector<std::string> names = work.names();
    if (names.empty()) return nullptr;
    fail(ErrorCode::kInvalidArgument,
         "{}: there is no journal that says that it is ours; remove it or choose another "
         "destination",
         (work.path() / names[0]).string());
  }
  std::unique_ptr<Journal> journal(new Journal({fd, work.path() / kJournalName}));
  journal->lock();
  journal->read();
  return journal;
}

std::unique_ptr<Journal> Journal::create(const FolderHandle& work) {
  { const OutputFile made = work.create_file(kJournalName); }
  work.sync();
  auto journal = open(work);
  if (journal != nullptr) return journal;
  fail(ErrorCode::kIo, "{}: another conversion is using this folder", work.path().string());
}

void Journal::lock() {
  if (::flock(file_.fd(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) return;  // file systems without locks
    fail(ErrorCode::kIo, "{}: another conversion is writing to this folder", file_.path().string());
  }
  struct stat info {};
  if (::fstat(file_.fd(), &info) == 0 && info.st_nlink > 0) return;
  fail(ErrorCode::kIo, "{}: another conversion was writing to this folder", file_.path().string());
}

void Journal::require(const Json& identity) const {
  if (identity_ == identity) return;
  fail(ErrorCode::kInvalidArgument,
       "{}: holds an unfinished conversion that differs ({}); repeat its command to finish it, or "
       "give --no-resume to start over",
       file_.path().parent_path().string(), first_difference(identity_, identity));
}

void Journal::restart(const Json& identity) {
  file_.truncate(0);
  end_ = 0;
  tail_ = false;
  finished_.clear();
  commit_.reset();
  identity_ = identity;
  write_lines(checked_line(identity));
}

void Journal::read() {
  struct stat info {};
  if (::fstat(file_.fd(), &info) != 0) fail_errno(errno, file_.path().string());
  if (info.st_size > kMaxBytes) {
    fail(ErrorCode::kCorrupt, "{}: {} bytes are too many for a journal", file_.path().string(),
         info.st_size);
  }
  std::string text(static_cast<size_t>(info.st_size), '\0');
  text.resize(file_.read_at(0, {reinterpret_cast<uint8_t*>(text.data()), text.size()}));
  while (const auto body = line_at(text, end_)) {
    const Json line = parse_json(*body, file_.path().string());
    if (!line.is_object()) break;
    if (end_ == 0) {
      identity_ = line;
    } else {
      read_line(line);
    }
    end_ += kChecksumDigits + 1 + body->size() + 1;
  }
  tail_ = end_ < text.size();
  if (end_ == 0 && !is_torn(text)) {
    fail(ErrorCode::kInvalidArgument,
         "{}: is no journal of ours; remove it or choose another destination",
         file_.path().string());
  }
}

void Journal::read_line(const Json& line) {
  try {
    if (line.contains("commit")) {
      const Json& steps = line["commit"];
      commit_ = {steps.at("remove").get<std::vector<std::string>>(),
                 steps.at("place").get<std::vector<std::string>>()};
      for (const auto* names : {&commit_->remove, &commit_->place}) {
        for (const std::string& name : *names) {
          if (!is_name_within(name)) {
            fail(ErrorCode::kCorrupt, "{}: names a file elsewhere", file_.path().string());
          }
        }
      }
      if (commit_->place.empty())
        fail(ErrorCode::kCorrupt, "{}: names no file", file_.path().string());
      return;
    }
    const auto count = [&](const char* key) {
      const auto number = json_integer(line.at(key), 0, INT64_MAX);
      if (number) return *number;
      fail(ErrorCode::kCorrupt, "{}: {} is {}, not a count; give --no-resume to start over",
           file_.path().string(), key, json_for_message(line.at(key)));
    };
    TensorResult result;
    line.at("squared_error").get_to(result.stats.squared_error);
    line.at("squared_norm").get_to(result.stats.squared_norm);
    result.non_finite = count("non_finite");
    const auto hashes = line.at("hashes").get<std::vector<std::string>>();
    if (hashes.size() > result.hashes.size()) {
      fail(ErrorCode::kCorrupt, "{}: {} hashes of a tensor; give --no-resume to start over",
           file_.path().string(), hashes.size());
    }
    std::copy(hashes.begin(), hashes.end(), result.hashes.begin());
    finished_[count("tensor")] = result;
  } catch (const nlohmann::json::exception& error) {
    fail(ErrorCode::kCorrupt, "{}: {}; give --no-resume to start over", file_.path().string(),
         error.what());
  }
}

void Journal::append(std::span<const FinishedTensor> tensors) {
  std::string lines;
  for (const FinishedTensor& tensor : tensors) {
    lines += checked_line(result_json(tensor));
    finished_[tensor.tensor] = tensor.result;
  }
  write_lines(lines);
}

void Journal::append_commit(const CommitSteps& steps) {
  write_lines(checked_line({{"commit", {{"remove", steps.remove}, {"place", steps.place}}}}));
  commit_ = steps;
}

void Journal::write_lines(const std::string& lines) {
  // What could not be read must not follow on what is written.
  if (tail_) file_.truncate(end_);
  tail_ = false;
  file_.write_at(end_, {reinterpret_cast<const uint8_t*>(lines.data()), lines.size()});
  file_.sync();
  end_ += lines.size();
}

}  // namespace tq
