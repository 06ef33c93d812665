#include "hub/download.h"

#include <algorithm>
#include <chrono>
#include <list>
#include <optional>

#include "base/error.h"
#include "base/log.h"
#include "hub/digest.h"
#include "hub/file_lock.h"
#include "hub/hub_answer.h"
#include "hub/partial_file.h"

namespace tq {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int64_t kChunkBytes = int64_t{16} << 20;  // of one request, so that all connections work
constexpr int kAttempts = 6;                        // in a row without a byte
constexpr auto kSaveInterval = std::chrono::seconds(1);
constexpr auto kDurableInterval = std::chrono::seconds(30);

// A file that is being fetched.
struct FetchedFile {
  const DownloadItem* item = nullptr;
  std::optional<FileLock> lock;
  std::unique_ptr<PartialFile> partial;  // while it is open
  std::unique_ptr<FileDigest> digest;
  std::string direct_url;  // where the hub's address led to; asked first while it works
  bool no_ranges = false;  // the server sends nothing but the whole
  bool restart = false;    // forget what is there: it is to come as a whole, or was wrong
  bool was_wrong = false;  // its hash, once
  bool waits = false;      // for another process; said once
  bool done = false;
  int n_connections = 0;
  Clock::time_point failed{};  // when a failure was last counted
  Retries retries{kAttempts - 1};
};

// One request for bytes of a file.
struct RangeFetch {
  FetchedFile* file = nullptr;
  FileRange range;
  int64_t at = 0;
  HubClient::Id id = 0;
  bool whole = false;  // the file's, which is asked for without a range
  Clock::time_point started = Clock::now();
};

class Download {
 public:
  Download(HubClient& client, const std::vector<DownloadItem>& items,
           const DownloadOptions& options, const HubEnvironment& environment, const HubName& name)
      : client_(client), options_(options), environment_(environment), name_(name) {
    for (const DownloadItem& item : items) {
      files_.push_back({.item = &item});
      total_ += item.file.size;
    }
  }

  ~Download() {
    for (const RangeFetch& one : connections_) client_.stop(one.id);
  }

  int64_t run() {
    try {
      while (true) {
        open_files();
        start_connections();
        finish_files();
        report();
        const bool all = std::all_of(files_.begin(), files_.end(),
                                     [](const FetchedFile& file) { return file.done; });
        if (all) return fetched_;
        if (options_.cancelled && options_.cancelled()) {
          fail(ErrorCode::kCancelled,
               "interrupted; what came so far is kept: tq pull {} goes on with it", name_.text());
        }
        client_.step(client_.n_active() > 0 ? 100 : 10);
        save_sometimes();
      }
    } catch (...) {
      save_all();
      throw;
    }
  }

 private:
  // ---- Opening ----

  void open_files() {
    int n_open = 0;
    for (FetchedFile& file : files_) {
      if (n_open == options_.connections) return;
      if (file.done) continue;
      if (file.partial == nullptr) open(file);
      if (file.partial != nullptr) ++n_open;
    }
  }

  void open(FetchedFile& file) {
    const DownloadItem& item = *file.item;
    if (file.waits && Clock::now() < next_look_) return;
    file.lock = FileLock::try_take(item.lock);
    if (!file.lock) {
      if (!file.waits)
        info("waiting for another program that fetches {}", printable(item.file.path));
      file.waits = true;
      next_look_ = Clock::now() + std::chrono::milliseconds(100);
      return;
    }
    std::error_code none;
    if (is_file(item.blob) &&
        static_cast<int64_t>(fs::file_size(item.blob, none)) == item.file.size) {
      file.lock.reset();  // the other one has fetched it
      file.done = true;
      return;
    }
    file.partial = std::make_unique<PartialFile>(item.blob, item.file.size);
    start_digest(file);
  }

  static void start_digest(FetchedFile& file) {
    const HubFile& of = file.item->file;
    file.digest = std::make_unique<FileDigest>(
        of.is_sha256() ? DigestKind::kSha256 : DigestKind::kGitBlob, of.size, file.partial->fd());
  }

  // ---- Connections ----

  void start_connections() {
    for (FetchedFile& file : files_) {
      if (file.partial == nullptr || file.done) continue;
      if (file.restart) restart(file);
      while (static_cast<int>(connections_.size()) < options_.connections) {
        if (Clock::now() < std::max(file.retries.not_before(), pause_until_)) break;
        const auto range = next_range(file);
        if (!range) break;
        connect(file, *range);
      }
    }
  }

  void restart(FetchedFile& file) {
    file.restart = false;
    for (auto at = connections_.begin(); at != connections_.end();) {
      if (at->file != &file) {
        ++at;
        continue;
      }
      client_.stop(at->id);
      at = connections_.erase(at);
    }
    file.n_connections = 0;
    forget(file);
  }

