// Listing: what a repository holds at one commit, from the hub's answer to
// /api/models/ORG/NAME/revision/REV?blobs=true. The answer is not trusted: names that could leave a
// folder are refused, sizes and hashes are checked for form.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tq {

struct HubFile {
  std::string path;  // relative, with '/': "tokenizer.json"
  int64_t size = 0;
  // What the file is known by in the cache: the SHA-256 of what Git LFS stores, else git's SHA-1 of
  // the blob; lower case hexadecimal.
  std::string hash;

  bool is_sha256() const { return hash.size() == 64; }
};

struct Listing {
  std::string commit;          // 40 hexadecimal digits
  std::vector<HubFile> files;  // sorted by path, each once
};

constexpr int64_t kMaxListingBytes = int64_t{32} << 20;
constexpr size_t kMaxListedFiles = 100'000;

// `name` says in messages what was asked for. Throws kCorrupt.
Listing parse_listing(std::string_view json, const std::string& name);

// Whether a path leads from a folder to something in it, whatever the system: relative, no empty
// part, no "." or "..", no control character, no backslash, parts that file systems can name.
bool is_safe_path(std::string_view path);

// An answer's text as it may be shown on a terminal: printable ASCII, cut where it is long.
std::string printable(std::string_view text);

}  // namespace tq
