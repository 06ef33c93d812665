#include "loadgen/url.h"

#include <algorithm>

#include "base/ascii.h"
#include "base/error.h"

namespace tq {
namespace {

[[noreturn]] void refuse(const std::string& text) {
  fail(ErrorCode::kInvalidArgument, "{} is no server's address: write http://HOST:PORT or https://",
       text);
}

bool is_printable(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > ' ' && c < 127; });
}

// Splits "host:port", "[::1]:port", "host".
void read_authority(const std::string& authority, const std::string& text, ServerUrl& url) {
  std::string rest;
  if (authority.starts_with('[')) {
    const size_t end = authority.find(']');
    if (end == std::string::npos) refuse(text);
    url.host = authority.substr(1, end - 1);
    rest = authority.substr(end + 1);
  } else {
    const size_t colon = std::min(authority.find(':'), authority.size());
    url.host = authority.substr(0, colon);
    rest = authority.substr(colon);
  }
  if (url.host.empty() || url.host.find('@') != std::string::npos) refuse(text);
  if (rest.empty()) return;
  if (rest[0] != ':' || rest.size() < 2 || rest.size() > 6) refuse(text);
  url.port = rest.substr(1);
  for (const char c : url.port) {
    if (c < '0' || c > '9') refuse(text);
  }
  const int port = std::stoi(url.port);
  if (port < 1 || port > 65535) refuse(text);
}

}  // namespace

std::string ServerUrl::authority() const {
  const std::string name = host.find(':') == std::string::npos ? host : "[" + host + "]";
  return name + ":" + port;
}

ServerUrl parse_server_url(const std::string& text) {
  std::string rest = text;
  bool tls = false;
  const size_t scheme = text.find("://");
  if (scheme != std::string::npos) {
    const std::string name = lower_case(text.substr(0, scheme));
    tls = name == "https";
    if (!tls && name != "http") refuse(text);
    rest = text.substr(scheme + 3);
  }
  if (!is_printable(rest) || rest.find_first_of("?#") != std::string::npos) refuse(text);
  const size_t slash = std::min(rest.find('/'), rest.size());
  ServerUrl url;
  url.tls = tls;
  if (tls) url.port = "443";
  read_authority(rest.substr(0, slash), text, url);
  url.base = rest.substr(slash);
  const auto trim = [&url] {
    while (url.base.ends_with('/')) url.base.pop_back();
  };
  trim();
  if (url.base.ends_with("/v1")) url.base.resize(url.base.size() - 3);
  trim();
  return url;
}

}  // namespace tq
