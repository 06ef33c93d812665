// CountingBackend: stands for another backend while memory is planned. It counts what is allocated
// and placed, hands out addresses that must not be read, and runs no operator.
#pragma once

#include <span>
#include <vector>

#include "backend/refusing_backend.h"

namespace tq {

class CountingBackend final : public RefusingBackend {
 public:
  explicit CountingBackend(const Backend& counted) : counted_(counted) {}

  int64_t allocated_bytes() const { return allocated_bytes_; }
  // In the order of import_weight's calls.
  std::span<const WeightView> placed() const { return placed_; }

  std::string_view name() const override { return counted_.name(); }
  std::string description() const override { return counted_.description(); }
  Buffer allocate(size_t size_bytes) override;
  Buffer allocate_host(size_t size_bytes) override;
  bool on_host() const override { return counted_.on_host(); }
  void upload(const void*, void*, size_t) override {}
  void download(const void*, void*, size_t) override { refuse(); }
  WeightView import_weight(const WeightView& weight, Buffer& storage) override;
  int64_t placed_bytes(std::span<const WeightView> weights) const override {
    return counted_.placed_bytes(weights);
  }
  bool encodes(FormatId format) const override { return counted_.encodes(format); }
  int64_t encoder_bytes() const override { return counted_.encoder_bytes(); }
  bool has_kernels(FormatId format) const override { return counted_.has_kernels(format); }
  bool has_kernels(KvFormatId format) const override { return counted_.has_kernels(format); }
  bool has_sinks() const override { return counted_.has_sinks(); }
  size_t activation_bytes(int64_t tokens, int64_t in_padded, int group,
                          InputForm form) const override {
    return counted_.activation_bytes(tokens, in_padded, group, form);
  }
  size_t attention_bytes(const AttentionArgs& args) const override {
    return counted_.attention_bytes(args);
  }

  bool samples() const override { return counted_.samples(); }
  void sample(const SampleArgs&) override { refuse(); }

 private:
  const Backend& counted_;
  int64_t allocated_bytes_ = 0;
  std::vector<WeightView> placed_;
};

}  // namespace tq
