// tq tokenize: the token ids of a text, or of many (one JSON string a line).
#include <fmt/format.h>

#include <memory>
#include <sstream>
#include <string>

#include "base/error.h"
#include "cli/command.h"
#include "cli/result.h"
#include "session/load.h"

namespace tq {
namespace {

struct TokenizeOptions {
  std::string model;
  std::string text;
  std::string file;
  std::string export_folder;
  bool no_bos = false;
  bool plain = false;
};

std::shared_ptr<const Tokenizer> open_tokenizer(const TokenizeOptions& options) {
  // A model that cannot be run has a tokenizer all the same.
  const auto checkpoint = open_checkpoint(options.model, {.inspect = true});
  const auto json = checkpoint->text_file("tokenizer.json");
  if (const auto problem = checkpoint->tokenizer_problem()) throw *problem;
  if (!json && checkpoint->problem()) throw *checkpoint->problem();
  if (!json) fail(ErrorCode::kNotFound, "{} has no tokenizer.json", options.model);
  const std::string config = checkpoint->text_file("tokenizer_config.json").value_or("");
  if (!options.export_folder.empty()) {
    const fs::path folder = options.export_folder;
    write_file_atomic(folder / "tokenizer.json", *json);
    if (!config.empty()) write_file_atomic(folder / "tokenizer_config.json", config);
  }
  return read_tokenizer(*checkpoint);
}

// {"ids": [...], "text": what they decode to, special tokens left out}
Json describe(const std::shared_ptr<const Tokenizer>& tokenizer, const std::vector<int32_t>& ids) {
  StreamDetokenizer detokenizer(tokenizer, /*skip_special=*/true);
  std::string text;
  for (const int32_t id : ids) text += detokenizer.push(id);
  text += detokenizer.finish();
  return {{"ids", ids}, {"text", text}};
}

void tokenize_file(const TokenizeOptions& options,
                   const std::shared_ptr<const Tokenizer>& tokenizer,
                   const EncodeTextOptions& encode) {
  constexpr int64_t kMaxBytes = int64_t{1} << 30;
  std::istringstream file(read_text_file(options.file, kMaxBytes));
  int64_t number = 0;
  for (std::string line; std::getline(file, line);) {
    const std::string name = fmt::format("{}:{}", options.file, ++number);
    const Json text = parse_json(line, name);
    if (!text.is_string()) fail(ErrorCode::kInvalidArgument, "{}: not a JSON string", name);
    print_json(describe(tokenizer, tokenizer->encode(text.get<std::string>(), encode)));
  }
  if (number == 0) fail(ErrorCode::kInvalidArgument, "{}: an empty file", options.file);
}

void run_tokenize(const TokenizeOptions& options, const GlobalOptions& global) {
  const bool exports = !options.export_folder.empty();
  if (options.text.empty() == options.file.empty() && !(exports && options.text.empty())) {
    fail(ErrorCode::kInvalidArgument, "give either a text or --file");
  }
  const auto tokenizer = open_tokenizer(options);
  const EncodeTextOptions encode{.add_special = !options.no_bos, .parse_special = !options.plain};
  if (!options.file.empty()) return tokenize_file(options, tokenizer, encode);
  if (options.text.empty()) return;  // the export was all
  const std::vector<int32_t> ids = tokenizer->encode(options.text, encode);
  if (global.json) {
    Json json = result_json("tokenize");
    json["model"] = options.model;
    json.update(describe(tokenizer, ids));
    return print_json(json);
  }
  std::string lines;
  for (const int32_t id : ids) {
    const Json bytes = tokenizer->token_bytes(id);
    lines += fmt::format("{:>7} {}\n", id, json_line(bytes));
  }
  print_text(lines);
}

}  // namespace

void add_tokenize(CLI::App& app, const GlobalOptions& global) {
  CLI::App* command = app.add_subcommand("tokenize", "Show the token ids of a text");
  const auto options = std::make_shared<TokenizeOptions>();
  command->add_option("MODEL", options->model, "Checkpoint folder or GGUF file")->required();
  command->add_option("TEXT", options->text, "The text");
  command->add_option("--file", options->file, "Texts instead, one JSON string a line");
  command->add_option("--export", options->export_folder,
                      "Write the model's tokenizer.json and tokenizer_config.json to this folder");
  command->add_flag("--no-bos", options->no_bos, "Leave out BOS and EOS");
  command->add_flag("--plain", options->plain, "Special tokens in the text are ordinary text");
  add_examples(*command,
               {"tq tokenize ./Qwen3-8B \"Hello world\"", "tq tokenize model.gguf \"Hello\" --json",
                "tq tokenize model.gguf --export ./tokenizer"});
  command->callback([options, &global] { run_tokenize(*options, global); });
}

}  // namespace tq
