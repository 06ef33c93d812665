// In place of http_client.cpp where Boost is missing or TQ_SERVER is OFF.
#include "base/error.h"
#include "loadgen/http_client.h"

namespace tq {

struct HttpClient::Core {};

HttpClient::HttpClient(const ServerUrl&, const ClientLimits&, const ClientTrust&,
                       std::function<bool()>) {
  fail(ErrorCode::kUnsupported,
       "this tq was built without HTTP: build it where Boost's headers are (libboost-dev)");
}
HttpClient::~HttpClient() = default;
void HttpClient::send(ClientRequest, std::shared_ptr<CallSink>) {}
void HttpClient::after(double, std::function<void()>) {}
void HttpClient::run(const std::function<void()>&) {}
double HttpClient::now() { return 0; }
const ServerUrl& HttpClient::url() const {
  static const ServerUrl kNone;
  return kNone;
}

}  // namespace tq
