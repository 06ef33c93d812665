#include "cli/model_options.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "cli/option_flags.h"
#include "cli/progress.h"
#include "convert/class_formats.h"

namespace tq {

void add_ignore_config(CLI::App& command, std::vector<std::string>& fields) {
  visit_ignore_config(fields, OptionFlags(command, "Model"));
  command.get_option("--ignore-config")->type_name("FIELD");
}

void add_model_options(CLI::App& command, ModelOptions& options, const std::string& default_ctx) {
  command
      .add_option("MODEL", options.path,
                  "Folder or file: native, Hugging Face or GGUF; ORG/NAME[:Q4_K_M] of the Hugging "
                  "Face hub; or synth:NAME")
      ->required();
  visit_options(
      options,
      OptionFlags(command, "Model",
                  {{"presets", preset_names()},
                   {"default", default_ctx},
                   {"kv", std::string(kv_format_traits(default_kv_format()).name)},
                   {"exact_kv", std::string(kv_format_traits(default_kv_format(true)).name)}}));
  command.get_option("--ignore-config")->type_name("FIELD");
  command.get_option("--preset")->excludes(command.get_option("--format"));
  if (options.ctx == kLongestContext) command.get_option("--ctx")->default_str("auto");
}

void add_sampling_options(CLI::App& command, SamplingOptions& options) {
  visit_options(
      options,
      OptionFlags(command, "Sampling (defaults: the model's generation_config.json, or greedy)"));
}

LoadedModel open_model(const ModelOptions& options, const ModelNeeds& needs,
                       const GlobalOptions& global) {
  Progress progress(global, "loading", ProgressUnit::kBytes);
  return open_model(options, needs,
                    [&](int64_t done, int64_t total) { progress.update(done, total); });
}

std::vector<int32_t> read_token_file(const std::string& path, int64_t vocab) {
  const Json json = parse_json(read_text_file(path), path);
  if (!json.is_array()) fail(ErrorCode::kCorrupt, "{}: not a JSON list of token ids", path);
  std::vector<int32_t> ids;
  for (const Json& item : json) {
    if (!item.is_number_integer()) {
      fail(ErrorCode::kCorrupt, "{}: {} is not a token id", path, json_for_message(item));
    }
    const auto id = json_integer(item, 0, std::min<int64_t>(vocab - 1, INT32_MAX));
    if (!id) {
      fail(ErrorCode::kInvalidArgument, "{}: token id {}: ids are 0 to {}", path, item.dump(),
           vocab - 1);
    }
    ids.push_back(static_cast<int32_t>(*id));
  }
  if (ids.empty()) fail(ErrorCode::kInvalidArgument, "{}: an empty list of token ids", path);
  return ids;
}

}  // namespace tq
