// Journal: the durable record of what a conversion has finished, in its work folder. Lines of
// "<checksum> <json>"; the first names the conversion, each later one a finished tensor, the last
// that the result is being put in place. A torn line ends what is believed. Holds a lock so that
// two conversions never write to one destination. One owner; not thread safe.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>

#include "base/file.h"
#include "base/json.h"
#include "convert/quantize.h"

namespace tq {

struct FinishedTensor {
  int64_t tensor = 0;  // index into ConvertPlan::tensors
  TensorResult result;
};

class Journal {
 public:
  // Opens or creates the journal of the conversion that `identity` describes (an object of
  // objects). With resume, a journal of the same conversion is continued; one of another
  // conversion is refused (kInvalidArgument, saying what differs). Without, it starts over. Throws
  // kIo when another process holds it.
  Journal(const fs::path& path, const Json& identity, bool resume);
  ~Journal();
  Journal(const Journal&) = delete;
  Journal& operator=(const Journal&) = delete;

  const std::map<int64_t, TensorResult>& finished() const { return finished_; }
  // Work that turned out not to be there.
  void forget(int64_t tensor) { finished_.erase(tensor); }
  // The files to remove before the result takes its place, once that was begun.
  const std::optional<std::vector<std::string>>& commit() const { return commit_; }

  // Durable on return: the tensors' data must be so before.
  void append(std::span<const FinishedTensor> tensors);
  void append_commit(const std::vector<std::string>& files_to_remove);

 private:
  void lock();
  // Reads what is there; returns the length of its valid part, 0 when there is nothing to continue.
  uint64_t read(const Json& identity);
  void read_line(const Json& line);
  void write_lines(const std::string& lines);

  fs::path path_;
  int fd_ = -1;
  uint64_t end_ = 0;
  std::map<int64_t, TensorResult> finished_;
  std::optional<std::vector<std::string>> commit_;
};

}  // namespace tq
