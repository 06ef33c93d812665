// HttpClient: HTTP/1.1 requests to one server, any number at a time, asynchronously on one thread
// (Boost.Beast); connections are kept and used again. Not thread safe: everything, and every call
// of a sink, happens on the thread that calls run().
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "loadgen/url.h"

namespace tq {

struct ClientRequest {
  std::string method = "GET";
  std::string path;  // "/v1/models"; the URL's base is put in front
  std::string body;  // JSON; empty: none
  std::vector<std::pair<std::string, std::string>> headers = {};  // further ones
};

enum class CallFault {
  kNone,
  kConnect,    // no connection
  kTimeout,    // the answer was not complete in time
  kClosed,     // the connection was closed or broke before the answer's end
  kProtocol,   // what came is no HTTP
  kTooLarge,   // headers or body beyond the limits
  kCancelled,  // by the sink, or go_on said no
};

struct CallEnd {
  CallFault fault = CallFault::kNone;
  std::string message = {};  // of a fault
};

// Takes the answer to one request.
class CallSink {
 public:
  virtual ~CallSink() = default;
  virtual void on_head(int status, std::string_view content_type) = 0;
  // A piece of the body, as it comes. False: no more is wanted, and the call ends as cancelled.
  virtual bool on_body(std::string_view bytes) = 0;
  // Once, after all else.
  virtual void on_end(const CallEnd& end) = 0;
};

struct ClientLimits {
  double connect_seconds = 10;
  double call_seconds = 600;  // from send() to the end of the answer
  uint64_t body_bytes = uint64_t{256} << 20;
};

// Whose certificates are taken, of https.
struct ClientTrust {
  std::string ca_file;    // PEM; empty: the system's
  bool insecure = false;  // any
};

class HttpClient {
 public:
  // Resolves the name. go_on (null: always) is asked now and then while the client runs. Throws
  // kNotFound for a name that has no address, kUnsupported in a build without Boost, and for https
  // what make_tls_client() throws.
  HttpClient(const ServerUrl& url, const ClientLimits& limits, const ClientTrust& trust = {},
             std::function<bool()> go_on = nullptr);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // A request on a connection that the server has closed meanwhile is sent again on a new one.
  void send(ClientRequest request, std::shared_ptr<CallSink> sink);
  // Calls the task after so many seconds.
  void after(double seconds, std::function<void()> task);
  // Runs until all calls have ended and all tasks were called; calls tick (unless null) now and
  // then. Throws kCancelled once go_on has said no: then calls were cancelled and tasks dropped.
  void run(const std::function<void()>& tick = nullptr);
  // Seconds of a steady clock.
  static double now();
  const ServerUrl& url() const;

  struct Core;

 private:
  std::unique_ptr<Core> core_;
};

// A whole answer. body is empty where a fault ended it.
struct Fetched {
  int status = 0;
  std::string body;
  CallEnd end;
};

// Sends one request and runs the client until it is answered. Bodies of up to 64 MiB.
Fetched fetch(HttpClient& client, ClientRequest request);

}  // namespace tq
