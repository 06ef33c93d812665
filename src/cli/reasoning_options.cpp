#include "cli/reasoning_options.h"

#include "base/error.h"
#include "cli/command.h"
#include "cli/values.h"

namespace tq {
namespace {

constexpr const char* kSwitch = "enable_thinking";

}  // namespace

Json ReasoningOptions::template_variables(const ChatTemplate& chat_template) const {
  Json variables = Json::object();
  if (think.empty()) return variables;
  if (chat_template.source().find(kSwitch) == std::string::npos) {
    fail(ErrorCode::kInvalidArgument, "--think {}: this model's chat template has no {}", think,
         kSwitch);
  }
  variables[kSwitch] = think == "on";
  return variables;
}

void add_reasoning_options(CLI::App& command, ReasoningOptions& options) {
  constexpr const char* kGroup = "Reasoning (models that think before they answer)";
  command
      .add_option("--think", options.think,
                  "Whether to think; without it as the model's chat template has it")
      ->check(one_of({"on", "off"}))
      ->group(kGroup);
  command
      .add_option("--reasoning", options.show,
                  "Print the reasoning before the answer; auto does on a terminal")
      ->check(one_of({"auto", "show", "hide"}))
      ->group(kGroup);
}

}  // namespace tq
