#include <gtest/gtest.h>

#include <random>

#include "base/file.h"
#include "server/tools/tool_format.h"

namespace tq {
namespace {

const Json& tools() {
  static const Json kTools = parse_json(R"([
    {"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{
      "text":{"type":"string"}, "n":{"type":"integer"}, "flag":{"type":"boolean"},
      "list":{"type":"array"}, "object":{"type":"object"},
      "maybe":{"type":["string","null"]}, "either":{"anyOf":[{"type":"integer"},{"type":"null"}]},
      "pick":{"enum":["1","2"]}}}}},
    {"type":"function","function":{"name":"g"}}])",
                                        "tools");
  return kTools;
}

// "text|name(arguments)|text", reasoning in <>, whatever pieces the text comes in.
class Pieces {
 public:
  void take(std::vector<ToolPiece> more) {
    for (ToolPiece& piece : more) {
      EXPECT_NE(piece.call.has_value(), !piece.text.empty());
      const bool joins = !piece.call && !pieces_.empty() && !pieces_.back().call &&
                         pieces_.back().is_reasoning == piece.is_reasoning;
      if (joins) {
        pieces_.back().text += piece.text;
      } else {
        pieces_.push_back(std::move(piece));
      }
    }
  }
  std::string text() const {
    std::string out;
    for (const ToolPiece& piece : pieces_) {
      if (!out.empty()) out += "|";
      if (piece.call) out += piece.call->name + "(" + piece.call->arguments + ")";
      if (piece.is_reasoning) out += "<" + piece.text + ">";
      if (!piece.call && !piece.is_reasoning) out += piece.text;
    }
    return out;
  }

 private:
  std::vector<ToolPiece> pieces_;
};

std::string parse(const ToolFormat& format, const std::string& text, size_t step) {
  const auto parser = make_tool_parser(format, tools());
  Pieces pieces;
  for (size_t at = 0; at < text.size(); at += step)
    pieces.take(parser->push(text.substr(at, step)));
  pieces.take(parser->finish());
  return pieces.text();
}

void expect(const ToolFormat& format, const std::string& text, const std::string& wanted) {
  for (size_t step = 1; step <= text.size(); ++step) {
    EXPECT_EQ(parse(format, text, step), wanted) << format.name << ", pieces of " << step;
  }
}

void expect_text(const ToolFormat& format, std::initializer_list<const char*> texts) {
  for (const char* text : texts) expect(format, text, text);
}

TEST(ToolCalls, ReadsHermes) {
  expect(kHermesFormat, "<tool_call>\n{\"name\": \"f\", \"arguments\": {\"x\": 1}}\n</tool_call>",
         "f({\"x\":1})");
  expect(kHermesFormat,
         "I look.\n\n<tool_call>{\"name\":\"f\",\"arguments\":{}}</tool_call>\n"
         "<tool_call>{\"name\":\"g\",\"arguments\":\"{\\\"y\\\":[2]}\"}</tool_call>\n",
         "I look.|f({})|g({\"y\":[2]})");
  expect(kHermesFormat, "<tool_call>{\"name\":\"f\"}", "f({})");  // ended before its tag
  expect(kHermesFormat, "<tool_call>{\"name\":\"f\"}</tool_call> and more", "f({})| and more");
  expect(kHermesFormat,
         R"(<tool_call>{"name":"f","arguments":{"text":"</tool_call>{\""}}</tool_call>)",
         R"(f({"text":"</tool_call>{\""}))");
}

TEST(ToolCalls, WhatIsNoCallStaysText) {
  expect_text(kHermesFormat,
              {"a < b and <tool", "plain text \n", "<tool_call>{\"name\": 7}</tool_call>",
               "<tool_call>{\"name\":\"f\",\"arguments\":[1]}</tool_call>", "<tool_call>{\"na",
               "<tool_call>none</tool_call> after", "</tool_call>", "a \n <tool_call> \n b",
               "<tool_call>", "<tool_call>{\"name\":\"\"}</tool_call>"});
}

TEST(ToolCalls, ABrokenCallDoesNotHideTheNextOne) {
  expect(kHermesFormat, "<tool_call>{broken}</tool_call> <tool_call>{\"name\":\"f\"}</tool_call>",
         "<tool_call>{broken}</tool_call>|f({})");
  std::string many;
  for (int i = 0; i < 200; ++i) many += "<tool_call>{";
  EXPECT_EQ(parse(kHermesFormat, many, 7), many);
}

