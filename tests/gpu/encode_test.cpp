// The encoder against the CPU's, byte for byte; and compression at load against weights that the
// CPU has encoded.
#include "kernels/cuda/encode/encode.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>

#include "gpu_testing.h"
#include "kernels/cuda/weight_formats.h"

namespace tq::fixtures {
namespace {

constexpr Effort kEfforts[] = {Effort::kReference, Effort::kFast, Effort::kDefault, Effort::kBest};

// A matrix as files store it, and its values.
struct Source {
  DType dtype;
  int64_t rows, in;
  std::vector<uint8_t> bytes;
  std::vector<float> values;

  Source(DType type, int64_t n_rows, int64_t n_in, std::vector<float> wanted)
      : dtype(type), rows(n_rows), in(n_in) {
    for (const float value : wanted) {
      if (dtype == DType::kF32) {
        append(value);
      } else {
        append(dtype == DType::kF16 ? f32_to_f16(value) : f32_to_bf16(value));
      }
    }
    values.resize(wanted.size());
    to_f32(dtype, bytes.data(), rows * in, values.data());
  }

 private:
  template <typename T>
  void append(T element) {
    const auto* first = reinterpret_cast<const uint8_t*>(&element);
    bytes.insert(bytes.end(), first, first + sizeof(element));
  }
};

// Rows of all kinds: Gaussian, zeros of both signs, spikes, denormal, beyond the range of the norm.
std::vector<float> odd_values(int64_t rows, int64_t in, uint32_t seed) {
  using Limits = std::numeric_limits<float>;
  std::vector<float> x = random_floats(rows * in, seed, 0.02f);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t i = 0; i < in; ++i) {
      float& v = x[static_cast<size_t>(r * in + i)];
      switch (r % 16) {
        case 1:
          v = 0.0f;
          break;
        case 2:
          v = -0.0f;
          break;
        case 3:
          v = i % 37 == 5 ? -3.5f : 0.0f;
          break;
        case 4:
          v = i % 3 == 0 ? Limits::max() : -Limits::max();
          break;
        case 5:
          v = static_cast<float>(i % 7 - 3) * 1e37f;
          break;
        case 6:
          v = i % 5 == 0 ? Limits::denorm_min() : 0.0f;
          break;
        case 7:
          v = static_cast<float>(i % 11 - 5) * 1e-40f;
          break;
        case 8:
          v = static_cast<float>(i % 11 - 5) * 3e-38f;
          break;
        case 9:
          v = std::ldexp(i % 2 == 0 ? 1.0f : -1.0f, static_cast<int>(i % 250) - 125);
          break;
        case 10:
          v = i % 2 == 0 ? 1.0f : -1.0f;
          break;
        case 11:
          v = 1e8f * v * v * v;
          break;
        default:
          break;
      }
    }
  }
  return x;
}

WeightView shape_of(const FormatTraits& format, int64_t rows, int64_t in, int group) {
  WeightView view = weight_shape(format, rows, in);
  view.group = group;
  view.in_padded = round_up(in, group);
  return view;
}

// Native planes.
struct Planes {
  std::vector<uint8_t> codes;
  std::vector<uint16_t> gains;
  explicit Planes(const WeightView& shape)
      : codes(static_cast<size_t>(shape.rows * shape.code_row_bytes())),
        gains(static_cast<size_t>(shape.rows * shape.gains_per_row())) {}
};

Planes encode_on_host(const WeightView& shape, const Source& source, const EncodeOptions& options) {
  Planes planes(shape);
  std::vector<float> padded(static_cast<size_t>(shape.in_padded));
  std::vector<float> gains(static_cast<size_t>(shape.gains_per_row()));
  for (int64_t r = 0; r < shape.rows; ++r) {
    std::copy_n(source.values.begin() + r * source.in, source.in, padded.begin());
    shape.traits().encode_rows(padded.data(), shape.in_padded, shape.group, options,
                               planes.codes.data() + r * shape.code_row_bytes(), gains.data());
    std::transform(gains.begin(), gains.end(), planes.gains.begin() + r * shape.gains_per_row(),
                   f32_to_f16);
  }
  return planes;
}

struct Encoded {
  Planes planes;
  uint32_t first_bad;
};

