// HttpServer: HTTP/1.1 on sockets, asynchronously on one thread (Boost.Beast). Requests come whole,
// within limits; answers are sent whole or as event streams.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "net/tls.h"
#include "server/http.h"

namespace tq {

struct HttpOptions {
  std::string host = "127.0.0.1";                   // a name or an address
  uint16_t port = 0;                                // 0: one that is free
  std::shared_ptr<const TlsContext> tls = nullptr;  // null: plain HTTP
  size_t body_bytes = size_t{32} << 20;
  size_t header_bytes = size_t{16} << 10;
  size_t n_headers = 100;
  size_t n_connections = 4096;
  // What may wait for a client that reads slowly; with more it is cut off.
  size_t unsent_bytes = size_t{4} << 20;
  double header_seconds = 10;  // to send the first lines; as long before for TLS's handshake
  double body_seconds = 60;    // to send the body
  double write_seconds = 30;   // to take anything of what is sent
  double idle_seconds = 75;    // between requests
  double ping_seconds = 15;    // a comment after so long without an event
};

class HttpServer {
 public:
  // Has the port when this returns. Throws kIo naming host and port, kUnsupported in a build
  // without the server.
  explicit HttpServer(const HttpOptions& options);
  // No more connections; those that are answered get the rest of what was written for them, for a
  // second at most.
  ~HttpServer();
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  // Takes connections from now on, once. The handler must outlive this.
  void serve(HttpHandler& handler);
  uint16_t port() const;
  // Runs the task on the thread that reads sockets, in the order of the calls. Dropped once this is
  // being destroyed.
  void post(std::function<void()> task);

  struct Core;

 private:
  std::shared_ptr<Core> core_;
};

}  // namespace tq