// Each would take hours if a call were read anew whenever it might have ended.
TEST(ToolCalls, LongCallsAreReadOnce) {
  const auto check = [](const ToolFormat& format, const std::string& before,
                        const std::string& filling, const std::string& after) {
    std::string text;
    while (text.size() < size_t{1} << 20) text += filling;
    Pieces pieces;
    const auto parser = make_tool_parser(format, tools());
    pieces.take(parser->push(before));
    for (size_t at = 0; at < text.size(); at += 4) pieces.take(parser->push(text.substr(at, 4)));
    pieces.take(parser->push(after));
    pieces.take(parser->finish());
    EXPECT_EQ(pieces.text().substr(0, 2), "f(") << format.name << ": " << filling;
    EXPECT_GT(pieces.text().size(), text.size()) << format.name;
  };
  const std::string json = "{\"text\": \"";
  for (const std::string filling : {"}}}}", "</tool_call>", "[{}]"}) {
    check(kHermesFormat, "<tool_call>{\"name\": \"f\", \"arguments\": " + json, filling,
          "\"}}</tool_call>");
    check(kMistralFormat, "[TOOL_CALLS]f[ARGS]" + json, filling, "\"}");
    check(kMistralFormat, "[TOOL_CALLS][{\"name\": \"f\", \"arguments\": " + json, filling,
          "\"}}]");
    check(kLlamaFormat, "{\"name\": \"f\", \"parameters\": " + json, filling, "\"}}");
    check(kHarmonyFormat, "<|channel|>commentary to=functions.f<|message|>" + json, filling,
          "\"}<|call|>");
    check(kGemmaFormat, "<|tool_call>call:f{text:<|\"|>", filling, "<|\"|>}<tool_call|>");
  }
  for (const std::string filling : {"</tool_call>\n", "</arg_value> ", "</parameter> <b>"}) {
    check(kGlmFormat, "<tool_call>f\n<arg_key>text</arg_key>\n<arg_value>", filling,
          "</arg_value>\n</tool_call>");
    check(kQwenXmlFormat, "<tool_call>\n<function=f>\n<parameter=text>\n", filling,
          "\n</parameter>\n</function>\n</tool_call>");
  }
}