Encoded encode_on_device(const WeightView& shape, const Source& source,
                         const EncodeOptions& options, uint32_t number = 7) {
  const Planes size(shape);
  const OnDevice<uint8_t> from(source.bytes);
  const auto codes = OnDevice<uint8_t>::poisoned(static_cast<int64_t>(size.codes.size()));
  const auto gains = OnDevice<uint16_t>::poisoned(static_cast<int64_t>(size.gains.size()));
  const auto first_bad = OnDevice<uint32_t>::poisoned(1);
  WeightView out = shape;
  out.codes = codes.get();
  out.gains = gains.get();
  cuda::encode({source.dtype, from.get(), out, options, first_bad.get(), number}, nullptr);
  cuda_check(cudaDeviceSynchronize());
  Encoded encoded{size, first_bad.read()[0]};
  encoded.planes.codes = codes.read();
  encoded.planes.gains = gains.read();
  return encoded;
}

class GpuEncode : public FormatTest {};

TEST_P(GpuEncode, WritesTheBytesOfTheHost) {
  for (const int group : {32, 64, 128, 256}) {
    // Whole groups, padding, less than a group; odd numbers of groups.
    for (const auto& [rows, in] : {std::pair<int64_t, int64_t>{16, 512}, {33, 333}, {17, 31}}) {
      for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
        std::vector<float> values = odd_values(rows, in, 1);
        const float most = dtype == DType::kF16    ? 65504.0f
                           : dtype == DType::kBF16 ? 3.38e38f  // it rounds f32's to infinity
                                                   : std::numeric_limits<float>::max();
        for (float& v : values) v = std::clamp(v, -most, most);
        const Source source(dtype, rows, in, std::move(values));
        const WeightView shape = shape_of(GetParam(), rows, in, group);
        for (const Effort effort : kEfforts) {
          const EncodeOptions options{effort, 0.5f};
          const Encoded encoded = encode_on_device(shape, source, options);
          const Planes expected = encode_on_host(shape, source, options);
          const std::string what = fmt::format("group {}, {}x{}, {}, effort {}", group, rows, in,
                                               dtype_info(dtype).name, static_cast<int>(effort));
          EXPECT_TRUE(same_bits(encoded.planes.codes, expected.codes)) << what;
          EXPECT_TRUE(same_bits(encoded.planes.gains, expected.gains)) << what;
          const bool too_large =
              std::any_of(expected.gains.begin(), expected.gains.end(),
                          [](uint16_t gain) { return (gain & 0x7fff) >= 0x7c00; });
          EXPECT_EQ(encoded.first_bad, too_large ? 7u : 0xffffffffu) << what;
        }
      }
    }
  }
}

TEST_P(GpuEncode, WritesTheBytesOfTheHostForManyRows) {
  const Source source(DType::kBF16, 1024, 1152, random_floats(1024 * 1152, 3, 0.03f));
  const WeightView shape = shape_of(GetParam(), 1024, 1152, 128);
  for (const Effort effort : kEfforts) {
    const EncodeOptions options{effort, 0.3f};
    const Encoded encoded = encode_on_device(shape, source, options);
    const Planes expected = encode_on_host(shape, source, options);
    EXPECT_TRUE(same_bits(encoded.planes.codes, expected.codes)) << static_cast<int>(effort);
    EXPECT_TRUE(same_bits(encoded.planes.gains, expected.gains)) << static_cast<int>(effort);
  }
}

std::vector<FormatTraits> encoded_formats() {
  std::vector<FormatTraits> out;
  for (const FormatTraits& format : all_formats()) {
    if (cuda::has_encoder(format.id)) out.push_back(format);
  }
  return out;
}
INSTANTIATE_TEST_SUITE_P(Formats, GpuEncode, ::testing::ValuesIn(encoded_formats()), format_name);

TEST(GpuEncodeChecks, TellsOfWhatIsNotFinite) {
  const WeightView shape = shape_of(*find_format("tq3"), 5, 200, 128);
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const float bad :
         {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity(),
          -std::numeric_limits<float>::infinity()}) {
      for (const size_t at : {size_t{0}, size_t{399}, size_t{999}}) {
        std::vector<float> values = random_floats(1000, 4);
        values[at] = bad;
        const Source source(dtype, 5, 200, std::move(values));
        EXPECT_EQ(encode_on_device(shape, source, {}, 7).first_bad, 7u);
      }
    }
  }
}

// --- Compression at load: reading, encoding and re-laying ---

std::vector<uint8_t> placed_bytes(Backend& backend, const WeightView& placed) {
  std::vector<uint8_t> bytes(static_cast<size_t>(cuda::relayout_bytes(placed)));
  backend.download(placed.codes, bytes.data(), bytes.size());
  return bytes;
}

EncodeSource reader(const Source& source) {
  const int64_t row_bytes = source.in * dtype_info(source.dtype).bytes;
  return {source.dtype, [&source, row_bytes](int64_t begin, int64_t n, void* out) {
            std::memcpy(out, source.bytes.data() + begin * row_bytes,
                        static_cast<size_t>(n * row_bytes));
          }};
}

