#include "hub/partial_file.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "base/error.h"
#include "base/json.h"

namespace tq {
namespace {

constexpr std::string_view kDataEnd = ".tq-part";
constexpr std::string_view kJournalEnd = ".tq-part.json";
constexpr int64_t kMaxJournalBytes = int64_t{16} << 20;

fs::path with_end(fs::path path, std::string_view end) {
  path += end;
  return path;
}

std::unique_ptr<OutputFile> open_data(const fs::path& path) {
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0666);
  if (fd < 0) fail_errno(errno, path.string());
  return std::make_unique<OutputFile>(fd, path);
}

// As write_file_atomic(), without waiting for the disk.
void replace_file(const fs::path& path, std::string_view text) {
  const fs::path temporary = with_end(path, ".new");
  std::error_code error;
  fs::remove(temporary, error);  // of an earlier run
  {
    const std::unique_ptr<OutputFile> out = open_data(temporary);
    out->write_at(0, {reinterpret_cast<const uint8_t*>(text.data()), text.size()});
  }
  fs::rename(temporary, path, error);
  if (error) fail_errno(error.value(), path.string());
}

}  // namespace

fs::path partial_data(const fs::path& place) { return with_end(place, kDataEnd); }
fs::path partial_journal(const fs::path& place) { return with_end(place, kJournalEnd); }

bool is_partial(std::string_view name) {
  // The journal's own temporary has something behind its name.
  return name.find(kDataEnd) != std::string_view::npos;
}

PartialFile::PartialFile(fs::path place, int64_t size)
    : place_(std::move(place)),
      data_(partial_data(place_)),
      journal_(partial_journal(place_)),
      size_(size),
      out_(open_data(data_)) {
  try {
    read_journal();
  } catch (const Error&) {  // cut or of another form: what it spoke of is not known
    there_.clear();
  }
  // Bytes that no journal speaks of, or behind the end, would never be hashed.
  const int64_t most = there_.total() == 0 ? 0 : size_;
  if (data_bytes() > most) out_->truncate(static_cast<uint64_t>(most));
}

int64_t PartialFile::data_bytes() const {
  struct stat info {};
  if (::fstat(out_->fd(), &info) != 0) fail_errno(errno, data_.string());
  return info.st_size;
}

// Throws for a journal that does not fit the data.
void PartialFile::read_journal() {
  if (!is_file(journal_)) return;
  const std::string name = journal_.string();
  const Json json = parse_json(read_text_file(journal_, kMaxJournalBytes), name);
  const auto wrong = [&]() { fail(ErrorCode::kCorrupt, "{}: not as tq writes it", name); };
  const int64_t there = data_bytes();
  const bool formed = json.is_object() && json.contains("size") && json.contains("ranges");
  if (!formed || json_integer(json["size"], size_, size_) != size_ || !json["ranges"].is_array()) {
    wrong();
  }
  for (const Json& item : json["ranges"]) {
    if (!item.is_array() || item.size() != 2) wrong();
    const auto begin = json_integer(item[0], 0, size_);
    const auto end = json_integer(item[1], 0, std::min(size_, there));
    if (!begin || !end) wrong();
    there_.add({*begin, *end});
  }
}

void PartialFile::write(int64_t at, std::span<const uint8_t> bytes) {
  out_->write_at(static_cast<uint64_t>(at), bytes);
  there_.add({at, at + static_cast<int64_t>(bytes.size())});
  saved_ = false;
}

void PartialFile::save(bool durable) {
  if (saved_ && (durable_ || !durable)) return;
  if (durable) out_->sync();  // the journal must not speak of bytes that a crash can lose
  Json ranges = Json::array();
  for (const FileRange& range : there_.ranges()) ranges.push_back({range.begin, range.end});
  const std::string text = Json{{"size", size_}, {"ranges", std::move(ranges)}}.dump() + "\n";
  if (durable) {
    write_file_atomic(journal_, text);
  } else {
    replace_file(journal_, text);
  }
  saved_ = true;
  durable_ = durable;
}

void PartialFile::restart() {
  std::error_code none;
  fs::remove(journal_, none);
  there_.clear();
  out_->truncate(0);
  saved_ = durable_ = true;
}

void PartialFile::publish() {
  if (const int64_t bytes = data_bytes(); bytes != size_) {
    fail(ErrorCode::kIo,
         "{}: {} bytes, not {}: another program writes to it; stop that, and pull "
         "again",
         data_.string(), bytes, size_);
  }
  out_->sync();
  rename_durable(data_, place_);
  std::error_code none;
  fs::remove(journal_, none);
  fs::remove(with_end(journal_, ".new"), none);
}

}  // namespace tq