TEST(ToolCalls, LongWhiteSpaceIsReadOnce) {
  for (const ToolFormat* format : tool_formats()) {
    const auto parser = make_tool_parser(*format, tools());
    Pieces pieces;
    for (int i = 0; i < 100'000; ++i) pieces.take(parser->push(" \n"));
    pieces.take(parser->push("a"));
    pieces.take(parser->finish());
    EXPECT_EQ(pieces.text().size(), 200'001u) << format->name;
  }
}

TEST(ToolCalls, ReadsQwenXml) {
  expect(kQwenXmlFormat,
         "I look.\n<tool_call>\n<function=f>\n<parameter=text>\n a\nb \n</parameter>\n"
         "<parameter=n>\n-7\n</parameter>\n</function>\n</tool_call>",
         R"(I look.|f({"text":" a\nb ","n":-7}))");
  expect(kQwenXmlFormat,
         "<tool_call><function=g></function></tool_call>\n<tool_call>\n<function=f>"
         "<parameter=flag>True</parameter><parameter=list>[1, \"x\"]</parameter></function>"
         "</tool_call>",
         R"(g({})|f({"flag":true,"list":[1,"x"]}))");
  // Tags inside of a value.
  expect(kQwenXmlFormat,
         "<tool_call><function=f><parameter=text>\n<b></parameter> and </function> too"
         "\n</parameter>\n</function></tool_call> done",
         R"(f({"text":"<b></parameter> and </function> too"})| done)");
}

TEST(ToolCalls, QwenXmlMayForgetTags) {
  const std::string call = "<function=f>\n<parameter=n>\n1\n</parameter>\n</function>";
  expect(kQwenXmlFormat, "Yes.\n\n" + call + "\n</tool_call>", R"(Yes.|f({"n":1}))");
  expect(kQwenXmlFormat, call + "\n" + call, R"(f({"n":1})|f({"n":1}))");
  expect(kQwenXmlFormat, "<function=h>\n</function>", "<function=h>\n</function>");  // no such tool
  expect(
      kQwenXmlFormat,
      "<tool_call>\n<function=f>\n<parameter=text>\na\n<parameter=n>\n2\n</function>\n</tool_call>",
      R"(f({"text":"a","n":2}))");
  expect_text(kQwenXmlFormat, {"<tool_call>\n<function=f>\n<parameter=n>\n1", "<tool_call>x",
                               "<tool_call><function=f</tool_call>", "<function=f>\n<parameter=n",
                               "<tool_call><function=>\n</function></tool_call>", "a <function"});
}

TEST(ToolCalls, ArgumentsHaveTheTypesOfTheSchema) {
  const auto value = [](const std::string& name, const std::string& text) {
    return parse(kQwenXmlFormat,
                 "<tool_call><function=f><parameter=" + name + ">" + text +
                     "</parameter></function></tool_call>",
                 1000);
  };
  EXPECT_EQ(value("text", "12"), R"(f({"text":"12"}))");
  EXPECT_EQ(value("text", "{\"a\":1}"), R"(f({"text":"{\"a\":1}"}))");
  EXPECT_EQ(value("n", " 12 "), R"(f({"n":12}))");
  EXPECT_EQ(value("n", "twelve"), R"(f({"n":"twelve"}))");
  EXPECT_EQ(value("object", "{\"a\":[true]}"), R"(f({"object":{"a":[true]}}))");
  EXPECT_EQ(value("maybe", "null"), R"(f({"maybe":null}))");
  EXPECT_EQ(value("maybe", "12"), R"(f({"maybe":"12"}))");
  EXPECT_EQ(value("either", "12"), R"(f({"either":12}))");
  EXPECT_EQ(value("either", "None"), R"(f({"either":null}))");
  EXPECT_EQ(value("pick", "2"), R"(f({"pick":"2"}))");
  EXPECT_EQ(value("unknown", "12"), R"(f({"unknown":12}))");
  EXPECT_EQ(value("unknown", "a b"), R"(f({"unknown":"a b"}))");
}

TEST(ToolCalls, ReadsGlm) {
  expect(kGlmFormat,
         "Well.<tool_call>f\n<arg_key>text</arg_key>\n<arg_value>7</arg_value>\n"
         "<arg_key>n</arg_key>\n<arg_value>7</arg_value>\n</tool_call>\n<tool_call>g\n</tool_call>",
         R"(Well.|f({"text":"7","n":7})|g({}))");
  expect(kGlmFormat,
         "<tool_call>f<arg_key>text</arg_key><arg_value>a</arg_value>b</tool_call>c</arg_value>"
         "</tool_call>",
         R"(f({"text":"a</arg_value>b</tool_call>c"}))");
  expect_text(kGlmFormat, {"<tool_call>f", "<tool_call>f\n<arg_key>a</arg_key></tool_call>",
                           "<tool_call></tool_call>", "<tool_call>{\"name\":1}</tool_call>",
                           "<tool_call>f\n<arg_key>a</arg_key>\n<arg_value>x</tool_call>"});
}

TEST(ToolCalls, ReadsLlama) {
  expect(kLlamaFormat, R"({"name": "f", "parameters": {"n": 1}})", R"(f({"n":1}))");
  expect(kLlamaFormat, "\n<|python_tag|>{\"type\":\"function\",\"name\":\"g\",\"parameters\":{}}",
         "g({})");
  expect(kLlamaFormat, R"({"type":"function","function":{"name":"f","arguments":{"n":2}}})",
         R"(f({"n":2}))");
  expect(kLlamaFormat, R"({"name":"f","parameters":{}}; {"name":"g","parameters":{"a":"};{"}};)",
         R"(f({})|g({"a":"};{"}))");
  expect(kLlamaFormat, R"({"name":"f"}; and then)", "f({})|; and then");
  // JSON that calls nothing that there is, and JSON in prose.
  expect_text(kLlamaFormat, {R"({"name":"Ada","parameters":{}})", R"({"a":{"name":"f"}})",
                             R"(It is {"name":"f","parameters":{}})", "{", R"({"name":"f)",
                             "<|python_tag|>print(1)", R"({"name":"f","parameters":[]})", "a; b"});
}

