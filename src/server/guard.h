// Guard: who may ask. Looks at a request's first lines only. Immutable and thread safe.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "server/api_error.h"
#include "server/http.h"

namespace tq {

struct GuardOptions {
  std::vector<std::string> api_keys;  // none: nobody needs one
  bool tls = false;                   // pages of the server's own origin have come by https
  bool page = true;  // the chat page is there: its files need no key, what it asks for does
  // Origins whose pages may use the server from a browser, "https://chat.example"; "*": all.
  std::vector<std::string> cors_origins;
  // Names, without port, under which the server may be asked besides localhost and addresses; "*":
  // all. A name that is not known may be one that a page has pointed at this machine.
  std::vector<std::string> allowed_hosts;
};

class Guard {
 public:
  explicit Guard(GuardOptions options) : options_(std::move(options)) {}

  // Why the request is refused: 401 or 403.
  std::optional<ApiError> check(const HttpHead& head) const;
  // Why its body is not read: 415 where it is not said to be JSON, which a page of another origin
  // cannot say unasked.
  static std::optional<ApiError> check_body(const HttpHead& head);
  // What a browser wants to see in an answer to a page of another origin.
  HttpHeaders cors_headers(const HttpHead& head) const;

 private:
  bool is_known_host(std::string_view host) const;
  bool is_allowed_origin(const HttpHead& head, const std::string& origin) const;
  bool needs_key(const HttpHead& head) const;
  bool has_key(const HttpHead& head) const;

  GuardOptions options_;
};

// Whether the texts are equal, in a time that depends on the length of `given` only.
bool equal_in_constant_time(std::string_view given, std::string_view secret);

}  // namespace tq
