// The Jinja interpreter against python jinja2: tests/golden/templates/cases.json holds templates,
// variables and what jinja2 rendered, or that it raised.
#include "text/chat_template.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <optional>

#include "base/error.h"
#include "base/file.h"
#include "text/jinja/interpreter.h"
#include "text/tokenizer.h"

namespace tq {
namespace {

const fs::path kGolden = fs::path(TQ_TEST_DATA) / "golden/templates";

std::string render(const std::string& source, const Json& variables, std::time_t now,
                   const jinja::Limits& limits = {}) {
  const jinja::Block block = jinja::parse(source);
  jinja::Dict dict;
  for (const auto& [name, value] : variables.items()) {
    dict.set(jinja::Value(std::string(name)), jinja::Value::from_json(value));
  }
  jinja::Interpreter interpreter(limits, now);
  return interpreter.render(block, dict);
}

TEST(Jinja, EqualsJinja2) {
  setenv("TZ", "UTC", 1);
  tzset();
  const Json golden = parse_json(read_text_file(kGolden / "cases.json"), "cases.json");
  const auto now = golden["now"].get<std::time_t>();
  ASSERT_GT(golden["cases"].size(), 300u);
  for (const Json& test : golden["cases"]) {
    const std::string source = test.contains("file")
                                   ? read_text_file(kGolden / test["file"].get<std::string>())
                                   : test["source"].get<std::string>();
    const Json& variables = test["variables"] == "VARS" ? golden["VARS"] : test["variables"];
    SCOPED_TRACE(test.contains("file") ? test.dump() : source);
    if (test.contains("error")) {
      EXPECT_THROW(render(source, variables, now), Error) << test["error"];
      continue;
    }
    try {
      EXPECT_EQ(render(source, variables, now), test["expected"].get<std::string>());
    } catch (const Error& e) {
      ADD_FAILURE() << e.what();
    }
  }
}

// Filters, tests, operators and statements on values of every kind, undefined and none above all.
TEST(Jinja, ValuesEqualJinja2) {
  const Json golden =
      parse_json(read_text_file(kGolden / "value_matrix.json"), "value_matrix.json");
  ASSERT_GT(golden["cases"].size(), 4000u);
  for (const Json& test : golden["cases"]) {
    const std::string source = test[0].get<std::string>();
    SCOPED_TRACE(source);
    if (test[1].is_null()) {
      EXPECT_THROW(render(source, golden["variables"], 1), Error);
      continue;
    }
    try {
      EXPECT_EQ(render(source, golden["variables"], 1), test[1].get<std::string>());
    } catch (const Error& e) {
      ADD_FAILURE() << e.what();
    }
  }
}

std::string error_of(const std::string& source, const Json& variables = Json::object(),
                     const jinja::Limits& limits = {}) {
  try {
    render(source, variables, 1, limits);
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

TEST(Jinja, ErrorsNameTheLine) {
  EXPECT_EQ(error_of("a\nb\n{{ x.y }}"), "chat template: line 3: 'x' is undefined");
  EXPECT_EQ(error_of("a\n{% if %}"), "chat template: line 2: unexpected ''");
  EXPECT_EQ(error_of("\n\n{{ 1 < 'a' }}"), "chat template: line 3: cannot order int and str");
  EXPECT_EQ(error_of("{% include 'x' %}"),
            "chat template: line 1: statement 'include' is not supported");
}

TEST(Jinja, LimitsHold) {
  jinja::Limits few_steps;
  few_steps.max_steps = 10'000;
  const std::string loops =
      "{% for i in range(999) %}{% for j in range(999) %}{% endfor %}{% endfor %}";
  EXPECT_NE(error_of(loops, Json::object(), few_steps).find("steps"), std::string::npos);
  EXPECT_NE(error_of("{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}").find("nested deeper"),
            std::string::npos);
  const std::string grow =
      "{% set ns = namespace(s='xxxxxxxx') %}{% for i in range(64) %}"
      "{% set ns.s = ns.s ~ ns.s %}{% endfor %}{{ ns.s }}";
  jinja::Limits limits;
  limits.max_bytes = 1 << 20;
  EXPECT_NE(error_of(grow, Json::object(), limits).find("bytes"), std::string::npos);
  EXPECT_NE(error_of("{{ 'x' * 9999999999999 }}").find("bytes"), std::string::npos);
  EXPECT_NE(error_of("{{ " + std::string(5000, '(') + "1" + std::string(5000, ')') + " }}")
                .find("nested too deeply"),
            std::string::npos);
  std::string chain = "{{ 1";
  for (int i = 0; i < 5000; ++i) chain += "+1";
  EXPECT_NE(error_of(chain + " }}").find("too many operators"), std::string::npos);
  std::string ifs;
  for (int i = 0; i < 5000; ++i) ifs += "{% if 1 %}";
  EXPECT_NE(error_of(ifs).find("nested too deeply"), std::string::npos);
  EXPECT_NE(error_of("{{ 9223372036854775807 + 1 }}").find("overflow"), std::string::npos);
  EXPECT_NE(error_of("{{ 99999999999999999999 }}").find("out of range"), std::string::npos);
}

TEST(Jinja, NumbersStayWhatTheyAre) {
  EXPECT_EQ(render("{{ '11' | int(0, 4294967298) }} {{ '11' | int(0, 2) }}", {}, 1), "0 3");
  // Beyond 64 bits with a sign: the nearest one that a template has, and a warning.
  EXPECT_EQ(render("{{ n }} {{ m }}", {{"n", INT64_MAX}, {"m", UINT64_MAX}}, 1),
            "9223372036854775807 1.8446744073709552e+19");
}

TEST(Jinja, CyclesDoNotLeak) {  // LeakSanitizer watches
  EXPECT_EQ(render("{% set ns = namespace() %}{% set ns.self = ns %}{{ ns.self.self is defined }}",
                   Json::object(), 1),
            "True");
  EXPECT_EQ(render("{% macro f() %}x{% endmacro %}{% set ns = namespace(m=f) %}{{ ns.m() }}",
                   Json::object(), 1),
            "x");
}

TEST(Jinja, InvalidUtf8IsHarmless) {
  const Json variables = {{"s", "a\xff\xc3z"}};
  EXPECT_EQ(render("{{ s | length }}{{ s | trim }}{{ s[::-1] | length }}", variables, 1),
            "4a\xff\xc3z4");
}

ChatTemplates templates_of(std::map<std::string, std::string> files) {
  std::vector<std::string> names;
  for (const auto& file : files) names.push_back(file.first);
  return ChatTemplates(names, [&](std::string_view name) -> std::optional<std::string> {
    const auto found = files.find(std::string(name));
    if (found == files.end()) return std::nullopt;
    return found->second;
  });
}

std::string rendered(const ChatTemplates& templates, bool has_tools = false) {
  return templates.choose(has_tools)->render(Json::array({{{"role", "user"}, {"content", "hi"}}}));
}

TEST(ChatTemplates, FilesInTheirOrder) {
  EXPECT_EQ(templates_of({}).choose(false), nullptr);
  EXPECT_EQ(templates_of({{"tokenizer_config.json", R"({"bos_token": "<s>"})"}}).choose(true),
            nullptr);
  const std::string config =
      R"({"bos_token": {"content": "<s>"}, "eos_token": "</s>", "pad_token": "<p>",
          "chat_template": "{{ bos_token }}{{ messages[0].content }}{{ eos_token }}"})";
  EXPECT_EQ(rendered(templates_of({{"tokenizer_config.json", config}})), "<s>hi</s>");
  EXPECT_EQ(
      rendered(templates_of({{"chat_template.json", R"({"chat_template": "j {{ pad_token }}"})"},
                             {"tokenizer_config.json", config}})),
      "j <p>");
  EXPECT_EQ(rendered(templates_of({{"chat_template.jinja", "file {{ bos_token }}"},
                                   {"chat_template.json", R"({"chat_template": "j"})"},
                                   {"tokenizer_config.json", config}})),
            "file <s>");
  EXPECT_EQ(rendered(templates_of({{"chat_template.jinja", "{{ bos_token }}"},
                                   {"special_tokens_map.json", R"({"bos_token": "<b>"})"}})),
            "<b>");
  for (const char* bad :
       {"[1]", R"({"chat_template": 1})", R"({"chat_template": [{"name": 1}]})"}) {
    EXPECT_THROW(templates_of({{"tokenizer_config.json", bad}}), Error) << bad;
  }
}

TEST(ChatTemplates, NamedOnes) {
  const std::string list = R"({"chat_template": [{"name": "tool_use", "template": "t"},
                                                 {"name": "default", "template": "d"}]})";
  const ChatTemplates templates =
      templates_of({{"tokenizer_config.json", list},
                    {"additional_chat_templates/rag.jinja", "r {{ messages | length }}"}});
  EXPECT_EQ(templates.names(), (std::vector<std::string>{"rag", "tool_use", "default"}));
  EXPECT_EQ(rendered(templates), "d");
  EXPECT_EQ(rendered(templates, true), "t");
  EXPECT_EQ(templates.open("rag").render(Json::array()), "r 0");
  try {
    (void)templates.open("none");
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kNotFound);
    EXPECT_NE(std::string(e.what()).find("rag, tool_use, default"), std::string::npos) << e.what();
  }
  const ChatTemplates unclear =
      templates_of({{"chat_template.json", R"({"chat_template": {"a": "1", "b": "2"}})"}});
  EXPECT_THROW(unclear.choose(false), Error);
  EXPECT_EQ(unclear.open("b").render(Json::array()), "2");
}