TEST(ToolCalls, ReadsMistral) {
  expect(kMistralFormat,
         R"([TOOL_CALLS] [{"name": "f", "arguments": {"n": 1}}, {"name": "g", "arguments": {}}])",
         R"(f({"n":1})|g({}))");
  expect(kMistralFormat, R"(Ok.[TOOL_CALLS]f[ARGS]{"text": "[TOOL_CALLS]"}[TOOL_CALLS]g[ARGS]{})",
         R"(Ok.|f({"text":"[TOOL_CALLS]"})|g({}))");
  expect(kMistralFormat, R"([TOOL_CALLS]f[CALL_ID]abcdefghi[ARGS]{"n":1})", R"(f({"n":1}))");
  expect(kMistralFormat, R"([TOOL_CALLS]f{"n":1})", R"(f({"n":1}))");
  expect_text(kMistralFormat,
              {"[TOOL_CALLS]", "[TOOL_CALLS][]", "[TOOL_CALLS]f", "[TOOL_CALLS]f[ARGS]1",
               "[TOOL_CALLS]a b[ARGS]{}", R"([TOOL_CALLS][{"name":"f"},{}])", "[TOOL", "[1]",
               R"([TOOL_CALLS]f[ARGS]{"n":)", "[TOOL_CALLS]f[CALL_ID]x[OTHER]{}"});
}

TEST(ToolCalls, ReadsGemma4) {
  expect(kGemmaFormat, "<|tool_call>call:f{}<tool_call|>", "f({})");
  expect(kGemmaFormat,
         "<|tool_call>call:get{city:<|\"|>Bonn, {DE}<|\"|>,n:-2.5,all:true,none:null,"
         "list:[1,<|\"|>b<|\"|>,{k:[]}],o:{a:<|\"|><|\"|>}}<tool_call|>",
         "get({\"city\":\"Bonn, {DE}\",\"n\":-2.5,\"all\":true,\"none\":null,"
         "\"list\":[1,\"b\",{\"k\":[]}],\"o\":{\"a\":\"\"}})");
  expect(kGemmaFormat, "<|tool_call>call:f{a:Bonn}<tool_call|><|tool_call>call:g{x:1}<tool_call|>",
         "f({\"a\":\"Bonn\"})|g({\"x\":1})");
  expect(kGemmaFormat, "<|tool_call>call:f{a:1}", "f({\"a\":1})");  // ended before its tag
  expect_text(
      kGemmaFormat,
      {"<|tool_call>call:f{<tool_call|>", "<|tool_call>call:f{a}<tool_call|>",
       "<|tool_call>call:f{a:1,a:2}<tool_call|>", "<|tool_call>call:f{a:<|\"|>x}<tool_call|>",
       "<|tool_call>f{}<tool_call|>", "<|tool_call>call:{}<tool_call|>",
       "<|tool_call>call:f{a:[1}<tool_call|>", "<|tool_call>call:f{}{}<tool_call|>"});
  const std::string deep = "<|tool_call>call:f{a:" + std::string(9999, '[') + "}<tool_call|>";
  EXPECT_EQ(parse(kGemmaFormat, deep, 1000), deep);
}

TEST(ToolCalls, ReadsHarmony) {
  expect(kHarmonyFormat,
         "<|channel|>analysis<|message|>I think.<|end|><|start|>assistant<|channel|>commentary "
         "to=functions.f <|constrain|>json<|message|>{\"n\": 1}<|call|>",
         "<I think.>|f({\"n\":1})");
  expect(kHarmonyFormat,
         "<|channel|>analysis<|message|>One.<|end|><|start|>assistant<|channel|>analysis<|message|>"
         "Two.<|end|><|start|>assistant<|channel|>commentary<|message|>Wait.<|end|><|start|>"
         "assistant<|channel|>final<|message|>Hi < you",
         "<One.\nTwo.>|Wait.\nHi < you");
  // The receiver may stand before the channel; calls may end with the text.
  expect(kHarmonyFormat,
         "<|start|>assistant to=functions.g<|channel|>commentary json<|message|>{}<|end|>"
         "<|start|>assistant to=functions.f<|channel|>analysis<|message|>{\"text\":\"<|a\"}",
         "g({})|f({\"text\":\"<|a\"})");
  expect(kHarmonyFormat, "plain < text <|end|>", "plain < text ");
  expect(kHarmonyFormat, "<|channel|>what<|end|><|start|>assistant<|channel|>final<|message|>Yes",
         "what\nYes");
  expect(kHarmonyFormat, "<|channel|>commentary to=functions.f<|message|>{broken<|call|>",
         "<|channel|>commentary to=functions.f<|message|>{broken");
}

