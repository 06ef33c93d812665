#include "embed/request.h"

#include <algorithm>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/nearest.h"
#include "server/embedded.h"
#include "session/option_reader.h"

namespace tq {
namespace {

constexpr int kUsualTokens = 512;  // of an answer to a prompt, as tq run has it

// The names of a schema's fields, those that it takes from others included.
void collect_fields(const Json& document, const Json& schema, std::vector<std::string>& names) {
  if (const auto other = schema.find("$ref"); other != schema.end()) {
    const std::string pointer = other->get<std::string>().substr(1);
    return collect_fields(document, document.at(Json::json_pointer(pointer)), names);
  }
  for (const Json& part : schema.value("allOf", Json::array())) {
    collect_fields(document, part, names);
  }
  const Json fields = schema.value("properties", Json::object());
  for (const auto& [name, field] : fields.items()) names.push_back(name);
}

// What a route takes, as openapi.json has it, which a test compares with the server's own tables.
std::vector<std::string> fields_of(const char* schema) {
  const std::string_view text = find_embedded_file("/openapi.json")->bytes;
  const Json document = parse_json(std::string(text), "openapi.json");
  std::vector<std::string> names;
  collect_fields(document, document.at("components").at("schemas").at(schema), names);
  return names;
}

// The visitor of visit_options() that gives options of the command line the server's names: where
// they differ, the server has the option's other one.
class Renamer {
 public:
  explicit Renamer(Json& body) : body_(body) {}

  template <typename T, typename Values>
  void operator()(const OptionText& text, T& /*variable*/, const Values& /*values*/) {
    if (text.also.size() > 1) rename(json_name(text.name), json_name(text.also));
  }
  void rename(const std::string& from, const std::string& to) {
    const auto field = body_.find(from);
    if (field == body_.end()) return;
    if (body_.contains(to)) {
      fail(ErrorCode::kInvalidArgument, "{} and {} are the same option: give one of them", from,
           to);
    }
    body_[to] = std::move(*field);
    body_.erase(from);
  }

 private:
  Json& body_;
};

void set_lengths(bool is_chat, Json& body) {
  constexpr int kAll = std::numeric_limits<int32_t>::max();
  for (const char* name : {"max_tokens", "max_completion_tokens"}) {
    if (const auto field = body.find(name); field != body.end() && *field == Json(-1)) {
      *field = kAll;
    }
  }
  if (!is_chat && !body.contains("max_tokens")) body["max_tokens"] = kUsualTokens;
  if (const auto seed = body.find("seed"); seed != body.end() && *seed == Json(-1)) {
    body.erase(seed);
  }
}

void set_logprobs(bool is_chat, Json& body) {
  const auto field = body.find("logprobs");
  if (!is_chat || field == body.end() || !field->is_number_integer()) return;
  body["top_logprobs"] = *field;
  body["logprobs"] = true;
}

void check_fields(bool is_chat, const Json& body) {
  static const std::vector<std::string> kChat = fields_of("ChatRequest");
  static const std::vector<std::string> kText = fields_of("CompletionRequest");
  const std::vector<std::string>& known = is_chat ? kChat : kText;
  for (const auto& [name, value] : body.items()) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    fail(ErrorCode::kInvalidArgument, "{}: a request with {} has no such field{}", name,
         is_chat ? "messages" : "a prompt", did_you_mean(name, known));
  }
}

}  // namespace

EmbeddedRequest read_request(const Json& request, bool stream) {
  if (!request.is_object()) {
    fail(ErrorCode::kInvalidArgument, "a request is a JSON object with a prompt or messages");
  }
  Json body = Json::object();
  for (const auto& [name, value] : request.items()) {
    if (!value.is_null()) body[name] = value;
  }
  const bool is_chat = body.contains("messages");
  if (is_chat == body.contains("prompt")) {
    fail(ErrorCode::kInvalidArgument, "a request has either a prompt or messages");
  }
  for (const char* name : {"stream", "stream_options"}) {
    if (!body.contains(name)) continue;
    fail(ErrorCode::kInvalidArgument, "{}: whether an answer comes in pieces is said by the call",
         name);
  }
  Renamer renamer(body);
  SamplingOptions sampling;
  visit_options(sampling, renamer);
  renamer.rename("regex", "guided_regex");
  set_lengths(is_chat, body);
  set_logprobs(is_chat, body);
  check_fields(is_chat, body);
  if (stream) {
    body["stream"] = true;
    body["stream_options"] = {{"include_usage", true}};
  }
  return {is_chat ? "/v1/chat/completions" : "/v1/completions", json_line(body)};
}

}  // namespace tq
