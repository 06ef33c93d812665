// What stands in for libcurl and OpenSSL in a build without them (TQ_HUB).
#include "base/error.h"
#include "hub/digest.h"
#include "hub/hub_client.h"

namespace tq {
namespace {

[[noreturn]] void fail_without_hub() {
  fail(
      ErrorCode::kUnsupported,
      "this tq was built without libcurl and OpenSSL, so it cannot pull models; fetch them with "
      "`hf download ORG/NAME` (pip install huggingface_hub), which keeps them where tq finds them");
}

}  // namespace

struct Digest::State {};
Digest::Digest(DigestKind, int64_t) { fail_without_hub(); }
Digest::~Digest() = default;
Digest::Digest(Digest&&) noexcept = default;
Digest& Digest::operator=(Digest&&) noexcept = default;
void Digest::add(std::span<const uint8_t>) {}
std::string Digest::finish() { return ""; }

FileDigest::FileDigest(DigestKind kind, int64_t size, int fd)
    : digest_(kind, size), size_(size), fd_(fd) {}
FileDigest::~FileDigest() = default;
void FileDigest::advance(int64_t) {}
std::string FileDigest::result() { return ""; }

void prepare_hub_client() {}
std::string origin_of(std::string_view) { return ""; }
std::unique_ptr<HubClient> make_hub_client(const HubClient::Settings&) { fail_without_hub(); }

}  // namespace tq
