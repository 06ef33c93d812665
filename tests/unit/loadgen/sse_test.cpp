#include "loadgen/sse.h"

#include <gtest/gtest.h>

#include "support/expect_error.h"

namespace tq {
namespace {

using fixtures::expect_error;

using Events = std::vector<std::string>;

Events read_in_pieces(std::string_view text, size_t step) {
  SseParser parser;
  Events events;
  for (size_t at = 0; at < text.size(); at += step) {
    for (std::string& event : parser.push(text.substr(at, step))) events.push_back(event);
  }
  return events;
}

TEST(Sse, ReadsEventsCutAnywhere) {
  const std::string_view text =
      "\xEF\xBB\xBF"
      "data: one\n\n: ping\n\ndata: {\"a\":1}\r\n\r\nevent: x\nid: 7\ndata:two\ndata:  three\n\n"
      "data\n\nretry: 3\n\nnodata: x\n\ndata: four\r\rdata: [DONE]\n\ndata: never ended";
  const Events wanted = {"one", "{\"a\":1}", "two\n three", "", "four", "[DONE]"};
  for (size_t step = 1; step <= text.size(); ++step) {
    EXPECT_EQ(read_in_pieces(text, step), wanted) << step;
  }
  for (size_t cut = 0; cut <= text.size(); ++cut) {
    SseParser parser;
    Events events = parser.push(text.substr(0, cut));
    for (std::string& event : parser.push(text.substr(cut))) events.push_back(event);
    EXPECT_EQ(events, wanted) << cut;
  }
}

TEST(Sse, KeepsBytesAsTheyAre) {
  const std::string text("data: \0\xff\xc3\n\n", 11);
  EXPECT_EQ(read_in_pieces(text, 1), (Events{std::string("\0\xff\xc3", 3)}));
}

TEST(Sse, BoundsAnEvent) {
  SseParser parser(100);
  EXPECT_EQ(parser.push("data: " + std::string(90, 'a') + "\n\n").size(), 1u);
  expect_error(ErrorCode::kCorrupt, {"larger than 100 bytes"},
               [&] { parser.push(std::string(101, 'a')); });
  SseParser lines(100);  // many short ones
  expect_error(ErrorCode::kCorrupt, {"larger than 100 bytes"}, [&] {
    for (int i = 0; i < 60; ++i) lines.push("data: a\n");
  });
}

}  // namespace
}  // namespace tq
