// HTTP as the server's other parts see it: a request that was read, and something that takes the
// answer. Neither sockets nor threads: http_server.h has those, tests have their own.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace tq {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

// The first lines of a request.
struct HttpHead {
  std::string method;   // "POST"
  std::string path;     // "/v1/models", without what follows a '?'
  HttpHeaders headers;  // names in lower case, in the order they came

  // The value of the first header of that (lower-case) name; null when there is none.
  const std::string* find(std::string_view name) const {
    for (const auto& [key, value] : headers) {
      if (key == name) return &value;
    }
    return nullptr;
  }
};

struct HttpRequest : HttpHead {
  std::string body;
};

struct HttpResponse {
  int status = 200;
  std::string body;
  std::string content_type = "application/json";
  HttpHeaders headers = {};  // further ones
};

// Takes the answer to one request: send(), or start(), any number of write() and end(). Thread
// safe. What comes after the answer's end or after the client has gone is dropped; one that is
// destroyed without an answer answers with status 500.
class Responder {
 public:
  virtual ~Responder() = default;
  virtual void send(HttpResponse response) = 0;
  // Begins an event stream (text/event-stream); its head is sent at once. The body is not used.
  virtual void start(HttpResponse head) = 0;
  virtual void write(std::string events) = 0;
  virtual void end() = 0;
  // Told once, on the thread that reads sockets, when the client goes before the answer's end; at
  // once when it has gone. Replaces what was set before.
  virtual void on_disconnect(std::function<void()> told) = 0;
};

// Called on the thread that reads sockets: it must be quick.
class HttpHandler {
 public:
  virtual ~HttpHandler() = default;
  // Looks at a request before its body is read; an answer refuses it.
  virtual std::optional<HttpResponse> check(const HttpHead& head) = 0;
  virtual void handle(HttpRequest request, std::shared_ptr<Responder> responder) = 0;
};

}  // namespace tq
