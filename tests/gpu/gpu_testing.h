// What the GPU tests share: device memory that owns itself, random weights of any format on both
// sides, and the comparison with what the CPU backend computes from the same arguments.
#pragma once

#include <cuda_runtime_api.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "backend/backend.h"
#include "base/error.h"
#include "base/float16.h"
#include "base/math.h"
#include "kernels/cuda/ops.h"
#include "kernels/cuda/weight_formats.h"

namespace tq::fixtures {

inline void cuda_check(cudaError_t error) {
  if (error != cudaSuccess) fail(ErrorCode::kDevice, "test: {}", cudaGetErrorString(error));
}

// A copy of a host vector on the GPU, or memory full of NaN.
template <typename T>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<T>& host) : OnDevice(host.size(), 0) {
    cuda_check(cudaMemcpy(data_, host.data(), n_ * sizeof(T), cudaMemcpyHostToDevice));
  }
  static OnDevice poisoned(int64_t n) { return OnDevice(static_cast<size_t>(n), 0xff); }
  OnDevice(OnDevice&& other) noexcept : n_(other.n_), data_(std::exchange(other.data_, nullptr)) {}
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  ~OnDevice() { cudaFree(data_); }

  T* get() const { return data_; }
  std::vector<T> read() const {
    std::vector<T> host(n_);
    cuda_check(cudaMemcpy(host.data(), data_, n_ * sizeof(T), cudaMemcpyDeviceToHost));
    return host;
  }

 private:
  OnDevice(size_t n, int fill) : n_(n) {
    cuda_check(cudaMalloc(reinterpret_cast<void**>(&data_), std::max<size_t>(n, 1) * sizeof(T)));
    cuda_check(cudaMemset(data_, fill, n * sizeof(T)));
  }
  size_t n_;
  T* data_ = nullptr;
};

inline std::vector<float> random_floats(int64_t n, uint32_t seed, float sigma = 1.0f) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, sigma);
  std::vector<float> out(static_cast<size_t>(n));
  for (float& x : out) x = normal(random);
  return out;
}

// The CPU backend with portable kernels: what every GPU kernel is compared with.
inline Backend& cpu(bool exact) {
  static const auto kExact = make_cpu_backend({.exact = true});
  static const auto kQuantized = make_cpu_backend({.exact = false});
  return exact ? *kExact : *kQuantized;
}

// Random codes and gains: every index occurs, and no encoder is needed.
struct PlacedWeight {
  std::vector<uint8_t> codes;
  std::vector<uint16_t> gains;
  WeightView host;    // native
  WeightView device;  // re-laid
  std::unique_ptr<OnDevice<uint8_t>> relaid;

  PlacedWeight(const FormatTraits& format, int64_t rows, int64_t in, uint32_t seed, int group = 0) {
    std::mt19937 random(seed);
    host = weight_shape(format, rows, in);
    if (format.has_scales && group > 0) {
      host.group = group;
      host.in_padded = round_up(in, group);
    }
    codes.resize(static_cast<size_t>(rows * format.code_row_bytes(host.in_padded)));
    if (format.has_scales) {
      for (uint8_t& byte : codes) byte = static_cast<uint8_t>(random());
      gains.resize(static_cast<size_t>(rows * host.gains_per_row()));
      for (uint16_t& gain : gains) {
        gain = f32_to_f16(0.5f + static_cast<float>(random() % 1000) * 1e-3f);
      }
    } else {
      const std::vector<float> values = random_floats(rows * in, seed, 0.1f);
      for (int64_t r = 0; r < rows; ++r) {
        format.encode_rows(values.data() + r * in, in, 0, {},
                           codes.data() + r * format.code_row_bytes(in), nullptr);
      }
    }
    host.codes = codes.data();
    host.gains = gains.empty() ? nullptr : gains.data();
    upload();
  }

