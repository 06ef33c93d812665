#include "convert/convert.h"

#include <fcntl.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/thread_pool.h"
#include "convert/destination.h"
#include "convert/journal.h"
#include "convert/layouts/layout.h"
#include "convert/quantize.h"
#include "convert/shards.h"
#include "convert/side_files.h"
#include "convert/source_identity.h"
#include "convert/verify.h"
#include "io/folder.h"
#include "io/native/content_hash.h"
#include "io/native/native_manifest.h"

namespace tq {
namespace {

using Clock = std::chrono::steady_clock;

// Work that a crash may cost, against the cost of making it durable.
constexpr auto kFlushInterval = std::chrono::seconds(2);
constexpr int64_t kFlushBytes = int64_t{512} << 20;
constexpr uint64_t kSlackBytes = 1 << 20;

bool is_resumable(ErrorCode code) {
  return code == ErrorCode::kCancelled || code == ErrorCode::kIo || code == ErrorCode::kNoSpace ||
         code == ErrorCode::kOutOfMemory;
}

EncodeOptions encode_options(const ConvertOptions& options) {
  const Layout& layout = *options.plan.layout;
  EncodeOptions encode;
  encode.effort = options.effort.value_or(layout.only_effort.value_or(Effort::kDefault));
  if (layout.only_effort && encode.effort != *layout.only_effort) {
    fail(ErrorCode::kInvalidArgument,
         "--layout {} writes what the {} encoder would: --effort {} cannot be used with it",
         layout.name, effort_name(*layout.only_effort), effort_name(encode.effort));
  }
  return encode;
}

// Of a checkpoint's small files: name, content.
using TextFiles = std::vector<std::pair<std::string, std::string>>;

// What must be the same for a journal to be continued; `files` is the source_identity().
Json identity(Json files, const Checkpoint& source, const TextFiles& texts,
              const ConvertOptions& options, const ConvertPlan& plan) {
  std::string tensors;
  for (const PlannedTensor& tensor : plan.tensors) {
    for (const SafetensorsItem& plane : tensor.planes) {
      tensors += fmt::format("{} {} {} {} {}\n", plane.name, static_cast<int>(tensor.action),
                             tensor.format, tensor.group, shape_string(plane.shape));
    }
  }
  files["config.json"] = content_hash(source.config().dump());
  for (const auto& [name, text] : texts) files[name] = content_hash(text);
  Json option = {{"layout", plan.layout->name},
                 {"format", plan.format},
                 {"effort", effort_name(encode_options(options).effort)},
                 {"allow_nan", options.allow_nan},
                 {"shard_size", options.shard_bytes}};
  if (options.hessians != nullptr) option["data"] = options.hessians->describe();
  return {{"source", std::move(files)},
          {"option", std::move(option)},
          {"plan", {{"version", TQ_VERSION}, {"tensors", content_hash(tensors)}}}};
}

// Removes the files of the checkpoint that is replaced, unless the result is complete already: the
// description, which is the last to leave the work folder, would be the new one.
void remove_replaced(const Destination& destination, const CommitSteps& steps) {
  if (destination.is_staged(steps.place.back())) destination.remove_files(steps.remove);
}

class Converter {
 public:
  Converter(const Checkpoint& source, const ConvertOptions& options)
      : source_(source),
        options_(options),
        encode_(encode_options(options)),
        destination_(options.destination) {}

  ConvertReport run() {
    const auto start = Clock::now();
    prepare();
    const auto resumed = static_cast<int64_t>(journal_->finished().size());
    try {
      if (!journal_->commit()) write_tensors();
      ConvertReport report = commit();
      report.resumed = resumed;
      report.work = work_;
      report.seconds = std::chrono::duration<double>(Clock::now() - start).count();
      return report;
    } catch (const Error& error) {
      give_up(error);
    }
  }

 private:
  // Everything that can be refused is refused here, before anything is written.
  void prepare() {
    destination_.refuse_overlap(source_);
    if (source_.tensors().empty()) {
      fail(ErrorCode::kUnsupported, "{}: has no tensors", source_.path().string());
    }
    plan_ = make_plan(source_, options_.plan);
    shards_ = lay_out(plan_, options_.shard_bytes);
    read_text_files();
    if (options_.notes) options_.notes(plan_.notes);
    open_journal();
    results_.resize(plan_.tensors.size());
    for (const auto& [tensor, result] : journal_->finished()) {
      results_.at(static_cast<size_t>(tensor)) = result;
    }
  }

