// Fuzzes --rules files: any text either is a list of rules, each of which matches or does not, or
// is refused with a tq::Error.
#include <cstdint>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "convert/rules.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    const std::vector<tq::Rule> rules =
        tq::parse_rules(tq::parse_json(text, "rules.json"), "rules.json");
    for (const char* name : {"model.layers.11.mlp.down_proj.weight", "lm_head.weight", ""}) {
      (void)tq::first_match(rules, name);
    }
  } catch (const tq::Error&) {
  }
  return 0;
}
