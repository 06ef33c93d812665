#include "io/native_manifest.h"

#include <algorithm>
#include <set>
#include <string_view>

#include "base/error.h"
#include "base/math.h"
#include "format/hadamard.h"
#include "format/traits.h"

namespace tq {
namespace {

constexpr int64_t kMaxDim = int64_t{1} << 40;  // keeps every product of two sizes in 63 bits
constexpr int kGroups[] = {32, 64, 128, 256};

// Strict access to one JSON object: every key is asked for once, unknown ones are refused.
class Reader {
 public:
  Reader(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) wrong("must be an object");
  }

  const Json& need(const char* key) {
    known_.insert(key);
    const auto at = json_.find(key);
    if (at == json_.end()) wrong("needs \"{}\"", key);
    return *at;
  }
  const Json* get(const char* key) {
    known_.insert(key);
    const auto at = json_.find(key);
    return at == json_.end() ? nullptr : &*at;
  }
  int64_t integer(const char* key, int64_t low, int64_t high) {
    return integer(need(key), key, low, high);
  }
  int64_t integer(const Json& value, const char* key, int64_t low, int64_t high) const {
    const bool fits = value.is_number_integer() &&
                      (!value.is_number_unsigned() || value.get<uint64_t>() <= INT64_MAX);
    const int64_t number = fits ? value.get<int64_t>() : 0;
    if (!fits || number < low || number > high) {
      wrong("\"{}\" is {}, must be an integer from {} to {}", key, value.dump(), low, high);
    }
    return number;
  }
  std::string string(const char* key) {
    const Json& value = need(key);
    if (!value.is_string()) wrong("\"{}\" must be a string", key);
    return value.get<std::string>();
  }
  void refuse_other_keys() const {
    for (const auto& [key, value] : json_.items()) {
      if (known_.count(key) == 0) wrong("unknown key \"{}\"", key);
    }
  }
  template <typename... Args>
  [[noreturn]] void wrong(fmt::format_string<Args...> format, Args&&... args) const {
    fail(ErrorCode::kCorrupt, "{}: {}", where_, fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  const Json& json_;
  std::string where_;
  std::set<std::string_view> known_;
};

NativeTensor read_tensor(const Json& json, const std::string& name) {
  NativeTensor tensor;
  tensor.name = Reader(json, name + ": tensors").string("name");
  Reader reader(json, fmt::format("{}: tensor \"{}\"", name, tensor.name));
  reader.need("name");
  tensor.format = reader.string("format");
  const FormatTraits* format = find_format(tensor.format);
  if (format == nullptr) {
    fail(ErrorCode::kUnsupported,
         "{}: tensor \"{}\": this build has no format \"{}\"; a newer version may", name,
         tensor.name, tensor.format);
  }
  const Json& shape = reader.need("shape");
  if (!shape.is_array() || (shape.size() != 2 && shape.size() != 3)) {
    reader.wrong("\"shape\" must be [rows, in] or [experts, rows, in]");
  }
  for (const Json& dim : shape) tensor.shape.push_back(reader.integer(dim, "shape", 1, kMaxDim));
  if (!checked_product(tensor.shape)) reader.wrong("shape {} overflows", shape.dump());
  tensor.group = static_cast<int>(reader.integer("group", 0, 256));
  tensor.in_padded = reader.integer("in_padded", 1, 2 * kMaxDim);
  reader.refuse_other_keys();

  const bool grouped =
      std::find(std::begin(kGroups), std::end(kGroups), tensor.group) != std::end(kGroups);
  if (format->has_scales != grouped) {
    reader.wrong("group {} does not go with format {}", tensor.group, tensor.format);
  }
  const int64_t in = tensor.shape.back();
  if (tensor.in_padded != (grouped ? round_up(in, tensor.group) : in)) {
    reader.wrong("in_padded is {} for rows of {} in groups of {}", tensor.in_padded, in,
                 tensor.group);
  }
  return tensor;
}

void check_unique(const std::vector<NativeTensor>& tensors, const std::string& name) {
  std::set<std::string_view> names;
  for (const NativeTensor& tensor : tensors) {
    if (!names.insert(tensor.name).second) {
      fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" twice", name, tensor.name);
    }
  }
}

}  // namespace

NativeManifest NativeManifest::from_json(const Json& json, const std::string& name) {
  Reader reader(json, name);
  NativeManifest manifest;
  manifest.version = static_cast<int>(reader.integer("version", 0, INT32_MAX));
  if (manifest.version != kNativeVersion) {
    fail(ErrorCode::kUnsupported, "{}: version {} of the format; this build reads version {}", name,
         manifest.version, kNativeVersion);
  }
  manifest.seed = static_cast<uint32_t>(reader.integer("seed", 0, UINT32_MAX));
  if (manifest.seed != kRotationSeed) {
    fail(ErrorCode::kUnsupported, "{}: rotation seed {}; only {} is supported", name, manifest.seed,
         kRotationSeed);
  }
  if (const Json* encoder = reader.get("encoder")) manifest.encoder = *encoder;
  if (const Json* source = reader.get("source")) manifest.source = *source;
  if (const Json* report = reader.get("report")) manifest.report = *report;
  if (const Json* hashes = reader.get("hashes")) manifest.hashes = *hashes;
  if (const Json* files = reader.get("files")) {
    manifest.files = NativeFiles::from_json(*files, name);
  }
  manifest.tool_version = reader.string("tool_version");
  const Json& tensors = reader.need("tensors");
  if (!tensors.is_array()) reader.wrong("\"tensors\" must be an array");
  reader.refuse_other_keys();
  manifest.tensors.reserve(tensors.size());
  for (const Json& tensor : tensors) manifest.tensors.push_back(read_tensor(tensor, name));
  check_unique(manifest.tensors, name);
  return manifest;
}

Json NativeManifest::to_json() const {
  Json list = Json::array();
  for (const NativeTensor& tensor : tensors) {
    list.push_back({{"name", tensor.name},
                    {"format", tensor.format},
                    {"shape", tensor.shape},
                    {"group", tensor.group},
                    {"in_padded", tensor.in_padded}});
  }
  Json json = {{"version", version}, {"seed", seed}, {"tool_version", tool_version}};
  if (!encoder.is_null()) json["encoder"] = encoder;
  if (!source.is_null()) json["source"] = source;
  if (!report.is_null()) json["report"] = report;
  json["tensors"] = std::move(list);
  if (!hashes.is_null()) json["hashes"] = hashes;
  if (files) json["files"] = files->to_json();
  return json;
}

}  // namespace tq
