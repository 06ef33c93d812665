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
  kDeepseekLlm,
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
    {"deepseek-llm", Split::kDeepseekLlm},
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

// Letters that have a case, as DeepSeek LLM's tokenizer lists them: those of an older Unicode, and
// not all of them.
constexpr char kDeepseekCased[] =
    "A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293"
    "\u0295-\u02af\u0370-\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c"
    "\u038e-\u03a1\u03a3-\u03f5\u03f7-\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5"
    "\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf\u1d00-\u1d2b\u1d6b-\u1d77"
    "\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-\u1f57\u1f59"
    "\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc"
    "\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107"
    "\u210a-\u2113\u2115\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139"
    "\u213c-\u213f\u2145-\u2149\u214e\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee"
    "\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-\ua76f\ua771-\ua787\ua78b-\ua78e"
    "\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a"
    "\U00010400-\U0001044f\U000104b0-\U000104d3\U000104d8-\U000104fb\U00010c80-\U00010cb2"
    "\U00010cc0-\U00010cf2\U000118a0-\U000118df\U0001e900-\U0001e943";

// Of all but GPT-2's: the regexes that a text is split by, one after the other.
std::vector<std::string> regexes_of(Split split) {
  const std::string kContractions = R"((?i:'s|'t|'re|'ve|'m|'ll|'d))";
  const std::string kLetters = R"(|[^\r\n\p{L}\p{N}]?\p{L}+|)";
  const std::string kSpaces = R"(|\s*[\r\n]+|\s+(?!\S)|\s+)";
  const std::string kTail = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*)" + kSpaces;
  const std::string kSlashTail = R"(| ?[^\s\p{L}\p{N}]+[\r\n/]*)" + kSpaces;
  const std::string kDigit = R"(\p{N})";
  const std::string kHanHangul = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+";
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
    case Split::kDeepseekLlm:
      return {R"([\r\n])",
              fmt::format(R"(\s?[{}]+)", kDeepseekCased),
              "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+",
              R"(\s+$)",
              kHanHangul,
              R"(\p{N}+)"};
    case Split::kDeepseekCoder:
      return {R"([\r\n])", R"(\s?\p{L}+)", R"(\s?\p{P}+)", kHanHangul, kDigit};
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
