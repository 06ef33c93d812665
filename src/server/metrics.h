// Metrics: counts and times of requests, written as Prometheus reads them under the names that
// dashboards for vLLM know. Thread safe.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "engine/sequence.h"
#include "session/service.h"

namespace tq {

class Histogram {
 public:
  explicit Histogram(std::vector<double> bounds)
      : bounds_(std::move(bounds)), counts_(bounds_.size() + 1) {}
  void add(double value);
  // Lines of buckets, sum and count; labels: "model_name=\"m\"".
  void write(std::string_view name, std::string_view help, std::string_view labels,
             std::string& out) const;

 private:
  std::vector<double> bounds_;   // ascending
  std::vector<int64_t> counts_;  // of values up to each bound; the last: of larger ones
  double sum_ = 0;
  int64_t n_ = 0;
};

class Metrics {
 public:
  Metrics();

  // Seconds from a request's coming to its first token, and between two tokens of an answer.
  void first_token(double seconds);
  void next_token(double seconds);
  // An answer ended; seconds since its request came. finish: "stop", "length", "abort", "error".
  void finished(std::string_view finish, const RequestStats& stats, double seconds);
  void answered(int http_status);

  // null: no model yet.
  std::string text(const std::string& model_name, const ServiceStatus* status) const;

 private:
  mutable std::mutex mutex_;
  Histogram first_token_;
  Histogram next_token_;
  Histogram whole_;
  Histogram queue_;
  Histogram prefill_;
  Histogram decode_;
  Histogram inference_;
  Histogram prompt_tokens_;
  Histogram generated_tokens_;
  std::map<std::string, int64_t, std::less<>> finished_;
  std::map<int, int64_t> answered_;
};

}  // namespace tq
