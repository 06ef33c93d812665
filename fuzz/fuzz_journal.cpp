// Fuzzes the journal of an unfinished conversion: any file of that name either is refused with a
// tq::Error, or is believed up to a line; what is written after that is read again as it was
// written. The input is tried as it is, and with the right checksum before each of its lines.
#include <fmt/format.h>
#include <xxhash.h>

#include <cstdlib>
#include <memory>
#include <string>

#include "convert/journal.h"
#include "scratch_folder.h"

namespace {

using tq::Journal;

std::string with_checksums(std::string_view input) {
  std::string text;
  while (!input.empty()) {
    const size_t end = std::min(input.find('\n'), input.size());
    const std::string_view line = input.substr(0, end);
    text += fmt::format("{:016x} {}\n", XXH3_64bits(line.data(), line.size()), line);
    input.remove_prefix(std::min(end + 1, input.size()));
  }
  return text;
}

// Hashes of everything that a journal says of its tensors.
std::string facts(const Journal& journal) {
  std::string text = journal.identity().dump();
  for (const auto& [tensor, result] : journal.finished()) {
    text += fmt::format("\n{} {} {} {} {}", tensor, result.stats.squared_error,
                        result.stats.squared_norm, result.non_finite, result.hashes.size());
  }
  if (journal.commit()) text += fmt::format("\ncommit {}", journal.commit()->place.size());
  return text;
}

void read(const tq::fuzz::ScratchFolder& folder, std::string_view bytes) {
  folder.clear();
  folder.write(tq::kJournalName, bytes);
  const tq::FolderHandle work(folder.path());
  tq::fuzz::attempt([&] {
    std::unique_ptr<Journal> journal = Journal::open(work);
    const tq::Json here = {{"source", {{"path", "a"}}}, {"option", {{"format", "tq3"}}}};
    tq::fuzz::attempt([&] { journal->require(here); });
    if (!journal->is_known()) journal->restart(here);
    tq::FinishedTensor finished;
    finished.tensor = 7;
    finished.result.hashes = {"00ff"};
    journal->append({&finished, 1});
    journal->append_commit({{"old"}, {"new"}});
    const std::string written = facts(*journal);
    journal.reset();
    try {
      if (facts(*Journal::open(work)) != written) std::abort();
    } catch (const tq::Error&) {
      std::abort();  // what could be read before can be read again
    }
  });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const tq::fuzz::ScratchFolder folder;
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  read(folder, input);
  read(folder, with_checksums(input));
  return 0;
}
