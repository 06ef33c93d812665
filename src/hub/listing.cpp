#include "hub/listing.h"

#include <algorithm>
#include <limits>
#include <map>

#include "base/error.h"
#include "base/json.h"
#include "hub/hub_name.h"

namespace tq {
namespace {

constexpr size_t kMaxPathBytes = 1024;
constexpr size_t kMaxPartBytes = 200;  // 255, less what temporary names add
constexpr size_t kMaxShown = 200;
constexpr int64_t kMaxTotalBytes = std::numeric_limits<int64_t>::max() / 4;
constexpr const char* kWhatToDo = "; is HF_ENDPOINT a hub, and no proxy's page in between?";

const Json* hub_member(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto at = object.find(key);
  return at == object.end() || at->is_null() ? nullptr : &*at;
}

std::string hub_text(const Json& object, const char* key) {
  const Json* value = hub_member(object, key);
  return value != nullptr && value->is_string() ? value->get<std::string>() : "";
}

HubFile read_file(const Json& entry, const std::string& name) {
  HubFile file;
  file.path = hub_text(entry, "rfilename");
  if (!is_safe_path(file.path)) {
    fail(ErrorCode::kCorrupt, "{}: the hub names a file that is no path inside a repository: {}{}",
         name, printable(file.path), kWhatToDo);
  }
  const Json* lfs = hub_member(entry, "lfs");
  const Json* size = hub_member(lfs != nullptr ? *lfs : entry, "size");
  file.hash = lfs != nullptr ? hub_text(*lfs, "sha256") : hub_text(entry, "blobId");
  const auto bytes = size != nullptr ? json_integer(*size, 0, kMaxTotalBytes) : std::nullopt;
  if (!bytes || !is_hex(file.hash, lfs != nullptr ? 64 : 40)) {
    fail(ErrorCode::kCorrupt,
         "{}: the hub's answer has no size or no hash of {}, so what comes could not be checked",
         name, printable(file.path));
  }
  file.size = *bytes;
  return file;
}

// One content has one size, and sums of sizes are numbers.
void check_sizes(const Listing& listing, const std::string& name) {
  std::map<std::string_view, int64_t> sizes;
  int64_t total = 0;
  for (const HubFile& file : listing.files) {
    if (sizes.emplace(file.hash, file.size).first->second != file.size) {
      fail(ErrorCode::kCorrupt, "{}: the hub lists the content of {} with two sizes{}", name,
           printable(file.path), kWhatToDo);
    }
    if (file.size > kMaxTotalBytes - total) {
      fail(ErrorCode::kCorrupt, "{}: the hub lists more bytes than any disk holds{}", name,
           kWhatToDo);
    }
    total += file.size;
  }
}

}  // namespace

std::string printable(std::string_view text) {
  std::string out;
  for (const char c : text.substr(0, kMaxShown)) out += c >= ' ' && c < 0x7f ? c : '?';
  return text.size() > kMaxShown ? out + "..." : out;
}

bool is_safe_path(std::string_view path) {
  if (path.empty() || path.size() > kMaxPathBytes) return false;
  for (size_t i = 0; i < path.size(); ++i) {
    const auto c = static_cast<unsigned char>(path[i]);
    if (c < ' ' || c == 0x7f || c == '\\') return false;
    // U+0080 to U+009F, which terminals obey as well.
    if (c == 0xc2 && i + 1 < path.size() && static_cast<unsigned char>(path[i + 1]) < 0xa0) {
      return false;
    }
  }
  while (true) {
    const size_t slash = path.find('/');
    const std::string_view part = path.substr(0, slash);
    if (part.empty() || part == "." || part == ".." || part.size() > kMaxPartBytes) return false;
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

Listing parse_listing(std::string_view json, const std::string& name) {
  const Json answer = parse_json(json, name, {.max_bytes = kMaxListingBytes});
  Listing listing;
  listing.commit = hub_text(answer, "sha");
  const Json* siblings = hub_member(answer, "siblings");
  if (!is_hex(listing.commit, 40) || siblings == nullptr || !siblings->is_array()) {
    fail(ErrorCode::kCorrupt,
         "{}: the answer is not a hub's: it has no commit (sha) or no list of files (siblings)"
         "{}",
         name, kWhatToDo);
  }
  if (siblings->size() > kMaxListedFiles) {
    fail(ErrorCode::kCorrupt,
         "{}: the hub lists {} files, more than {}; fetch it with another tool (hf download)", name,
         siblings->size(), kMaxListedFiles);
  }
  for (const Json& entry : *siblings) listing.files.push_back(read_file(entry, name));
  std::sort(listing.files.begin(), listing.files.end(),
            [](const HubFile& a, const HubFile& b) { return a.path < b.path; });
  const auto twice =
      std::adjacent_find(listing.files.begin(), listing.files.end(),
                         [](const HubFile& a, const HubFile& b) { return a.path == b.path; });
  if (twice != listing.files.end()) {
    fail(ErrorCode::kCorrupt, "{}: the hub lists {} twice{}", name, printable(twice->path),
         kWhatToDo);
  }
  check_sizes(listing, name);
  return listing;
}

}  // namespace tq
