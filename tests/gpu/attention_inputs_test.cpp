// Decode attention that makes its queries, the newest keys and values of the projections itself,
// against the operators one after the other: the same bits, in the result and in the cache.
#include <algorithm>

#include "gpu_testing.h"
#include "support/kv_formats.h"

namespace tq {
namespace {

using fixtures::OnDevice;
using fixtures::random_floats;

struct DecodeShape {
  std::vector<int32_t> kv_len;
  int64_t heads;
  int64_t kv_heads;
  int64_t k_dim;
  int64_t v_dim;
  int64_t n_pairs;
  KvFormatId format = fixtures::kKvF16;
  int64_t window = 0;
};

// A step of one token a sequence, whose pages lie one after the other.
class DecodeStep {
 public:
  explicit DecodeStep(const DecodeShape& shape)
      : shape_(shape),
        seqs_(static_cast<int64_t>(shape.kv_len.size())),
        longest_(*std::max_element(shape.kv_len.begin(), shape.kv_len.end())),
        max_blocks_(ceil_div(longest_, kKvBlockTokens)),
        kv_len_(shape.kv_len),
        begin_(count(seqs_ + 1)),
        tables_(count(seqs_ * max_blocks_)),
        slots_(newest_slots()),
        cos_(random_floats(seqs_ * shape.n_pairs, 1)),
        sin_(random_floats(seqs_ * shape.n_pairs, 2)),
        counters_(std::vector<uint32_t>(static_cast<size_t>(cuda::attention_counters()))) {}

  // args() -> what lies between the projections and attention; runs it fused or alone, and returns
  // the prepared result and the planes' bytes.
  template <typename Args>
  std::vector<std::vector<uint8_t>> run(const Args& make_args, const float* q, bool fused) {
    const int64_t plane = seqs_ * max_blocks_ * kKvBlockTokens * shape_.kv_heads;
    const OnDevice<uint8_t> k(halves(plane * shape_.k_dim, 3)), v(halves(plane * shape_.v_dim, 4));
    const bool latent = shape_.v_dim < shape_.k_dim;
    const KvLayerView kv{
        shape_.format, seqs_ * max_blocks_,       shape_.kv_heads, shape_.k_dim, shape_.v_dim,
        k.get(),       latent ? nullptr : v.get()};
    const RaggedBatch batch{seqs_,       begin_.get(), kv_len_.get(), tables_.get(),
                            max_blocks_, seqs_,        longest_};
    const int64_t width = shape_.heads * shape_.v_dim;
    const auto out = OnDevice<float>::poisoned(seqs_ * width);
    AttentionArgs args{kv, batch, q, shape_.heads, 0.1f, shape_.window, 0, out.get()};
    const auto workspace =
        OnDevice<uint8_t>::poisoned(static_cast<int64_t>(cuda::attention_bytes(args)));
    args.workspace = workspace.get();
    const cuda::AttentionOptions options{counters_.get(), cuda::kMostDecodeSeqs};
    const OnDevice<uint8_t> storage(std::vector<uint8_t>(static_cast<size_t>(seqs_ * width * 2)));
    const PrepareArgs next{out.get(), seqs_, width, width, 64, InputForm::kRotated, storage.get()};
    const auto inputs = make_args(kv, slots_.get(), cos_.get(), sin_.get());
    if (fused) {
      cuda::attention_prepared(inputs, args, options, next, false, nullptr);
    } else {
      make_inputs(inputs);
      cuda::attention_prepared(args, options, next, false, nullptr);
    }
    return {storage.read(), k.read(), v.read()};
  }

  int64_t seqs() const { return seqs_; }

 private:
  static void make_inputs(const AttentionInputsArgs& args) {
    cuda::attention_inputs(args, nullptr);
  }
  static void make_inputs(const LatentInputsArgs& args) { cuda::latent_inputs(args, nullptr); }
  static std::vector<int32_t> count(int64_t n) {
    std::vector<int32_t> out;
    for (int32_t i = 0; i < n; ++i) out.push_back(i);
    return out;
  }
  std::vector<int64_t> newest_slots() const {
    std::vector<int64_t> out;
    for (int64_t s = 0; s < seqs_; ++s) {
      out.push_back(s * max_blocks_ * kKvBlockTokens + shape_.kv_len[static_cast<size_t>(s)] - 1);
    }
    return out;
  }
  std::vector<uint8_t> halves(int64_t n, uint32_t seed) const {
    const KvVectorTraits& vectors = kv_format_traits(shape_.format).keys;
    std::vector<uint8_t> out(static_cast<size_t>(vectors.code_bytes(n)));
    vectors.store(random_floats(n, seed).data(), n, out.data(), nullptr);
    return out;
  }

