#include "io/checkpoint.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/error.h"
#include "base/log.h"
#include "base/math.h"
#include "io/file_kind.h"
#include "io/folder.h"
#include "io/folder_hints.h"
#include "io/gguf/gguf_checkpoint.h"
#include "io/gpt_oss/gpt_oss_checkpoint.h"
#include "io/ints/int_checkpoint.h"
#include "io/native/native_checkpoint.h"
#include "io/native/native_manifest.h"
#include "io/path_hint.h"
#include "io/reference/reference_checkpoint.h"
#include "io/safetensors/safetensors_checkpoint.h"
#include "io/synth/synth_checkpoint.h"
#include "io/tied_head.h"

namespace tq {
namespace {

constexpr const char* kAccepted =
    "a Hugging Face folder (config.json and .safetensors), a folder written by tq convert or "
    "turboquant-vllm, a .gguf or a .safetensors file";

CheckpointFinder& checkpoint_finder() {
  static CheckpointFinder finder;
  return finder;
}

std::unique_ptr<Checkpoint> open_file(const fs::path& path, const OpenOptions& options) {
  const MappedFile file(path);
  refuse_foreign_weights(file.bytes(), path);
  const FileKind kind = file_kind(file.bytes());
  if (kind == FileKind::kGguf) return open_gguf_checkpoint(path, options);
  if (kind == FileKind::kSafetensors || path.extension() == ".safetensors") {
    return open_hf_checkpoint(path, options);
  }
  fail(ErrorCode::kUnsupported, "{}: neither GGUF nor safetensors; accepted is {}", path.string(),
       kAccepted);
}

// Opens the folder as what its JSON files say: compressed natively, by turboquant-vllm, or neither.
std::unique_ptr<Checkpoint> open_described(const fs::path& folder, const OpenOptions& options) {
  const fs::path path = folder / kNativeConfigName;
  if (is_there(path)) {
    const std::string text = read_checkpoint_text(path, kMaxManifestBytes);
    if (is_native_manifest(text)) {
      NativeManifest manifest = NativeManifest::parse(text, path.string());
      if (!manifest.layout.empty()) {
        return open_int_checkpoint(folder, std::move(manifest), options);
      }
      return open_native_checkpoint(folder, std::move(manifest), options);
    }
    const Json json = parse_json(text, path.string());
    if (!json.is_object()) fail(ErrorCode::kCorrupt, "{}: must be a JSON object", path.string());
    if (json.contains("bits") || json.contains("group_size")) {
      return open_reference_checkpoint(folder, ReferenceConfig::from_json(json, path.string()),
                                       options);
    }
    fail(ErrorCode::kUnsupported,
         "{}: neither a native (version, tensors) nor a turboquant-vllm (bits, group_size) "
         "description",
         path.string());
  }
  Json config = read_model_config(folder);
  ignore_fields(config, options.ignore_config);
  const Json* quantization = quantization_config(config);
  if (quantization == nullptr || !quantization->is_object() ||
      quantization->value("quant_method", Json()) != "turboquant") {
    const bool gpt_oss = config.is_object() && config.value("model_type", Json()) == "gpt_oss";
    return gpt_oss ? open_gpt_oss_checkpoint(folder, options) : open_hf_checkpoint(folder, options);
  }
  if (quantization->contains("version")) {
    fail(ErrorCode::kNotFound,
         "{}: no such file, though config.json says that weights are compressed", path.string());
  }
  const std::string name = (folder / "config.json").string() + ": quantization_config";
  return open_reference_checkpoint(folder, ReferenceConfig::from_json(*quantization, name),
                                   options);
}

void refuse_jang(const fs::path& folder, const std::vector<std::string>& names) {
  if (!std::binary_search(names.begin(), names.end(), "jang_config.json")) return;
  fail(ErrorCode::kUnsupported,
       "{}: a JANG checkpoint (jang_config.json): its .tq_packed tensors are another format than "
       "TurboQuant's; use the original bf16 checkpoint",
       folder.string());
}

std::unique_ptr<Checkpoint> open_safetensors(const fs::path& folder,
                                             const std::vector<std::string>& names,
                                             const OpenOptions& options) {
  // A description that is none (a Git LFS pointer, a web page) is an error even for who only looks.
  const fs::path description = folder / kNativeConfigName;
  if (options.inspect && is_there(description)) {
    (void)read_checkpoint_text(description, kMaxManifestBytes);
  }
  try {
    refuse_jang(folder, names);
    return open_described(folder, options);
  } catch (const Error& error) {
    const bool readable =
        error.code() == ErrorCode::kUnsupported || error.code() == ErrorCode::kNotFound;
    if (!options.inspect || !readable) throw;
    return open_hf_checkpoint(folder, options, error);
  }
}

std::unique_ptr<Checkpoint> open_folder(const fs::path& folder, const OpenOptions& options) {
  const std::vector<std::string> names = list_files(folder);
  if (has_safetensors(folder)) return open_safetensors(folder, names, options);
  refuse_jang(folder, names);
  std::vector<std::string> ggufs;
  for (const std::string& name : names) {
    if (name.ends_with(".gguf")) ggufs.push_back(name);
  }
  if (!ggufs.empty()) return open_gguf_checkpoint(choose_gguf(folder, ggufs), options);
  refuse_folder(folder, names, kAccepted);
}

}  // namespace

std::string_view checkpoint_kind_name(CheckpointKind kind) {
  switch (kind) {
    case CheckpointKind::kHuggingFace:
      return "Hugging Face";
    case CheckpointKind::kGguf:
      return "GGUF";
    case CheckpointKind::kNative:
      return "native";
    case CheckpointKind::kReference:
      return "turboquant-vllm";
    case CheckpointKind::kAwq:
      return "AWQ";
    case CheckpointKind::kCompressedTensors:
      return "compressed-tensors";
    case CheckpointKind::kSynthetic:
      return "synthetic";
  }
  return "unknown";
}

int64_t TensorEntry::n_rows() const {
  if (shape.empty()) return 1;
  if (in() == 0) return 0;  // no elements, so no rows worth visiting
  return *checked_product(std::span(shape).first(shape.size() - 1));
}

void Checkpoint::set_tensors(std::vector<TensorEntry> tensors) {
  tensors_ = std::move(tensors);
  by_name_.clear();
  for (size_t i = 0; i < tensors_.size(); ++i) {
    tensors_[i].index = static_cast<int64_t>(i);
    by_name_.push_back(static_cast<int64_t>(i));
  }
  const auto name = [&](int64_t i) -> const std::string& {
    return tensors_[static_cast<size_t>(i)].name;
  };
  std::sort(by_name_.begin(), by_name_.end(), [&](auto a, auto b) { return name(a) < name(b); });
  const auto twice = std::adjacent_find(by_name_.begin(), by_name_.end(),
                                        [&](auto a, auto b) { return name(a) == name(b); });
  if (twice != by_name_.end()) {
    fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" twice", path_.string(), name(*twice));
  }
}

