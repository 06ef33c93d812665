// The command line's side of session/options.h: a flag for each option.
#pragma once

#include <CLI/CLI.hpp>
#include <map>
#include <string>
#include <vector>

#include "session/options.h"

namespace tq {

// The visitor of visit_options() that adds flags to a command. The variables must outlive it.
class OptionFlags {
 public:
  // words: what stands for {name} in help texts.
  OptionFlags(CLI::App& command, std::string group, std::map<std::string, std::string> words = {})
      : command_(command), group_(std::move(group)), words_(std::move(words)) {}

  void operator()(const OptionText& text, bool& variable, AnyValue /*values*/) {
    command_.add_flag(flags(text), variable, help(text))->group(group_);
  }
  void operator()(const OptionText& text, bool& variable, Switch /*values*/) {
    const std::string name(text.name);
    command_.add_flag("--" + name + ",!--no-" + name, variable, help(text))->group(group_);
  }
  void operator()(const OptionText& text, std::vector<std::string>& variable, AnyValue /*values*/) {
    command_.add_option(flags(text), variable, help(text))->allow_extra_args(false)->group(group_);
  }
  template <typename T, typename Values>
  void operator()(const OptionText& text, T& variable, const Values& values) {
    limit(*command_.add_option(flags(text), variable, help(text))->group(group_), values);
  }

 private:
  // "-n,--max-tokens"
  static std::string flags(const OptionText& text);
  std::string help(const OptionText& text) const;

  static void limit(CLI::Option& /*option*/, AnyValue /*values*/) {}
  static void limit(CLI::Option& option, const OneOf& values);
  static void limit(CLI::Option& option, const Range& values);
  static void limit(CLI::Option& option, FormatName values);
  static void limit(CLI::Option& option, KvFormatName values);
  static void limit(CLI::Option& option, ByteSize values);
  static void limit(CLI::Option& option, ContextLength values);
  static void limit(CLI::Option& option, TokenCount values);
  static void limit(CLI::Option& option, StoredKvFormat values);
  static void limit(CLI::Option& option, const Decimals& values);
  static void limit(CLI::Option& option, Seed values);

  CLI::App& command_;
  std::string group_;
  std::map<std::string, std::string> words_;
};

}  // namespace tq
