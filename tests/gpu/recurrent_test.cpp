// Layers that keep a state, against their definitions in double and the CPU's portable kernels.
#include "support/recurrent.h"

#include <array>

#include "gpu_testing.h"

namespace tq {
namespace {

using fixtures::cpu;
using fixtures::DeltaCase;
using fixtures::OnDevice;
using fixtures::RaggedStates;
using fixtures::random_floats;
using fixtures::relative_error;
using fixtures::same_bits;

// The batch's arrays and states on the GPU.
struct DeviceStates {
  explicit DeviceStates(RaggedStates& host)
      : q_begin(host.q_begin()),
        kv_len(host.kv_len()),
        slots(host.slot_numbers()),
        memory(host.memory()),
        stride(host.slots().stride),
        batch(host.batch()) {
    batch.q_begin = q_begin.get();
    batch.kv_len = kv_len.get();
    batch.states = slots.get();
  }

  OnDevice<int32_t> q_begin, kv_len, slots;
  OnDevice<float> memory;
  int64_t stride;
  RaggedBatch batch;
};

TEST(GpuRecurrent, SigmoidGateEqualsTheCpu) {
  for (const bool per_row : {false, true}) {
    const int64_t dim = 65, rows = 7, stride = per_row ? 1 : 130;
    std::vector<float> expected = random_floats(rows * dim, 1);
    const std::vector<float> gate = random_floats(rows * stride, 2, 4.0f);
    const OnDevice<float> x(expected), device_gate(gate);
    cpu(false).sigmoid_gate({expected.data(), gate.data(), rows, dim, stride, per_row});
    cuda::sigmoid_gate({x.get(), device_gate.get(), rows, dim, stride, per_row}, nullptr);
    EXPECT_LT(relative_error(x.read(), expected), 1e-6);
  }
}

TEST(GpuRecurrent, GatedNormEqualsTheCpu) {
  for (const int64_t dim : {1, 20, 128, 257}) {
    const std::vector<float> x = random_floats(11 * dim, 3, 0.01f);
    const std::vector<float> gate = random_floats(11 * dim, 4, 3.0f),
                             weight = random_floats(dim, 5);
    const OnDevice<float> out(x), device_gate(gate), device_weight(weight);
    std::vector<float> expected = x;
    cpu(false).gated_norm({x.data(), gate.data(), weight.data(), 1e-4f, 11, dim, expected.data()});
    cuda::gated_norm({out.get(), device_gate.get(), device_weight.get(), 1e-4f, 11, dim, out.get()},
                     nullptr);
    EXPECT_LT(relative_error(out.read(), expected), 2e-6);
  }
}

TEST(GpuRecurrent, ShortConvolutionEqualsTheCpu) {
  for (const auto& [dim, width] : {std::pair<int64_t, int64_t>{83, 4}, {256, 2}, {40, 8}}) {
    RaggedStates states({{0, 9}, {4, 1}, {0, 2}, {0, 19}}, (width - 1) * dim + 5);
    DeviceStates device(states);
    const std::vector<float> x = random_floats(31 * dim, 6), weight = random_floats(width * dim, 7);
    const OnDevice<float> device_x(x), device_weight(weight);
    std::vector<float> expected(static_cast<size_t>(31 * dim));
    const auto out = OnDevice<float>::poisoned(31 * dim);
    cpu(false).short_conv(
        {states.batch(), states.slots(), x.data(), weight.data(), dim, width, expected.data()});
    cuda::short_conv({device.batch,
                      {device.memory.get(), device.stride},
                      device_x.get(),
                      device_weight.get(),
                      dim,
                      width,
                      out.get()},
                     nullptr);
    EXPECT_LT(relative_error(out.read(), expected), 2e-6);
    EXPECT_TRUE(same_bits(device.memory.read(), states.memory()));
  }
}

TEST(GpuRecurrent, DeltaRuleMatchesDoublePrecision) {
  for (const auto& [k_heads, heads, k_dim, v_dim] : {std::array<int64_t, 4>{1, 1, 1, 1},
                                                     {2, 6, 24, 20},
                                                     {1, 2, 15, 67},
                                                     {2, 2, 130, 128},
                                                     {2, 4, 128, 128},
                                                     {1, 1, 64, 16}}) {
    DeltaCase test({{0, 70}, {5, 1}, {3, 4}, {0, 1}}, k_heads, heads, k_dim, v_dim);
    const std::vector<double> expected = test.reference();
    DeviceStates device(test.states());
    DeltaRuleArgs args = test.args();
    const auto copy = [](const float* from, int64_t n) {
      return OnDevice<float>(std::vector<float>(from, from + n));
    };
    const int64_t tokens = args.batch.tokens;
    const auto qkv = copy(args.qkv, tokens * args.row());
    const auto a = copy(args.a, tokens * heads), b = copy(args.b, tokens * heads);
    const auto a_log = copy(args.a_log, heads), dt_bias = copy(args.dt_bias, heads);
    const auto out = OnDevice<float>::poisoned(tokens * heads * v_dim);
    args.batch = device.batch;
    args.state = {device.memory.get(), device.stride};
    args.qkv = qkv.get();
    args.a = a.get();
    args.b = b.get();
    args.a_log = a_log.get();
    args.dt_bias = dt_bias.get();
    args.out = out.get();
    cuda::delta_rule(args, nullptr);
    EXPECT_LT(DeltaCase::error(out.read(), expected), 2e-5) << k_dim << " " << v_dim;
    EXPECT_LT(DeltaCase::error(device.memory.read(), test.expected_states()), 2e-5)
        << k_dim << " " << v_dim;
  }
}

}  // namespace
}  // namespace tq
