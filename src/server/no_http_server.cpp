// In place of http_server.cpp where Boost is missing or TQ_SERVER is OFF.
#include "base/error.h"
#include "server/http_server.h"

namespace tq {

struct HttpServer::Core {};

HttpServer::HttpServer(const HttpOptions&) {
  fail(ErrorCode::kUnsupported,
       "this tq was built without its server: build it where Boost's headers are (libboost-dev)");
}
HttpServer::~HttpServer() = default;
void HttpServer::serve(HttpHandler&) {}
uint16_t HttpServer::port() const { return 0; }
void HttpServer::post(std::function<void()>) {}

}  // namespace tq
