#include "loadgen/measure.h"

#include <gtest/gtest.h>

#include "loadgen/report.h"
#include "support/expect_error.h"

namespace tq {
namespace {

// Two answers of three tokens, one of one token, and a failure; 4 s in all.
LoadRecords some_records() {
  LoadRecords records;
  records.requests = {{.sent = 0,
                       .ttft = 0.5,
                       .latency = 1.5,
                       .gaps = {0.25f, 0.75f},
                       .prompt_tokens = 10,
                       .output_tokens = 3,
                       .ended = 1.5},
                      {.sent = 0,
                       .ttft = 0.25,
                       .latency = 1,
                       .gaps = {0.25f, 0.5f},
                       .prompt_tokens = 20,
                       .cached_tokens = 16,
                       .output_tokens = 3,
                       .ended = 1},
                      {.sent = 1,
                       .ttft = 3,
                       .latency = 3,
                       .gaps = {},
                       .prompt_tokens = 30,
                       .output_tokens = 1,
                       .tokens_by = TokenSource::kTokenize,
                       .ended = 4},
                      {.sent = 1,
                       .ttft = 9,
                       .latency = 9,
                       .gaps = {9.0f},
                       .prompt_tokens = 99,
                       .output_tokens = 99,
                       .tokens_by = TokenSource::kChunks,
                       .fault = "status <429>",
                       .ended = 2}};
  records.seconds = 4;
  records.peak_concurrency = 2;
  records.faults = {{"status <429>", 1}};
  records.first_faults = {"status <429>: full & closed"};
  return records;
}

TEST(Measure, CountsAndTimes) {
  const LoadMeasures m = measure(some_records(), {});
  EXPECT_EQ(m.completed, 3);
  EXPECT_EQ(m.failed, 1);
  EXPECT_EQ(m.input_tokens, 60);
  EXPECT_EQ(m.cached_tokens, 16);
  EXPECT_EQ(m.output_tokens, 7);
  EXPECT_EQ(m.tokens_by, TokenSource::kTokenize);
  EXPECT_DOUBLE_EQ(m.request_throughput, 0.75);
  EXPECT_DOUBLE_EQ(m.output_throughput, 1.75);
  EXPECT_DOUBLE_EQ(m.total_throughput, 16.75);
  EXPECT_FALSE(m.request_goodput);
  EXPECT_EQ(m.ttft, (std::vector<double>{250, 500, 3000}));
  EXPECT_EQ(m.e2el, (std::vector<double>{1000, 1500, 3000}));
  EXPECT_EQ(m.tpot, (std::vector<double>{375, 500}));
  EXPECT_EQ(m.itl, (std::vector<double>{250, 250, 500, 750}));
  EXPECT_FALSE(tpot_ms({.ttft = 1, .latency = 1, .output_tokens = 50}));  // all in one piece
  EXPECT_EQ(tokens_over_time(some_records(), 1), (std::vector<double>{4, 2, 0, 0, 1}));
  EXPECT_EQ(m.peak_output_throughput, 4);
}

TEST(Measure, Goodput) {
  const auto good = [](const std::vector<std::string>& texts) {
    return *measure(some_records(), parse_goodput(texts)).request_goodput * 4;
  };
  EXPECT_DOUBLE_EQ(good({"ttft:500"}), 2);
  EXPECT_DOUBLE_EQ(good({"ttft:500", "tpot:400"}), 1);
  EXPECT_DOUBLE_EQ(good({"tpot:400"}), 2);  // an answer of one token has none
  EXPECT_DOUBLE_EQ(good({"e2el:3000"}), 3);
  for (const char* text :
       {"", "ttft", "ttft:", "ttft:0", "ttft:-1", "ttft:1x", "itl:5", "ttft:nan"}) {
    fixtures::expect_error(ErrorCode::kInvalidArgument, {"--goodput", "ttft:200"},
                           [&] { parse_goodput({text}); });
  }
}

TEST(Measure, JsonHasTheNamesOfVllm) {
  const LoadLevel level{.concurrency = 2, .records = some_records()};
  const std::vector<double> percentiles = {50, 99, 99.9};
  const Json json = level_json(level, measure(level.records, {}), percentiles);
  EXPECT_EQ(json["request_rate"], "inf");
  EXPECT_EQ(json["max_concurrency"], 2);
  EXPECT_EQ(json["total_output_tokens"], 7);
  EXPECT_EQ(json["median_ttft_ms"], 500.0);
  EXPECT_EQ(json["p50_e2el_ms"], 1500.0);
  EXPECT_TRUE(json.contains("p99.9_itl_ms"));
  EXPECT_EQ(json["errors"]["status <429>"], 1);
  EXPECT_TRUE(json["request_goodput"].is_null());
  const Json none = level_json({.rate = 2.5}, measure({}, {}), percentiles);
  EXPECT_EQ(none["request_rate"], 2.5);
  EXPECT_TRUE(none["max_concurrency"].is_null());
  EXPECT_TRUE(none["mean_ttft_ms"].is_null() && none["p99_tpot_ms"].is_null());
  EXPECT_EQ(none["completed"], 0);
}

TEST(Report, ShowsLevelsAndEscapesWhatServersSay) {
  std::vector<MeasuredLevel> levels;
  for (const int64_t concurrency : {1, 2, 16}) {
    MeasuredLevel measured{.level = {.concurrency = concurrency, .records = some_records()},
                           .measures = {}};
    measured.measures = measure(measured.level.records, {});
    levels.push_back(std::move(measured));
  }
  levels.push_back({.level = {.concurrency = 32}, .measures = measure({}, {})});  // all failed
  const std::string html = report_html({.title = "<m> \xff\x01 & \"n\"",
                                        .facts = {{"a<", "b>"}},
                                        .levels = levels,
                                        .percentiles = std::vector<double>{50, 99}});
  EXPECT_THAT(html,
              testing::HasSubstr("<title>&lt;m&gt; \xEF\xBF\xBD  &amp; &quot;n&quot;</title>"));
  EXPECT_THAT(html, testing::HasSubstr("full &amp; closed"));
  EXPECT_THAT(html, testing::HasSubstr("<th>a&lt;</th><td>b&gt;</td>"));
  EXPECT_THAT(html, testing::HasSubstr("prefers-color-scheme: dark"));
  EXPECT_THAT(html, testing::HasSubstr("<polyline class=\"s1\""));
  for (const char* foreign : {"<script", "http://", "https://", "url(", "nan", "inf\"", "<m>"}) {
    EXPECT_THAT(html, testing::Not(testing::HasSubstr(foreign)));
  }
}

}  // namespace
}  // namespace tq
