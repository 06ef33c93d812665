// What comes from a hub and what is typed for it: listings of repositories, whose chosen files stay
// in their folder, headers, addresses, and names, which are the same when they are written out.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "base/error.h"
#include "hub/file_choice.h"
#include "hub/hub_client.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

void choose(const tq::Listing& listing, const char* name) {
  try {
    const auto choice = tq::choose_files(listing, *tq::parse_hub_name(name), {});
    require(!choice.files.empty());
    for (const tq::HubFile& file : choice.files) {
      require(std::any_of(listing.files.begin(), listing.files.end(),
                          [&](const tq::HubFile& one) { return one.path == file.path; }));
    }
  } catch (const tq::Error& error) {
    require(error.code() == tq::ErrorCode::kNotFound);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  if (const auto name = tq::parse_hub_name(text)) {
    const auto again = tq::parse_hub_name(name->text());
    require(again && again->text() == name->text());
    require(name->revision.find("..") == std::string::npos);
  }
  if (const auto range = tq::parse_content_range(text)) {
    require(range->range.begin >= 0 && range->range.size() > 0 && range->range.end <= range->size);
  }
  if (const auto seconds = tq::retry_after_seconds(text, 0)) require(*seconds >= 0);
  const std::string origin = tq::origin_of(text);
  require(origin.empty() || origin == tq::origin_of(origin + "/x"));
  // What is in front of the path has one reading only.
  require(origin.find_first_of("@\\ /", origin.find("://") + 3) == std::string::npos ||
          origin.empty());
  for (const char c : tq::printable(text)) require(c >= ' ' && c < 0x7f);
  try {
    const tq::Listing listing = tq::parse_listing(text, "org/name");
    for (const tq::HubFile& file : listing.files) {
      require(file.size >= 0 && tq::is_safe_path(file.path));
      require(file.path[0] != '/' && ("/" + file.path + "/").find("/../") == std::string::npos);
      const std::string quantization = tq::quantization_of(file.path);
      require(quantization.empty() || tq::is_quantization(quantization));
    }
    for (const char* name : {"a/b", "a/b:Q8_0", "a/b:x.gguf"}) choose(listing, name);
  } catch (const tq::Error& error) {
    require(error.code() == tq::ErrorCode::kCorrupt);
  }
  return 0;
}
