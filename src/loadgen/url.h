// The address of a server as people write it.
#pragma once

#include <string>

namespace tq {

struct ServerUrl {
  std::string host;  // a name or an address, without brackets
  std::string port = "80";
  bool tls = false;  // https
  std::string base;  // what stands before the routes: "" or "/proxy"; never ends with '/'

  // For a request's Host header: "localhost:8000", "[::1]:8000".
  std::string authority() const;
  std::string text() const { return (tls ? "https://" : "http://") + authority() + base; }
};

// "http://localhost:8000", "localhost:8000", "http://host/proxy/"; a "/v1" at the end, as in the
// base URL of OpenAI's clients, is left out, because routes begin with it. Throws kInvalidArgument
// for what is no such address.
ServerUrl parse_server_url(const std::string& text);

}  // namespace tq