  static void forget(FetchedFile& file) {
    file.digest.reset();  // before the bytes that it reads go
    file.partial->restart();
    start_digest(file);
  }

  // The next bytes to ask for: neither there nor on their way.
  std::optional<FileRange> next_range(FetchedFile& file) const {
    if (file.no_ranges) {
      if (file.n_connections > 0 || file.partial->whole()) return std::nullopt;
      return FileRange{0, file.partial->size()};
    }
    FileRanges taken = file.partial->there();
    for (const RangeFetch& one : connections_) {
      if (one.file == &file) taken.add({one.at, one.range.end});
    }
    return taken.first_gap(file.partial->size(), kChunkBytes);
  }

  void connect(FetchedFile& file, FileRange range) {
    RangeFetch& one = connections_.emplace_back();
    one.file = &file;
    one.range = range;
    one.at = range.begin;
    ++file.n_connections;
    one.whole = range == FileRange{0, file.partial->size()};
    one.id = client_.start({
        .url = file.direct_url.empty() ? file.item->url : file.direct_url,
        .range = one.whole ? FileRange{} : range,
        .on_head = [&one](const HubHead& head) { return begin(one, head); },
        .on_body = [this, &one](std::string_view bytes) { return take(one, bytes); },
        .on_end = [this, &one](const HubHead& head, const HubEnd& ended) { end(one, head, ended); },
    });
  }

  // Whether the body is what was asked for.
  static bool begin(RangeFetch& one, const HubHead& head) {
    FetchedFile& file = *one.file;
    const HubFile& of = file.item->file;
    const std::string linked = head.header("x-linked-etag");
    if (of.is_sha256() && linked.size() == of.hash.size() + 2 && linked != "\"" + of.hash + "\"") {
      fail(ErrorCode::kCorrupt, "{}: the hub sends another file than it lists; pull again",
           printable(of.path));
    }
    const std::string length = head.header("content-length");
    const std::string size = std::to_string(of.size);
    if (head.status == 200 && one.whole && (length.empty() || length == size)) {
      // A whole file that comes anew replaces what there was, but not before it comes.
      if (file.no_ranges && file.partial->there().total() > 0) forget(file);
      return true;
    }
    const auto got = parse_content_range(head.header("content-range"));
    if (head.status == 206 && !one.whole && got && got->range.begin == one.range.begin &&
        got->range.end <= one.range.end && got->size == of.size) {
      return true;
    }
    // A server that sends the whole, or another range than it was asked for, is asked for the
    // whole. A page of something on the way is neither.
    const bool is_file = length == size || head.header("etag") == "\"" + of.hash + "\"";
    if (!one.whole &&
        ((head.status == 200 && is_file) || (head.status == 206 && got && got->size == of.size))) {
      file.no_ranges = true;
    }
    return false;
  }

