// HubClient: many GET requests at once, on the caller's thread, by libcurl; proxies and
// certificates are found as libcurl finds them. Redirects are followed within limits: ten at most,
// never from https to http, and the token is only ever sent to the endpoint's own scheme, host and
// port. A build without libcurl (TQ_HUB) has clients that throw.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "hub/file_ranges.h"

namespace tq {

struct HubHead {
  int status = 0;
  std::string url;                             // that gave this answer, after redirects
  std::map<std::string, std::string> headers;  // of it, and x-linked-etag of redirects before it;
                                               // names in lower case, the last of a name counts

  // Empty where there is none.
  std::string header(const std::string& name) const {
    const auto at = headers.find(name);
    return at == headers.end() ? "" : at->second;
  }
};

struct HubEnd {
  bool done = false;       // the body came to its end
  std::string failure;     // what went wrong below HTTP; empty for an answer, and where a function
                           // ended the request
  bool permanent = false;  // the same would come again
};

struct HubRequest {
  std::string url;
  FileRange range;  // empty: the whole
  // The final answer's head, before its body. False ends the request.
  std::function<bool(const HubHead&)> on_head;
  // Bytes of the body. False ends the request.
  std::function<bool(std::string_view)> on_body;
  // The last call. It may start and stop requests; the others may not.
  std::function<void(const HubHead&, const HubEnd&)> on_end;
};

class HubClient {
 public:
  using Id = uint64_t;
  struct Settings {
    std::string endpoint;  // "https://huggingface.co"
    std::string token;     // empty: none
  };

  virtual ~HubClient() = default;
  // What the callbacks throw comes out of step().
  virtual Id start(HubRequest request) = 0;
  // Ends a request without a further call of its functions.
  virtual void stop(Id id) = 0;
  // Works on all requests for as long as there is something to do, `timeout_ms` at most.
  virtual void step(int timeout_ms) = 0;
  virtual size_t n_active() const = 0;
};

// Throws kUnsupported in a build without libcurl.
std::unique_ptr<HubClient> make_hub_client(const HubClient::Settings& settings);

// What is to be done on the main thread before there are others, where clients may be made on any.
void prepare_hub_client();

// "https://host:443" of an address as libcurl reads it, in lower case; empty for what is no http or
// https address, has a user's name or a backslash in front of its path, and in a build without
// libcurl.
std::string origin_of(std::string_view url);

// The seconds that a Retry-After header asks for: a number, or a date to which `now` (seconds since
// 1970) is compared. Nothing for anything else.
std::optional<int64_t> retry_after_seconds(std::string_view value, int64_t now);

// "bytes 0-99/1234": the range and the whole size. Nothing for other forms, and for an unknown
// size.
struct ContentRange {
  FileRange range;
  int64_t size = 0;
};
std::optional<ContentRange> parse_content_range(std::string_view value);

// A path as part of an address: what is not a letter, a digit or one of "-._~/" as %XX; of a single
// segment, '/' too.
std::string url_encoded(std::string_view path, bool segment = false);

}  // namespace tq
