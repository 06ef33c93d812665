#include "server/tool_calls.h"

#include <gtest/gtest.h>

#include "base/file.h"

namespace tq {
namespace {

const ToolFormat& hermes() { return *find_tool_format("<tool_call>"); }
const ToolFormat& gemma() { return *find_tool_format("<|tool_call>"); }

// "text|name(arguments)|text", whatever pieces the text comes in.
std::string parse(const ToolFormat& format, const std::string& text, size_t step) {
  ToolCallParser parser(format);
  std::vector<ToolPiece> pieces;
  const auto take = [&](std::vector<ToolPiece> more) {
    for (ToolPiece& piece : more) {
      if (!piece.call && !pieces.empty() && !pieces.back().call) {
        pieces.back().text += piece.text;
      } else {
        pieces.push_back(std::move(piece));
      }
    }
  };
  for (size_t at = 0; at < text.size(); at += step) take(parser.push(text.substr(at, step)));
  take(parser.finish());
  std::string out;
  for (const ToolPiece& piece : pieces) {
    if (!out.empty()) out += "|";
    out += piece.call ? piece.call->name + "(" + piece.call->arguments + ")" : piece.text;
  }
  return out;
}

void expect(const ToolFormat& format, const std::string& text, const std::string& wanted) {
  for (size_t step = 1; step <= text.size(); ++step) {
    EXPECT_EQ(parse(format, text, step), wanted) << step;
  }
}

TEST(ToolCalls, ReadsHermes) {
  expect(hermes(), "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>",
         "f({\"x\":1})");
  expect(hermes(),
         "I look.\n\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n"
         "<tool_call>{\"name\":\"g\",\"arguments\":\"{\\\"y\\\":[2]}\"}</tool_call>\n",
         "I look.|f({})|g({\"y\":[2]})");
  expect(hermes(), "<tool_call>{\"name\":\"f\"}", "f({})");  // ended before its tag
  expect(hermes(), "<tool_call>{\"name\":\"f\"}</tool_call> and more", "f({})| and more");
}

TEST(ToolCalls, WhatIsNoCallStaysText) {
  for (const char* text :
       {"a < b and <tool", "plain text \n", "<tool_call>{\"name\": 7}</tool_call>",
        "<tool_call>{\"name\":\"f\",\"arguments\":[1]}</tool_call>", "<tool_call>{\"na",
        "<tool_call>none</tool_call> after", "</tool_call>"}) {
    expect(hermes(), text, text);
  }
}

TEST(ToolCalls, ReadsGemma4) {
  expect(gemma(), "<|tool_call>call:f{}<tool_call|>", "f({})");
  expect(gemma(),
         "<|tool_call>call:get{city:<|\"|>Bonn, {DE}<|\"|>,n:-2.5,all:true,none:null,"
         "list:[1,<|\"|>b<|\"|>,{k:[]}],o:{a:<|\"|><|\"|>}}<tool_call|>",
         "get({\"city\":\"Bonn, {DE}\",\"n\":-2.5,\"all\":true,\"none\":null,"
         "\"list\":[1,\"b\",{\"k\":[]}],\"o\":{\"a\":\"\"}})");
  expect(gemma(), "<|tool_call>call:f{a:Bonn}<tool_call|><|tool_call>call:g{x:1}<tool_call|>",
         "f({\"a\":\"Bonn\"})|g({\"x\":1})");
}

TEST(ToolCalls, MalformedGemmaCallsStayText) {
  for (const char* text :
       {"<|tool_call>call:f{<tool_call|>", "<|tool_call>call:f{a}<tool_call|>",
        "<|tool_call>call:f{a:1,a:2}<tool_call|>", "<|tool_call>call:f{a:<|\"|>x}<tool_call|>",
        "<|tool_call>f{}<tool_call|>", "<|tool_call>call:{}<tool_call|>",
        "<|tool_call>call:f{a:[1}<tool_call|>", "<|tool_call>call:f{}{}<tool_call|>"}) {
    expect(gemma(), text, text);
  }
  const std::string deep = "<|tool_call>call:f{a:" + std::string(9999, '[') + "}<tool_call|>";
  EXPECT_EQ(parse(gemma(), deep, 1000), deep);
}

TEST(ToolCalls, ATemplateSaysHowItsModelWrites) {
  const auto format_of = [](const char* name) {
    return find_tool_format(
        read_text_file(std::string(TQ_TEST_DATA "/golden/templates/") + name + ".jinja"));
  };
  EXPECT_EQ(format_of("qwen3"), &hermes());
  EXPECT_EQ(format_of("gemma4"), &gemma());
  EXPECT_EQ(format_of("glm4"), nullptr);  // its own form between the same tags
  EXPECT_EQ(format_of("smollm2"), nullptr);
}

}  // namespace
}  // namespace tq
