// ModelServer: a server on sockets with its model, which may be loaded while it already answers
// whether it is ready. Thread safe.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "server/api.h"
#include "server/http_server.h"
#include "server/serve_options.h"

namespace tq {

class ModelServer {
 public:
  // Listens when this returns; requests are refused with 503 until load() has returned. options:
  // prepared; they must outlive this. Throws what HttpServer's constructor throws.
  explicit ModelServer(const ServeOptions& options);
  // What is under way is cancelled, and told so. Not while load() runs.
  ~ModelServer();
  ModelServer(const ModelServer&) = delete;
  ModelServer& operator=(const ModelServer&) = delete;

  // Once, on any thread. Throws what load_host() throws.
  void load(const OpenModel& open);

  const std::string& url() const { return url_; }  // "http://127.0.0.1:8000"
  uint16_t port() const { return server_->port(); }
  // After load().
  const Host& host() const { return *host_; }
  // From now on requests for answers are refused; those under way go on.
  void drain() { api_.drain(); }
  // Answers that were promised and are not complete.
  int64_t n_open() const { return api_.n_open(); }

 private:
  const ServeOptions& options_;
  std::unique_ptr<HttpServer> server_;
  Api api_;
  std::string url_;
  std::unique_ptr<Host> host_;
};

}  // namespace tq
