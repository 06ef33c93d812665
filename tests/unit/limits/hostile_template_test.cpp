// Chat templates that try to use up time, memory or the stack. Each renders or is refused with an
// error, within a second of this thread's time and 64 MB, whatever it does.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <string>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "support/measured.h"
#include "text/chat_template.h"

namespace tq {
namespace {

using fixtures::kMeasured;
using fixtures::thread_seconds;

double peak_megabytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return static_cast<double>(usage.ru_maxrss) / 1000;
}

struct Named {
  const char* name;
  std::string text;
};

// Statements that leave something large, deep or circular in `v`.
std::vector<Named> sources() {
  const std::string loop = "{% for i in range(100000) %}";
  return {
      {"long text", "{% set v = 'ab' * 4000000 %}"},
      {"text past the limit", "{% set v = 'ab' * 400000000000 %}"},
      {"text of one letter", "{% set v = 'a' * 9000000 %}"},
      {"lines", "{% set v = '\\n' * 5000000 %}"},
      {"text beyond ASCII", "{% set v = 'é' * 2000000 %}"},
      {"doubled text",
       "{% set n = namespace(v='x') %}{% for i in range(60) %}{% set n.v = n.v ~ n.v %}"
       "{% endfor %}{% set v = n.v %}"},
      {"text of the message", "{% set v = messages[0].content * 20 %}"},
      {"long list", "{% set v = range(100000) | list %}"},
      {"repeated list", "{% set v = [1] * 900000 %}"},
      {"list of long texts", "{% set v = ['ab' * 4000000] * 100 %}"},
      {"doubled list",
       "{% set n = namespace(v=['x']) %}{% for i in range(40) %}"
       "{% set n.v = [n.v, n.v] %}{% endfor %}{% set v = n.v %}"},
      {"deep list", "{% set n = namespace(v=[]) %}" + loop +
                        "{% set n.v = [n.v] %}{% endfor %}"
                        "{% set v = n.v %}"},
      {"deep dict", "{% set n = namespace(v={}) %}" + loop +
                        "{% set n.v = {'k': n.v} %}{% endfor %}"
                        "{% set v = n.v %}"},
      {"almost too deep",
       "{% set n = namespace(v=[1]) %}{% for i in range(190) %}"
       "{% set n.v = [n.v, n.v] %}{% endfor %}{% set v = n.v %}"},
      {"methods of methods", "{% set n = namespace(v=[].copy) %}" + loop +
                                 "{% set n.v = [n.v].copy %}{% endfor %}{% set v = n.v %}"},
      {"itself", "{% set n = namespace() %}{% set n.n = n %}{% set v = n %}"},
      {"itself in a list", "{% set n = namespace() %}{% set n.n = [n, n] %}{% set v = [n, n] %}"},
      {"chain of namespaces", "{% set n = namespace(v=1) %}" + loop +
                                  "{% set n.v = namespace(v=n.v) %}{% endfor %}{% set v = n %}"},
      {"circle of namespaces",
       "{% set a = namespace() %}{% set b = namespace(a=a) %}"
       "{% set a.b = b %}{% set v = [a, b] %}"},
      {"loop in itself",
       "{% set n = namespace(v=0) %}{% for x in [n] %}{% set n.v = loop %}"
       "{{ loop.changed(loop) }}{{ loop.changed(loop.changed) }}{% endfor %}"
       "{% set v = n.v %}"},
      {"loops in loops", "{% set n = namespace(v=0) %}" + loop +
                             "{% for x in [n.v] %}{% set n.v = loop %}{% endfor %}{% endfor %}"
                             "{% set v = n.v %}"},
      {"large dict", "{% set n = namespace() %}{% set v = dict(messages[1]) %}" + loop +
                         "{% set q = {i: i, i ~ 'k': [i]} %}{% endfor %}"},
      {"long key", "{% set s = 'a' * 9000000 %}{% set v = {s: {s: s}} %}" + loop +
                       "{% if s in v %}{% endif %}{% endfor %}"},
  };
}

// What is done with it.
std::vector<Named> sinks() {
  return {
      {"print", "{{ v }}{{ v }}{{ [v, v] }}"},
      {"json", "{{ v | tojson }}{{ v | tojson(indent=60) }}{{ v | tojson(true) }}"},
      {"compare",
       "{% for i in range(1000) %}{{ v == v }}{{ [v] == [v, 1] }}{{ [v, v] == [v, v] }}"
       "{{ v in [1, v] }}{% endfor %}"},
      {"loop",
       "{% for x in v %}{% for y in v %}{% for z in v %}{% set q = x %}{% endfor %}"
       "{% endfor %}{% endfor %}"},
      {"join", "{{ range(100000) | join(v) }}{{ v | join(v) }}{{ v | list | join(v) }}"},
      {"replace", "{{ v | string | replace('a', v) }}{{ (v ~ '').replace('', 'aaaaaaaa') }}"},
      {"search",
       "{% set s = v ~ '' %}{% for i in range(100000) %}{{ s.find('ab' * 5000 ~ 'c') }}"
       "{{ s.rfind('ba') }}{{ s.count('aa') }}{{ 'ac' in s }}{% endfor %}"},
      {"split",
       "{% set s = v ~ '' %}{% for i in range(1000) %}{{ s.split('a') | length }}"
       "{{ s.split() | length }}{{ s.rsplit('b') | length }}{{ s.splitlines() | length }}"
       "{% endfor %}"},
      {"case",
       "{% for i in range(1000) %}{{ v | upper | length }}{{ v | title | length }}"
       "{{ v | capitalize | length }}{{ v | trim | length }}{% endfor %}"},
      {"format", "{{ ('{0}' * 1000).format(v) }}{{ '%s' * 3 % (v, v, v) }}"},
      {"indent", "{{ v | string | indent(1000000, true, true) }}"},
      {"sort",
       "{% for i in range(100) %}{{ v | sort | length }}{{ v | unique | list | length }}"
       "{{ v | map('string') | sort | length }}{% endfor %}"},
      {"slice",
       "{% for i in range(1000) %}{{ v[::-1] | length }}{{ v[1:] | length }}{{ v[5] }}"
       "{{ v | reverse | list | length }}{% endfor %}"},
      {"concatenate",
       "{% set n = namespace(v=v) %}{% for i in range(1000) %}"
       "{% set n.v = n.v + v %}{% endfor %}{{ n.v | length }}"},
      {"nest", "{% macro f(x) %}{% set y = [x, x] %}{{ f(y) }}{% endmacro %}{{ f(v) }}"},
      {"capture",
       "{% set n = namespace(t='') %}{% for i in range(1000) %}{% set t %}{{ n.t }}{{ v }}"
       "{% endset %}{% set n.t = t %}{% endfor %}"},
      {"fill",
       "{{ (v ~ '').ljust(1000000000) }}{{ [1] | batch(1000000000, v) | list | length }}"
       "{{ [1] | slice(1000000000) | list | length }}{{ '%1000000000s' % v }}"},
      {"name", "{{ v[v] }}{{ [1] | map(attribute=v ~ '') | list }}{{ [1] | map(v ~ '') | list }}"},
  };
}

std::vector<Named> whole_templates() {
  std::string tokens = "{{ [";
  for (int i = 0; i < 90'000; ++i) tokens += "1,";
  std::string sets = "{% macro f() %}";
  for (int i = 0; i < 5000; ++i) sets += fmt::format("{{% set v{} = 1 %}}", i);
  std::string deep_ifs;
  for (int i = 0; i < 100'000; ++i) deep_ifs += "{% if 1 %}";
  return {
      {"many tokens", tokens + "] | length }}"},
      {"too many tokens", tokens + tokens},
      {"many variables", sets + "{{ f() }}{% endmacro %}{{ f() }}"},
      {"deep blocks", deep_ifs},
      {"deep parentheses",
       "{{ " + std::string(200'000, '(') + "1" + std::string(200'000, ')') + " }}"},
      {"long chain", "{{ 1" + std::string(100'000, '+') + "1 }}"},
      {"long name", "{{ " + std::string(1'000'000, 'n') + " }}"},
      {"long number", "{{ " + std::string(1'000'000, '9') + ".5e5 }}"},
      {"long comment", "{# " + std::string(1'000'000, '{')},
      {"many raws",
       [] {
         std::string text;
         for (int i = 0; i < 20'000; ++i) text += "{% raw %}{% x %}";
         return text;
       }()},
      {"endless macro", "{% macro f(n) %}{{ f(n) }}{{ f(n) }}{% endmacro %}{{ f(1) }}"},
      {"lookups through scopes",
       "{% macro f(n) %}{% for i in range(1000) %}{% set q = zz %}{% endfor %}"
       "{{ f(n) }}{% endmacro %}{{ f(1) }}"},
      {"power",
       "{% for i in range(100000) %}{% set q = (-1) ** 9223372036854775807 %}{% endfor %}"},
      {"long error", "{{ ('a' * 9000000).nothing.more }}"},
      {"long refusal", "{{ raise_exception('a' * 9000000) }}"},
      {"long filter", "{{ [1] | map('a' * 9000000) | list }}"},
      {"long time", "{{ strftime_now('%c' * 1000000) }}"},
      {"calls",
       "{% set f = namespace %}{% for i in range(100000) %}{% set q = f(a=1, b=2, c=3) %}"
       "{% endfor %}"},
      {"cycles of loops",
       "{% for i in range(100000) %}{% for j in [1] %}"
       "{{ loop.changed(loop.cycle) or '' }}{% endfor %}{% endfor %}"},
  };
}

void run(const std::string& name, const std::string& source) {
  static const Json messages = {{{"role", "user"}, {"content", std::string(100'000, 'm')}},
                                {{"role", "assistant"}, {"content", "hé"}}};
  SCOPED_TRACE(name);
  const double begin = thread_seconds();
  try {
    const ChatTemplate chat(source, "hostile.jinja", Json::object());
    (void)chat.render(messages, {.tools = Json::array({1})});
  } catch (const Error& error) {
    EXPECT_NE(error.code(), ErrorCode::kInternal);
    const std::string message = error.what();
    EXPECT_LT(message.size(), 5000u);
    if (!message.starts_with("the chat template refuses")) {
      EXPECT_TRUE(message.starts_with("chat template hostile.jinja: ")) << message;
    }
  }
  if (kMeasured) {
    EXPECT_LT(thread_seconds() - begin, 1.0);
  }
}

// Long conversations are no attack, even where a template looks at all messages for each of them.
TEST(HostileTemplates, LongConversationsRender) {
  Json messages = Json::array();
  for (int i = 0; i < 400; ++i) {
    messages.push_back({{"role", "user"}, {"content", std::string(1000, 'q')}});
    messages.push_back({{"role", "assistant"}, {"content", std::string(2000, 'a')}});
  }
  const std::string folder = TQ_TEST_DATA "/golden/templates/";
  for (const char* name : {"gemma3", "gemma4", "glm4", "qwen3", "smollm2", "tools"}) {
    const ChatTemplate chat(read_text_file(folder + name + ".jinja"), name, Json::object());
    EXPECT_GT(chat.render(messages).size(), 1'000'000u) << name;
  }
  const Json one = {{{"role", "user"}, {"content", std::string(5'000'000, 'q')}}};
  const ChatTemplate chat(read_text_file(folder + "qwen3.jinja"), "qwen3", Json::object());
  EXPECT_GT(chat.render(one).size(), 5'000'000u);
}

// Where instruments make all of them take minutes, each source still meets some of the sinks.
TEST(HostileTemplates, EndSoonAndStaySmall) {
  constexpr int kEvery = kMeasured ? 1 : 11;
  run("warm", "{{ messages[0].content | tojson }}");
  const double before = peak_megabytes();
  int n = 0;
  for (const Named& source : sources()) {
    for (const Named& sink : sinks()) {
      if (n++ % kEvery != 0) continue;
      run(fmt::format("{}: {}", source.name, sink.name), source.text + sink.text);
    }
  }
  for (const Named& whole : whole_templates()) {
    run(whole.name, whole.text);
    ++n;
  }
  EXPECT_GE(n, 400);
  if (kMeasured) {
    EXPECT_LT(peak_megabytes() - before, 64);
  }
}

}  // namespace
}  // namespace tq
