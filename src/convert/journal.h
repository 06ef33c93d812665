// Journal: the durable record of what a conversion has finished, in its work folder. Lines of
// "<checksum> <json>"; the first names the conversion, each later one a finished tensor, the last
// that the result is being put in place. A torn line ends what is believed. Holds a lock so that
// two conversions never write to one destination. One owner; not thread safe.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "base/folder_handle.h"
#include "base/json.h"
#include "convert/quantize.h"

namespace tq {

struct FinishedTensor {
  int64_t tensor = 0;  // index into ConvertPlan::tensors
  TensorResult result;
};

// What is left to do once all tensors are written: both in the order in which it is done.
struct CommitSteps {
  std::vector<std::string> remove;
  std::vector<std::string> place;  // files of the work folder that go to the destination
};

class Journal {
 public:
  // Opens, locks and reads the journal in the work folder; null when the folder is empty. Throws
  // kIo when another process holds it, kCorrupt when a line that is whole makes no sense,
  // kInvalidArgument for what is no journal of ours, not even what a crash leaves of one.
  static std::unique_ptr<Journal> open(const FolderHandle& work);
  // A new one, without a line. Throws the same.
  static std::unique_ptr<Journal> create(const FolderHandle& work);
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  // Whether it names a conversion. Else it was made or begun and never got that far.
  bool is_known() const { return !identity_.is_null(); }
  const Json& identity() const { return identity_; }
  // Throws kInvalidArgument, saying what differs, when it is not the conversion that `identity` (an
  // object of objects) describes.
  void require(const Json& identity) const;
  // Begins the journal of this conversion, forgetting what was in it. Durable on return.
  void restart(const Json& identity);

  const std::map<int64_t, TensorResult>& finished() const { return finished_; }
  // Work that turned out not to be there.
  void forget(int64_t tensor) { finished_.erase(tensor); }
  // Set once the result was begun to be put in its place.
  const std::optional<CommitSteps>& commit() const { return commit_; }

  // Durable on return: the tensors' data must be so before.
  void append(std::span<const FinishedTensor> tensors);
  void append_commit(const CommitSteps& steps);

 private:
  explicit Journal(OutputFile file) : file_(std::move(file)) {}
  void lock();
  void read();
  void read_line(const Json& line);
  void write_lines(const std::string& lines);

  OutputFile file_;
  uint64_t end_ = 0;   // of the valid part
  bool tail_ = false;  // something follows it that could not be read
  Json identity_;      // null: none
  std::map<int64_t, TensorResult> finished_;
  std::optional<CommitSteps> commit_;
};

constexpr const char* kJournalName = "journal";

}  // namespace tq