TEST(GpuCompressAtLoad, PlacesWhatTheHostEncodes) {
  const auto backend = make_cuda_backend({});
  WeightEncoder& encoder = *backend->encoder();
  struct Case {
    const char* format;
    DType dtype;
    int64_t rows, in;
  };
  // Less than a tile; many slots with a rest; rows of which sixteen are more than a slot.
  const Case cases[] = {{"tq3", DType::kBF16, 7, 96},     {"tq3", DType::kBF16, 5003, 2816},
                        {"tq4", DType::kF16, 3000, 2112}, {"tq8", DType::kF32, 2500, 1000},
                        {"tq5", DType::kF32, 40, 300000}, {"tq3", DType::kBF16, 100, 333}};
  std::vector<Source> sources;
  for (const Case& c : cases) {
    sources.emplace_back(c.dtype, c.rows, c.in, random_floats(c.rows * c.in, 5, 0.05f));
  }
  std::vector<WeightView> placed;
  for (size_t i = 0; i < sources.size(); ++i) {
    const FormatTraits& format = *find_format(cases[i].format);
    const int64_t in = cases[i].in;
    placed.push_back(encoder.encode(shape_of(format, cases[i].rows, in, default_group(in)),
                                    reader(sources[i]), {Effort::kFast, 0.5f}));
  }
  EXPECT_EQ(encoder.finish(), -1);
  for (size_t i = 0; i < sources.size(); ++i) {
    WeightView native = placed[i];
    const Planes planes = encode_on_host(native, sources[i], {Effort::kFast, 0.5f});
    native.codes = planes.codes.data();
    native.gains = planes.gains.data();
    Buffer storage;
    const WeightView expected = backend->import_weight(native, storage);
    EXPECT_TRUE(same_bits(placed_bytes(*backend, placed[i]), placed_bytes(*backend, expected)))
        << i;
  }
}

TEST(GpuCompressAtLoad, TellsWhichWeightIsNotFinite) {
  const auto backend = make_cuda_backend({});
  WeightEncoder& encoder = *backend->encoder();
  const WeightView shape = shape_of(*find_format("tq3"), 100, 256, 128);
  const Source good(DType::kF32, 100, 256, random_floats(25600, 6));
  Source bad = good;
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(bad.bytes.data() + 4 * 12345, &nan, 4);
  EXPECT_EQ(encoder.finish(), -1);
  const std::array<const Source*, 5> calls = {&good, &good, &bad, &good, &bad};
  for (const Source* source : calls) {
    encoder.encode(shape, reader(*source), {});
  }
  EXPECT_EQ(encoder.finish(), 2);
  encoder.encode(shape, reader(good), {});
  EXPECT_EQ(encoder.finish(), -1);
  encoder.encode(shape, reader(bad), {});
  // More room is made for wide rows; what was found before is not forgotten.
  const Source wide(DType::kF32, 16, 300000, random_floats(16 * 300000, 7));
  encoder.encode(shape_of(*find_format("tq3"), 16, 300000, 32), reader(wide), {});
  EXPECT_EQ(encoder.finish(), 0);
}

TEST(GpuCompressAtLoad, TakesNoMoreThanItSays) {
  const auto backend = make_cuda_backend({});
  WeightEncoder& encoder = *backend->encoder();
  const int64_t rows = 20000, in = 4096;
  const WeightView shape = shape_of(*find_format("tq3"), rows, in, 128);
  const int64_t before = backend->memory_used();
  const int64_t planned = backend->placed_bytes({&shape, 1});  // with the scratch of its products
  const std::vector<uint8_t> row(static_cast<size_t>(in * 2), 0x3f);
  const EncodeSource source{
      DType::kBF16, [&](int64_t, int64_t n, void* out) {
        for (int64_t i = 0; i < n; ++i) {
          std::memcpy(static_cast<uint8_t*>(out) + i * in * 2, row.data(), row.size());
        }
        EXPECT_LE(backend->memory_used() - before, planned + backend->encoder_bytes());
      }};
  encoder.encode(shape, source, {Effort::kFast, 0.5f});
  EXPECT_GT(backend->memory_used() - before, cuda::relayout_bytes(shape));
  EXPECT_EQ(encoder.finish(), -1);
  EXPECT_LE(backend->memory_used() - before, planned);
  EXPECT_LE(backend->encoder_bytes(), int64_t{64} << 20);
}

}  // namespace
}  // namespace tq::fixtures
