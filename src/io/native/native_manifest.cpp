#include "io/native/native_manifest.h"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <span>
#include <string_view>

#include "base/error.h"
#include "base/math.h"
#include "format/hadamard.h"
#include "format/traits.h"

namespace tq {
namespace {

using simdjson::dom::array;
using simdjson::dom::element;
using simdjson::dom::object;

constexpr int64_t kMaxDim = int64_t{1} << 40;  // keeps every product of two sizes in 63 bits
constexpr int kGroups[] = {32, 64, 128, 256};

constexpr int kMaxManifestDepth = 64;

// The text with the bytes behind it that simdjson reads: the text itself where it has room.
class Padded {
 public:
  explicit Padded(const std::string& text) : view_(text.data(), text.size(), text.capacity()) {
    if (text.capacity() - text.size() >= simdjson::SIMDJSON_PADDING) return;
    copy_ = simdjson::padded_string(text);
    view_ = copy_;
  }
  const simdjson::padded_string_view& view() const { return view_; }

 private:
  simdjson::padded_string copy_;
  simdjson::padded_string_view view_;
};

[[noreturn]] void refuse(simdjson::error_code error, const std::string& name) {
  if (error == simdjson::MEMALLOC) {
    fail(ErrorCode::kOutOfMemory, "{}: not enough memory to read it", name);
  }
  fail(ErrorCode::kCorrupt, "{}: not valid JSON: {}", name, simdjson::error_message(error));
}

// Strict access to one JSON object: every key at most once, unknown ones are refused.
class Reader {
 public:
  static constexpr size_t kMostKeys = 10;  // of one kind of object

  Reader(const element& json, const std::string& file, std::span<const std::string_view> known)
      : file_(file), known_(known) {
    object fields;
    if (json.get(fields) != simdjson::SUCCESS) wrong("must be an object");
    for (const auto field : fields) {
      const auto at =
          static_cast<size_t>(std::find(known.begin(), known.end(), field.key) - known.begin());
      if (at == known.size()) {
        unknown_ = field.key;
      } else if (values_[at]) {
        wrong("duplicate key \"{}\"", field.key);
      } else {
        values_[at] = field.value;
      }
    }
  }

  // What messages say the object is about.
  void of_tensor(std::string_view name) { tensor_ = name; }

  const std::optional<element>& get(std::string_view key) const {
    return values_[static_cast<size_t>(std::find(known_.begin(), known_.end(), key) -
                                       known_.begin())];
  }
  element need(std::string_view key) const {
    const std::optional<element>& value = get(key);
    if (!value) wrong("needs \"{}\"", key);
    return *value;
  }
  int64_t integer(std::string_view key, int64_t low, int64_t high) const {
    return integer(need(key), key, low, high);
  }
  int64_t integer(const element& value, std::string_view key, int64_t low, int64_t high) const {
    int64_t number = 0;
    if (value.get(number) != simdjson::SUCCESS || number < low || number > high) {
      wrong("\"{}\" is {:.60}, must be an integer from {} to {}", key,
            std::string(simdjson::minify(value)), low, high);
    }
    return number;
  }
  std::string_view string(std::string_view key) const {
    std::string_view text;
    if (need(key).get(text) != simdjson::SUCCESS) wrong("\"{}\" must be a string", key);
    return text;
  }
  array list(std::string_view key, std::string_view what) const {
    array items;
    if (need(key).get(items) != simdjson::SUCCESS) wrong("\"{}\" must be {}", key, what);
    return items;
  }
  // A part that is kept as it is; null when it is absent.
  Json part(std::string_view key) const {
    const std::optional<element>& value = get(key);
    if (!value) return nullptr;
    return parse_json(simdjson::minify(*value), fmt::format("{}: {}", file_, key),
                      {.max_bytes = std::numeric_limits<int64_t>::max()});
  }
  void refuse_other_keys() const {
    if (unknown_) wrong("unknown key \"{}\"", *unknown_);
  }
  template <typename... Args>
  [[noreturn]] void wrong(fmt::format_string<Args...> format, Args&&... args) const {
    const std::string of = tensor_.empty() ? "" : fmt::format("tensor \"{}\": ", tensor_);
    fail(ErrorCode::kCorrupt, "{}: {}{}", file_, of,
         fmt::format(format, std::forward<Args>(args)...));
  }

