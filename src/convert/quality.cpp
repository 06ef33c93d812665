#include "convert/quality.h"

#include <algorithm>
#include <array>

namespace tq {
namespace {

struct Row {
  ModelShape shape;
  MeasuredQuality quality;
};

// docs/convert.md has the command; nothing is listed here that it did not print.
// clang-format off
constexpr std::array<Row, 0> kRows{};
// clang-format on

}  // namespace

const MeasuredQuality* find_quality(const ModelShape& shape, std::string_view plan) {
  const auto found = std::find_if(kRows.begin(), kRows.end(), [&](const Row& row) {
    return row.shape == shape && row.quality.plan == plan;
  });
  return found == kRows.end() ? nullptr : &found->quality;
}

}  // namespace tq
