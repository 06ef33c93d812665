#include "server/guard.h"

#include <arpa/inet.h>
#include <fmt/format.h>

#include <algorithm>

#include "base/ascii.h"
#include "server/embedded.h"

namespace tq {
namespace {

// "example.org" of "Example.org:8000", "::1" of "[::1]:8000".
std::string host_name(std::string_view host) {
  if (host.starts_with('[')) return std::string(host.substr(1, host.find(']') - 1));
  return lower_case(host.substr(0, host.find(':')));
}

bool is_address(const std::string& host) {
  unsigned char bytes[sizeof(in6_addr)];
  return inet_pton(AF_INET, host.c_str(), bytes) == 1 ||
         inet_pton(AF_INET6, host.c_str(), bytes) == 1;
}

bool contains(const std::vector<std::string>& list, std::string_view text) {
  return std::any_of(list.begin(), list.end(),
                     [&](const std::string& item) { return item == "*" || item == text; });
}

bool is_json_type(const std::string& type) {
  std::string name = lower_case(type.substr(0, type.find(';')));
  name.erase(name.find_last_not_of(" \t") + 1);
  return name == "application/json";
}

}  // namespace

bool equal_in_constant_time(std::string_view given, std::string_view secret) {
  if (secret.empty()) return false;
  size_t difference = given.size() ^ secret.size();
  for (size_t i = 0; i < given.size(); ++i) {
    difference |= static_cast<unsigned char>(given[i]) ^
                  static_cast<unsigned char>(secret[i % secret.size()]);
  }
  return difference == 0;
}

bool Guard::is_known_host(std::string_view host) const {
  const std::string name = host_name(host);
  // Only a name can be pointed elsewhere, so an address is ours.
  return name == "localhost" || name.ends_with(".localhost") || is_address(name) ||
         contains(options_.allowed_hosts, name);
}

bool Guard::is_allowed_origin(const HttpHead& head, const std::string& origin) const {
  if (contains(options_.cors_origins, origin)) return true;
  const std::string* host = head.find("host");
  const size_t scheme = origin.find("://");
  return host != nullptr && scheme != std::string::npos &&
         (!options_.tls || lower_case(origin.substr(0, scheme)) == "https") &&
         lower_case(origin.substr(scheme + 3)) == lower_case(*host);
}

// A browser sends no key when it opens a page.
bool Guard::needs_key(const HttpHead& head) const {
  const bool reads = head.method == "GET" || head.method == "HEAD";
  const bool is_open =
      head.path == "/health" || (options_.page && reads && is_page_path(head.path));
  return !options_.api_keys.empty() && !is_open;
}

bool Guard::has_key(const HttpHead& head) const {
  std::vector<std::string_view> given;  // clients may send two, of which one is for others
  if (const std::string* key = head.find("x-api-key")) given.emplace_back(*key);
  constexpr std::string_view kBearer = "bearer ";
  const std::string* authorization = head.find("authorization");
  if (authorization != nullptr && lower_case(*authorization).starts_with(kBearer)) {
    given.push_back(std::string_view(*authorization).substr(kBearer.size()));
  }
  bool found = false;
  for (const std::string& key : options_.api_keys) {
    for (const std::string_view one : given) found = equal_in_constant_time(one, key) || found;
  }
  return found;
}

std::optional<ApiError> Guard::check(const HttpHead& head) const {
  const std::string* host = head.find("host");
  if (host != nullptr && !is_known_host(*host)) {
    return ApiError(
        403,
        "the Host header names a host that this server is not known by: --allowed-hosts "
        "adds it",
        "", "unknown_host");
  }
  if (const std::string* origin = head.find("origin")) {
    if (!is_allowed_origin(head, *origin)) {
      return ApiError(403, "pages of this origin may not use the server: --cors-origins adds it",
                      "", "foreign_origin");
    }
  }
  if (head.method == "OPTIONS") return std::nullopt;  // browsers ask before they send the key
  if (needs_key(head) && !has_key(head)) {
    return ApiError(401, "the request needs an API key: \"Authorization: Bearer KEY\"", "",
                    "invalid_api_key");
  }
  return std::nullopt;
}

std::optional<ApiError> Guard::check_body(const HttpHead& head) {
  if (head.method == "POST") {
    const std::string* type = head.find("content-type");
    if (type == nullptr || !is_json_type(*type)) {
      return ApiError(415, "the request needs \"Content-Type: application/json\"", "",
                      "unsupported_media_type");
    }
  }
  return std::nullopt;
}

HttpHeaders Guard::cors_headers(const HttpHead& head) const {
  const std::string* origin = head.find("origin");
  if (origin == nullptr || !is_allowed_origin(head, *origin)) return {};
  return {{"Access-Control-Allow-Origin", *origin},
          {"Vary", "Origin"},
          {"Access-Control-Allow-Methods", "GET, POST, OPTIONS"},
          {"Access-Control-Allow-Headers", "Authorization, Content-Type, X-Api-Key, X-Request-Id"},
          {"Access-Control-Expose-Headers", "X-Request-Id, Retry-After"},
          {"Access-Control-Max-Age", "600"}};
}

}  // namespace tq
