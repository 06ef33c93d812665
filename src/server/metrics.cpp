#include "server/metrics.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "server/json_text.h"

namespace tq {
namespace {

// The bounds that vLLM has.
const std::vector<double> kFirstTokenBounds = {.001, .005, .01, .02, .04, .06, .08, .1,
                                               .25,  .5,   .75, 1,   2.5, 5,   7.5, 10,
                                               20,   40,   80,  160, 640, 2560};
const std::vector<double> kNextTokenBounds = {.01, .025, .05, .075, .1,  .15, .2, .3, .4, .5,
                                              .75, 1,    2.5, 5,    7.5, 10,  20, 40, 80};
const std::vector<double> kSecondsBounds = {.3, .5, .8, 1,  1.5, 2,   2.5, 5,   10,   15,  20,
                                            30, 40, 50, 60, 120, 240, 480, 960, 1920, 7680};
const std::vector<double> kTokenBounds = {1,    2,    5,    10,    20,    50,    100,    200,   500,
                                          1000, 2000, 5000, 10000, 20000, 50000, 100000, 200000};

void append_value(std::string_view type, std::string_view name, std::string_view help,
                  std::string_view labels, double value, std::string& out) {
  fmt::format_to(std::back_inserter(out), "# HELP {0} {1}\n# TYPE {0} {2}\n{0}{{{3}}} {4}\n", name,
                 help, type, labels, value);
}

void append_engine(const ServiceStatus& status, std::string_view labels, std::string& out) {
  const EngineStatus& engine = status.engine;
  const auto gauge = [&](std::string_view name, std::string_view help, double value) {
    append_value("gauge", name, help, labels, value, out);
  };
  const auto counter = [&](std::string_view name, std::string_view help, int64_t value) {
    append_value("counter", name, help, labels, static_cast<double>(value), out);
  };
  const auto n_open = static_cast<int64_t>(status.n_requests);
  gauge("vllm:num_requests_running", "Requests that are computed.",
        static_cast<double>(std::min(n_open, engine.n_running)));
  gauge("vllm:num_requests_waiting", "Requests that wait for a place or for pages.",
        static_cast<double>(std::max<int64_t>(n_open - engine.n_running, 0)));
  gauge("vllm:kv_cache_usage_perc", "Share of the KV pages that requests use, from 0 to 1.",
        engine.n_pages == 0
            ? 0
            : static_cast<double>(engine.n_used_pages) / static_cast<double>(engine.n_pages));
  counter("vllm:prefix_cache_queries_total", "Tokens of prompts.", engine.prompt_tokens);
  counter("vllm:prefix_cache_hits_total", "Of these, tokens that were cached.",
          engine.reused_tokens);
  counter("vllm:num_preemptions_total", "Requests that had to begin anew for want of pages.",
          engine.preemptions);
  counter("vllm:prompt_tokens_total", "Tokens of prompts.", engine.prompt_tokens);
  counter("vllm:generation_tokens_total", "Tokens that were generated.", engine.generated_tokens);
  gauge("tq:host_cache_bytes", "Host memory that holds KV pages of --host-cache.",
        static_cast<double>(engine.host_cache_bytes));
  append_value("gauge", "vllm:cache_config_info", "How the KV cache is cut.",
               fmt::format("{},block_size=\"{}\",num_gpu_blocks=\"{}\"", labels, kKvBlockTokens,
                           engine.n_pages),
               1, out);
}

}  // namespace

void Histogram::add(double value) {
  const auto at = std::lower_bound(bounds_.begin(), bounds_.end(), value) - bounds_.begin();
  ++counts_[static_cast<size_t>(at)];
  sum_ += value;
  ++n_;
}

void Histogram::write(std::string_view name, std::string_view help, std::string_view labels,
                      std::string& out) const {
  const auto to = std::back_inserter(out);
  fmt::format_to(to, "# HELP {0} {1}\n# TYPE {0} histogram\n", name, help);
  int64_t n_up_to = 0;
  for (size_t i = 0; i < bounds_.size(); ++i) {
    n_up_to += counts_[i];
    fmt::format_to(to, "{}_bucket{{{},le=\"{}\"}} {}\n", name, labels, bounds_[i], n_up_to);
  }
  fmt::format_to(to,
                 "{0}_bucket{{{1},le=\"+Inf\"}} {2}\n{0}_sum{{{1}}} {3}\n{0}_count{{{1}}} {2}\n",
                 name, labels, n_, sum_);
}

Metrics::Metrics()
    : first_token_(kFirstTokenBounds),
      next_token_(kNextTokenBounds),
      whole_(kSecondsBounds),
      queue_(kSecondsBounds),
      prefill_(kSecondsBounds),
      decode_(kSecondsBounds),
      inference_(kSecondsBounds),
      prompt_tokens_(kTokenBounds),
      generated_tokens_(kTokenBounds) {
  for (const char* finish : {"stop", "length", "abort", "error"}) finished_[finish] = 0;
}

void Metrics::first_token(double seconds) {
  const std::lock_guard lock(mutex_);
  first_token_.add(seconds);
}

void Metrics::next_token(double seconds) {
  const std::lock_guard lock(mutex_);
  next_token_.add(seconds);
}

void Metrics::finished(std::string_view finish, const RequestStats& stats, double seconds) {
  const std::lock_guard lock(mutex_);
  ++finished_[std::string(finish)];
  if (finish != "stop" && finish != "length") return;
  whole_.add(seconds);
  queue_.add(stats.queue_seconds);
  prefill_.add(stats.prefill_seconds);
  decode_.add(stats.decode_seconds);
  inference_.add(stats.prefill_seconds + stats.decode_seconds);
  prompt_tokens_.add(static_cast<double>(stats.prompt_tokens));
  generated_tokens_.add(static_cast<double>(stats.generated_tokens));
}

void Metrics::answered(int http_status) {
  const std::lock_guard lock(mutex_);
  ++answered_[http_status];
}

std::string Metrics::text(const std::string& model_name, const ServiceStatus* status) const {
  // A label's value is escaped as a JSON string is.
  const std::string labels = fmt::format("model_name={},engine=\"0\"", json_string(model_name));
  std::string out;
  if (status != nullptr) append_engine(*status, labels, out);
  const std::lock_guard lock(mutex_);
  first_token_.write("vllm:time_to_first_token_seconds", "From a request to its first token.",
                     labels, out);
  next_token_.write("vllm:inter_token_latency_seconds", "Between two tokens of an answer.", labels,
                    out);
  whole_.write("vllm:e2e_request_latency_seconds", "From a request to the end of its answer.",
               labels, out);
  queue_.write("vllm:request_queue_time_seconds", "Waited for a place.", labels, out);
  prefill_.write("vllm:request_prefill_time_seconds", "Computed the prompt.", labels, out);
  decode_.write("vllm:request_decode_time_seconds", "From the first token to the last.", labels,
                out);
  inference_.write("vllm:request_inference_time_seconds", "Computed prompt and answer.", labels,
                   out);
  prompt_tokens_.write("vllm:request_prompt_tokens", "Tokens of prompts.", labels, out);
  generated_tokens_.write("vllm:request_generation_tokens", "Tokens of answers.", labels, out);
  const auto to = std::back_inserter(out);
  out +=
      "# HELP vllm:request_success_total Answers that ended, by how.\n"
      "# TYPE vllm:request_success_total counter\n";
  for (const auto& [finish, n] : finished_) {
    fmt::format_to(to, "vllm:request_success_total{{{},finished_reason=\"{}\"}} {}\n", labels,
                   finish, n);
  }
  out +=
      "# HELP tq:http_responses_total Answers of the API by their HTTP status.\n"
      "# TYPE tq:http_responses_total counter\n";
  for (const auto& [code, n] : answered_) {
    fmt::format_to(to, "tq:http_responses_total{{code=\"{}\"}} {}\n", code, n);
  }
  return out;
}

}  // namespace tq