// Whatever an answer is made of, and wherever it is cut.
TEST(ToolCalls, CutsChangeNothing) {
  const std::vector<std::string> words = {"<tool_call>",
                                          "</tool_call>",
                                          "<function=",
                                          "f",
                                          "g>",
                                          ">",
                                          "</function>",
                                          "<parameter=",
                                          "</parameter>",
                                          "\n",
                                          " ",
                                          "{\"name\":\"f\"",
                                          ",\"arguments\":{}",
                                          ",\"parameters\":{",
                                          "}",
                                          "\"",
                                          "\\",
                                          "[",
                                          "]",
                                          "<arg_key>",
                                          "</arg_key>",
                                          "<arg_value>",
                                          "</arg_value>",
                                          "<|python_tag|>",
                                          ";",
                                          "[TOOL_CALLS]",
                                          "[ARGS]",
                                          "[CALL_ID]",
                                          "<|tool_call>",
                                          "call:f{",
                                          "<tool_call|>",
                                          "<|\"|>",
                                          "a:1",
                                          "<|start|>",
                                          "<|channel|>",
                                          "<|message|>",
                                          "<|end|>",
                                          "<|call|>",
                                          "analysis",
                                          "final",
                                          " to=functions.f",
                                          "<",
                                          "text",
                                          "{",
                                          "{\"name\":\"f\"}"};
  std::mt19937 random(7);
  const auto below = [&](size_t n) { return static_cast<size_t>(random()) % n; };
  for (int i = 0; i < 1500; ++i) {
    std::string text;
    for (size_t n = 1 + below(24); n > 0; --n) text += words[below(words.size())];
    if (i % 10 == 0) text.insert(below(text.size()), std::string(200, 'x'));
    for (const ToolFormat* format : tool_formats()) {
      const std::string whole = parse(*format, text, text.size());
      const auto parser = make_tool_parser(*format, tools());
      Pieces pieces;
      for (size_t at = 0; at < text.size();) {
        const size_t n = 1 + below(12);
        pieces.take(parser->push(text.substr(at, n)));
        at += n;
      }
      pieces.take(parser->finish());
      ASSERT_EQ(pieces.text(), whole) << format->name << ": " << text;
      ASSERT_EQ(parse(*format, text, 1), whole) << format->name << ": " << text;
    }
  }
}

TEST(ToolCalls, ATemplateSaysHowItsModelWrites) {
  const auto format_of = [](const char* name) {
    return find_tool_format(
        read_text_file(std::string(TQ_TEST_DATA "/golden/templates/") + name + ".jinja"));
  };
  EXPECT_EQ(format_of("qwen3"), &kHermesFormat);
  EXPECT_EQ(format_of("gemma4"), &kGemmaFormat);
  EXPECT_EQ(format_of("glm4"), &kGlmFormat);
  EXPECT_EQ(format_of("smollm2"), nullptr);
  EXPECT_EQ(format_of("gemma3"), nullptr);
  // What the templates of the others have in them.
  EXPECT_EQ(find_tool_format("<tool_call>\\n<function=x>\\n<parameter=a>\\n"), &kQwenXmlFormat);
  EXPECT_EQ(find_tool_format("{{- '<|start_header_id|>' }} {\"name\": function name, "
                             "\"parameters\": dictionary of argument name and its value}"),
            &kLlamaFormat);
  EXPECT_EQ(find_tool_format("'[TOOL_CALLS]' + name + '[ARGS]' + arguments"), &kMistralFormat);
  EXPECT_EQ(find_tool_format("<|start|>assistant<|channel|>final<|message|>"), &kHarmonyFormat);
}

TEST(ToolCalls, IdsAreAsTemplatesWantThem) {
  EXPECT_EQ(make_call_id(kMistralFormat).size(), 9u);
  EXPECT_TRUE(make_call_id(kHermesFormat).starts_with("call_"));
  EXPECT_NE(make_call_id(kHermesFormat), make_call_id(kHermesFormat));
}

}  // namespace
}  // namespace tq
