#include "convert/journal.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <string_view>

#include "base/error.h"

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

// "options.format: tq3 before, tq4 now" for the first value that is not the same.
std::string first_difference(const Json& before, const Json& now) {
  for (const auto& [section, values] : now.items()) {
    for (const auto& [key, value] : values.items()) {
      const Json old = before.contains(section) ? before[section].value(key, Json()) : Json();
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

Journal::Journal(const fs::path& path, const Json& identity, bool resume) : path_(path) {
  fd_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd_ < 0) fail_errno(errno, path.string());
  try {
    lock();
    if (resume) end_ = read(identity);
    if (::ftruncate(fd_, static_cast<off_t>(end_)) != 0) fail_errno(errno, path.string());
    if (end_ == 0) write_lines(checked_line(identity));
  } catch (...) {
    ::close(fd_);
    throw;
  }
}

Journal::~Journal() { ::close(fd_); }

void Journal::lock() {
  if (::flock(fd_, LOCK_EX | LOCK_NB) == 0) return;
  if (errno != EWOULDBLOCK) return;  // file systems without locks
  fail(ErrorCode::kIo, "{}: another conversion is writing to this folder", path_.string());
}

uint64_t Journal::read(const Json& identity) {
  const std::string text = read_text_file(path_, kMaxBytes);
  uint64_t end = 0;
  while (const auto body = line_at(text, end)) {
    const Json line = parse_json(*body, path_.string());
    if (end > 0) {
      read_line(line);
    } else if (line != identity) {
      fail(ErrorCode::kInvalidArgument,
           "{}: holds an unfinished conversion that differs ({}); repeat its command to finish it, "
           "or give --no-resume to start over",
           path_.parent_path().string(), first_difference(line, identity));
    }
    end += kChecksumDigits + 1 + body->size() + 1;
  }
  return end;
}

void Journal::read_line(const Json& line) {
  try {
    if (line.contains("commit")) {
      commit_ = line["commit"].get<std::vector<std::string>>();
      return;
    }
    TensorResult result;
    line.at("squared_error").get_to(result.stats.squared_error);
    line.at("squared_norm").get_to(result.stats.squared_norm);
    line.at("non_finite").get_to(result.non_finite);
    line.at("hashes").get_to(result.hashes);
    finished_[line.at("tensor").get<int64_t>()] = result;
  } catch (const nlohmann::json::exception& error) {
    fail(ErrorCode::kCorrupt, "{}: {}; give --no-resume to start over", path_.string(),
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

void Journal::append_commit(const std::vector<std::string>& files_to_remove) {
  write_lines(checked_line({{"commit", files_to_remove}}));
  commit_ = files_to_remove;
}

void Journal::write_lines(const std::string& lines) {
  for (size_t done = 0; done < lines.size();) {
    const ssize_t n =
        ::pwrite(fd_, lines.data() + done, lines.size() - done, static_cast<off_t>(end_ + done));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail_errno(errno, path_.string() + ": write");
    done += static_cast<size_t>(n);
  }
  if (::fsync(fd_) != 0) fail_errno(errno, path_.string() + ": fsync");
  end_ += lines.size();
}

}  // namespace tq
