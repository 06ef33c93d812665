#include "server/api_error.h"

#include "server/json_text.h"

namespace tq {
namespace {

const char* error_type(int status) {
  switch (status) {
    case 401:
      return "authentication_error";
    case 403:
      return "permission_error";
    case 404:
      return "not_found_error";
    case 429:
      return "rate_limit_error";
    case 503:
      return "service_unavailable_error";
    default:
      return status < 500 ? "invalid_request_error" : "server_error";
  }
}

void append_or_null(const std::string& text, std::string& out) {
  if (text.empty()) {
    out += "null";
  } else {
    append_json_string(text, out);
  }
}

}  // namespace

std::string error_json(const ApiError& error) {
  std::string out = R"({"error":{"message":)";
  append_json_string(error.what(), out);
  out += R"(,"type":")";
  out += error_type(error.status);
  out += R"(","param":)";
  append_or_null(error.param, out);
  out += R"(,"code":)";
  append_or_null(error.code, out);
  out += "}}";
  return out;
}

HttpResponse error_response(const ApiError& error) {
  HttpResponse response{.status = error.status, .body = error_json(error)};
  if (error.status == 429 || error.status == 503) response.headers = {{"Retry-After", "1"}};
  if (error.status == 401) response.headers = {{"WWW-Authenticate", "Bearer"}};
  return response;
}

}  // namespace tq