 private:
  const std::string& file_;
  std::span<const std::string_view> known_;
  std::array<std::optional<element>, kMostKeys> values_;  // of known_
  std::optional<std::string_view> unknown_;
  std::string_view tensor_;
};

constexpr std::array<std::string_view, 5> kTensorKeys = {"name", "format", "shape", "group",
                                                         "in_padded"};
constexpr std::array<std::string_view, 10> kManifestKeys = {
    "version", "seed",   "layout", "encoder",      "source",
    "report",  "hashes", "files",  "tool_version", "tensors"};
static_assert(kManifestKeys.size() <= Reader::kMostKeys && kTensorKeys.size() <= Reader::kMostKeys);

NativeTensor read_tensor(const element& json, const std::string& file) {
  Reader reader(json, file, kTensorKeys);
  NativeTensor tensor;
  tensor.name = reader.string("name");
  reader.of_tensor(tensor.name);
  tensor.format = reader.string("format");
  const FormatTraits* format = find_format(tensor.format);
  if (format == nullptr) {
    fail(ErrorCode::kUnsupported,
         "{}: tensor \"{}\": this build has no format \"{}\"; a newer version may", file,
         tensor.name, tensor.format);
  }
  constexpr const char* kShapes = "[rows, in] or [experts, rows, in]";
  const array shape = reader.list("shape", kShapes);
  if (shape.size() != 2 && shape.size() != 3) reader.wrong("\"shape\" must be {}", kShapes);
  tensor.shape.reserve(shape.size());
  for (const element dim : shape) tensor.shape.push_back(reader.integer(dim, "shape", 1, kMaxDim));
  if (!checked_product(tensor.shape)) {
    reader.wrong("shape {} overflows", shape_string(tensor.shape));
  }
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

void check_unique(const std::vector<NativeTensor>& tensors, const std::string& file) {
  std::vector<std::string_view> names;
  names.reserve(tensors.size());
  for (const NativeTensor& tensor : tensors) names.push_back(tensor.name);
  std::sort(names.begin(), names.end());
  const auto twice = std::adjacent_find(names.begin(), names.end());
  if (twice != names.end()) fail(ErrorCode::kCorrupt, "{}: tensor \"{}\" twice", file, *twice);
}

NativeManifest read_manifest(const element& root, const std::string& file, ManifestHashes hashes) {
  const Reader reader(root, file, kManifestKeys);
  NativeManifest manifest;
  manifest.version = static_cast<int>(reader.integer("version", 0, INT32_MAX));
  if (manifest.version != kNativeVersion) {
    fail(ErrorCode::kUnsupported, "{}: version {} of the format; this build reads version {}", file,
         manifest.version, kNativeVersion);
  }
  manifest.seed = static_cast<uint32_t>(reader.integer("seed", 0, UINT32_MAX));
  if (manifest.seed != kRotationSeed) {
    fail(ErrorCode::kUnsupported, "{}: rotation seed {}; only {} is supported", file, manifest.seed,
         kRotationSeed);
  }
  if (reader.get("layout")) manifest.layout = reader.string("layout");
  manifest.encoder = reader.part("encoder");
  manifest.source = reader.part("source");
  manifest.report = reader.part("report");
  if (hashes == ManifestHashes::kRead) manifest.hashes = reader.part("hashes");
  if (const Json files = reader.part("files"); !files.is_null()) {
    manifest.files = NativeFiles::from_json(files, file);
  }
  manifest.tool_version = reader.string("tool_version");
  const array tensors = reader.list("tensors", "an array");
  reader.refuse_other_keys();
  manifest.tensors.reserve(tensors.size());
  for (const element tensor : tensors) manifest.tensors.push_back(read_tensor(tensor, file));
  if (!manifest.layout.empty() && !manifest.tensors.empty()) {
    reader.wrong("\"tensors\" must be empty for layout {}", manifest.layout);
  }
  check_unique(manifest.tensors, file);
  return manifest;
}

}  // namespace

bool is_native_manifest(const std::string& text) {
  const Padded padded(text);
  simdjson::ondemand::parser parser;
  simdjson::ondemand::document document;
  simdjson::ondemand::object root;
  if (parser.iterate(padded.view()).get(document) != simdjson::SUCCESS ||
      document.get_object().get(root) != simdjson::SUCCESS) {
    return false;
  }
  bool has_version = false;
  bool has_tensors = false;
  for (auto field : root) {
    std::string_view key;
    if (field.unescaped_key().get(key) != simdjson::SUCCESS) return false;
    has_version = has_version || key == "version";
    has_tensors = has_tensors || key == "tensors";
  }
  return has_version && has_tensors;
}

NativeManifest NativeManifest::parse(const std::string& text, const std::string& name,
                                     ManifestHashes hashes) {
  if (text.starts_with("\xef\xbb\xbf")) {
    fail(ErrorCode::kCorrupt, "{}: not valid JSON: it has a byte order mark", name);
  }
  const Padded padded(text);
  simdjson::dom::parser parser;
  element root;
  auto error = parser.allocate(text.size(), kMaxManifestDepth);
  if (error == simdjson::SUCCESS) {
    error = parser.parse(padded.view().data(), text.size(), /*realloc_if_needed=*/false).get(root);
  }
  if (error != simdjson::SUCCESS) refuse(error, name);
  return read_manifest(root, name, hashes);
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
  if (!layout.empty()) json["layout"] = layout;
  if (!encoder.is_null()) json["encoder"] = encoder;
  if (!source.is_null()) json["source"] = source;
  if (!report.is_null()) json["report"] = report;
  json["tensors"] = std::move(list);
  if (!hashes.is_null()) json["hashes"] = hashes;
  if (files) json["files"] = files->to_json();
  return json;
}

}  // namespace tq
