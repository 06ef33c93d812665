// The encoder: weights a second on one thread, by format, group, effort and instruction set. A row
// of the checkpoint's width stays in the cache, as in a conversion.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include <random>
#include <string>
#include <vector>

#include "format/packing.h"
#include "format/scalar_encoder.h"
#include "format/trellis_encoder.h"

namespace tq {
namespace {

constexpr int64_t kRow = 8192;

// encode_row: as FormatTraits::encode_rows.
template <typename EncodeRow>
void encode(benchmark::State& state, const EncodeRow& encode_row, int bits, int group,
            Effort effort) {
  std::mt19937 draw(1);
  std::normal_distribution<float> normal(0.0f, 0.02f);
  std::vector<float> x(kRow);
  for (float& value : x) value = normal(draw);
  std::vector<uint8_t> codes(static_cast<size_t>(packed_bytes(kRow, bits)));
  std::vector<float> gains(static_cast<size_t>(kRow / group));
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        encode_row(x.data(), kRow, group, {effort}, codes.data(), gains.data()));
  }
  state.SetItemsProcessed(state.iterations() * kRow);
}

void add_benchmarks() {
  const struct {
    const char* name;
    Effort effort;
  } efforts[] = {{"fast", Effort::kFast}, {"default", Effort::kDefault}, {"best", Effort::kBest}};
  const auto add = [&](const std::string& format, int bits, auto&& encoder_of) {
    for (const int group : {128, 64}) {
      for (const auto& named : efforts) {
        for (const Isa isa : available_isas()) {
          const auto encode_row = encoder_of(isa);
          const Effort effort = named.effort;
          benchmark::RegisterBenchmark(
              fmt::format("{}/g{}/{}/{}", format, group, named.name, isa_name(isa)).c_str(),
              [=](benchmark::State& state) { encode(state, encode_row, bits, group, effort); });
        }
      }
    }
  };
  for (const int bits : {2, 3, 4, 5, 6, 8}) {
    add(fmt::format("tq{}", bits), bits,
        [=](Isa isa) { return scalar_encoders(isa).by_bits[static_cast<size_t>(bits)]; });
  }
  for (const int bits : {3, 4}) {
    add(fmt::format("w7_{}", bits), bits, [=](Isa isa) {
      const TrellisCoder coder = trellis_coders(isa).by_bits[static_cast<size_t>(bits)];
      return [=](const float* x, int64_t in_padded, int group, const EncodeOptions& options,
                 uint8_t* codes, float* gains) {
        return encode_trellis_row(coder, bits, x, in_padded, group, options, codes, gains);
      };
    });
  }
}

}  // namespace
}  // namespace tq

int main(int argc, char** argv) {
  tq::add_benchmarks();
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  benchmark::RunSpecifiedBenchmarks();
}