  const DecodeShape shape_;
  const int64_t seqs_, longest_, max_blocks_;
  const OnDevice<int32_t> kv_len_, begin_, tables_;
  const OnDevice<int64_t> slots_;
  const OnDevice<float> cos_, sin_;
  const OnDevice<uint32_t> counters_;
};

TEST(GpuDecodeInputs, HeadsHaveTheBitsOfTheirOperators) {
  const std::vector<DecodeShape> shapes = {
      {{200}, 32, 4, 128, 128, 64},
      {{1, 17, 300}, 16, 8, 256, 256, 128, fixtures::kKvBf16, 100},
      {{64, 65}, 16, 2, 512, 512, 64},
      {{33, 2, 90, 1024}, 9, 3, 64, 64, 20},
      {{128}, 6, 6, 96, 96, 48, fixtures::kKvBf16},
      {{1200, 16, 17}, 32, 4, 128, 128, 64},
      {{900}, 20, 2, 256, 256, 128, fixtures::kKvF16, 600},
      {{640, 1}, 16, 2, 512, 512, 64}};
  for (const DecodeShape& shape : shapes) {
    DecodeStep step(shape);
    const int64_t dim = shape.k_dim;
    const std::vector<float> q = random_floats(step.seqs() * shape.heads * dim, 5);
    const std::vector<float> k = random_floats(step.seqs() * shape.kv_heads * dim, 6);
    const std::vector<float> v = random_floats(step.seqs() * shape.kv_heads * dim, 7);
    const OnDevice<float> q_norm(random_floats(dim, 8)), k_norm(random_floats(dim, 9));
    for (int variant = 0; variant < 16; ++variant) {
      SCOPED_TRACE(fmt::format("{} heads of {}, variant {}", shape.heads, dim, variant));
      const bool norms = variant & 1, interleaved = variant & 2, v_is_k = variant & 4;
      const bool has_keys = variant < 8;
      std::vector<std::vector<uint8_t>> results[2];
      for (const bool fused : {false, true}) {
        const OnDevice<float> own_q(q), own_k(k), own_v(v);
        const auto args = [&](const KvLayerView& kv, const int64_t* slots, const float* cos,
                              const float* sin) {
          return AttentionInputsArgs{own_q.get(),
                                     has_keys ? own_k.get() : nullptr,
                                     own_v.get(),
                                     v_is_k,
                                     step.seqs(),
                                     shape.heads,
                                     dim,
                                     norms,
                                     q_norm.get(),
                                     interleaved ? nullptr : k_norm.get(),
                                     norms,
                                     1e-6f,
                                     shape.n_pairs,
                                     interleaved,
                                     cos,
                                     sin,
                                     kv,
                                     slots};
        };
        results[fused] = step.run(args, own_q.get(), fused);
      }
      EXPECT_EQ(results[1], results[0]);
    }
  }
}

TEST(GpuDecodeInputs, LatentsHaveTheBitsOfTheirOperators) {
  const std::vector<DecodeShape> shapes = {{{200}, 20, 1, 576, 512, 32},
                                           {{1, 700, 65}, 3, 1, 576, 512, 32, fixtures::kKvBf16},
                                           {{40, 5}, 5, 1, 80, 64, 8},
                                           {{1000, 3}, 20, 1, 576, 512, 32}};
  for (const DecodeShape& shape : shapes) {
    DecodeStep step(shape);
    const int64_t rank = shape.v_dim, nope = 24, rotated = 2 * shape.n_pairs;
    ASSERT_EQ(rank + rotated, shape.k_dim);
    const int64_t vectors = step.seqs() * shape.heads;
    const OnDevice<float> q(random_floats(vectors * (nope + rotated), 5));
    const std::vector<float> query = random_floats(vectors * shape.k_dim, 6);
    const std::vector<float> latent = random_floats(step.seqs() * shape.k_dim, 7);
    const OnDevice<float> norm(random_floats(rank, 8));
    for (const bool interleaved : {false, true}) {
      SCOPED_TRACE(fmt::format("{} heads of {}", shape.heads, shape.k_dim));
      std::vector<std::vector<uint8_t>> results[2];
      for (const bool fused : {false, true}) {
        const OnDevice<float> own_query(query), own_latent(latent);
        const auto args = [&](const KvLayerView& kv, const int64_t* slots, const float* cos,
                              const float* sin) {
          return LatentInputsArgs{
              own_latent.get(), norm.get(),  1e-6f,       q.get(), nope,
              own_query.get(),  step.seqs(), shape.heads, rank,    shape.n_pairs,
              interleaved,      cos,         sin,         kv,      slots};
        };
        results[fused] = step.run(args, own_query.get(), fused);
      }
      EXPECT_EQ(results[1], results[0]);
    }
  }
}

}  // namespace
}  // namespace tq
