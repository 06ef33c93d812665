#include "cli/bench_output.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "base/human.h"
#include "cli/result.h"
#include "cli/table.h"

namespace tq {
namespace {

// Of weights read, if each step reads them once; 0 where prompts are computed.
double weight_bytes_per_second(const BenchReport& report, const BenchResult& result) {
  if (result.what.prefill > 0) return 0;
  return static_cast<double>(report.loaded.model->bytes_per_token()) * result.mean /
         result.what.sequences;
}

// "prefill 512, decode 128 at 4096, 8 sequences"
std::string test_text(const BenchCase& what) {
  std::vector<std::string> parts;
  if (what.prefill > 0) parts.push_back(fmt::format("prefill {}", what.prefill));
  if (what.decode > 0) parts.push_back(fmt::format("decode {}", what.decode));
  std::string text = fmt::format("{}", fmt::join(parts, ", "));
  if (what.depth > 0) text += fmt::format(" at {}", what.depth);
  if (what.sequences > 1) text += fmt::format(", {} sequences", what.sequences);
  return text;
}

std::string csv_field(const std::string& text) {
  if (text.find_first_of(",\"\r\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
  return quoted + "\"";
}

// Nested objects as "settings_ctx": values by column, in order.
void flatten(const std::string& name, const Json& json,
             std::vector<std::pair<std::string, std::string>>& columns) {
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) {
      flatten(name.empty() ? std::string(key) : name + "_" + std::string(key), value, columns);
    }
  } else if (!json.is_array()) {
    columns.emplace_back(name, json.is_string() ? json.get<std::string>() : json.dump());
  }
}

std::string markdown_row(const std::vector<std::string>& cells) {
  std::string text = "|";
  for (std::string cell : cells) {
    for (size_t at = 0; (at = cell.find('|', at)) != std::string::npos; at += 2) {
      cell.insert(at, "\\");
    }
    text += " " + cell + " |";
  }
  return text + "\n";
}

}  // namespace

Json bench_json(const BenchReport& report) {
  const Model& model = *report.loaded.model;
  Json json = result_json("bench", report.options, report.loaded);
  json["parameters"] = model.n_parameters();
  json["weight_bytes"] = model.weight_bytes();
  json["bytes_per_token"] = model.bytes_per_token();
  json["load_s"] = report.loaded.load_seconds;
  json["repetitions"] = report.repetitions;
  json["seed"] = BenchRunner::kSeed;
  json["results"] = Json::array();
  return json;
}

Json bench_result_json(const BenchReport& report, const BenchResult& result) {
  const BenchCase& what = result.what;
  return {{"test", what.name()},
          {"tokens", what.n_tokens()},
          {"prefill", what.prefill},
          {"decode", what.decode},
          {"depth", what.depth},
          {"sequences", what.sequences},
          {"tokens_per_s", result.mean},
          {"tokens_per_s_sd", result.deviation},
          {"samples", result.rates},
          {"weight_gb_per_s", weight_bytes_per_second(report, result) / 1e9}};
}

std::string bench_table(const BenchReport& report, std::span<const BenchResult> results) {
  const Model& model = *report.loaded.model;
  Table table({{"test", Table::Align::kLeft},
               {"tokens"},
               {"depth"},
               {"sequences"},
               {"tokens/s"},
               {"+-"},
               {"weights GB/s"}});
  for (const BenchResult& result : results) {
    const BenchCase& what = result.what;
    const double bandwidth = weight_bytes_per_second(report, result);
    const bool both = what.prefill > 0 && what.decode > 0;
    table.add_row(
        {what.name(),
         both ? fmt::format("{}+{}", what.prefill, what.decode) : std::to_string(what.n_tokens()),
         std::to_string(what.depth), std::to_string(what.sequences),
         fmt::format("{:.2f}", result.mean), fmt::format("{:.2f}", result.deviation),
         bandwidth > 0 ? fmt::format("{:.2f}", bandwidth / 1e9) : ""});
  }
  return fmt::format("{}: {}, {} parameters, {} weights, {} read a token\n{}\n\n{}",
                     report.options.path, model.spec().arch,
                     human_count(static_cast<double>(model.n_parameters())),
                     human_bytes(static_cast<double>(model.weight_bytes())),
                     human_bytes(static_cast<double>(model.bytes_per_token())),
                     report.loaded.backend->description(), table.text());
}

std::string bench_markdown(const BenchReport& report, std::span<const BenchResult> results) {
  const Model& model = *report.loaded.model;
  std::string text = markdown_row({"model", "size", "params", "device", "test", "tokens/s"}) +
                     "| --- | ---: | ---: | --- | --- | ---: |\n";
  for (const BenchResult& result : results) {
    text +=
        markdown_row({report.options.path, human_bytes(static_cast<double>(model.weight_bytes())),
                      human_count(static_cast<double>(model.n_parameters())),
                      report.loaded.backend->description(), test_text(result.what),
                      fmt::format("{:.2f} ± {:.2f}", result.mean, result.deviation)});
  }
  return text + fmt::format("\ntq {}\n", TQ_VERSION);
}

std::string bench_csv(const BenchReport& report, std::span<const BenchResult> results) {
  std::string text;
  for (const BenchResult& result : results) {
    std::vector<std::pair<std::string, std::string>> columns;
    flatten("", bench_json(report), columns);
    flatten("", bench_result_json(report, result), columns);
    std::string header;
    std::string line;
    for (const auto& [name, value] : columns) {
      header += (header.empty() ? "" : ",") + csv_field(name);
      line += (line.empty() ? "" : ",") + csv_field(value);
    }
    if (text.empty()) text = header + "\n";
    text += line + "\n";
  }
  return text;
}

}  // namespace tq
