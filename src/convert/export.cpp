#include "convert/export.h"

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/thread_pool.h"
#include "convert/destination.h"
#include "convert/journal.h"
#include "convert/layouts/layout.h"
#include "convert/quantize.h"
#include "convert/shards.h"

namespace tq {
namespace {

constexpr uint64_t kSideFileBytes = 1 << 20;

class Exporter {
 public:
  Exporter(const Checkpoint& source, const ExportOptions& options)
      : source_(source), options_(options), destination_(options.destination) {}

  ExportReport run() {
    const auto start = std::chrono::steady_clock::now();
    plan_ = make_plan(source_, {.layout = &kPlainLayout});
    shards_ = lay_out(plan_, options_.shard_bytes);
    prepare();
    try {
      write_tensors();
      put_in_place();
    } catch (...) {
      destination_.discard_work();
      throw;
    }
    ExportReport report;
    report.n_tensors = static_cast<int64_t>(plan_.tensors.size());
    report.n_files = static_cast<int64_t>(shards_.shards.size());
    report.stored_bytes = static_cast<int64_t>(shards_.total_bytes());
    report.seconds =
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    return report;
  }

 private:
  void prepare() {
    destination_.refuse_overlap(source_);
    destination_.remove_empty_work();
    if (destination_.has_work()) journal_ = Journal::open(destination_.work());
    if (journal_ != nullptr && journal_->is_known() && journal_->identity() != identity()) {
      fail(ErrorCode::kInvalidArgument,
           "{}: holds an unfinished conversion; choose an empty or a new folder",
           options_.destination.string());
    }
    destination_.refuse_taken({});
    uint64_t side_bytes = kSideFileBytes;
    for (const std::string& name : source_.text_files()) {
      side_bytes += source_.text_file(name).value_or("").size();
    }
    destination_.check_space(shards_.total_bytes() + side_bytes, options_.hooks.free_bytes);
    destination_.create();
    // An export is not resumed: the journal says only whose the work folder is.
    if (journal_ == nullptr) journal_ = Journal::create(destination_.work());
    journal_->restart(identity());
    destination_.clear_work(kJournalName);
  }

  static Json identity() { return {{"option", {{"layout", "export"}}}}; }

  void write_tensors() {
    for (const TensorEntry& tensor : source_.tensors()) total_elements_ += tensor.n_elements();
    ThreadPool pool(options_.n_threads);
    const QuantizeOptions quantize{.tick = [this](int64_t n) { after_block(n); }};
    TensorWriter writer(source_, pool, quantize);
    size_t t = 0;
    for (size_t s = 0; s < shards_.shards.size(); ++s) {
      const Shard& shard = shards_.shards[s];
      OutputFile file = destination_.work().create_file(shard.file_name);
      file.allocate(shard.layout.file_bytes());
      const std::string& header = shard.layout.header();
      file.write_at(0, {reinterpret_cast<const uint8_t*>(header.data()), header.size()});
      for (; t < plan_.tensors.size() && shards_.places[t].shard == s; ++t) {
        writer.write(plan_.tensors[t], {&file, shards_.places[t].offsets});
      }
      file.sync();
    }
  }

  void after_block(int64_t n_elements) {
    done_elements_ += n_elements;
    if (options_.progress) {
      const auto bytes = static_cast<int64_t>(shards_.total_bytes());
      const double fraction =
          static_cast<double>(done_elements_) / static_cast<double>(total_elements_);
      options_.progress({static_cast<int64_t>(fraction * static_cast<double>(bytes)), bytes});
    }
    if (options_.cancelled && options_.cancelled()) fail(ErrorCode::kCancelled, "stopped");
  }

  void put_in_place() {
    const FolderHandle& work = destination_.work();
    std::vector<std::string> names;
    for (const Shard& shard : shards_.shards) names.push_back(shard.file_name);
    const auto write = [&](const std::string& name, const std::string& text) {
      work.write_file(staged_name(name), text);
      names.push_back(name);
    };
    if (shards_.shards.size() > 1) write(kIndexName, shards_.index().dump(2) + "\n");
    for (const std::string& name : source_.text_files()) {
      if (const auto text = source_.text_file(name)) write(name, *text);
    }
    // Last: without it no one takes the folder for a model.
    write("config.json", model_config(source_, plan_).dump(2) + "\n");
    work.sync();
    destination_.put_in_place(names);
    destination_.discard_work();
  }

  const Checkpoint& source_;
  const ExportOptions& options_;
  Destination destination_;
  std::unique_ptr<Journal> journal_;  // held to the end: it is locked
  ConvertPlan plan_;
  ShardPlan shards_;
  int64_t done_elements_ = 0;
  int64_t total_elements_ = 0;
};

}  // namespace

ExportReport export_checkpoint(const Checkpoint& source, const ExportOptions& options) {
  return Exporter(source, options).run();
}

}  // namespace tq
