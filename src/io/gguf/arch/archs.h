// The architectures of GGUF files that are read, each in a file of its own; the list is in
// gguf_config.cpp.
#pragma once

#include "io/gguf/gguf_config.h"

namespace tq {

extern const GgufArch kGgufLlama;
extern const GgufArch kGgufMistral3;
extern const GgufArch kGgufSmolLm3;
extern const GgufArch kGgufQwen2;
extern const GgufArch kGgufQwen3;
extern const GgufArch kGgufQwen3Moe;
extern const GgufArch kGgufGemma3;
extern const GgufArch kGgufGemma4;
extern const GgufArch kGgufDeepseek2;
extern const GgufArch kGgufPhi3;
extern const GgufArch kGgufGptOss;

}  // namespace tq
