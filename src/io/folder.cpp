#include "io/folder.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/log.h"
#include "io/file_kind.h"

namespace tq {
namespace {

constexpr int64_t kMaxTextBytes = int64_t{256} << 20;
constexpr int64_t kMaxConfigBytes = int64_t{16} << 20;

constexpr std::array<std::string_view, 19> kTextFiles = {
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
    "merges.txt",
    "preprocessor_config.json",
    "processor_config.json",
    "special_tokens_map.json",
    "tekken.json",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "video_preprocessor_config.json",
    "vocab.json",
    "vocab.txt",
    "LICENSE",
    "LICENSE.txt",
    "NOTICE",
    "USE_POLICY.md",
};

constexpr std::string_view kTemplatesFolder = "additional_chat_templates/";

const Json* object_member(const Json& json, const char* key) {
  if (!json.is_object()) return nullptr;
  const auto at = json.find(key);
  return at == json.end() || at->is_null() ? nullptr : &*at;
}

// A dangling link counts: reading it says what is wrong, where passing over it would lose a
// tokenizer without a word.
bool is_file_or_dangling(const fs::path& path) {
  return is_file(path) || !dangling_link(path).empty();
}

// Whether this is a file of the folder of further chat templates.
bool is_named_template(std::string_view name) {
  if (!name.starts_with(kTemplatesFolder) || !name.ends_with(".jinja")) return false;
  return name.find_first_of("/\\", kTemplatesFolder.size()) == std::string_view::npos;
}

// Removes the field of a dotted name, and says so of a file with a name; false when there is none.
bool erase_field(Json& object, std::string_view name, const std::string& file) {
  if (!object.is_object()) return false;
  if (const auto at = object.find(name); at != object.end()) {
    if (!file.empty()) warn("{}: \"{}\" = {} is ignored", file, name, json_for_message(*at));
    object.erase(at);
    return true;
  }
  const size_t dot = name.find('.');
  if (dot == std::string_view::npos) return false;
  const auto inner = object.find(name.substr(0, dot));
  return inner != object.end() && erase_field(*inner, name.substr(dot + 1), file);
}

}  // namespace

std::vector<std::string> list_files(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  fs::directory_iterator it(folder, error);
  for (; !error && it != fs::directory_iterator(); it.increment(error)) {
    if (is_file(it->path())) names.push_back(it->path().filename());
  }
  if (error) fail_errno(error.value(), folder.string());
  std::sort(names.begin(), names.end());
  return names;
}

std::vector<std::string> list_text_files(const fs::path& folder) {
  std::vector<std::string> names;
  for (const std::string_view name : kTextFiles) {
    if (is_file_or_dangling(folder / name)) names.emplace_back(name);
  }
  if (is_folder(folder / kTemplatesFolder)) {
    for (const std::string& file : list_files(folder / kTemplatesFolder)) {
      std::string name = std::string(kTemplatesFolder) + file;
      if (is_named_template(name)) names.push_back(std::move(name));
    }
  }
  return names;
}

std::optional<std::string> read_small_file(const fs::path& folder, std::string_view name) {
  const bool known = std::find(kTextFiles.begin(), kTextFiles.end(), name) != kTextFiles.end();
  if ((!known && !is_named_template(name)) || !is_file_or_dangling(folder / name)) {
    return std::nullopt;
  }
  return read_checkpoint_text(folder / name, kMaxTextBytes);
}

void refuse_outside_link(const fs::path& folder, const std::string& name) {
  std::error_code error;
  const fs::path target = fs::canonical(folder / name, error);
  if (error) return;  // dangling: reading it says so
  const fs::path inside = fs::canonical(folder, error);
  const fs::path above = inside.parent_path();
  const bool snapshot = above.filename() == "snapshots";
  const fs::path blobs = snapshot ? above.parent_path() / "blobs" : inside;
  for (const fs::path& allowed : {inside, blobs}) {
    if (std::mismatch(allowed.begin(), allowed.end(), target.begin(), target.end()).first ==
        allowed.end()) {
      return;
    }
  }
  fail(ErrorCode::kInvalidArgument,
       "{}: is a link out of the folder, to {}, and would be copied with the model; put the file "
       "itself there or remove the link",
       (folder / name).string(), target.string());
}

Json read_model_config(const fs::path& folder) {
  const fs::path path = folder / "config.json";
  if (!is_there(path) && dangling_link(path).empty()) return Json::object();
  Json config = parse_json(read_checkpoint_text(path, kMaxConfigBytes), path.string());
  if (!config.is_object()) {
    fail(ErrorCode::kCorrupt, "{}: must be a JSON object", path.string());
  }
  return config;
}

void ignore_fields(Json& config, const std::vector<std::string>& fields, const std::string& name) {
  for (const std::string& field : fields) {
    bool found = erase_field(config, field, name);
    const auto text = config.find("text_config");
    if (text != config.end()) found = erase_field(*text, field, name) || found;
    if (!found && !name.empty()) warn("{} has no field \"{}\" to ignore", name, field);
  }
}

const Json* quantization_config(const Json& config) {
  for (const char* key : {"quantization_config", "compression_config"}) {
    if (const Json* found = object_member(config, key)) return found;
    const Json* text = object_member(config, "text_config");
    if (const Json* found = text ? object_member(*text, key) : nullptr) return found;
  }
  return nullptr;
}

std::string name_to_show(const Json& json, const char* key) {
  constexpr size_t kMaxShown = 200;
  const Json* name = object_member(json, key);
  if (name == nullptr || !name->is_string()) return "";
  const std::string text = name->dump(-1, ' ', true, Json::error_handler_t::replace);
  return text.size() > kMaxShown ? "" : text.substr(1, text.size() - 2);
}

void refuse_foreign_quantization(const Json& config, const std::string& name) {
  const Json* quantization = quantization_config(config);
  if (quantization == nullptr) return;
  const Json* method = object_member(*quantization, "quant_method");
  const std::string found = method != nullptr ? method->dump() : "no quant_method";
  if (found == "\"turboquant\"") return;
  fail(ErrorCode::kUnsupported,
       "{}: quantization_config has {}: such weights are not plain numbers and this build does not "
       "decode them; use the original bf16 checkpoint",
       name, found);
}

}  // namespace tq