  void open_journal() {
    source_files_ = source_identity(source_);
    const Json id = identity(source_files_, source_, text_files_, options_, plan_);
    destination_.remove_empty_work();
    if (destination_.has_work()) journal_ = Journal::open(destination_.work());
    const bool known = journal_ != nullptr && journal_->is_known();
    const bool resume = known && options_.resume;
    if (resume) {
      journal_->require(id);
      check_finished();
      if (journal_->commit()) return;  // its data lies partly in place
    }
    if (known && !resume && journal_->commit()) abandon_commit();
    destination_.refuse_taken({options_.overwrite, known, new_files()});
    destination_.check_space(shards_.total_bytes() + side_bytes(), options_.hooks.free_bytes);
    destination_.create();
    if (journal_ == nullptr) journal_ = Journal::create(destination_.work());
    if (!resume) journal_->restart(id);
    if (journal_->finished().empty()) destination_.clear_work(kJournalName);
  }

  // Part of another result may be in place: it is ours, and no checkpoint without its description.
  void abandon_commit() const {
    if (destination_.entry(kNativeConfigName) == FolderHandle::Entry::kNone) {
      destination_.remove_files(journal_->commit()->remove);
      destination_.remove_files(journal_->commit()->place);
    }
  }

  // What the journal says is finished is hashed again: a power cut, a full disk or a copy of the
  // folder may have lost it. What is not as it was written is made again.
  void check_finished() {
    std::vector<int64_t> lost;
    std::unique_ptr<OutputFile> file;
    std::string name;
    for (const auto& [index, result] : journal_->finished()) {
      const auto t = static_cast<size_t>(index);
      if (index < 0 || t >= plan_.tensors.size()) {
        fail(ErrorCode::kCorrupt, "{}: has more tensors than the plan; give --no-resume",
             (destination_.work_folder() / kJournalName).string());
      }
      const Shard& shard = shards_.shards[shards_.places[t].shard];
      if (name != shard.file_name) {
        name = shard.file_name;
        file = finished_file(name);
      }
      if (file == nullptr || !is_as_written(*file, t, result)) lost.push_back(index);
    }
    const size_t n_there = journal_->finished().size() - lost.size();
    if (journal_->commit() && n_there < plan_.tensors.size()) {
      fail(ErrorCode::kCorrupt,
           "{}: {} finished tensors are not as they were written; give --no-resume to start over",
           destination_.folder().string(), plan_.tensors.size() - n_there);
    }
    if (lost.empty()) return;
    for (const int64_t index : lost) journal_->forget(index);
    warn("{}: {} tensors of the interrupted run are not as they were written and are made again",
         destination_.folder().string(), lost.size());
  }

  // Null when there is none: a shard that is being put in its place lies in either folder.
  std::unique_ptr<OutputFile> finished_file(const std::string& name) const {
    int fd = destination_.work().open_file(name, O_RDWR);
    if (fd < 0 && journal_->commit()) fd = destination_.open_folder().open_file(name, O_RDWR);
    return fd < 0 ? nullptr : std::make_unique<OutputFile>(fd, destination_.folder() / name);
  }

  bool is_as_written(const OutputFile& file, size_t t, const TensorResult& result) const {
    const auto tick = [this] {
      if (options_.cancelled && options_.cancelled()) fail(ErrorCode::kCancelled, "stopped");
    };
    for (size_t p = 0; p < plan_.tensors[t].planes.size(); ++p) {
      const auto bytes = static_cast<uint64_t>(plane_bytes(plan_.tensors[t].planes[p]));
      const auto hash = range_hash(file, shards_.places[t].offsets[p], bytes, tick);
      if (hash != result.hashes[p]) return false;
    }
    return true;
  }

  void read_text_files() {
    const bool folder = is_folder(source_.path());
    if (folder) refuse_outside_link(source_.path(), "config.json");
    for (const std::string& name : source_.text_files()) {
      try {
        if (folder) refuse_outside_link(source_.path(), name);
        if (auto text = source_.text_file(name)) text_files_.emplace_back(name, std::move(*text));
      } catch (const Error& error) {
        if (!options_.anyway) throw;
        plan_.notes.push_back(fmt::format("{} is left out: {}", name, error.what()));
      }
    }
  }

  uint64_t side_bytes() const {
    constexpr uint64_t kBytesPerTensor = 1 << 10;  // in tq_config.json, the index and the journal
    uint64_t bytes = kSlackBytes + kBytesPerTensor * plan_.tensors.size();
    for (const auto& [name, text] : text_files_) bytes += text.size();
    return bytes;
  }

