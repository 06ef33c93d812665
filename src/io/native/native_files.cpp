#include "io/native/native_files.h"

#include <algorithm>
#include <cstring>

#include "base/error.h"
#include "io/native/content_hash.h"
#include "io/native/native_manifest.h"
#include "io/safetensors/safetensors_header.h"

namespace tq {
namespace {

constexpr std::string_view kNoHash = "00000000000000000000000000000000";
constexpr size_t kPieceBytes = size_t{1} << 20;

bool is_hash(const Json& json) {
  if (!json.is_string()) return false;
  const auto& text = json.get_ref<const std::string&>();
  return text.size() == kNoHash.size() &&
         text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::string in_quotes(std::string_view text) { return "\"" + std::string(text) + "\""; }

}  // namespace

bool is_name_within(std::string_view name) {
  if (const size_t slash = name.find('/'); slash != std::string_view::npos) {
    const std::string_view inner = name.substr(slash + 1);
    return is_name_within(name.substr(0, slash)) && is_name_within(inner) &&
           inner.find('/') == std::string_view::npos;
  }
  return !name.empty() && name != "." && name != ".." && name.find('\0') == std::string_view::npos;
}

NativeFiles NativeFiles::from_json(const Json& json, const std::string& name) {
  if (!json.is_object()) fail(ErrorCode::kCorrupt, "{}: \"files\" must be an object", name);
  NativeFiles files;
  for (const auto& [file, value] : json.items()) {
    const bool is_shard = value.is_object() && value.size() == 2 && value.contains("bytes") &&
                          value["bytes"].is_number_unsigned() && value.contains("header") &&
                          is_hash(value["header"]);
    if (!is_name_within(file) || (!is_shard && !is_hash(value))) {
      fail(ErrorCode::kCorrupt,
           "{}: \"files\": \"{}\" must be the name of a file in the folder with a hash of 32 "
           "digits, or with \"bytes\" and the hash of a \"header\"",
           name, file);
    }
    if (is_shard) {
      files.shards[file] = {value["bytes"].get<uint64_t>(), value["header"].get<std::string>()};
    } else if (file == kNativeConfigName) {
      files.own = value.get<std::string>();
    } else {
      files.texts[file] = value.get<std::string>();
    }
  }
  if (files.own.empty()) {
    fail(ErrorCode::kCorrupt, "{}: \"files\" has no hash of {} itself", name, kNativeConfigName);
  }
  return files;
}

Json NativeFiles::to_json() const {
  Json json = Json::object();
  for (const auto& [name, hash] : texts) json[name] = hash;
  for (const auto& [name, shard] : shards) {
    json[name] = {{"bytes", shard.bytes}, {"header", shard.header}};
  }
  json[kNativeConfigName] = own.empty() ? std::string(kNoHash) : own;
  return json;
}

std::string with_own_hash(std::string text) {
  const size_t at = text.find(in_quotes(kNoHash));
  if (at == std::string::npos) return text;
  const std::string own = content_hash(text);
  return text.replace(at + 1, own.size(), own);
}

bool has_own_hash(std::string_view text, const std::string& own) {
  const size_t at = text.find(in_quotes(own));
  if (at == std::string_view::npos) return false;
  ContentHash hash;
  for (const std::string_view part :
       {text.substr(0, at + 1), kNoHash, text.substr(at + 1 + own.size())}) {
    hash.update({reinterpret_cast<const uint8_t*>(part.data()), part.size()});
  }
  return hash.hex() == own;
}

NativeFiles::Shard shard_of(const fs::path& path) {
  const MappedFile file(path);  // read by read_at(): the mapping of a file that is cut short kills
  std::vector<uint8_t> head(kLengthBytes);
  file.read_at(0, head);
  uint64_t length = 0;
  std::memcpy(&length, head.data(), kLengthBytes);
  const uint64_t size = file.bytes().size();
  if (length > std::min(kMaxSafetensorsHeaderBytes, size - kLengthBytes)) {
    fail(ErrorCode::kCorrupt, "{}: its header says that it has {} bytes", path.string(), length);
  }
  head.resize(kLengthBytes + static_cast<size_t>(length));
  file.read_at(0, head);
  ContentHash hash;
  hash.update(head);
  return {size, hash.hex()};
}

std::string file_hash(const fs::path& path) {
  const MappedFile file(path);
  ContentHash hash;
  std::vector<uint8_t> piece;
  for (uint64_t offset = 0; offset < file.bytes().size(); offset += piece.size()) {
    piece.resize(std::min<uint64_t>(kPieceBytes, file.bytes().size() - offset));
    file.read_at(offset, piece);  // a file that is cut short meanwhile is an error, not a signal
    hash.update(piece);
  }
  return hash.hex();
}

std::vector<std::string> edited_files(const fs::path& folder, const NativeFiles& files,
                                      const std::vector<std::string>& now) {
  std::vector<std::string> edits;
  if (!has_own_hash(read_text_file(folder / kNativeConfigName, kMaxManifestBytes), files.own)) {
    edits.push_back(fmt::format("{}: has changed", kNativeConfigName));
  }
  for (const auto& [name, hash] : files.texts) {
    if (!is_file(folder / name)) {
      edits.push_back(name + ": is missing");
    } else if (file_hash(folder / name) != hash) {
      edits.push_back(name + ": has changed");
    }
  }
  for (const std::string& name : now) {
    if (files.texts.count(name) == 0) edits.push_back(name + ": was added");
  }
  return edits;
}

}  // namespace tq
