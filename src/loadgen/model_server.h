// The small routes of a server that a measurement needs besides answers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "loadgen/http_client.h"

namespace tq {

// Asks one thing after the other and waits for each. The client must not be running.
class ModelServer {
 public:
  // api_key: empty is none.
  ModelServer(HttpClient& client, const std::string& api_key);

  // Throws kIo when nobody answers or the server says no, with what it says.
  std::string first_model();  // data[0].id of /v1/models
  // Without special tokens; nothing when the server has no such route or refuses. vLLM's form and
  // llama.cpp's are understood.
  std::optional<std::vector<int32_t>> tokenize(const std::string& model, const std::string& text);
  std::optional<std::string> detokenize(const std::string& model, const std::vector<int32_t>& ids);

  // What requests carry: the key.
  const std::vector<std::pair<std::string, std::string>>& headers() const { return headers_; }

 private:
  HttpClient& client_;
  std::vector<std::pair<std::string, std::string>> headers_;
};

}  // namespace tq
