// What an Api is, and its small routes; api_answers.cpp has those that ask the engine.
#include "server/api.h"

#include <fmt/format.h>

#include <algorithm>
#include <future>
#include <utility>

#include "base/error.h"
#include "base/log.h"
#include "server/anthropic.h"
#include "server/api_request.h"
#include "server/embedded.h"
#include "server/fields.h"
#include "server/json_text.h"

namespace tq {
namespace {

// Whether its template takes `enable_thinking`, for the chat page to offer it.
bool has_thinking_switch(const ServedModel& model) {
  return model.chat_template != nullptr &&
         model.chat_template->source().find("enable_thinking") != std::string::npos;
}

HttpResponse json_response(std::string body) { return {.status = 200, .body = std::move(body)}; }

}  // namespace

Api::Api(ApiOptions options, Post post)
    : options_(std::move(options)),
      guard_(options_.guard),
      post_(std::move(post)),
      created_(unix_seconds()) {}

void Api::open_model(const ServedModel& model) {
  model_ = model;
  has_model_ = true;
}

void Api::close_model() {
  draining_ = true;
  workers_.stop();
  std::promise<void> closed;
  post_([&] {
    has_model_ = false;
    closed.set_value();
  });
  closed.get_future().wait();
}

const std::vector<Api::Route>& Api::routes() {
  static const std::vector<Route> kRoutes = {
      {"GET", "/health", &Api::get_health},
      {"GET", "/ping", &Api::get_health},
      {"GET", "/load", &Api::get_load},
      {"GET", "/version", &Api::get_version},
      {"GET", "/v1/models", &Api::get_models},
      {"GET", "/metrics", &Api::get_metrics},
      {"GET", "/model_info", &Api::get_model_info},
      {"GET", "/get_model_info", &Api::get_model_info},
      {"GET", "/server_info", &Api::get_server_info},
      {"GET", "/get_server_info", &Api::get_server_info},
      {"POST", "/v1/completions", &Api::post_completions},
      {"POST", "/v1/chat/completions", &Api::post_chat},
      {"POST", "/v1/responses", &Api::post_responses},
      {"POST", "/v1/messages", &Api::post_messages},
      {"POST", "/v1/messages/count_tokens", &Api::post_count_tokens},
      {"POST", "/tokenize", &Api::post_tokenize},
      {"POST", "/detokenize", &Api::post_detokenize},
      {"POST", "/apply-template", &Api::post_apply_template},
  };
  return kRoutes;
}

const Api::Route* Api::find_route(const HttpHead& head, std::optional<ApiError>& error) const {
  const std::string method = head.method == "HEAD" ? "GET" : head.method;
  const bool is_file =
      find_embedded_file(head.path) != nullptr && (options_.guard.page || !is_page_path(head.path));
  static constexpr Route kFile = {"GET", "", &Api::get_file};
  if (is_file && method == kFile.method) return &kFile;
  bool known = is_file;
  for (const Route& route : routes()) {
    if (head.path != route.path) continue;
    known = true;
    if (method == route.method) return &route;
  }
  if (known) {
    error.emplace(405, head.path + " does not take this method", "", "method_not_allowed");
  } else {
    error.emplace(404, "there is no such path", "", "unknown_url");
  }
  return nullptr;
}

std::string Api::allowed_methods(const std::string& path) {
  std::string methods = "OPTIONS";
  if (find_embedded_file(path) != nullptr) methods += ", GET, HEAD";
  for (const Route& route : routes()) {
    if (path != route.path) continue;
    methods += route.method == std::string_view("GET") ? ", GET, HEAD" : ", POST";
  }
  return methods;
}

std::optional<HttpResponse> Api::check(const HttpHead& head) {
  std::optional<ApiError> error = guard_.check(head);
  if (!error && head.method != "OPTIONS") find_route(head, error);
  if (!error) error = Guard::check_body(head);
  if (!error) return std::nullopt;
  metrics_.answered(error->status);
  HttpResponse response = error_response(*error);
  if (is_messages_path(head.path)) response.body = messages_error_json(*error);
  if (error->status == 405) response.headers.emplace_back("Allow", allowed_methods(head.path));
  for (auto& header : guard_.cors_headers(head)) response.headers.push_back(std::move(header));
  return response;
}

void Api::handle(HttpRequest request, std::shared_ptr<Responder> responder) {
  HttpHeaders headers = guard_.cors_headers(request);
  const auto call = std::make_shared<Call>(std::move(request), std::move(responder),
                                           std::move(headers), metrics_);
  if (call->request.method == "OPTIONS") {
    return call->send({.status = 204, .content_type = "text/plain"});
  }
  std::optional<ApiError> error;
  const Route* route = find_route(call->request, error);
  if (route == nullptr) return call->send(*error);
  try {
    (this->*route->run)(call);
  } catch (const ApiError& refused) {
    call->send(refused);
  }
}

const ServedModel& Api::model() const {
  if (draining_) throw ApiError(503, "the server is going down", "", "draining");
  if (!has_model_) throw ApiError(503, "the model is being loaded", "", "loading");
  return *model_;
}

void Api::work(const CallPtr& call, Task task) {
  const Place place = take_places(1);
  workers_.add([call, place, model = &model(), task = std::move(task)] {
    try {
      task(*model, place);
    } catch (const ApiError& refused) {
      call->send(refused);
    } catch (const std::exception& failed) {
      warn("request {} failed: {}", call->id(), failed.what());
      call->send(ApiError(500, "the server failed at this request"));
    }
  });
}

void Api::check_model_name(const Json& body) const {
  const Json name = body.value("model", Json());
  if (name.is_null() || name == Json("")) return;  // there is only one
  check_field("model", FieldType::kString, 0, 4096, name);
  const auto& names = options_.model_names;
  if (name == Json(options_.root)) return;
  if (std::find(names.begin(), names.end(), name.get<std::string>()) != names.end()) return;
  throw ApiError(
      404,
      fmt::format("there is no model {}: this server has {}", json_for_message(name), names[0]),
      "model", "model_not_found");
}

void Api::get_file(const CallPtr& call) {
  call->send(file_response(*find_embedded_file(call->request.path), call->request));
}

void Api::get_health(const CallPtr& call) {
  const ServedModel& served = model();
  const ServiceStatus status = served.service->status();
  if (!status.fault.empty()) throw ApiError(503, "the engine failed", "", "engine_failed");
  if (status.step_seconds > options_.stall_seconds) {
    throw ApiError(503, fmt::format("a step of the engine takes {:.0f} s", status.step_seconds), "",
                   "engine_stalled");
  }
  call->send(json_response(R"({"status":"ok"})"));
}

void Api::get_load(const CallPtr& call) {
  call->send(json_response(fmt::format(R"({{"server_load":{}}})", n_open())));
}

void Api::get_version(const CallPtr& call) {
  call->send(json_response(fmt::format(R"({{"version":{}}})", json_string(options_.version))));
}

void Api::get_models(const CallPtr& call) {
  const ServedModel& served = model();
  std::string list;
  for (const std::string& name : options_.model_names) {
    list += fmt::format(
        R"({}{{"id":{},"object":"model","created":{},"owned_by":"turboquant.cpp","root":{},)"
        R"("parent":null,"max_model_len":{},"thinking_switch":{}}})",
        list.empty() ? "" : ",", json_string(name), created_, json_string(options_.root),
        served.context, has_thinking_switch(served));
  }
  call->send(json_response(fmt::format(R"({{"object":"list","data":[{}]}})", list)));
}

void Api::get_metrics(const CallPtr& call) {
  std::optional<ServiceStatus> status;
  if (has_model_) status = model_->service->status();
  call->send({.status = 200,
              .body = metrics_.text(options_.model_names[0], status ? &*status : nullptr),
              .content_type = "text/plain; version=0.0.4; charset=utf-8"});
}

void Api::get_model_info(const CallPtr& call) {
  model();
  const std::string root = json_string(options_.root);
  call->send(json_response(
      fmt::format(R"({{"model_path":{0},"tokenizer_path":{0},"is_generation":true}})", root)));
}

void Api::get_server_info(const CallPtr& call) {
  const ServedModel& served = model();
  call->send(json_response(
      fmt::format(R"({{"version":{},"model_path":{},"served_model_name":{},"max_model_len":{},)"
                  R"("max_running_requests":{},"max_queued_requests":{},"tp_size":1,"dp_size":1}})",
                  json_string(options_.version), json_string(options_.root),
                  json_string(options_.model_names[0]), served.context, served.n_sequences,
                  options_.max_queue)));
}

}  // namespace tq
