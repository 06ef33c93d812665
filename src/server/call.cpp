#include "server/call.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <utility>

#include "base/log_format.h"
#include "server/anthropic.h"

namespace tq {
namespace {

constexpr size_t kMostIdBytes = 64;

bool is_good_id(const std::string& id) {
  return !id.empty() && id.size() <= kMostIdBytes && std::all_of(id.begin(), id.end(), [](char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' ||
           c == '_' || c == '.';
  });
}

// What is asked for all the time, and tells nothing.
bool is_probe(const HttpHead& head) {
  return head.path == "/health" || head.path == "/ping" || head.path == "/metrics" ||
         head.path == "/load";
}

}  // namespace

std::string random_name() {
  constexpr char kLetters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
  thread_local std::random_device device;
  std::uniform_int_distribution<size_t> pick(0, sizeof kLetters - 2);
  std::string name(24, ' ');
  for (char& c : name) c = kLetters[pick(device)];
  return name;
}

int64_t unix_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

Call::Call(HttpRequest what, std::shared_ptr<Responder> responder, HttpHeaders headers,
           Metrics& metrics)
    : request(std::move(what)),
      responder_(std::move(responder)),
      headers_(std::move(headers)),
      metrics_(metrics) {
  const std::string* given = request.find("x-request-id");
  id_ = given != nullptr && is_good_id(*given) ? *given : random_name();
  headers_.emplace_back("X-Request-Id", id_);
}

double Call::seconds() const {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - came_).count();
}

void Call::send(HttpResponse response, const CallNote& note) {
  metrics_.answered(response.status);
  log(std::to_string(response.status), note);
  response.headers.insert(response.headers.end(), headers_.begin(), headers_.end());
  responder_->send(std::move(response));
}

void Call::send(const ApiError& error) {
  HttpResponse response = error_response(error);
  if (is_messages_path(request.path)) response.body = messages_error_json(error);
  send(std::move(response));
}

void Call::start() {
  metrics_.answered(200);
  responder_->start({.headers = headers_});
}

void Call::end(const CallNote& note) {
  log("200", note);
  responder_->end();
}

void Call::log(const std::string& status, const CallNote& note) const {
  if (is_probe(request)) return;
  const double time = seconds();
  Json fields = {{"event", "request"},   {"id", id_},        {"method", request.method},
                 {"path", request.path}, {"status", status}, {"seconds", time}};
  fields.update(note.fields);
  if (note.fields.empty() && !note.text.empty()) fields["note"] = note.text;
  log_event(fmt::format("{} {} {} {}, {:.3f} s{}{}", id_, request.method, request.path, status,
                        time, note.text.empty() ? "" : "; ", note.text),
            fields);
}

}  // namespace tq
