// Call: one request of a client on its way. What is answered goes through it, so that it gets the
// headers that all answers have, and is counted and logged. Thread safe as its responder is.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "base/json.h"
#include "server/api_error.h"
#include "server/http.h"
#include "server/metrics.h"

namespace tq {

// What ends a line of the log: for people, and the same as fields.
struct CallNote {
  std::string text = {};
  Json fields = Json::object();
};

class Call {
 public:
  // headers: of every answer; metrics must outlive this.
  Call(HttpRequest what, std::shared_ptr<Responder> responder, HttpHeaders headers,
       Metrics& metrics);

  // Of X-Request-Id if the client sent a good one, else made up.
  const std::string& id() const { return id_; }
  double seconds() const;  // since it came

  void send(HttpResponse response, const CallNote& note = {});
  void send(const ApiError& error);
  void start();
  void write(std::string events) { responder_->write(std::move(events)); }
  void end(const CallNote& note);
  void on_disconnect(std::function<void()> told) { responder_->on_disconnect(std::move(told)); }
  // The client has gone.
  void gone(const CallNote& note) { log("gone", note); }

  HttpRequest request;

 private:
  void log(const std::string& status, const CallNote& note) const;

  std::shared_ptr<Responder> responder_;
  HttpHeaders headers_;
  Metrics& metrics_;
  std::string id_;
  std::chrono::steady_clock::time_point came_ = std::chrono::steady_clock::now();
};

// 24 letters and digits that nobody guesses.
std::string random_name();
// Since 1970.
int64_t unix_seconds();

}  // namespace tq
