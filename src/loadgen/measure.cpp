#include "loadgen/measure.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/error.h"

namespace tq {
namespace {

bool is_good(const RequestRecord& record, const Goodput& goodput) {
  const auto within = [](std::optional<double> value, std::optional<double> most) {
    return !value || !most || *value <= *most;
  };
  return within(record.ttft * 1e3, goodput.ttft) && within(tpot_ms(record), goodput.tpot) &&
         within(record.latency * 1e3, goodput.e2el);
}

// null where there was nothing to measure.
void add_summary(Json& json, const std::string& name, const std::vector<double>& values,
                 std::span<const double> percentiles) {
  const auto summary = summarize(values, percentiles);
  const auto set = [&](const std::string& key, double value) {
    json[key] = summary ? Json(value) : Json();
  };
  const Summary shown = summary.value_or(Summary{});
  set("mean_" + name, shown.mean);
  set("median_" + name, shown.median);
  set("std_" + name, shown.std);
  for (size_t i = 0; i < percentiles.size(); ++i) {
    set(percentile_name(percentiles[i]) + "_" + name, summary ? shown.percentiles[i].second : 0);
  }
}

}  // namespace

Goodput parse_goodput(const std::vector<std::string>& texts) {
  Goodput out;
  for (const std::string& text : texts) {
    const size_t colon = std::min(text.find(':'), text.size());
    const std::string name = text.substr(0, colon);
    double value = 0;
    const char* end = text.data() + text.size();
    const auto read = std::from_chars(text.data() + std::min(colon + 1, text.size()), end, value);
    std::optional<double>* place = name == "ttft"   ? &out.ttft
                                   : name == "tpot" ? &out.tpot
                                   : name == "e2el" ? &out.e2el
                                                    : nullptr;
    if (place == nullptr || read.ec != std::errc() || read.ptr != end || !(value > 0)) {
      fail(ErrorCode::kInvalidArgument,
           "--goodput {}: write NAME:MILLISECONDS with ttft, tpot or e2el, e.g. ttft:200", text);
    }
    *place = value;
  }
  return out;
}

std::optional<double> tpot_ms(const RequestRecord& record) {
  if (record.output_tokens < 2 || record.gaps.empty()) return std::nullopt;
  return (record.latency - record.ttft) * 1e3 / static_cast<double>(record.output_tokens - 1);
}

LoadMeasures measure(const LoadRecords& records, const Goodput& goodput) {
  LoadMeasures out;
  int64_t n_good = 0;
  for (const RequestRecord& record : records.requests) {
    if (!record.fault.empty()) {
      ++out.failed;
      continue;
    }
    ++out.completed;
    out.input_tokens += record.prompt_tokens;
    out.cached_tokens += record.cached_tokens;
    out.output_tokens += record.output_tokens;
    out.tokens_by = std::max(out.tokens_by, record.tokens_by);
    out.ttft.push_back(record.ttft * 1e3);
    out.e2el.push_back(record.latency * 1e3);
    if (const auto tpot = tpot_ms(record)) out.tpot.push_back(*tpot);
    for (const float gap : record.gaps) out.itl.push_back(static_cast<double>(gap) * 1e3);
    if (is_good(record, goodput)) ++n_good;
  }
  for (auto* values : {&out.ttft, &out.tpot, &out.itl, &out.e2el}) {
    std::sort(values->begin(), values->end());
  }
  const double seconds = std::max(records.seconds, 1e-9);
  out.request_throughput = static_cast<double>(out.completed) / seconds;
  out.output_throughput = static_cast<double>(out.output_tokens) / seconds;
  out.total_throughput = static_cast<double>(out.input_tokens + out.output_tokens) / seconds;
  if (goodput.any()) out.request_goodput = static_cast<double>(n_good) / seconds;
  const std::vector<double> by_second = tokens_over_time(records, 1);
  if (!by_second.empty()) {
    out.peak_output_throughput = *std::max_element(by_second.begin(), by_second.end());
  }
  return out;
}

std::vector<double> tokens_over_time(const LoadRecords& records, double seconds) {
  std::vector<double> out(static_cast<size_t>(records.seconds / seconds) + 1);
  for (const RequestRecord& record : records.requests) {
    if (!record.fault.empty()) continue;
    // A piece may hold several tokens, or a token less than one.
    const double share =
        static_cast<double>(record.output_tokens) / static_cast<double>(record.gaps.size() + 1);
    double at = record.sent + record.ttft;
    const auto add = [&] {
      out[std::min(static_cast<size_t>(at / seconds), out.size() - 1)] += share;
    };
    add();
    for (const float gap : record.gaps) {
      at += static_cast<double>(gap);
      add();
    }
  }
  return out;
}

std::string percentile_name(double p) { return fmt::format("p{}", p); }

Json level_json(const LoadLevel& level, const LoadMeasures& measures,
                std::span<const double> percentiles) {
  const LoadRecords& records = level.records;
  Json json = {
      {"request_rate", level.rate > 0 ? Json(level.rate) : Json("inf")},
      {"max_concurrency", level.concurrency > 0 ? Json(level.concurrency) : Json()},
      {"duration", records.seconds},
      {"completed", measures.completed},
      {"failed", measures.failed},
      {"total_input_tokens", measures.input_tokens},
      {"total_cached_tokens", measures.cached_tokens},
      {"total_output_tokens", measures.output_tokens},
      {"tokens_by", token_source_name(measures.tokens_by)},
      {"request_throughput", measures.request_throughput},
      {"request_goodput", measures.request_goodput ? Json(*measures.request_goodput) : Json()},
      {"output_throughput", measures.output_throughput},
      {"total_token_throughput", measures.total_throughput},
      {"max_output_tokens_per_s", measures.peak_output_throughput},
      {"max_concurrent_requests", records.peak_concurrency}};
  for (const TimeKind& kind : kTimeKinds) {
    add_summary(json, kind.key, measures.*kind.values, percentiles);
  }
  if (!records.health_ms.empty() || records.health_failed > 0) {
    add_summary(json, "health_ms", records.health_ms, percentiles);
    json["health_completed"] = records.health_ms.size();
    json["health_failed"] = records.health_failed;
  }
  Json& errors = json["errors"] = Json::object();
  for (const auto& [kind, n] : records.faults) errors[kind] = n;
  json["first_errors"] = records.first_faults;
  return json;
}

}  // namespace tq