  void write_tensors() {
    for (size_t t = 0; t < plan_.tensors.size(); ++t) total_bytes_ += bytes_of(t);
    ThreadPool pool(options_.n_threads);
    const QuantizeOptions quantize{encode_, options_.allow_nan, options_.hessians,
                                   [this](int64_t n) { after_block(n); }};
    if (options_.hessians != nullptr) options_.hessians->announce(tensors_to_encode());
    TensorWriter writer(source_, pool, quantize);
    size_t begin = 0;
    for (size_t s = 0; s < shards_.shards.size(); ++s) {
      size_t end = begin;
      while (end < plan_.tensors.size() && shards_.places[end].shard == s) ++end;
      write_shard(shards_.shards[s], begin, end, writer);
      begin = end;
    }
    const double waited = work_.write_seconds;
    work_ = writer.workload();
    work_.write_seconds += waited;
  }

  std::vector<std::string> tensors_to_encode() const {
    std::vector<std::string> names;
    for (size_t t = 0; t < plan_.tensors.size(); ++t) {
      if (plan_.tensors[t].action != TensorAction::kEncode || is_finished(t)) continue;
      names.push_back(entry_of(t).name);
    }
    return names;
  }

  void write_shard(const Shard& shard, size_t begin, size_t end, TensorWriter& writer) {
    size_t n_finished = 0;
    for (size_t t = begin; t < end; ++t) n_finished += is_finished(t) ? 1 : 0;
    for (size_t t = begin; t < end; ++t) {
      if (is_finished(t)) done_bytes_ += bytes_of(t);
    }
    if (n_finished == end - begin) return;
    OutputFile file = open_shard(shard, n_finished > 0);
    last_flush_ = Clock::now();
    try {
      for (size_t t = begin; t < end; ++t) {
        if (!is_finished(t)) write_tensor(t, file, writer);
      }
      flush(file);
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kCancelled) flush(file);
      throw;
    }
  }

  OutputFile open_shard(const Shard& shard, bool reopen) const {
    const FolderHandle& work = destination_.work();
    const int fd = reopen ? work.open_file(shard.file_name, O_RDWR) : -1;
    OutputFile file =
        fd < 0 ? work.create_file(shard.file_name) : OutputFile(fd, work.path() / shard.file_name);
    file.truncate(shard.layout.file_bytes());
    file.allocate(shard.layout.file_bytes());
    const std::string& header = shard.layout.header();
    file.write_at(0, {reinterpret_cast<const uint8_t*>(header.data()), header.size()});
    return file;
  }

  void write_tensor(size_t t, OutputFile& file, TensorWriter& writer) {
    tensor_ = &plan_.tensors[t];
    tensor_elements_ = 0;
    results_[t] = writer.write(plan_.tensors[t], {&file, shards_.places[t].offsets});
    done_bytes_ += bytes_of(t);
    tensor_ = nullptr;
    report_progress();
    pending_.push_back({static_cast<int64_t>(t), results_[t]});
    pending_bytes_ += bytes_of(t);
    at("tensor");
    if (pending_bytes_ >= kFlushBytes || Clock::now() - last_flush_ >= kFlushInterval) flush(file);
  }

  // Finished tensors become durable: their data first, then the record of it.
  void flush(OutputFile& file) {
    if (!pending_.empty()) {
      at("sync");
      const auto start = Clock::now();
      file.sync();
      work_.write_seconds += std::chrono::duration<double>(Clock::now() - start).count();
      journal_->append(pending_);
      at("journal");
    }
    pending_.clear();
    pending_bytes_ = 0;
    last_flush_ = Clock::now();
  }

  void after_block(int64_t n_elements) {
    tensor_elements_ += n_elements;
    report_progress();
    at("block");
    if (options_.cancelled && options_.cancelled()) fail(ErrorCode::kCancelled, "stopped");
  }

  void report_progress() const {
    if (!options_.progress) return;
    int64_t partial = 0;
    if (tensor_ != nullptr && tensor_->n_rows > 0) {
      const TensorEntry& entry = source_.tensors()[static_cast<size_t>(tensor_->source)];
      partial = static_cast<int64_t>(static_cast<double>(source_bytes(*tensor_, entry)) *
                                     (static_cast<double>(tensor_elements_) /
                                      static_cast<double>(tensor_->n_rows * entry.in())));
    }
    options_.progress({done_bytes_ + partial, total_bytes_});
  }

  // Puts the result in place. All files are whole and durable in the work folder before the first
  // is moved, so that an interrupted commit is finished by moving the rest, without the source.
  // The description comes last: its presence says that the checkpoint is complete.
  ConvertReport commit() {
    ConvertReport report = make_report(source_, plan_, results_);
    if (options_.hessians != nullptr) report.data = options_.hessians->describe();
    if (!journal_->commit()) {
      refuse_changed_source();
      write_side_files(report);
      at("side files");
      journal_->append_commit({destination_.stale_files(new_files()), new_files()});
    }
    at("commit");
    remove_replaced(destination_, *journal_->commit());
    at("removed");
    destination_.put_in_place(journal_->commit()->place);
    at("complete");
    finish();
    return report;
  }