void Checkpoint::settle_head() {
  const HeadTensors found = find_head(*this);
  if (found.head == nullptr || config_.empty()) return;
  // Gemma's configs leave the field out and mean it.
  const Json type = config_.value("model_type", Json());
  const bool gemma = type.is_string() && type.get<std::string>().starts_with("gemma");
  const bool said = says_tied(config_, gemma);
  const bool tied = same_values(*this, *found.embedding, *found.head);
  say_tied(config_, tied);
  if (tied) {
    head_copy_ = found.head->index;
    info("{}: {} is a copy of {}: one of them is used", path_.string(), found.head->name,
         found.embedding->name);
  } else if (said) {
    info(
        "{}: config.json says that the head is the embedding table (tie_word_embeddings), but {} "
        "holds other weights: it is used",
        path_.string(), found.head->name);
  }
}

const TensorEntry* Checkpoint::find(std::string_view name) const {
  const auto at = std::lower_bound(by_name_.begin(), by_name_.end(), name,
                                   [&](int64_t i, std::string_view wanted) {
                                     return tensors_[static_cast<size_t>(i)].name < wanted;
                                   });
  if (at == by_name_.end() || tensors_[static_cast<size_t>(*at)].name != name) return nullptr;
  return &tensors_[static_cast<size_t>(*at)];
}

void Checkpoint::read_raw(const TensorEntry& tensor, int64_t offset, std::span<uint8_t> out) const {
  std::memcpy(out.data(), raw(tensor).subspan(static_cast<size_t>(offset), out.size()).data(),
              out.size());
}

void Checkpoint::read_plane(const TensorEntry& tensor, size_t plane, int64_t offset,
                            std::span<uint8_t> out) const {
  const std::optional<WeightView> weight = view(tensor);
  TQ_CHECK(weight, "{} has no planes", tensor.name);
  const auto* from = plane == 0 ? weight->codes : reinterpret_cast<const uint8_t*>(weight->gains);
  std::memcpy(out.data(), from + offset, out.size());
}

std::string Checkpoint::name_of(std::string_view file) const {
  std::error_code none;
  return fs::is_directory(path_, none) ? (path_ / file).string()
                                       : fmt::format("{}: {}", path_.string(), file);
}

void rethrow_located(const Error& error, const Checkpoint& checkpoint) {
  const std::string message = error.what();
  const std::string path = checkpoint.path().string();
  if (message.starts_with(path)) throw error;
  std::error_code none;
  const std::string first_word = message.substr(0, message.find_first_of(": "));
  if (fs::is_regular_file(checkpoint.path() / first_word, none)) {
    throw Error(error.code(), checkpoint.name_of(message));
  }
  throw Error(error.code(), path + ": " + message);
}

void refuse_not_a_model(const Checkpoint& checkpoint) {
  if (checkpoint.not_a_model().empty()) return;
  fail(ErrorCode::kUnsupported, "{}: {}", checkpoint.path().string(), checkpoint.not_a_model());
}

void set_checkpoint_finder(CheckpointFinder finder) { checkpoint_finder() = std::move(finder); }

std::unique_ptr<Checkpoint> open_checkpoint(const fs::path& path, const OpenOptions& options) {
  if (const auto name = synth_model_name(path)) return open_synth_checkpoint(*name);
  const bool in_folder = is_folder(path);
  if (!in_folder && !is_there(path)) {
    if (checkpoint_finder()) {
      const auto found = checkpoint_finder()(path);
      if (found && is_there(*found)) return open_checkpoint(*found, options);
    }
    const std::string dangling = dangling_link(path);
    fail(ErrorCode::kNotFound, "{}: {}", path.string(),
         dangling.empty() ? "no such file or folder" + missing_path_hint(path) : dangling);
  }
  auto checkpoint = in_folder ? open_folder(path, options) : open_file(path, options);
  if (!checkpoint->problem()) checkpoint->settle_head();
  return checkpoint;
}

}  // namespace tq
