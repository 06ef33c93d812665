#include "convert/quality.h"

#include <algorithm>
#include <iterator>

namespace tq {
namespace {

struct Row {
  ModelShape shape;
  MeasuredQuality quality;
};

// bench/quality.sh SRC TEXT 1500, with the beginning of the GPL (docs/convert.md) for TEXT, printed
// these.
// clang-format off
constexpr Row kRows[] = {
    {{"llama", 576, 30, 134515008}, {"SmolLM2-135M-Instruct.Q4_1.gguf", "auto", 0.0260, 0.0015, 1.0202}},
    {{"llama", 576, 30, 134515008}, {"SmolLM2-135M-Instruct.Q4_1.gguf", "tq8", 0.0024, 0.0001, 0.9965}},
    {{"llama", 576, 30, 134515008}, {"SmolLM2-135M-Instruct.Q4_1.gguf", "tq6", 0.0260, 0.0015, 1.0202}},
    {{"llama", 576, 30, 134515008}, {"SmolLM2-135M-Instruct.Q4_1.gguf", "tq5", 0.0831, 0.0032, 1.0964}},
    {{"llama", 576, 30, 134515008}, {"SmolLM2-135M-Instruct.Q4_1.gguf", "tq4", 0.3234, 0.0114, 1.3724}},
    {{"llama", 576, 30, 134515008}, {"SmolLM2-135M-Instruct.Q4_1.gguf", "tq3", 4.4422, 0.0694, 89.1855}},
    {{"llama", 576, 30, 134515008}, {"SmolLM2-135M-Instruct.Q4_1.gguf", "tq2", 10.6015, 0.0930, 33473.0750}},
    {{"gemma3_text", 640, 18, 268098176}, {"gemma-3-270m-q4_k_m.gguf", "auto", 0.0228, 0.0009, 1.0132}},
    {{"gemma3_text", 640, 18, 268098176}, {"gemma-3-270m-q4_k_m.gguf", "tq8", 0.0023, 0.0001, 1.0002}},
    {{"gemma3_text", 640, 18, 268098176}, {"gemma-3-270m-q4_k_m.gguf", "tq6", 0.0228, 0.0009, 1.0132}},
    {{"gemma3_text", 640, 18, 268098176}, {"gemma-3-270m-q4_k_m.gguf", "tq5", 0.0631, 0.0018, 1.0710}},
    {{"gemma3_text", 640, 18, 268098176}, {"gemma-3-270m-q4_k_m.gguf", "tq4", 0.2805, 0.0067, 1.3001}},
    {{"gemma3_text", 640, 18, 268098176}, {"gemma-3-270m-q4_k_m.gguf", "tq3", 1.7196, 0.0320, 5.1369}},
    {{"gemma3_text", 640, 18, 268098176}, {"gemma-3-270m-q4_k_m.gguf", "tq2", 10.0384, 0.1013, 21467.2727}},
    {{"qwen2", 896, 24, 630167424}, {"qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "auto", 0.0330, 0.0010, 1.0920}},
    {{"qwen2", 896, 24, 630167424}, {"qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "tq8", 0.0015, 0.0000, 0.9961}},
    {{"qwen2", 896, 24, 630167424}, {"qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "tq6", 0.0131, 0.0005, 1.0416}},
    {{"qwen2", 896, 24, 630167424}, {"qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "tq5", 0.0503, 0.0016, 1.1268}},
    {{"qwen2", 896, 24, 630167424}, {"qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "tq4", 0.1476, 0.0050, 1.1931}},
    {{"qwen2", 896, 24, 630167424}, {"qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "tq3", 0.5197, 0.0144, 1.9372}},
    {{"qwen2", 896, 24, 630167424}, {"qwen2.5-coder-0.5b-instruct-q4_k_m.gguf", "tq2", 2.0639, 0.0437, 8.8241}},
    {{"qwen2", 1536, 28, 1777088000}, {"qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "auto", 0.0234, 0.0024, 1.0308}},
    {{"qwen2", 1536, 28, 1777088000}, {"qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "tq8", 0.0011, 0.0001, 0.9984}},
    {{"qwen2", 1536, 28, 1777088000}, {"qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "tq6", 0.0111, 0.0012, 1.0028}},
    {{"qwen2", 1536, 28, 1777088000}, {"qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "tq5", 0.0281, 0.0028, 1.0399}},
    {{"qwen2", 1536, 28, 1777088000}, {"qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "tq4", 0.1450, 0.0138, 1.2237}},
    {{"qwen2", 1536, 28, 1777088000}, {"qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "tq3", 0.6567, 0.0479, 2.2582}},
    {{"qwen2", 1536, 28, 1777088000}, {"qwen2.5-coder-1.5b-instruct-q4_k_m.gguf", "tq2", 2.1239, 0.0883, 10.0279}},
};
// clang-format on

}  // namespace

const MeasuredQuality* find_quality(const ModelShape& shape, std::string_view plan) {
  const auto found = std::find_if(std::begin(kRows), std::end(kRows), [&](const Row& row) {
    return row.shape == shape && row.quality.plan == plan;
  });
  return found == std::end(kRows) ? nullptr : &found->quality;
}

}  // namespace tq
