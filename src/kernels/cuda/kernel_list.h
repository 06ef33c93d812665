// The kernels of this build where an operator has several, found by asking the lists that calls are
// dispatched by. Needs no GPU; thread safe.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace tq::cuda {

// One of the kernels that run an operator with weights (or a KV cache) of a format.
struct KernelUse {
  std::string_view op;    // "matmul_experts"
  std::string format;     // "tq3", "kv f16"
  int group;              // 0: without groups
  std::string_view tier;  // that forces it, or "any"
  std::string_view kernel;
  std::string_view limits;  // what it depends on besides
  // Tokens (of a matrix, for products of large ones) for which kAuto takes it; to 0: none, -1: all
  // others.
  int64_t from = 0;
  int64_t to = 0;
};
// The kernels of one operator, format and group stand in the order in which they are tried, once
// for every range of numbers of tokens for which kAuto takes them.
std::vector<KernelUse> list_product_kernels();
std::vector<KernelUse> list_attention_kernels();

}  // namespace tq::cuda
