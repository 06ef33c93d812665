#include "hub/file_choice.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <fnmatch.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/ascii.h"
#include "base/error.h"
#include "base/nearest.h"
#include "io/safetensors/safetensors_index.h"
#include "io/shard_name.h"

namespace tq {
namespace {

constexpr size_t kMaxShownNames = 12;

// Best first: what most people take, then what is nearest to it in size and quality.
constexpr std::array<std::string_view, 19> kDefaults = {
    "Q4_K_M", "UD-Q4_K_XL", "Q4_K_S", "IQ4_XS", "IQ4_NL", "Q4_0", "Q4_1",
    "MXFP4",  "MXFP4_MOE",  "Q5_K_M", "Q5_K_S", "Q6_K",   "Q8_0", "Q3_K_M",
    "BF16",   "F16",        "FP16",   "F32",    "FP32",
};

bool ends_with_any(std::string_view text, std::initializer_list<std::string_view> endings) {
  return std::any_of(endings.begin(), endings.end(),
                     [&](std::string_view ending) { return text.ends_with(ending); });
}

std::string_view file_name(std::string_view path) { return path.substr(path.rfind('/') + 1); }

bool at_top(std::string_view path) { return path.find('/') == std::string_view::npos; }

bool is_gguf(std::string_view path) { return lower_case(path).ends_with(".gguf"); }

// Configuration, tokenizer, templates and what goes along with a copy of the model.
bool is_side_file(std::string_view path) {
  constexpr std::string_view kTemplates = "additional_chat_templates/";
  if (path.starts_with(kTemplates)) {
    return at_top(path.substr(kTemplates.size())) && path.ends_with(".jinja");
  }
  if (!at_top(path)) return false;
  if (path == "LICENSE" || path == "NOTICE" || path == "USE_POLICY.md") return true;
  // The index goes with the weights, and other programs' indexes are not needed at all.
  if (path.ends_with(".index.json")) return path == kSafetensorsIndexName;
  return ends_with_any(path, {".json", ".jinja", ".model", ".tiktoken"}) || path == "merges.txt" ||
         path == "vocab.txt" || path == "LICENSE.txt";
}

std::string shown(std::vector<std::string> names) {
  const bool more = names.size() > kMaxShownNames;
  if (more) names.resize(kMaxShownNames);
  for (std::string& name : names) name = printable(name);
  return fmt::format("{}{}", fmt::join(names, ", "), more ? ", ..." : "");
}

std::vector<HubFile> with_paths(const Listing& listing, const std::set<std::string>& wanted) {
  std::vector<HubFile> files;
  for (const HubFile& file : listing.files) {
    if (wanted.contains(file.path)) files.push_back(file);
  }
  return files;
}

FileChoice choose_included(const Listing& listing, const HubName& name,
                           std::span<const std::string> include) {
  FileChoice choice;
  for (const HubFile& file : listing.files) {
    if (std::any_of(include.begin(), include.end(), [&](const std::string& glob) {
          return fnmatch(glob.c_str(), file.path.c_str(), 0) == 0;
        })) {
      choice.files.push_back(file);
    }
  }
  if (choice.files.empty()) {
    std::vector<std::string> paths;
    for (const HubFile& file : listing.files) paths.push_back(file.path);
    fail(ErrorCode::kNotFound, "{}: no file matches --include {}; there are {}", name.repository,
         printable(fmt::format("{}", fmt::join(include, " "))), shown(paths));
  }
  return choice;
}

[[noreturn]] void refuse_gguf(const std::vector<GgufModel>& models, const HubName& name) {
  std::vector<std::string> files;
  for (const GgufModel& model : models) files.push_back(printable(model.paths.front()));
  if (!name.file.empty()) {
    fail(ErrorCode::kNotFound, "{} has no file {}{}; there are {}", name.repository, name.file,
         did_you_mean(name.file, files), shown(files));
  }
  const std::vector<std::string> known = quantizations(models);
  if (known.empty()) {
    fail(ErrorCode::kNotFound,
         "{} has no {}: its GGUF files name no quantization; name one as {}:{}", name.repository,
         name.quantization, name.repository, printable(files.front()));
  }
  fail(ErrorCode::kNotFound, "{} has no {}{}; there are {}", name.repository, name.quantization,
       did_you_mean(name.quantization, known), shown(known));
}

FileChoice choose_gguf_files(const Listing& listing, const HubName& name,
                             const std::vector<GgufModel>& models) {
  const GgufModel* model = choose_gguf_model(models, name);
  if (model == nullptr) refuse_gguf(models, name);
  if (!model->complete) {
    fail(ErrorCode::kNotFound, "{}: parts of {} are missing in the repository", name.repository,
         printable(model->paths.front()));
  }
  FileChoice choice;
  choice.files = with_paths(listing, {model->paths.begin(), model->paths.end()});
  if (!name.wants_gguf() && models.size() > 1) {
    const std::string taken = model->label();
    std::vector<std::string> known = quantizations(models);
    if (known.size() < models.size()) {  // several of one name, or of none: files tell them apart
      known.clear();
      for (const GgufModel& one : models) known.push_back(one.paths.front());
    }
    const auto other = std::find_if(known.rbegin(), known.rend(), [&](const std::string& one) {
      return one != model->quantization && one != model->paths.front();
    });
    choice.note = fmt::format("{}: taking {} of {}; another one is named as {}:{}", name.repository,
                              printable(taken), shown(known), name.repository,
                              printable(other == known.rend() ? taken : *other));
  }
  return choice;
}

[[noreturn]] void refuse_repository(const Listing& listing, const HubName& name) {
  std::vector<std::string> paths;
  bool pickles = false;
  bool adapter = false;
  for (const HubFile& file : listing.files) {
    paths.push_back(file.path);
    pickles = pickles || ends_with_any(file.path, {".bin", ".pt", ".pth", ".ckpt"});
    adapter = adapter || file.path == "adapter_config.json";
  }
  const char* why = "no weights in safetensors or GGUF files";
  if (pickles)
    why =
        "weights only as Python pickles, which are not read; look for a repository of "
        "the same model with safetensors or GGUF files";
  if (adapter) why = "an adapter, which is no model by itself; take its base model";
  fail(ErrorCode::kNotFound, "{} has {}; its files: {}", name.repository, why,
       paths.empty() ? "none" : shown(paths));
}

}  // namespace

std::vector<GgufModel> gguf_models(std::span<const std::string> paths) {
  std::map<std::string, GgufModel> models;  // by the first part's path
  for (const std::string& path : paths) {
    const std::string name = lower_case(file_name(path));
    if (!is_gguf(path) || name.starts_with("mmproj") || name.find("imatrix") != std::string::npos) {
      continue;
    }
    const auto part = parse_shard_name(path);
    GgufModel& model = models[part ? shard_name(*part, 1) : path];
    model.quantization = quantization_of(path);
    model.paths.push_back(path);
    if (part) model.complete = static_cast<int64_t>(model.paths.size()) == part->count;
  }
  std::vector<GgufModel> out;
  for (auto& [key, model] : models) {
    std::sort(model.paths.begin(), model.paths.end());
    out.push_back(std::move(model));
  }
  return out;
}

const GgufModel* choose_gguf_model(std::span<const GgufModel> models, const HubName& name) {
  const auto find = [&](const auto& is_it) -> const GgufModel* {
    const auto at = std::find_if(models.begin(), models.end(), is_it);
    return at == models.end() ? nullptr : &*at;
  };
  if (!name.file.empty()) {
    return find([&](const GgufModel& model) {
      return std::any_of(model.paths.begin(), model.paths.end(), [&](const std::string& path) {
        return path == name.file || file_name(path) == name.file;
      });
    });
  }
  const auto of = [&](std::string_view quantization) {
    return find([&](const GgufModel& model) { return model.quantization == quantization; });
  };
  if (!name.quantization.empty()) return of(name.quantization);
  if (models.size() == 1) return &models.front();
  for (const std::string_view quantization : kDefaults) {
    if (const GgufModel* model = of(quantization)) return model;
  }
  return models.empty() ? nullptr : &models.front();
}

std::vector<std::string> quantizations(std::span<const GgufModel> models) {
  std::set<std::string> names;
  for (const GgufModel& model : models) {
    if (!model.quantization.empty()) names.insert(model.quantization);
  }
  return {names.begin(), names.end()};
}

std::vector<std::string> safetensors_weights(std::span<const std::string> paths) {
  std::vector<std::string> all;
  std::vector<std::string> usual;  // of the names that Transformers writes
  for (const std::string& path : paths) {
    if (!at_top(path) || !path.ends_with(".safetensors") || path.starts_with("adapter_model")) {
      continue;
    }
    all.push_back(path);
    if (path == "model.safetensors") return {path};
    const auto part = parse_shard_name(path);
    if (part && path.starts_with("model")) usual.push_back(path);
  }
  // consolidated.safetensors, model.fp16.safetensors and the like hold the same weights again.
  return usual.empty() ? all : usual;
}

FileChoice choose_files(const Listing& listing, const HubName& name,
                        std::span<const std::string> include) {
  if (!include.empty()) return choose_included(listing, name, include);
  std::vector<std::string> paths;
  for (const HubFile& file : listing.files) paths.push_back(file.path);
  const std::vector<std::string> weights = safetensors_weights(paths);
  const std::vector<GgufModel> models = gguf_models(paths);
  const bool wants_gguf = name.wants_gguf();
  if (!models.empty() && (wants_gguf || weights.empty())) {
    return choose_gguf_files(listing, name, models);
  }
  if (wants_gguf) {
    fail(ErrorCode::kNotFound,
         "{} has no GGUF files, so there is no {} of it; {} takes its safetensors, and tq convert "
         "compresses them",
         name.repository, name.quantization.empty() ? name.file : name.quantization,
         name.repository);
  }
  if (weights.empty()) refuse_repository(listing, name);
  std::set<std::string> wanted(weights.begin(), weights.end());
  for (const std::string& path : paths) {
    if (is_side_file(path)) wanted.insert(path);
  }
  if (wanted.contains("model.safetensors")) wanted.erase(kSafetensorsIndexName);
  return {with_paths(listing, wanted), ""};
}

}  // namespace tq
