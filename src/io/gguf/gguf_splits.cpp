#include "io/gguf/gguf_splits.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/log.h"

namespace tq {
namespace {

Json byte_level(bool use_regex) {
  return {{"type", "ByteLevel"},
          {"add_prefix_space", false},
          {"trim_offsets", false},
          {"use_regex", use_regex}};
}

Json isolate(const std::string& regex) {
  return {{"type", "Split"},
          {"pattern", {{"Regex", regex}}},
          {"behavior", "Isolated"},
          {"invert", false}};
}

// The ways to split, and the values of tokenizer.ggml.pre that ask for each: those that llama.cpp
// (src/llama-vocab.cpp) splits by the same expression.
enum class Split : uint8_t {
  kGpt2,
  kDigitsGpt2,
  kLlama3,
  kThreeDigits,
  kQwen2,
  kQwen35,
  kTekken,
  kO200k,
  kDeepseekCoder,
  kDeepseekV3,
};

struct NamedSplit {
  std::string_view pre;
  Split split;
};

constexpr NamedSplit kSplits[] = {
    {"default", Split::kGpt2},
    {"gpt-2", Split::kGpt2},
    {"a.x-4.0", Split::kGpt2},
    {"exaone4", Split::kGpt2},
    {"gigachat", Split::kGpt2},
    {"granite-docling", Split::kGpt2},
    {"jais", Split::kGpt2},
    {"jina-de", Split::kGpt2},
    {"jina-es", Split::kGpt2},
    {"jina-v2-de", Split::kGpt2},
    {"jina-v2-es", Split::kGpt2},
    {"mellum", Split::kGpt2},
    {"modern-bert", Split::kGpt2},
    {"mpt", Split::kGpt2},
    {"olmo", Split::kGpt2},
    {"phi-2", Split::kGpt2},
    {"trillion", Split::kGpt2},
    {"smollm", Split::kDigitsGpt2},
    {"codeshell", Split::kDigitsGpt2},
    {"command-r", Split::kDigitsGpt2},
    {"exaone", Split::kDigitsGpt2},
    {"mellum2", Split::kDigitsGpt2},
    {"minerva-7b", Split::kDigitsGpt2},
    {"refact", Split::kDigitsGpt2},
    {"starcoder", Split::kDigitsGpt2},
    {"llama-bpe", Split::kLlama3},
    {"llama3", Split::kLlama3},
    {"llama-v3", Split::kLlama3},
    {"falcon-h1", Split::kLlama3},
    {"falcon3", Split::kLlama3},
    {"jina-v5-nano", Split::kLlama3},
    {"lfm2", Split::kLlama3},
    {"midm-2.0", Split::kLlama3},
    {"pixtral", Split::kLlama3},
    {"chatglm-bpe", Split::kThreeDigits},
    {"dbrx", Split::kThreeDigits},
    {"glm4", Split::kThreeDigits},
    {"smaug-bpe", Split::kThreeDigits},
    {"qwen2", Split::kQwen2},
    {"deepseek-r1-qwen", Split::kQwen2},
    {"f2llmv2", Split::kQwen2},
    {"grok-2", Split::kQwen2},
    {"hunyuan", Split::kQwen2},
    {"kormo", Split::kQwen2},
    {"megrez", Split::kQwen2},
    {"solar-open", Split::kQwen2},
    {"stablelm2", Split::kQwen2},
    {"qwen35", Split::kQwen35},
    {"tekken", Split::kTekken},
    {"gpt-4o", Split::kO200k},
    {"kanana2", Split::kO200k},
    {"llama4", Split::kO200k},
    {"minimax-m2", Split::kO200k},
    {"deepseek-coder", Split::kDeepseekCoder},
    {"deepseek-v3", Split::kDeepseekV3},
    {"hunyuan-dense", Split::kDeepseekV3},
    {"joyai-llm", Split::kDeepseekV3},
};

// Those whose tokenizer.json brings text into NFC first, as Qwen's does.
bool normalizes(std::string_view pre) {
  return pre == "qwen2" || pre == "qwen35" || pre == "deepseek-r1-qwen" || pre == "megrez";
}

Split find_split(const GgufFile& file, std::string_view pre) {
  for (const NamedSplit& named : kSplits) {
    if (named.pre == pre) return named.split;
  }
  std::string known;
  for (const NamedSplit& named : kSplits) {
    known += fmt::format("{}{}", known.empty() ? "" : " ", named.pre);
  }
  fail(ErrorCode::kUnsupported,
       "{}: tokenizer.ggml.pre \"{}\" is not supported: text cannot be split as the model was "
       "trained; prompts of token ids can be run (--tokens). Known are: {}",
       file.name(), pre, known);
}

// Words of upper case letters, then of lower case ones, and what may follow them: of tokenizers
// that part at a change of case.
std::string cased_words(const std::string& end) {
  const std::string kBefore = R"([^\r\n\p{L}\p{N}]?)";
  const std::string kUpper = R"([\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}])";
  const std::string kLower = R"([\p{Ll}\p{Lm}\p{Lo}\p{M}])";
  return kBefore + kUpper + "*" + kLower + "+" + end + "|" + kBefore + kUpper + "+" + kLower + "*" +
         end + "|";
}

// Of all but GPT-2's: the regexes that a text is split by, one after the other.
std::vector<std::string> regexes_of(Split split) {
  const std::string kContractions = R"((?i:'s|'t|'re|'ve|'m|'ll|'d))";
  const std::string kLetters = R"(|[^\r\n\p{L}\p{N}]?\p{L}+|)";
  const std::string kSpaces = R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
  const std::string kTail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*)" + kSpaces;
  const std::string kSlashTail = R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*)" + kSpaces;
  const std::string kDigit = R"(\p{N})";
  const std::string kThreeDigits = R"(\p{N}{1,3})";
  switch (split) {
    case Split::kGpt2:
    case Split::kDigitsGpt2:
      return {};
    case Split::kLlama3:
    case Split::kThreeDigits:
      return {kContractions + kLetters + kThreeDigits + kTail};
    case Split::kQwen2:
      return {kContractions + kLetters + kDigit + kTail};
    case Split::kQwen35:
      return {kContractions + R"(|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|)" + kDigit +
              R"(| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*)" + kSpaces};
    case Split::kTekken:
      return {cased_words("") + kDigit + kSlashTail};
    case Split::kO200k:
      return {cased_words(kContractions + "?") + kThreeDigits + kSlashTail};
    case Split::kDeepseekCoder:
      return {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)",
              "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+", kDigit};
    case Split::kDeepseekV3:
      return {kThreeDigits, "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
              R"re([!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+)re"
              R"(|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*)" +
                  kSpaces};
  }
  return {};
}

}  // namespace