  void finish() {
    destination_.discard_work();  // the lock is held until the work is gone
    journal_.reset();
  }

  void write_side_files(const ConvertReport& report) const {
    const FolderHandle& work = destination_.work();
    NativeFiles files;
    for (const Shard& shard : shards_.shards) {
      files.shards[shard.file_name] = {shard.layout.file_bytes(),
                                       content_hash(shard.layout.header())};
    }
    const auto write = [&](const std::string& name, const std::string& text) {
      work.write_file(staged_name(name), text);
      files.texts[name] = content_hash(text);
    };
    if (shards_.shards.size() > 1) write(kIndexName, shards_.index().dump(2) + "\n");
    write("config.json", model_config(source_, plan_).dump(2) + "\n");
    for (const auto& [name, text] : text_files_) write(name, text);
    work.write_file(kNativeConfigName,
                    plan_.layout->describe({source_, plan_, encode_, results_, report, files}));
    work.sync();
  }

  // In the order in which they are put in place, the description last.
  std::vector<std::string> new_files() const {
    std::vector<std::string> names;
    for (const Shard& shard : shards_.shards) names.push_back(shard.file_name);
    if (shards_.shards.size() > 1) names.push_back(kIndexName);
    names.push_back("config.json");
    for (const auto& [name, text] : text_files_) names.push_back(name);
    names.push_back(kNativeConfigName);
    return names;
  }

  // What was read while the source changed may be of two models.
  void refuse_changed_source() const {
    const Json now = source_identity(source_);
    for (const auto& [name, value] : source_files_.items()) {
      const Json after = now.value(name, Json());
      if (after == value) continue;
      fail(ErrorCode::kCorrupt,
           "{}: {} changed while it was converted ({} before, {} now); convert "
           "again when it is whole",
           source_.path().string(), name, value.dump(), after.dump());
    }
  }

  // Leaves what can be resumed and nothing else, and says which.
  [[noreturn]] void give_up(const Error& error) {
    const bool committing = journal_ != nullptr && journal_->commit().has_value();
    const bool keep = committing || (is_resumable(error.code()) && !journal_->finished().empty());
    if (!keep) {
      finish();
      throw;
    }
    journal_.reset();
    throw Error(error.code(),
                fmt::format("{}; finished work is kept in {}: the same command resumes",
                            error.what(), destination_.work_folder().string()));
  }

  bool is_finished(size_t t) const {
    return journal_->finished().count(static_cast<int64_t>(t)) > 0;
  }
  int64_t bytes_of(size_t t) const { return source_bytes(plan_.tensors[t], entry_of(t)); }
  const TensorEntry& entry_of(size_t t) const {
    return source_.tensors()[static_cast<size_t>(plan_.tensors[t].source)];
  }
  void at(std::string_view point) const {
    if (options_.hooks.at) options_.hooks.at(point);
  }

  const Checkpoint& source_;
  const ConvertOptions& options_;
  const EncodeOptions encode_;
  Destination destination_;
  ConvertPlan plan_;
  ShardPlan shards_;
  TextFiles text_files_;
  Json source_files_;  // source_identity() at the start
  std::unique_ptr<Journal> journal_;
  std::vector<TensorResult> results_;  // parallel to plan_.tensors

  std::vector<FinishedTensor> pending_;  // written but not yet durable
  int64_t pending_bytes_ = 0;
  Clock::time_point last_flush_;

  const PlannedTensor* tensor_ = nullptr;  // being written
  int64_t tensor_elements_ = 0;            // of it, written
  int64_t done_bytes_ = 0;
  int64_t total_bytes_ = 0;
  Workload work_;  // of this run
};

}  // namespace

ConvertReport convert(const Checkpoint& source, const ConvertOptions& options) {
  TQ_CHECK(options.plan.layout->describe != nullptr, "layout {}: written by export_checkpoint()",
           options.plan.layout->name);
  return Converter(source, options).run();
}

bool finish_conversion(const fs::path& folder) {
  Destination destination(folder);
  if (!destination.has_work()) return false;
  const std::unique_ptr<Journal> journal = Journal::open(destination.work());
  if (journal == nullptr || !journal->commit()) return false;
  remove_replaced(destination, *journal->commit());
  destination.put_in_place(journal->commit()->place);
  const VerifyReport report = verify_checkpoint(*open_checkpoint(folder));
  if (!report.sound()) {
    fail(ErrorCode::kCorrupt, "{}: is not as it was written: {}", folder.string(),
         report.faults.empty() ? report.edited[0] : report.faults[0]);
  }
  destination.discard_work();
  return true;
}

}  // namespace tq
