// Measured quality of storage formats: THE TABLE is in quality.cpp. Constant data.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace tq {

// What one choice of formats cost one model, as `tq eval kld` said.
struct MeasuredQuality {
  std::string_view model;   // the file that was measured
  std::string_view plan;    // --format or --preset: "tq3"
  double kld;               // mean over the tokens, in nats, from the model as it is stored
  double standard_error;    // of kld
  double perplexity_ratio;  // to the model as it is stored
};

// What tells a model from others whose files look alike.
struct ModelShape {
  std::string_view arch;
  int64_t hidden = 0;
  int64_t n_layers = 0;
  int64_t n_parameters = 0;
  bool operator==(const ModelShape&) const = default;
};

// Null where nobody measured a model of this shape.
const MeasuredQuality* find_quality(const ModelShape& shape, std::string_view plan);

}  // namespace tq