Pipeline byte_level_pipeline(const GgufFile& file) {
  const std::string_view pre = file.string("tokenizer.ggml.pre").value_or("default");
  Pipeline pipeline;
  pipeline.decoder = byte_level(true);
  const Split split = find_split(file, pre);
  if (pre == "default") {
    warn("{}: the file does not say how its tokenizer splits words; GPT-2's way is assumed",
         file.name());
  }
  if (split == Split::kDigitsGpt2) {
    const Json digits = {{"type", "Digits"}, {"individual_digits", true}};
    pipeline.pre_tokenizer = {{"type", "Sequence"}, {"pretokenizers", {digits, byte_level(true)}}};
  } else if (split == Split::kGpt2) {
    pipeline.pre_tokenizer = byte_level(true);
  } else {
    Json steps = Json::array();
    for (const std::string& regex : regexes_of(split)) steps.push_back(isolate(regex));
    steps.push_back(byte_level(false));
    pipeline.pre_tokenizer = {{"type", "Sequence"}, {"pretokenizers", std::move(steps)}};
  }
  pipeline.ignore_merges = split == Split::kLlama3 || split == Split::kTekken;
  if (normalizes(pre)) pipeline.normalizer = {{"type", "NFC"}};
  return pipeline;
}

}  // namespace tq
