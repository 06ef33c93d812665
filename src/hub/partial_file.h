// PartialFile: a file on its way into the cache. "NAME.tq-part" beside its place holds bytes, and
// "NAME.tq-part.json" says which, so that any later run goes on with them. NAME is a hash of the
// content, which is checked before the file gets its name: nothing half written has it. One thread;
// the caller holds the lock of the file.
#pragma once

#include <memory>
#include <span>

#include "base/file.h"
#include "hub/file_ranges.h"

namespace tq {

class PartialFile {
 public:
  // Goes on with what is there of a file of this size, or begins. Throws kIo, kNoSpace.
  PartialFile(fs::path place, int64_t size);

  int64_t size() const { return size_; }
  const FileRanges& there() const { return there_; }
  bool whole() const { return there_.total() == size_; }
  int fd() const { return out_->fd(); }

  // Throws kIo, kNoSpace.
  void write(int64_t at, std::span<const uint8_t> bytes);
  // Writes down which bytes are there. Nothing to do where nothing is new. durable: that and the
  // bytes outlast a crash of the machine, which may take long; otherwise only one of the program. A
  // machine's crash may then leave other bytes than were written: their hash tells.
  void save(bool durable);
  // Forgets all bytes.
  void restart();
  // The whole file gets its name. Durable. Throws kIo, also where it is not of its size.
  void publish();

 private:
  void read_journal();
  int64_t data_bytes() const;

  fs::path place_;
  fs::path data_;
  fs::path journal_;
  int64_t size_;
  std::unique_ptr<OutputFile> out_;
  FileRanges there_;
  bool saved_ = true;
  bool durable_ = true;  // as saved
};

// The names that a PartialFile has beside a place.
fs::path partial_data(const fs::path& place);
fs::path partial_journal(const fs::path& place);
// Whether a file of this name is one of the two.
bool is_partial(std::string_view name);

}  // namespace tq
