// In place of tls.cpp where OpenSSL is missing or TQ_TLS is OFF.
#include "base/error.h"
#include "net/tls.h"

namespace tq {
namespace {

[[noreturn]] void refuse() {
  fail(ErrorCode::kUnsupported,
       "this tq was built without TLS: build it where OpenSSL's headers are (libssl-dev)");
}

}  // namespace

std::shared_ptr<const TlsContext> make_tls_server(const std::string&, const std::string&) {
  refuse();
}
std::shared_ptr<const TlsContext> make_tls_client(const std::string&, bool) { refuse(); }

}  // namespace tq
