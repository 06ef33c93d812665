#include "io/native/content_hash.h"

#include <fmt/format.h>
#include <xxhash.h>

#include "base/check.h"

namespace tq {

void ContentHash::Free::operator()(XXH3_state_s* state) const { XXH3_freeState(state); }

ContentHash::ContentHash() : state_(XXH3_createState()) {
  if (state_ == nullptr) fail(ErrorCode::kOutOfMemory, "cannot allocate a hash state");
  XXH3_128bits_reset(state_.get());
}

ContentHash::~ContentHash() = default;

void ContentHash::update(std::span<const uint8_t> bytes) {
  XXH3_128bits_update(state_.get(), bytes.data(), bytes.size());
}

std::string ContentHash::hex() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_.get());
  return fmt::format("{:016x}{:016x}", hash.high64, hash.low64);
}

std::string content_hash(std::string_view bytes) {
  ContentHash hash;
  hash.update({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
  return hash.hex();
}

}  // namespace tq
