#include "io/synth/synth_tokenizer.h"

#include "base/json.h"

namespace tq {
namespace {

constexpr const char* kEosToken = "<|end|>";

// How byte-level vocabularies write a byte (GPT-2's bytes_to_unicode): printable Latin-1 stands for
// itself, the others for the characters from U+0100 on, in order.
std::string byte_token(int byte) {
  const auto is_printable = [](int b) {
    return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b != 0xad);
  };
  int code = byte;
  if (!is_printable(byte)) {
    code = 0x100;
    for (int b = 0; b < byte; ++b) code += is_printable(b) ? 0 : 1;
  }
  if (code < 0x80) return {static_cast<char>(code)};
  return {static_cast<char>(0xc0 | (code >> 6)), static_cast<char>(0x80 | (code & 0x3f))};
}

}  // namespace

std::string synth_tokenizer_json() {
  Json vocab = Json::object();
  for (int byte = 0; byte < kSynthEosId; ++byte) vocab[byte_token(byte)] = byte;
  const Json byte_level = {{"type", "ByteLevel"},
                           {"add_prefix_space", false},
                           {"trim_offsets", false},
                           {"use_regex", false}};
  const Json eos = {{"id", kSynthEosId}, {"content", kEosToken}, {"single_word", false},
                    {"lstrip", false},   {"rstrip", false},      {"normalized", false},
                    {"special", true}};
  const Json tokenizer = {
      {"version", "1.0"},
      {"added_tokens", Json::array({eos})},
      {"normalizer", nullptr},
      {"pre_tokenizer", byte_level},
      {"post_processor", nullptr},
      {"decoder", byte_level},
      {"model", {{"type", "BPE"}, {"vocab", std::move(vocab)}, {"merges", Json::array()}}}};
  return tokenizer.dump(1) + "\n";
}

std::string synth_tokenizer_config_json() {
  return Json({{"tokenizer_class", "PreTrainedTokenizerFast"}, {"eos_token", kEosToken}}).dump(1) +
         "\n";
}

}  // namespace tq
