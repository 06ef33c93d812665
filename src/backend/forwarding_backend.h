// ForwardingBackend: passes on to another backend, which it borrows, what concerns the device and
// every elementary operator; the base of those that look at, or leave out, what passes.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "backend/backend.h"

namespace tq {

class ForwardingBackend : public Backend {
 public:
  explicit ForwardingBackend(Backend& inner) : inner_(inner) {}

  std::string_view name() const override { return inner_.name(); }
  std::string description() const override { return inner_.description(); }
  bool exact() const override { return inner_.exact(); }
  bool has_kernels(FormatId format) const override { return inner_.has_kernels(format); }
  bool has_kernels(KvFormatId format) const override { return inner_.has_kernels(format); }
  bool has_sinks() const override { return inner_.has_sinks(); }
  int64_t memory_used() const override { return inner_.memory_used(); }
  int64_t memory_limit() const override { return inner_.memory_limit(); }
  Buffer allocate(size_t n) override { return inner_.allocate(n); }
  Buffer allocate_host(size_t n) override { return inner_.allocate_host(n); }
  void attach_thread() override { inner_.attach_thread(); }
  bool on_host() const override { return inner_.on_host(); }
  void upload(const void* from, void* to, size_t n) override { inner_.upload(from, to, n); }
  void download(const void* from, void* to, size_t n) override { inner_.download(from, to, n); }
  void copy(const void* from, void* to, size_t n) override { inner_.copy(from, to, n); }
  WeightView import_weight(const WeightView& weight, Buffer& storage) override {
    return inner_.import_weight(weight, storage);
  }
  int64_t placed_bytes(std::span<const WeightView> weights) const override {
    return inner_.placed_bytes(weights);
  }
  WeightEncoder* encoder() override { return inner_.encoder(); }
  bool encodes(FormatId format) const override { return inner_.encodes(format); }
  int64_t encoder_bytes() const override { return inner_.encoder_bytes(); }
  size_t activation_bytes(int64_t tokens, int64_t in_padded, int group,
                          InputForm form) const override {
    return inner_.activation_bytes(tokens, in_padded, group, form);
  }
  size_t attention_bytes(const AttentionArgs& args) const override {
    return inner_.attention_bytes(args);
  }

  Activation prepare(const PrepareArgs& args) override { return inner_.prepare(args); }
#define TQ_FORWARD(name, Args) \
  void name(const Args& args) override { inner_.name(args); }
  TQ_ELEMENTARY_OPERATORS(TQ_FORWARD)
#undef TQ_FORWARD
  bool samples() const override { return inner_.samples(); }
  void sample(const SampleArgs& args) override { inner_.sample(args); }

 protected:
  Backend& inner_;
};

}  // namespace tq
