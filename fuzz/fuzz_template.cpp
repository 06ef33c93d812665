// Fuzzes chat templates: any text is refused with a tq::Error, or renders within the limits or
// fails with one. The text follows statements that leave values which hold themselves or are held
// many times over in `own`, `twice`, `chain`, `deep` and `again`.
#include <cstdint>
#include <string>
#include <string_view>

#include "base/error.h"
#include "text/jinja/interpreter.h"

namespace {

constexpr std::string_view kAliases =
    "{% set own = namespace(n=0, list=[], dict={}) %}{% set own.own = own %}"
    "{% set own.list = [own, own] %}{% set own.dict = {'k': own, 'l': own.list} %}"
    "{% set twice = namespace(v=['x']) %}{% for i in range(40) %}"
    "{% set twice.v = [twice.v, twice.v] %}{% endfor %}{% set twice = twice.v %}"
    "{% set chain = namespace(v=1) %}{% for i in range(60) %}"
    "{% set chain.v = namespace(v=chain.v, own=own) %}{% endfor %}"
    "{% set deep = namespace(v={}) %}{% for i in range(190) %}"
    "{% set deep.v = {'k': deep.v} %}{% endfor %}{% set deep = deep.v %}"
    "{% set again = namespace() %}{% for x in [own] %}{% set again.loop = loop %}{% endfor %}";

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using tq::jinja::Value;
  static const Value messages = Value::from_json(tq::Json::parse(
      R"([{"role": "system", "content": "s"}, {"role": "user", "content": " hé \n"},
          {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f",
           "arguments": {"a": [1, 2.5, true]}}}]}, {"role": "tool", "content": "42"}])"));
  static const Value tools = Value::from_json(tq::Json::parse(
      R"([{"type": "function", "function": {"name": "f", "description": "d", "parameters":
           {"type": "object", "required": ["a"], "properties": {"a": {"type": "string",
            "enum": ["x"]}, "b": {"type": "array", "items": {"type": ["integer", "null"]}}}}}}])"));
  // Production's limits of depth and memory. Sanitizers make each step many times slower.
  constexpr int64_t kSlower = 25;
  tq::jinja::Limits limits = tq::jinja::limits_for_input(size);
  limits.max_steps /= kSlower;
  try {
    const tq::jinja::Block block =
        tq::jinja::parse(std::string(kAliases).append(reinterpret_cast<const char*>(data), size));
    tq::jinja::Dict variables;
    variables.set(Value(std::string("messages")), messages);
    variables.set(Value(std::string("tools")), tools);
    variables.set(Value(std::string("enable_thinking")), Value(true));
    variables.set(Value(std::string("add_generation_prompt")), Value(true));
    tq::jinja::Interpreter interpreter(limits, 1'700'000'000);
    (void)interpreter.render(block, variables);
  } catch (const tq::Error& e) {
    if (e.code() == tq::ErrorCode::kInternal) __builtin_trap();
  }
  return 0;
}
