#include "io/gguf/gguf_config.h"

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

#include "base/error.h"
#include "io/gguf/arch/archs.h"
#include "io/gguf/arch/decoder.h"
#include "io/gguf/gguf_metadata.h"

namespace tq {
namespace {

// Tokens that end a turn in the chat formats of these architectures.
constexpr std::string_view kTurnEnds[] = {"<|im_end|>", "<|eot_id|>", "<end_of_turn>"};

// --- The architectures that are read ---

constexpr const GgufArch* kArchs[] = {
    &kGgufLlama,    &kGgufQwen2,   &kGgufGemma3,    &kGgufQwen3, &kGgufQwen3Moe, &kGgufGemma4,
    &kGgufMistral3, &kGgufSmolLm3, &kGgufDeepseek2, &kGgufPhi3,  &kGgufGptOss,
};

}  // namespace

const GgufArch& gguf_arch(const GgufFile& file) {
  const auto name = file.string("general.architecture");
  if (!name) {
    fail(ErrorCode::kCorrupt, "{}: metadata key general.architecture is missing", file.name());
  }
  std::string known;
  for (const GgufArch* arch : kArchs) {
    if (arch->name == *name) return *arch;
    known += fmt::format("{}{}", known.empty() ? "" : ", ", arch->name);
  }
  fail(ErrorCode::kUnsupported, "{}: GGUF architecture {} is not supported; supported are {}",
       file.name(), *name, known);
}

Json gguf_config(const GgufFile& file, std::span<const std::string> ignored) {
  const GgufArch& arch = gguf_arch(file);
  GgufMetadata metadata(file, arch.name, ignored);
  Json config = arch.config(metadata);
  metadata.refuse_unread();
  return config;
}

Json gguf_generation_config(const GgufFile& file) {
  Json config = Json::object();
  if (const auto bos = gguf_token_id(file, "bos")) config["bos_token_id"] = *bos;
  std::vector<int64_t> ends;
  const auto add = [&](int64_t id) {
    if (std::find(ends.begin(), ends.end(), id) == ends.end()) ends.push_back(id);
  };
  for (const char* name : {"eos", "eot", "eom"}) {
    if (const auto id = gguf_token_id(file, name)) add(*id);
  }
  // Many files name only the end of a document, not the end of a turn.
  const auto tokens = file.strings("tokenizer.ggml.tokens");
  for (size_t id = 0; tokens && id < tokens->size(); ++id) {
    const auto token = (*tokens)[id];
    if (std::find(std::begin(kTurnEnds), std::end(kTurnEnds), token) != std::end(kTurnEnds)) {
      add(static_cast<int64_t>(id));
    }
  }
  if (!ends.empty()) config["eos_token_id"] = ends;
  return config;
}

}  // namespace tq
