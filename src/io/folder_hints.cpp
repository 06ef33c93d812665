#include "io/folder_hints.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "base/error.h"
#include "base/json.h"
#include "io/file_kind.h"
#include "io/folder.h"
#include "io/safetensors/safetensors_index.h"
#include "io/shard_name.h"

namespace tq {
namespace {

constexpr size_t kShown = 10;
constexpr const char* kAdapterConfig = "adapter_config.json";
constexpr std::string_view kAdapterWeights = "adapter_model.";

std::string joined(const std::vector<std::string>& names) {
  const auto shown = static_cast<std::ptrdiff_t>(std::min(names.size(), kShown));
  return fmt::format("{}{}", fmt::join(names.begin(), names.begin() + shown, ", "),
                     names.size() > kShown ? ", ..." : "");
}

bool has_ending(std::string_view name, std::initializer_list<std::string_view> endings) {
  return std::any_of(endings.begin(), endings.end(),
                     [&](std::string_view ending) { return name.ends_with(ending); });
}

std::vector<std::string> list_subfolders(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  for (fs::directory_iterator it(folder, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    std::error_code none;
    if (it->is_directory(none)) names.push_back(it->path().filename());
  }
  std::sort(names.begin(), names.end());
  return names;
}

bool looks_like_model(const fs::path& folder) {
  std::error_code error;
  for (fs::directory_iterator it(folder, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    const std::string name = it->path().filename();
    if (has_ending(name, {".safetensors", ".gguf", kSafetensorsIndexName})) return true;
  }
  return false;
}

// The folder of files inside a hub cache's repository ("models--ORG--NAME"): the revision that
// refs/main names, or the only one. Empty when the folder is none.
fs::path hub_snapshot(const fs::path& folder) {
  const fs::path snapshots = folder / "snapshots";
  std::error_code error;
  if (!fs::is_directory(snapshots, error)) return {};
  const std::vector<std::string> revisions = list_subfolders(snapshots);
  if (revisions.empty()) return snapshots;
  const fs::path main = folder / "refs" / "main";
  if (fs::is_regular_file(main, error)) {
    constexpr int64_t kMaxRefBytes = 4096;
    try {
      std::string revision = read_text_file(main, kMaxRefBytes);
      revision.erase(revision.find_last_not_of(" \r\n") + 1);
      if (std::binary_search(revisions.begin(), revisions.end(), revision)) {
        return snapshots / revision;
      }
    } catch (const Error&) {  // a hint only
    }
  }
  return snapshots / revisions.back();
}

// Models one level below, as paths to name.
std::vector<std::string> models_below(const fs::path& folder) {
  std::vector<std::string> found;
  for (const std::string& name : list_subfolders(folder)) {
    const fs::path below = folder / name;
    if (const fs::path snapshot = hub_snapshot(below); !snapshot.empty()) {
      if (looks_like_model(snapshot)) found.push_back(snapshot.string());
    } else if (looks_like_model(below)) {
      found.push_back(below.string());
    }
  }
  return found;
}

// Links to weights, config or index that lead nowhere, the first of them.
void refuse_dangling(const fs::path& folder) {
  std::error_code error;
  std::vector<std::string> names;
  for (fs::directory_iterator it(folder, error); !error && it != fs::directory_iterator();
       it.increment(error)) {
    const std::string name = it->path().filename();
    if (has_ending(name, {".safetensors", ".gguf", ".json"})) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    const std::string text = dangling_link(folder / name);
    if (!text.empty()) fail(ErrorCode::kNotFound, "{}: {}", (folder / name).string(), text);
  }
}

void refuse_unread_files(const fs::path& folder, const std::vector<std::string>& names) {
  std::vector<std::string> partial;
  std::vector<std::string> pickles;
  for (const std::string& name : names) {
    if (has_ending(name, {".incomplete", ".part", ".partial", ".crdownload", ".aria2"})) {
      partial.push_back(name);
    }
    const bool training = name.starts_with("training_args") || name.starts_with("optimizer") ||
                          name.starts_with("scheduler") || name.starts_with("rng_state");
    if (!training && has_ending(name, {".bin", ".pt", ".pth", ".ckpt", ".pkl"})) {
      pickles.push_back(name);
    }
  }
  if (!partial.empty()) {
    fail(ErrorCode::kNotFound, "{}: holds an unfinished download ({}); finish it first",
         folder.string(), joined(partial));
  }
  for (const std::string& name : pickles) {
    const MappedFile file(folder / name);
    refuse_foreign_weights(file.bytes(), folder / name);
  }
}

std::string base_model(const fs::path& folder) {
  constexpr int64_t kMaxBytes = int64_t{1} << 20;
  try {
    const fs::path path = folder / kAdapterConfig;
    const Json config = parse_json(read_checkpoint_text(path, kMaxBytes), path.string());
    const std::string name = name_to_show(config, "base_model_name_or_path");
    if (!name.empty()) return name;
  } catch (const Error&) {  // the name is only a help
  }
  return "its base model";
}

}  // namespace

void refuse_folder(const fs::path& folder, const std::vector<std::string>& names,
                   const std::string& accepted) {
  if (const std::string text = adapter_text(folder, names); !text.empty()) {
    fail(ErrorCode::kUnsupported, "{}: {}", folder.string(), text);
  }
  refuse_dangling(folder);
  if (const fs::path snapshot = hub_snapshot(folder); !snapshot.empty()) {
    if (!looks_like_model(snapshot)) {
      fail(ErrorCode::kNotFound,
           "{}: a repository of the hub's cache without a model's files; fetch it again (tq pull)",
           folder.string());
    }
    fail(ErrorCode::kInvalidArgument, "{}: a repository of the hub's cache; its model is {}",
         folder.string(), snapshot.string());
  }
  if (const std::vector<std::string> below = models_below(folder); !below.empty()) {
    fail(ErrorCode::kInvalidArgument, "{}: no checkpoint here, but below; name {}: {}",
         folder.string(), below.size() == 1 ? "it" : "one of them", joined(below));
  }
  refuse_unread_files(folder, names);
  fail(ErrorCode::kNotFound, "{}: no checkpoint here; the folder has {}; accepted is {}",
       folder.string(), names.empty() ? "no files" : joined(names), accepted);
}

fs::path choose_gguf(const fs::path& folder, const std::vector<std::string>& ggufs) {
  std::vector<std::string> models = ggufs;
  if (models.size() > 1) {  // what an image encoder needs lies beside the model
    std::erase_if(models, [](std::string_view name) { return name.starts_with("mmproj"); });
  }
  if (models.size() == 1) return folder / models[0];
  const ShardList parts = list_shards(models);
  if (parts.count > 0 && parts.missing.empty()) {
    return folder / shard_name(*parse_shard_name(models[0]), 1);
  }
  if (parts.count > 0) {
    fail(ErrorCode::kNotFound, "{}: a GGUF model of {} files, of which are missing {}",
         folder.string(), parts.count, fmt::join(parts.missing, ", "));
  }
  fail(ErrorCode::kInvalidArgument, "{}: {} GGUF files, name one of them: {}", folder.string(),
       ggufs.size(), joined(ggufs));
}

std::string split_gguf_text(const fs::path& part, int64_t n_parts) {
  const std::string name = part.filename();
  const auto shard = parse_shard_name(name);
  const fs::path folder = part.parent_path();
  const fs::path first = shard ? folder / shard_name(*shard, 1) : part;
  const std::string merged = shard ? fmt::format("{}.gguf", shard->prefix) : "MERGED.gguf";
  return fmt::format(
      "one of {} parts of a split model, which must have the names that they were made with "
      "(NAME-00001-of-{:05d}.gguf); rename them, or merge them with llama.cpp: llama-gguf-split "
      "--merge {} {}",
      n_parts, n_parts, first.string(), (folder / merged).string());
}

std::string adapter_text(const fs::path& folder, const std::vector<std::string>& names) {
  const auto has = [&](std::string_view name) {
    return std::find(names.begin(), names.end(), name) != names.end();
  };
  bool adapter = has(kAdapterConfig);
  for (const std::string& name : names) {
    const bool weights = has_ending(name, {".safetensors", ".gguf", kSafetensorsIndexName});
    if (name.starts_with(kAdapterWeights)) {
      adapter = true;
    } else if (weights) {
      return "";
    }
  }
  if (!adapter) return "";
  return fmt::format(
      "a LoRA adapter, which changes the weights of {} and is no model by itself; merge the two "
      "(peft: PeftModel.from_pretrained(base, ADAPTER).merge_and_unload().save_pretrained(NEW)) "
      "and "
      "name the result",
      base_model(folder));
}

}  // namespace tq
