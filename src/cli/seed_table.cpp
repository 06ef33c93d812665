#include "cli/seed_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>

#include "base/check.h"
#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "cli/bench_serve_output.h"
#include "cli/result.h"
#include "cli/serve_child.h"
#include "cli/table.h"
#include "format/kv_traits.h"

namespace tq {
namespace {

constexpr std::array<int64_t, 5> kKnownConcurrency = {1, 2, 4, 8, 16};
constexpr int64_t kHeadDim = 128;  // for which the sizes of KV formats are compared

// A column of the known table: tokens/s at each concurrency.
struct KnownColumn {
  const char* key;
  const char* name;
  std::array<double, kKnownConcurrency.size()> tokens_per_s;
};
constexpr KnownColumn kKnown[] = {
    {"bf16", "bf16", {27.4, 52.1, 103.3, 183.5, 274.5}},
    {"weights", "weights", {28.3, 54.2, 103.4, 190.4, 357.2}},
    {"weights_kv", "weights and KV", {28.2, 53.9, 102.9, 185.5, 364.2}}};

constexpr const char* kWhatIsKnown =
    "known: tokens/s that the Python plugin of this method reached on one H100 (weights tq3; its "
    "KV "
    "has 4-bit keys and 3-bit values). They are quoted, not measured here, and another machine or "
    "model gives other numbers.";

// Bits a number, keys and values together.
double kv_bits(const KvFormatTraits& format) {
  return static_cast<double>(format.keys.bytes(kHeadDim) + format.values.bytes(kHeadDim)) * 4 /
         kHeadDim;
}

// The compressed KV format that is nearest in size to the plugin's (keys 4 bits, values 3, one f16
// gain for 128).
const KvFormatTraits& compressed_kv() {
  constexpr double kPluginBits = 3.5 + 16.0 / 128;
  const KvFormatTraits* best = nullptr;
  for (const KvFormatTraits& format : all_kv_formats()) {
    if (kv_bits(format) > 12) continue;  // plain numbers
    if (best == nullptr ||
        std::abs(kv_bits(format) - kPluginBits) < std::abs(kv_bits(*best) - kPluginBits)) {
      best = &format;
    }
  }
  TQ_CHECK(best != nullptr, "no KV format is compressed");
  return *best;
}

struct Column {
  const KnownColumn* known = nullptr;
  std::vector<std::string> arguments;  // of tq serve
  ServerBench bench;
};

std::vector<std::string> words_of(const std::string& text) {
  std::vector<std::string> words;
  for (const std::string& word : CLI::detail::split(text, ' ')) {
    if (!word.empty()) words.push_back(word);
  }
  return words;
}

std::vector<Column> columns_of(const BenchServeOptions& options) {
  const int64_t most = *std::max_element(options.concurrency.begin(), options.concurrency.end());
  const PromptOptions& prompts = options.prompts;
  const auto length = static_cast<double>(prompts.input_tokens + prompts.output_tokens) *
                          (1 + prompts.range_ratio) +
                      static_cast<double>(prompts.prefix_tokens);
  std::vector<std::string> common = {"--max-num-seqs", std::to_string(most), "--ctx",
                                     std::to_string(std::llround(length) + 64)};
  for (std::string& word : words_of(options.serve_options)) common.push_back(std::move(word));
  const std::string& source = options.targets[0];
  std::vector<std::string> compressed = common;
  if (options.targets.size() == 1) {  // compressed at load
    compressed.insert(compressed.end(), {"--format", "tq3"});
  }
  compressed.push_back(options.targets.back());
  std::vector<Column> columns(3);
  for (size_t i = 0; i < columns.size(); ++i) columns[i].known = &kKnown[i];
  columns[0].arguments = common;
  columns[0].arguments.push_back(source);
  columns[1].arguments = compressed;
  columns[2].arguments = {"--kv-format", std::string(compressed_kv().name)};
  columns[2].arguments.insert(columns[2].arguments.end(), compressed.begin(), compressed.end());
  return columns;
}

std::optional<double> known_at(const KnownColumn& known, int64_t concurrency) {
  for (size_t i = 0; i < kKnownConcurrency.size(); ++i) {
    if (kKnownConcurrency[i] == concurrency) return known.tokens_per_s[i];
  }
  return std::nullopt;
}

Json seed_table_json(const BenchServeOptions& options, const std::vector<Column>& columns) {
  Json json = bench_serve_json(options, {});
  for (const char* name : {"url", "model_id", "note"}) json.erase(name);
  json["preset"] = options.preset;
  json["known"] = kWhatIsKnown;
  for (const Column& column : columns) {
    Json entry = {{"column", column.known->key},
                  {"available", true},
                  {"serve", column.arguments},
                  {"known_output_throughput", Json::object()},
                  {"results", Json::array()}};
    for (size_t i = 0; i < kKnownConcurrency.size(); ++i) {
      entry["known_output_throughput"][std::to_string(kKnownConcurrency[i])] =
          column.known->tokens_per_s[i];
    }
    for (const MeasuredLevel& measured : column.bench.levels) {
      entry["results"].push_back(bench_serve_level_json(options, measured));
    }
    json["results"].push_back(entry);
  }
  return json;
}

std::string seed_table_text(const BenchServeOptions& options, const std::vector<Column>& columns) {
  std::vector<Table::Column> heads{{"concurrency"}};
  for (const Column& column : columns) {
    heads.push_back({column.known->name});
    heads.push_back({"known"});
  }
  Table table(std::move(heads));
  for (size_t i = 0; i < options.concurrency.size(); ++i) {
    std::vector<std::string> row{std::to_string(options.concurrency[i])};
    for (const Column& column : columns) {
      row.push_back(i < column.bench.levels.size()
                        ? fmt::format("{:.1f}", column.bench.levels[i].measures.output_throughput)
                        : "not available yet");
      const auto known = known_at(*column.known, options.concurrency[i]);
      row.push_back(known ? fmt::format("{:.1f}", *known) : "");
    }
    table.add_row(std::move(row));
  }
  std::string text = fmt::format(
      "Output tokens/s: {} requests a level, prompts of {} random tokens, answers of {}\n\n{}\n",
      options.n_requests, options.prompts.input_tokens, options.prompts.output_tokens,
      table.text());
  for (const Column& column : columns) {
    text += fmt::format("{}: tq serve {}\n", column.known->name,
                        CLI::detail::join(column.arguments, " "));
  }
  return text + kWhatIsKnown + "\n";
}

}  // namespace

void apply_seed_table(BenchServeOptions& options) {
  if (options.concurrency.empty()) {
    options.concurrency.assign(kKnownConcurrency.begin(), kKnownConcurrency.end());
  }
  options.endpoint = "completions";
  options.ignore_eos = true;
}

void run_seed_table(const BenchServeOptions& options, const GlobalOptions& global) {
  std::vector<Column> columns = columns_of(options);
  for (Column& column : columns) {
    info("{}: tq serve {}", column.known->name, CLI::detail::join(column.arguments, " "));
    const ServeChild child(column.arguments);
    bench_server(options, child.url(), global, column.bench, [&](const MeasuredLevel& measured) {
      if (!global.jsonl) return;
      Json line = bench_serve_level_json(options, measured);
      line["column"] = column.known->key;
      print_json(typed("result", line));
    });
    check_answered(column.bench);
  }
  const Json json = seed_table_json(options, columns);
  if (!options.save.empty()) write_file_atomic(options.save, bench_serve_file_text(json));
  if (global.jsonl) return;
  if (global.json) return print_json(json);
  print_text(seed_table_text(options, columns));
}

}  // namespace tq
