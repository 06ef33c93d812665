// The tokenizer of synthetic models: a token a byte, and one that ends a text. Rows of the
// vocabulary beyond those have no token. Pure functions.
#pragma once

#include <cstdint>
#include <string>

namespace tq {

constexpr int32_t kSynthEosId = 256;  // after the bytes

std::string synth_tokenizer_json();
std::string synth_tokenizer_config_json();

}  // namespace tq
