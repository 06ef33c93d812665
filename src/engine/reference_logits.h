// Saved reference logits: the next-token distributions of a reference model over a text, so that
// other forms of the model are compared with it without running it again. The file is described in
// docs/formats.md. One thread.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "engine/evaluate.h"

namespace tq {

// What the distributions are of.
struct ReferenceText {
  std::vector<int32_t> ids;
  std::vector<int32_t> prefix;  // before every window: BOS, or empty
  int64_t window = 0;           // tokens, without the prefix
  int64_t stride = 0;

  EvalText text() const;  // borrows ids and prefix
};

// The reference model: only the same one, in whatever format, may be compared with it.
struct ReferenceModel {
  std::string name;  // for people
  std::string arch;
  int64_t n_layers = 0;
  int64_t hidden = 0;
  int64_t vocab = 0;
};

// The bytes of the file for a text, at most kMaxReferenceBytes. Throws kInvalidArgument beyond.
constexpr int64_t kMaxReferenceBytes = int64_t{256} << 30;
int64_t reference_bytes(const ReferenceText& text, int64_t vocab);

// Writes a file row by row: log p in 65,536 steps from the best down to 40 nats below it; what is
// less probable is put there. It appears under its name only at finish(); an unfinished one leaves
// nothing behind.
class ReferenceWriter {
 public:
  // `about` is kept for people. Throws kIo, or kNoSpace when the disk has no room for all rows.
  ReferenceWriter(const fs::path& path, const ReferenceText& text, const ReferenceModel& model,
                  const Json& about);
  ReferenceWriter(const ReferenceWriter&) = delete;
  ReferenceWriter& operator=(const ReferenceWriter&) = delete;

  // The next scored token and the logits that predict it, [vocab], all finite.
  void add(int32_t token, std::span<const float> logits);
  // TQ_CHECKs that every scored token was added.
  void finish();

 private:
  ReplacementFile file_;
  int64_t vocab_;
  uint64_t offset_ = 0;
  uint64_t end_ = 0;
  std::vector<uint8_t> row_;
};

// Reads a file that nobody vouches for: every number is checked, nothing is believed that the
// file's size contradicts.
class ReferenceReader {
 public:
  // Throws kNotFound, kIo, and kCorrupt with the path for a file that breaks the format's rules.
  explicit ReferenceReader(const fs::path& path);

  const ReferenceText& text() const { return text_; }
  const ReferenceModel& model() const { return model_; }
  const Json& about() const { return about_; }
  int64_t n_rows() const { return n_rows_; }
  // Row i, on any thread; its log_p is valid until the thread's next call. Throws kIo and kCorrupt.
  ReferenceRow row(int64_t i) const;

 private:
  void read_header();
  void read_ids(uint64_t offset, std::vector<int32_t>& ids) const;

  MappedFile file_;
  ReferenceText text_;
  ReferenceModel model_;
  Json about_;
  int64_t n_rows_ = 0;
  std::vector<int32_t> scored_;  // the tokens of the rows
  uint64_t rows_offset_ = 0;
};

// evaluate_kld with saved rows in place of a reference model; text is the reader's.
KldResult evaluate_kld(LogitReader& model, const ReferenceReader& reference,
                       const EvalProgress& progress);

}  // namespace tq
