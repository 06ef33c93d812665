#include "convert/verify.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "base/thread_pool.h"
#include "convert/shards.h"
#include "io/native/content_hash.h"
#include "io/native/native_manifest.h"

namespace tq {
namespace {

constexpr size_t kPieceBytes = size_t{16} << 20;

using Plane = Checkpoint::StoredPlane;

std::vector<Plane> planes_of(const Checkpoint& checkpoint, const TensorEntry& tensor) {
  if (tensor.dtype) return {{tensor.name, checkpoint.raw(tensor)}};
  if (auto stored = checkpoint.stored_planes(tensor); !stored.empty()) return stored;
  const std::optional<WeightView> view = checkpoint.view(tensor);
  if (!view) return {};
  const auto rows = static_cast<size_t>(tensor.n_rows());
  const size_t code_bytes = rows * static_cast<size_t>(view->code_row_bytes());
  const size_t gain_bytes = rows * static_cast<size_t>(view->gains_per_row()) * 2;
  std::vector<Plane> planes = {{tensor.name + kPackedSuffix, {view->codes, code_bytes}}};
  if (gain_bytes > 0) {
    planes.push_back(
        {tensor.name + kScalesSuffix, {reinterpret_cast<const uint8_t*>(view->gains), gain_bytes}});
  }
  return planes;
}

NativeManifest read_manifest(const fs::path& folder) {
  const fs::path path = folder / kNativeConfigName;
  NativeManifest manifest = NativeManifest::parse(read_text_file(path, kMaxManifestBytes),
                                                  path.string(), ManifestHashes::kRead);
  const Json& hashes = manifest.hashes;
  const bool strings =
      hashes.is_object() &&
      std::all_of(hashes.begin(), hashes.end(), [](const Json& hash) { return hash.is_string(); });
  if (!hashes.is_null() && !strings) {
    fail(ErrorCode::kCorrupt, "{}: \"hashes\" must map tensor names to strings", path.string());
  }
  return manifest;
}

void check_shards(const fs::path& folder, const NativeFiles& files, VerifyReport& report) {
  for (const auto& [name, expected] : files.shards) {
    if (!is_file(folder / name)) {
      report.faults.push_back(name + ": is missing");
      continue;
    }
    const NativeFiles::Shard found = shard_of(folder / name);
    if (found.bytes != expected.bytes) {
      report.faults.push_back(
          fmt::format("{}: has {} bytes, had {}", name, found.bytes, expected.bytes));
    } else if (found.header != expected.header) {
      report.faults.push_back(name + ": its header has changed");
    }
  }
}

// What lies in the folder beside the checkpoint's files, sorted.
std::vector<std::string> extra_files(const fs::path& folder, const NativeFiles& files,
                                     const std::vector<std::string>& texts) {
  std::set<std::string> known = {kNativeConfigName};
  std::set<std::string> folders;
  const auto add = [&](const std::string& name) {
    known.insert(name);
    if (const size_t slash = name.find('/'); slash != std::string::npos) {
      folders.insert(name.substr(0, slash));
    }
  };
  for (const auto& [name, hash] : files.texts) add(name);
  for (const auto& [name, shard] : files.shards) add(name);
  for (const std::string& name : texts) add(name);  // one that was added is an edit
  std::vector<std::string> extra;
  const std::function<void(const std::string&)> look = [&](const std::string& inner) {
    for (const auto& entry : fs::directory_iterator(folder / inner)) {
      const std::string name = inner + entry.path().filename().string();
      const bool is_folder = entry.is_directory();
      if (is_folder && folders.count(name) > 0) {
        look(name + "/");
      } else if (known.count(name) == 0) {
        extra.push_back(is_folder ? name + "/" : name);
      }
    }
  };
  look("");
  std::sort(extra.begin(), extra.end());
  return extra;
}

class Verifier {
 public:
  Verifier(const Checkpoint& checkpoint, const VerifyOptions& options, const Json& hashes)
      : checkpoint_(checkpoint), options_(options) {
    for (const auto& [name, hash] : hashes.items()) expected_[name] = hash.get<std::string>();
  }

  void run(VerifyReport& report) {
    total_bytes_ = report.n_bytes;
    std::vector<std::vector<std::string>> faults(checkpoint_.tensors().size());
    auto check_tensors = [&](int64_t begin, int64_t end, int) {
      for (int64_t t = begin; t < end; ++t) {
        const auto i = static_cast<size_t>(t);
        faults[i] = check(checkpoint_.tensors()[i]);
      }
    };
    ThreadPool pool(options_.n_threads);
    pool.parallel_for(static_cast<int64_t>(faults.size()), 1, check_tensors);
    for (const auto& list : faults) {
      report.faults.insert(report.faults.end(), list.begin(), list.end());
    }
    report_missing(report);
  }

