#include "loadgen/model_server.h"

#include "base/error.h"
#include "base/json.h"
#include "loadgen/completion.h"

namespace tq {
namespace {

// What the server answered with status 200 as JSON; null when it is anything else.
Json json_of(const Fetched& answer) {
  if (answer.end.fault != CallFault::kNone || answer.status != 200) return nullptr;
  try {
    return parse_json(answer.body, "an answer");
  } catch (const Error&) {
    return nullptr;
  }
}

}  // namespace

ModelServer::ModelServer(HttpClient& client, const std::string& api_key) : client_(client) {
  if (!api_key.empty()) headers_.emplace_back("Authorization", "Bearer " + api_key);
}

std::string ModelServer::first_model() {
  const std::string path = "/v1/models";
  const Fetched answer =
      fetch(client_, {.method = "GET", .path = path, .body = "", .headers = headers_});
  const std::string where = client_.url().text() + path;
  if (answer.end.fault != CallFault::kNone) {
    fail(ErrorCode::kIo, "{}: {}", where, answer.end.message);
  }
  if (answer.status != 200) {
    fail(ErrorCode::kIo, "{}: status {}: {}", where, answer.status, error_text(answer.body));
  }
  const Json json = json_of(answer);
  const Json list = json.is_object() ? json.value("data", Json()) : Json();
  if (list.is_array() && !list.empty() && list[0].is_object()) {
    const Json id = list[0].value("id", Json());
    if (id.is_string()) return id.get<std::string>();
  }
  fail(ErrorCode::kIo, "{}: there is no model in the answer; name one with --model", where);
}

std::optional<std::vector<int32_t>> ModelServer::tokenize(const std::string& model,
                                                          const std::string& text) {
  const Json body = {{"model", model},
                     {"prompt", text},
                     {"content", text},  // as llama.cpp calls it
                     {"add_special_tokens", false},
                     {"add_special", false}};
  const Json json = json_of(
      fetch(client_,
            {.method = "POST", .path = "/tokenize", .body = json_line(body), .headers = headers_}));
  const Json tokens = json.is_object() ? json.value("tokens", Json()) : Json();
  if (!tokens.is_array()) return std::nullopt;
  std::vector<int32_t> ids;
  for (const Json& token : tokens) {
    const auto id = json_integer(token, 0, INT32_MAX);
    if (!id) return std::nullopt;
    ids.push_back(static_cast<int32_t>(*id));
  }
  return ids;
}

std::optional<std::string> ModelServer::detokenize(const std::string& model,
                                                   const std::vector<int32_t>& ids) {
  const Json body = {{"model", model}, {"tokens", ids}};
  const Json json = json_of(fetch(
      client_,
      {.method = "POST", .path = "/detokenize", .body = json_line(body), .headers = headers_}));
  for (const char* name : {"prompt", "content"}) {
    const Json text = json.is_object() ? json.value(name, Json()) : Json();
    if (text.is_string()) return text.get<std::string>();
  }
  return std::nullopt;
}

}  // namespace tq
