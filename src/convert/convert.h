// convert(): a checkpoint in, a compressed checkpoint out. Streams, resumes after any interruption,
// and puts the result in place only when it is whole. Blocking; owns its threads for the call.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/json.h"
#include "convert/plan.h"
#include "convert/quantize.h"
#include "format/traits.h"
#include "io/checkpoint.h"

namespace tq {

struct ConvertProgress {
  int64_t done_bytes = 0;  // of the source's tensors as they are stored
  int64_t total_bytes = 0;
};

// Replaceable for tests.
struct ConvertHooks {
  // Bytes a user may still write in this folder's file system; statvfs unless set.
  std::function<uint64_t(const fs::path&)> free_bytes;
  // Called at the named points of a conversion ("block", "journal", "rename", ...); what it throws
  // ends the conversion as a crash there would.
  std::function<void(std::string_view point)> at;
};

struct ConvertOptions {
  fs::path destination;  // a folder, made when it does not exist
  PlanOptions plan;
  std::optional<Effort> effort;  // kDefault, or the layout's only one
  int n_threads = 0;             // 0: all CPUs
  uint64_t shard_bytes = 4'000'000'000;
  bool allow_nan = false;  // store weights that are not finite as 0
  // Rounds linears of the decoder with feedback (ldlq.h); null: without.
  HessianSource* hessians = nullptr;
  bool resume = true;      // continue what an interrupted run left
  bool overwrite = false;  // replace a complete checkpoint of ours
  bool anyway = false;     // leave out small files that cannot be read, with a note
  std::function<void(const ConvertProgress&)> progress;
  std::function<void(const std::vector<std::string>&)> notes;  // ConvertPlan::notes, at the start
  std::function<bool()> cancelled;  // asked after every block; true stops: kCancelled, resumable
  ConvertHooks hooks;
};

// All tensors of one class that share a format.
struct ReportRow {
  TensorClass tensor_class = TensorClass::kOther;
  std::string format;
  int64_t n_tensors = 0;
  int64_t n_parameters = 0;
  int64_t stored_bytes = 0;
  bool lossy = false;  // encoded: stats are known
  EncodeStats stats;

  double bits_per_weight() const;
};

struct ConvertReport {
  std::vector<ReportRow> rows;  // by class, then format
  std::string format;           // of linears
  int64_t n_parameters = 0;
  int64_t source_bytes = 0;  // of tensors as stored
  int64_t stored_bytes = 0;  // of the files written
  int64_t non_finite = 0;    // weights stored as 0
  Json data;                 // HessianSource::describe(); null without one
  int64_t resumed = 0;       // tensors an earlier run had finished
  double seconds = 0;        // of this run
  Workload work;             // of this run

  // Everything that does not depend on the run: goes into tq_config.json.
  Json to_json() const;
};

// Throws kInvalidArgument for options, and for destinations that are taken or overlap the source;
// kNoSpace with both numbers before anything is written; kUnsupported for weights that cannot be
// stored; kIo, kNoSpace and kCancelled midway, after which the same call resumes.
ConvertReport convert(const Checkpoint& source, const ConvertOptions& options);

// Finishes a conversion to the folder that was interrupted while its result was put in place; that
// needs no source. False when there is none. Throws kIo, and kCorrupt when the result is not as it
// was written.
bool finish_conversion(const fs::path& folder);

std::string_view effort_name(Effort effort);

}  // namespace tq