TEST(ChatTemplates, ErrorsNameFileAndLine) {
  const auto message = [](std::map<std::string, std::string> files) -> std::string {
    try {
      rendered(templates_of(std::move(files)));
    } catch (const Error& e) {
      return e.what();
    }
    return "no error";
  };
  EXPECT_EQ(message({{"chat_template.jinja", "a\n{% if %}"}}),
            "chat template chat_template.jinja: line 2: unexpected ''");
  EXPECT_EQ(message({{"tokenizer_config.json", R"({"chat_template": "\n\n{{ x.y }}"})"}}),
            "chat template tokenizer_config.json: line 3: 'x' is undefined");
}

// Conversations with reasoning, tools, calls and results in the templates of the model families,
// thinking on, off and unset: <family>.cases.json holds what jinja2 rendered.
class TemplateFamily : public testing::TestWithParam<const char*> {};

TEST_P(TemplateFamily, EqualsJinja2) {
  const std::string name = GetParam();
  const Json golden =
      parse_json(read_text_file(kGolden / (name + ".cases.json")), name + ".cases.json");
  const ChatTemplate chat(read_text_file(kGolden / (name + ".jinja")), "",
                          {{"bos_token", golden["bos"]}, {"eos_token", golden["eos"]}});
  ASSERT_GT(golden["cases"].size(), 100u);
  for (const Json& test : golden["cases"]) {
    const Json& messages = golden["conversations"][test["conversation"].get<std::string>()];
    RenderOptions options;
    options.add_generation_prompt = test["add_generation_prompt"].get<bool>();
    if (test["tools"].get<bool>()) options.tools = golden["tools"];
    options.extra = test["extra"];
    SCOPED_TRACE(test["conversation"].dump() + test["extra"].dump());
    if (test.contains("error")) {
      EXPECT_THROW(chat.render(messages, options), Error) << test["error"];
    } else {
      EXPECT_EQ(chat.render(messages, options), test["expected"].get<std::string>());
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, TemplateFamily, testing::Values("qwen3", "glm4", "gemma4"),
                         [](const auto& param) { return std::string(param.param); });

// A rendered prompt in its family's own tokens: its control tokens are one id each, and BOS (or
// GLM's prefix) stands there once.
TEST(ChatTemplate, PromptsBeginOnce) {
  const auto control_tokens = [](const std::string& name, const std::string& bos) {
    const auto tokenizer = Tokenizer::from_json(
        read_text_file(fs::path(TQ_TEST_DATA "/golden/tokenizer") / (name + ".json")));
    const ChatTemplate chat(read_text_file(kGolden / (name + ".jinja")), "", {{"bos_token", bos}});
    const Json messages = Json::array({{{"role", "user"}, {"content", "Hi"}}});
    std::string tokens;
    for (const int32_t id : tokenizer->encode(chat.render(messages), {.add_special = false})) {
      const std::string token = tokenizer->token_bytes(id);
      if (token.starts_with('<') || token.starts_with('[')) tokens += token + " ";
    }
    return tokens;
  };
  EXPECT_EQ(control_tokens("gemma4", "<bos>"),
            "<bos> <|turn> <turn|> <|turn> <|channel> <channel|> ");
  EXPECT_EQ(control_tokens("glm4", ""), "[gMASK] <sop> <|user|> <|assistant|> <think> ");
  EXPECT_EQ(control_tokens("qwen3", ""), "<|im_start|> <|im_end|> <|im_start|> ");
}

TEST(ChatTemplate, OptionsReachTheTemplate) {
  const ChatTemplate chat("{{ add_generation_prompt }} {{ thinking }} {{ tools | length }}", "",
                          Json::object());
  RenderOptions options;
  options.add_generation_prompt = false;
  options.extra = {{"thinking", "low"}};
  options.tools = Json::array({1, 2});
  EXPECT_EQ(chat.render(Json::array(), options), "False low 2");
  EXPECT_THROW(chat.render(Json::object()), Error);
}

TEST(ChatTemplate, RefusalIsTheMessageOfTheTemplate) {
  const ChatTemplate chat("{{ raise_exception('roles must alternate') }}", "", Json::object());
  try {
    chat.render(Json::array());
    FAIL();
  } catch (const Error& e) {
    EXPECT_EQ(e.code(), ErrorCode::kInvalidArgument);
    EXPECT_STREQ(e.what(), "the chat template refuses these messages: roles must alternate");
  }
}

}  // namespace
}  // namespace tq
