#include "cli/bench_serve_output.h"

#include <fmt/format.h>

#include <algorithm>
#include <ctime>

#include "cli/result.h"
#include "cli/table.h"

namespace tq {
namespace {

std::string date_text(const char* format) {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  localtime_r(&now, &parts);
  char text[32];
  return {text, std::strftime(text, sizeof text, format, &parts)};
}

std::string dataset_text(const BenchServeOptions& options) {
  const PromptOptions& prompts = options.prompts;
  std::string text = prompts.dataset == "random"
                         ? fmt::format("random prompts of {} tokens", prompts.input_tokens)
                         : prompts.dataset;
  if (prompts.turns != 1) text += fmt::format(", {} turns", prompts.turns);
  if (prompts.prefix_tokens > 0) {
    text += fmt::format(", after {} common prefixes of {} tokens", prompts.n_prefixes,
                        prompts.prefix_tokens);
  }
  return text + fmt::format(", answers of {} tokens at most", prompts.output_tokens);
}

std::string head_text(const BenchServeOptions& options, const ServerBench& bench) {
  return fmt::format("{}: {}\n{} requests a level on {}: {}\n", bench.url, bench.model,
                     options.n_requests, options.endpoint, dataset_text(options));
}

// What stands below a table: failures, and how tokens were counted.
std::string foot_text(const ServerBench& bench) {
  std::string text;
  TokenSource tokens_by = TokenSource::kUsage;
  for (const MeasuredLevel& measured : bench.levels) {
    tokens_by = std::max(tokens_by, measured.measures.tokens_by);
    for (const std::string& fault : measured.level.records.first_faults) {
      text += fmt::format("failed: {}\n", fault);
    }
  }
  if (tokens_by == TokenSource::kTokenize) {
    text += "the server counts no tokens: answers were sent to its /tokenize\n";
  } else if (tokens_by == TokenSource::kChunks) {
    text += "the server counts no tokens: pieces of streams are counted as tokens\n";
  }
  if (!bench.note.empty()) text += bench.note + "\n";
  return text;
}

std::string ms(double value) { return fmt::format("{:.1f}", value); }

// One level in full: a row for each kind of time.
std::string level_table(const BenchServeOptions& options, const MeasuredLevel& measured) {
  const LoadMeasures& m = measured.measures;
  std::string text = fmt::format(
      "completed {}, failed {}, in {:.2f} s; {} requests at a time at most\n"
      "{:.2f} requests/s, {:.1f} output tokens/s, {:.1f} tokens/s with prompts\n",
      m.completed, m.failed, measured.level.records.seconds,
      measured.level.records.peak_concurrency, m.request_throughput, m.output_throughput,
      m.total_throughput);
  if (m.request_goodput) text += fmt::format("{:.2f} good requests/s\n", *m.request_goodput);
  std::vector<Table::Column> columns{{"ms", Table::Align::kLeft}, {"mean"}, {"median"}, {"std"}};
  for (const double p : options.percentiles) columns.push_back({percentile_name(p)});
  const size_t n_columns = columns.size();
  Table table(std::move(columns));
  const auto add = [&](const char* name, const std::vector<double>& values) {
    const auto summary = summarize(values, options.percentiles);
    std::vector<std::string> row{name};
    if (summary) {
      row.insert(row.end(), {ms(summary->mean), ms(summary->median), ms(summary->std)});
      for (const auto& [p, value] : summary->percentiles) row.push_back(ms(value));
    }
    row.resize(n_columns);
    table.add_row(std::move(row));
  };
  for (const TimeKind& kind : kTimeKinds) add(kind.short_name, m.*kind.values);
  if (!measured.level.records.health_ms.empty()) {
    add("/health", measured.level.records.health_ms);
  }
  return text + "\n" + table.text();
}

// A row for each level, with the median and the highest percentile of each kind of time.
std::string levels_table(const BenchServeOptions& options, const ServerBench& bench) {
  const double high = options.percentiles.empty() ? 99 : options.percentiles.back();
  const bool by_rate = bench.levels.front().level.rate > 0;
  const bool goodput = bench.levels.front().measures.request_goodput.has_value();
  std::vector<Table::Column> columns{
      {by_rate ? "sent/s" : "concurrency"}, {"ok"}, {"failed"}, {"req/s"}};
  if (goodput) columns.push_back({"good/s"});
  columns.push_back({"tokens/s"});
  for (const TimeKind& kind : kTimeKinds) {
    columns.push_back({fmt::format("{} ms", kind.short_name)});
    columns.push_back({percentile_name(high)});
  }
  if (options.health) columns.push_back({fmt::format("/health {}", percentile_name(high))});
  Table table(std::move(columns));
  for (const MeasuredLevel& measured : bench.levels) {
    const LoadMeasures& m = measured.measures;
    std::vector<std::string> row{by_rate ? fmt::format("{:g}", measured.level.rate)
                                         : std::to_string(measured.level.concurrency),
                                 std::to_string(m.completed), std::to_string(m.failed),
                                 fmt::format("{:.2f}", m.request_throughput)};
    if (goodput) row.push_back(fmt::format("{:.2f}", m.request_goodput.value_or(0)));
    row.push_back(fmt::format("{:.1f}", m.output_throughput));
    for (const TimeKind& kind : kTimeKinds) {
      const std::vector<double>& values = m.*kind.values;
      row.push_back(values.empty() ? "" : ms(percentile(values, 50)));
      row.push_back(values.empty() ? "" : ms(percentile(values, high)));
    }
    if (options.health) {
      const auto health = summarize(measured.level.records.health_ms, {{high}});
      row.push_back(health ? ms(health->percentiles[0].second) : "");
    }
    table.add_row(std::move(row));
  }
  return table.text();
}

}  // namespace

Json bench_serve_json(const BenchServeOptions& options, const ServerBench& bench) {
  Json json = result_json("bench serve");
  const PromptOptions& prompts = options.prompts;
  json.update({{"date", date_text("%Y%m%d-%H%M%S")},
               {"url", bench.url},
               {"model_id", bench.model},
               {"endpoint", options.endpoint},
               {"dataset", prompts.dataset},
               {"num_prompts", options.n_requests},
               {"warmup", options.n_warmup},
               {"input_len", prompts.input_tokens},
               {"output_len", prompts.output_tokens},
               {"range_ratio", prompts.range_ratio},
               {"turns", prompts.turns},
               {"prefix_len", prompts.prefix_tokens},
               {"num_prefixes", prompts.n_prefixes},
               {"burstiness", options.burstiness},
               {"ignore_eos", options.ignore_eos},
               {"extra_body", options.extra_body},
               {"seed", prompts.seed},
               {"note", bench.note},
               {"results", Json::array()}});
  return json;
}

Json bench_serve_level_json(const BenchServeOptions& options, const MeasuredLevel& measured) {
  return level_json(measured.level, measured.measures, options.percentiles);
}

Json bench_serve_result(const BenchServeOptions& options, const ServerBench& bench) {
  Json json = bench_serve_json(options, bench);
  for (const MeasuredLevel& measured : bench.levels) {
    json["results"].push_back(bench_serve_level_json(options, measured));
  }
  return json;
}

std::string bench_serve_file_text(const Json& json) {
  return json.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string bench_serve_table(const BenchServeOptions& options, const ServerBench& bench) {
  return head_text(options, bench) + "\n" +
         (bench.levels.size() == 1 ? level_table(options, bench.levels.front())
                                   : levels_table(options, bench)) +
         foot_text(bench);
}

std::string bench_serve_html(const BenchServeOptions& options, const ServerBench& bench) {
  LoadReport report{.title = fmt::format("{} at {}", bench.model, bench.url),
                    .facts = {{"Measured", date_text("%Y-%m-%d %H:%M")},
                              {"By", "tq bench serve " TQ_VERSION},
                              {"Endpoint", options.endpoint},
                              {"Load", fmt::format("{} requests a level: {}", options.n_requests,
                                                   dataset_text(options))}},
                    .levels = bench.levels,
                    .percentiles = options.percentiles};
  if (!bench.note.empty()) report.facts.emplace_back("Note", bench.note);
  return report_html(report);
}

}  // namespace tq