  bool take(RangeFetch& one, std::string_view bytes) {
    // More than was asked for is not read; the hash tells whether the rest is right.
    const bool too_many = static_cast<int64_t>(bytes.size()) > one.range.end - one.at;
    if (too_many) bytes = bytes.substr(0, static_cast<size_t>(one.range.end - one.at));
    one.file->partial->write(one.at,
                             {reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
    one.at += static_cast<int64_t>(bytes.size());
    fetched_ += static_cast<int64_t>(bytes.size());
    // Of a file that begins anew each time, bytes are no progress.
    if (!one.file->no_ranges) one.file->retries.reset();
    return !too_many;
  }

  void end(RangeFetch& ended, const HubHead& head, const HubEnd& how) {
    const auto at = std::find_if(connections_.begin(), connections_.end(),
                                 [&](const RangeFetch& one) { return &one == &ended; });
    const RangeFetch one = *at;
    connections_.erase(at);
    FetchedFile& file = *one.file;
    --file.n_connections;
    if (file.restart || (file.no_ranges && !one.whole)) return;
    if (one.at == one.range.end) {
      if (head.url != file.item->url) file.direct_url = head.url;
      return;
    }
    if (how.permanent) fail_connection(file, how.failure);
    if (how.failure.empty() && head.status >= 300) return refused(one, head);
    std::string why = how.failure;
    if (why.empty()) {
      why = one.at > one.range.begin
                ? "the answer ended early"
                : origin_of(head.url) + " sends something else (does the network want a login?)";
      file.direct_url.clear();
    }
    try_again(one, why, std::nullopt);
  }

  // An answer that is no success.
  void refused(const RangeFetch& one, const HubHead& head) {
    FetchedFile& file = *one.file;
    const std::string why = fmt::format("{} answers {}", origin_of(head.url), head.status);
    // Addresses that the hub leads to are good for a while only; a new one is asked for.
    const bool elsewhere = origin_of(head.url) != origin_of(environment_.endpoint);
    file.direct_url.clear();
    if (is_passing(head.status)) {
      const auto seconds = wanted_delay(head);
      try_again(one, why, seconds);
      if (head.status == 429) pause_until_ = std::max(pause_until_, file.retries.not_before());
    } else if (elsewhere || head.status == 416) {
      try_again(one, why, std::nullopt);
    } else {
      fail_answer(head, environment_, name_, file.item->file.path);
    }
  }

  void try_again(const RangeFetch& one, const std::string& why, std::optional<int64_t> seconds) {
    FetchedFile& file = *one.file;
    // Requests of a file that were on their way at once are one failure.
    const bool counted = one.started <= file.failed;
    if (!counted) file.failed = Clock::now();
    if (!counted && !file.retries.again(seconds)) fail_connection(file, why);
    if (!counted && seconds) {
      info("{}: {}; going on in {} s", printable(file.item->file.path), why, *seconds);
    }
  }

  [[noreturn]] void fail_connection(const FetchedFile& file, const std::string& why) const {
    fail(ErrorCode::kIo, "{}: {}; what came so far is kept: tq pull {} goes on with it",
         printable(file.item->file.path), why, name_.text());
  }

  // ---- Files that are whole ----

  void finish_files() {
    for (FetchedFile& file : files_) {
      if (file.partial == nullptr || file.done || file.restart) continue;
      file.digest->advance(file.partial->there().prefix());
      if (file.partial->whole() && file.n_connections == 0 && file.digest->done()) finish(file);
    }
  }

  static std::string hash_of(const FetchedFile& file) {
    try {
      return file.digest->result();
    } catch (const Error& error) {
      fail(error.code(), "{}: {}", printable(file.item->file.path), error.what());
    }
  }

  void finish(FetchedFile& file) {
    const HubFile& of = file.item->file;
    const std::string hash = hash_of(file);
    if (hash == of.hash) {
      file.partial->publish();
      file.digest.reset();
      file.partial.reset();
      file.lock.reset();
      file.done = true;
      return;
    }
    if (!file.was_wrong) {
      file.was_wrong = true;
      file.restart = true;
      warn("{}: what came does not have the hash that the hub lists; fetching it once more",
           printable(of.path));
      return;
    }
    file.digest.reset();
    file.partial->restart();
    std::error_code none;
    fs::remove(partial_data(file.item->blob), none);
    file.partial.reset();
    fail(ErrorCode::kCorrupt,
         "{}: what came twice has the hash {}, and the hub lists {}; the server or something on "
         "the way changes the file, so nothing of it was kept",
         printable(of.path), hash, of.hash);
  }

  // ---- Keeping ----

  void save_sometimes() {
    const Clock::time_point now = Clock::now();
    if (now < next_save_) return;
    const bool durable = now >= next_durable_;  // which keeps all connections waiting
    for (FetchedFile& file : files_) {
      if (file.partial != nullptr) file.partial->save(durable);
    }
    next_save_ = Clock::now() + kSaveInterval;
    if (durable) next_durable_ = Clock::now() + kDurableInterval;
  }

  // As well as it goes: something has failed already.
  void save_all() {
    for (FetchedFile& file : files_) {
      try {
        if (file.partial != nullptr) file.partial->save(/*durable=*/true);
      } catch (const std::exception& error) {
        warn("{}", error.what());
      }
    }
  }

  void report() {
    if (!options_.progress) return;
    int64_t done = 0;
    for (const FetchedFile& file : files_) {
      if (file.done) done += file.item->file.size;
      if (file.partial != nullptr) done += file.partial->there().total();
    }
    options_.progress(done, total_);
  }

  HubClient& client_;
  const DownloadOptions& options_;
  const HubEnvironment& environment_;
  const HubName& name_;
  std::list<FetchedFile> files_;
  std::list<RangeFetch> connections_;  // whose addresses requests hold
  int64_t total_ = 0;
  int64_t fetched_ = 0;
  Clock::time_point pause_until_{};
  Clock::time_point next_look_{};
  Clock::time_point next_save_ = Clock::now() + kSaveInterval;
  Clock::time_point next_durable_ = Clock::now() + kDurableInterval;
};

}  // namespace

int64_t download(HubClient& client, const std::vector<DownloadItem>& items,
                 const DownloadOptions& options, const HubEnvironment& environment,
                 const HubName& name) {
  return Download(client, items, options, environment, name).run();
}

}  // namespace tq
