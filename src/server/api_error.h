// ApiError: what is wrong with a request, as clients are told.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include "server/http.h"

namespace tq {

class ApiError : public std::runtime_error {
 public:
  // param: the field that is at fault; code: a word for programs. Empty ones are null in the
  // answer.
  ApiError(int http_status, const std::string& message, std::string field = "",
           std::string word = "")
      : std::runtime_error(message),
        status(http_status),
        param(std::move(field)),
        code(std::move(word)) {}

  int status;
  std::string param;
  std::string code;
};

// {"error":{"message","type","param","code"}}: the type follows from the status.
std::string error_json(const ApiError& error);
// The same as an answer; 429 and 503 say when to try again.
HttpResponse error_response(const ApiError& error);

}  // namespace tq