 private:
  std::vector<std::string> check(const TensorEntry& tensor) {
    std::vector<std::string> faults;
    const std::vector<Plane> planes = planes_of(checkpoint_, tensor);
    if (planes.empty()) faults.push_back(fmt::format("tensor {}: cannot be read", tensor.name));
    for (const Plane& plane : planes) {
      const std::string found = hash(plane.bytes);
      const auto at = expected_.find(plane.name);
      if (at == expected_.end()) {
        faults.push_back(
            fmt::format("tensor {}: {} has no hash for it", plane.name, kNativeConfigName));
      } else if (at->second != found) {
        faults.push_back(fmt::format("tensor {}: content has changed: hash {}, was {}", plane.name,
                                     found, at->second));
      }
    }
    checkpoint_.drop_rows(tensor, 0, tensor.n_rows());
    return faults;
  }

  std::string hash(std::span<const uint8_t> bytes) {
    ContentHash hash;
    while (!bytes.empty()) {
      const auto piece = bytes.first(std::min(kPieceBytes, bytes.size()));
      hash.update(piece);
      bytes = bytes.subspan(piece.size());
      const int64_t done = done_bytes_ += static_cast<int64_t>(piece.size());
      if (options_.bytes) options_.bytes(done, total_bytes_);
      if (options_.cancelled && options_.cancelled()) fail(ErrorCode::kCancelled, "stopped");
    }
    return hash.hex();
  }

  void report_missing(VerifyReport& report) const {
    std::set<std::string> present;
    for (const TensorEntry& tensor : checkpoint_.tensors()) {
      for (Plane& plane : planes_of(checkpoint_, tensor)) present.insert(std::move(plane.name));
    }
    for (const auto& [name, hash] : expected_) {
      if (present.count(name) == 0) {
        report.faults.push_back(fmt::format("tensor {}: is missing", name));
      }
    }
  }

  const Checkpoint& checkpoint_;
  const VerifyOptions& options_;
  std::map<std::string, std::string> expected_;
  std::atomic<int64_t> done_bytes_{0};
  int64_t total_bytes_ = 0;
};

}  // namespace

bool has_manifest(CheckpointKind kind) {
  return kind == CheckpointKind::kNative || kind == CheckpointKind::kAwq ||
         kind == CheckpointKind::kCompressedTensors;
}

Json VerifyReport::to_json() const {
  return {{"checked", hashed ? "content" : "structure"},
          {"small_files_checked", files_hashed},
          {"tensors", n_tensors},
          {"bytes", n_bytes},
          {"faults", faults},
          {"edited", edited},
          {"extra", extra}};
}

Json verification_json(const Checkpoint& checkpoint, const VerifyReport& report) {
  Json json = {{"sound", report.sound()}, {"kind", checkpoint_kind_name(checkpoint.kind())}};
  json.update(report.to_json());
  return json;
}

VerifyReport verify_checkpoint(const Checkpoint& checkpoint, const VerifyOptions& options) {
  VerifyReport report;
  for (const TensorEntry& tensor : checkpoint.tensors()) {
    ++report.n_tensors;
    report.n_bytes += tensor.stored_bytes;
  }
  if (!has_manifest(checkpoint.kind())) return report;
  const NativeManifest manifest = read_manifest(checkpoint.path());
  if (!manifest.hashes.is_null()) {
    report.hashed = true;
    Verifier(checkpoint, options, manifest.hashes).run(report);
  }
  if (manifest.files) {
    report.files_hashed = true;
    check_shards(checkpoint.path(), *manifest.files, report);
    report.edited = checkpoint.edited_files();
    report.extra = extra_files(checkpoint.path(), *manifest.files, checkpoint.text_files());
  }
  return report;
}

void update_hashes(const fs::path& folder) {
  NativeManifest manifest = read_manifest(folder);
  if (manifest.hashes.is_null()) {
    fail(ErrorCode::kUnsupported, "{}: has no hashes of its tensors; convert the model again",
         (folder / kNativeConfigName).string());
  }
  const auto checkpoint = open_checkpoint(folder);
  if (!manifest.files) {
    manifest.files.emplace();
    for (const fs::path& file : checkpoint->files()) {
      manifest.files->shards[file.filename()] = shard_of(file);
    }
  }
  NativeFiles& files = *manifest.files;
  files.texts.clear();
  files.own.clear();
  std::vector<std::string> names = checkpoint->text_files();
  for (const char* name : {"config.json", kIndexName}) names.emplace_back(name);
  for (const std::string& name : names) {
    if (is_file(folder / name)) files.texts[name] = file_hash(folder / name);
  }
  write_file_atomic(folder / kNativeConfigName, with_own_hash(manifest.to_json().dump(2) + "\n"));
}

}  // namespace tq
