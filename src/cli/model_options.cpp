#include "cli/model_options.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "cli/progress.h"
#include "cli/sizes.h"
#include "cli/values.h"
#include "convert/class_formats.h"

namespace tq {
namespace {

// A number of tokens, or "auto".
CLI::Validator context_value() {
  const CLI::Validator tokens = token_count(0, int64_t{1} << 24);
  const auto read = [tokens](std::string& text) {
    if (text != "auto") return tokens(text);
    text = std::to_string(kLongestContext);
    return std::string();
  };
  return {read, "TOKENS or auto", "context"};
}

}  // namespace

void add_ignore_config(CLI::App& command, std::vector<std::string>& fields) {
  command
      .add_option("--ignore-config", fields,
                  "Take a field of config.json (of GGUF: a metadata key) as if it were not there; "
                  "may be given again")
      ->type_name("FIELD")
      ->allow_extra_args(false)
      ->group("Model");
}

void add_model_options(CLI::App& command, ModelOptions& options, const std::string& default_ctx) {
  constexpr const char* kGroup = "Model";
  command
      .add_option("MODEL", options.path,
                  "Folder or file: native, Hugging Face or GGUF; or synth:NAME")
      ->required();
  CLI::Option* format =
      command
          .add_option("--format", options.format,
                      "Compress at load to this storage format, as tq convert plans it (fast "
                      "effort); without it weights stay as stored, and synthetic ones become auto")
          ->check(format_value())
          ->group(kGroup);
  command
      .add_option("--preset", options.preset,
                  "Compress at load to a format for each class of tensors: " + preset_names())
      ->excludes(format)
      ->group(kGroup);
  command
      .add_flag("--exact", options.exact,
                "Compute with fp32 activations and KV cache throughout (slower)")
      ->group(kGroup);
  command
      .add_option(
          "--device", options.device,
          "Where to compute: cpu, cuda, cuda:N, or auto: a GPU if there is one (tq devices)")
      ->group(kGroup);
  command
      .add_option("--gpu-memory", options.gpu_memory,
                  "GPU memory to use at most, such as 12GiB; without it what is free")
      ->transform(byte_size())
      ->group(kGroup);
  command
      .add_option(
          "--kernels", options.kernels,
          "Matrix products of the GPU: auto, or only those of one tier (tq devices --kernels)")
      ->check(one_of({"auto", "fused", "dequant", "reference"}))
      ->group(kGroup);
  command
      .add_flag("--batch-invariant", options.batch_invariant,
                "GPU: the same bits for a sequence whatever else is in its batch (slower for few)")
      ->group(kGroup);
  command.add_option("--threads", options.threads, "CPU threads; 0 is every CPU available")
      ->check(CLI::Range(0, 4096))
      ->group(kGroup);
  command
      .add_option("--ctx,--max-model-len", options.ctx,
                  "Context in tokens; 0 is " + default_ctx +
                      ", or the model's own if that is less; auto: the longest that fits in memory")
      ->transform(context_value())
      ->default_str(options.ctx == kLongestContext ? "auto" : std::to_string(options.ctx))
      ->group(kGroup);
  command
      .add_option("--kv-dtype", options.kv_format,
                  fmt::format("Type of the KV cache; auto is {}, with --exact {}",
                              kv_format_traits(default_kv_format()).name,
                              kv_format_traits(default_kv_format(true)).name))
      ->check(kv_format_value({"auto"}))
      ->group(kGroup);
  command.add_option("--batch", options.batch, "Tokens of one forward pass at most")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 16))
      ->group(kGroup);
  add_ignore_config(command, options.ignore_config);
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