 private:
  void upload() {
    const OnDevice<uint8_t> native_codes(codes);
    const OnDevice<uint16_t> native_gains(gains);
    WeightView native = host;
    native.codes = native_codes.get();
    native.gains = gains.empty() ? nullptr : native_gains.get();
    relaid = std::make_unique<OnDevice<uint8_t>>(
        OnDevice<uint8_t>::poisoned(cuda::relayout_bytes(native)));
    cuda::relayout(native, relaid->get(), nullptr);
    cuda_check(cudaDeviceSynchronize());
    device = host;
    device.codes = relaid->get();
    device.gains = nullptr;
  }
};

// Equal matrices as a stack on both sides.
struct RandomStack {
  std::vector<std::unique_ptr<PlacedWeight>> weights;
  std::vector<const uint8_t*> codes;
  std::vector<const uint16_t*> gains;
  std::unique_ptr<OnDevice<const uint8_t*>> device_codes;

  RandomStack(const FormatTraits& format, int64_t n, int64_t rows, int64_t in, uint32_t seed) {
    std::vector<const uint8_t*> relaid;
    for (int64_t i = 0; i < n; ++i) {
      weights.push_back(
          std::make_unique<PlacedWeight>(format, rows, in, seed + static_cast<uint32_t>(i)));
      codes.push_back(weights.back()->host.codes);
      gains.push_back(weights.back()->host.gains);
      relaid.push_back(weights.back()->device.codes);
    }
    device_codes = std::make_unique<OnDevice<const uint8_t*>>(relaid);
  }
  int64_t size() const { return static_cast<int64_t>(weights.size()); }
  MatrixStack host() const {
    return {weights[0]->host, size(), codes.data(),
            weights[0]->host.gains == nullptr ? nullptr : gains.data()};
  }
  MatrixStack device() const { return {weights[0]->device, size(), device_codes->get(), nullptr}; }
};

// Activations prepared on both sides from the same rows.
struct Prepared {
  std::vector<float> x;
  std::vector<uint8_t> host_storage;
  Activation host;
  OnDevice<float> device_x;
  OnDevice<uint8_t> device_storage;
  Activation device;

  Prepared(const WeightView& weight, int64_t tokens, bool exact, uint32_t seed)
      : x(random_floats(tokens * weight.in, seed)),
        device_x(x),
        device_storage(OnDevice<uint8_t>::poisoned(static_cast<int64_t>(cuda::activation_bytes(
            tokens, weight.in_padded, weight.group, weight.traits().input, exact)))) {
    const InputForm form = weight.traits().input;
    host_storage.resize(cpu(exact).activation_bytes(tokens, weight.in_padded, weight.group, form) +
                        64);
    host = cpu(exact).prepare(
        {x.data(), tokens, weight.in, weight.in_padded, weight.group, form, host_storage.data()});
    device = cuda::prepare({device_x.get(), tokens, weight.in, weight.in_padded, weight.group, form,
                            device_storage.get()},
                           exact, nullptr);
  }
};

// ||a - b|| / ||b||; 1e9 if anything is not finite.
inline double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  EXPECT_EQ(a.size(), b.size());
  double error = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    if (!std::isfinite(a[i])) return 1e9;
    error += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    norm += double{b[i]} * b[i];
  }
  return std::sqrt(error / std::max(norm, 1e-300));
}

template <typename T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// Those that have kernels here.
inline std::vector<FormatTraits> formats() {
  std::vector<FormatTraits> out;
  for (const FormatTraits& format : all_formats()) {
    if (cuda::has_kernels(format.id)) out.push_back(format);
  }
  return out;
}
inline std::vector<FormatTraits> rotated_formats() {
  std::vector<FormatTraits> out = formats();
  std::erase_if(out, [](const FormatTraits& f) { return f.input != InputForm::kRotated; });
  return out;
}
inline std::string format_name(const ::testing::TestParamInfo<FormatTraits>& info) {
  return std::string(info.param.name);
}
class FormatTest : public ::testing::TestWithParam<FormatTraits> {};

}  // namespace tq::fixtures
