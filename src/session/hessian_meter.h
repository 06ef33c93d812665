// HessianMeter: the Hessians of a model's linears over a text. It runs the model on the CPU, with
// fp32 activations, once, and again for those that did not fit in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "convert/hessian.h"
#include "engine/evaluate.h"
#include "session/input_watcher.h"
#include "text/tokenizer.h"

namespace tq {

struct HessianMeterOptions {
  TextIds text;
  int64_t window = 512;  // tokens that see each other
  // Of Hessians at a time; one tensor's may take more. Nothing: half of what is free once the model
  // is loaded.
  std::optional<int64_t> memory_bytes;
  int n_threads = 0;                // 0: all CPUs
  EvalProgress progress;            // of a run over the text
  std::function<bool()> cancelled;  // asked after every window; true stops: kCancelled
};

class HessianMeter final : public HessianSource {
 public:
  // The checkpoint is borrowed; the model is loaded when parts are asked for. Throws
  // kInvalidArgument for a text of less than a window, and kUnsupported for a source whose linears
  // are compressed.
  HessianMeter(const Checkpoint& source, HessianMeterOptions options);
  ~HessianMeter() override;

  void announce(std::vector<std::string> tensors) override;
  std::vector<HessianPart> parts(const TensorEntry& tensor) override;
  Json describe() const override;

 private:
  struct Matrix {
    int64_t first_row;
    const uint8_t* codes;
  };
  void load();
  void count_users();
  // Whether weights can be rounded by it; warns, once, where inputs are not finite.
  bool is_usable(const Hessian& hessian, const TensorEntry& tensor);
  void run(int64_t n_windows, const EvalProgress& progress);
  std::vector<size_t> sites_of(const std::string& tensor) const;
  // Runs the model for the sites of the first of these tensors and as many others as fit.
  void collect(size_t first);

  const Checkpoint& source_;
  const HessianMeterOptions options_;
  std::unique_ptr<Backend> cpu_;
  std::unique_ptr<InputWatcher> watcher_;
  std::unique_ptr<Model> model_;
  std::map<std::string, std::vector<Matrix>> matrices_;  // of tensors, by first row
  std::vector<std::string> announced_;
  std::map<size_t, int64_t> users_;  // tensors that will ask for a site's Hessians
  int64_t memory_bytes_ = 0;
  bool warned_ = false;  // of inputs that are not finite
};

}  // namespace tq
