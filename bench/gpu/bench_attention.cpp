// Attention: decode steps and prompts over the layers of published models, by bytes of the keys and
// values that are attended to.
#include "bench.h"

namespace tq::bench {
namespace {

struct AttentionShape {
  const char* name;
  int64_t heads, kv_heads, k_dim, v_dim;
  bool latent = false;
  int64_t window = 0;
};
constexpr AttentionShape kGemmaLocal{"gemma local", 16, 8, 256, 256};
constexpr AttentionShape kGemmaWindow{"gemma window 1024", 16, 8, 256, 256, false, 1024};
constexpr AttentionShape kGemmaGlobal{"gemma global", 16, 2, 512, 512};
constexpr AttentionShape kQwen{"qwen", 32, 4, 128, 128};
constexpr AttentionShape kGlm{"glm", 20, 1, 576, 512, true};

// `queries` new tokens of each sequence; kv_len: its keys, these included.
void bench_attention(Bench& bench, const AttentionShape& shape, int64_t queries,
                     const std::vector<int32_t>& kv_len, bool fast = true) {
  const auto seqs = static_cast<int64_t>(kv_len.size());
  const int64_t longest = *std::max_element(kv_len.begin(), kv_len.end());
  const bool ragged = kv_len[0] != longest || kv_len.back() != longest;
  const std::string name =
      fmt::format("attention {} {} seqs x {} queries, {} keys{}{}", shape.name, seqs, queries,
                  longest, ragged ? " at most" : "", fast ? "" : ", batch-invariant");
  if (!bench.wants(name)) return;
  const int64_t blocks = ceil_div(longest, kKvBlockTokens);
  std::vector<int32_t> all;
  for (int32_t s = 0; s <= seqs; ++s) all.push_back(s * static_cast<int32_t>(queries));
  all.insert(all.end(), kv_len.begin(), kv_len.end());
  int32_t page = 0;
  int64_t keys = 0;
  for (const int32_t n : kv_len) {
    for (int64_t b = 0; b < blocks; ++b) all.push_back(b * kKvBlockTokens < n ? page++ : 0);
    keys += shape.window > 0 ? std::min<int64_t>(n, shape.window) : n;
  }
  auto* integers = reinterpret_cast<int32_t*>(bench.prepared());
  check(cudaMemcpy(integers, all.data(), all.size() * sizeof(int32_t), cudaMemcpyHostToDevice));
  const int64_t vectors = page * shape.kv_heads * kKvBlockTokens;
  const int64_t k_bytes = vectors * shape.k_dim * 2;
  const int64_t v_bytes = shape.latent ? 0 : vectors * shape.v_dim * 2;
  const int64_t tokens = seqs * queries;
  auto* counters = reinterpret_cast<uint32_t*>(integers + all.size());
  check(
      cudaMemset(counters, 0, static_cast<size_t>(cuda::attention_counters()) * sizeof(uint32_t)));
  const auto run = [&](int i) {
    auto* planes = const_cast<uint8_t*>(bench.weights(k_bytes + v_bytes, i));
    const AttentionArgs args{
        {default_kv_format(), page, shape.kv_heads, shape.k_dim, shape.v_dim, planes,
         shape.latent ? nullptr : planes + k_bytes},
        {seqs, integers, integers + seqs + 1, integers + 2 * seqs + 1, blocks, tokens, longest},
        bench.input(),
        shape.heads,
        0.06f,
        shape.window,
        0,
        bench.output(),
        bench.output() + tokens * shape.heads * shape.v_dim};
    cuda::attention(args, {counters, fast ? cuda::kMostDecodeSeqs : 0, fast}, bench.stream());
  };
  const int64_t key_bytes =
      shape.kv_heads * (shape.k_dim + (shape.latent ? 0 : shape.v_dim)) * int64_t{2};
  bench.report(name, static_cast<double>(keys * key_bytes), 0, run);
}

// The same over a cache of codes, with the usual near pages, of which all sequences have the same.
// Of the bytes those of the codes and gains count.
void bench_coded(Bench& bench, const AttentionShape& shape, KvFormatId format, int64_t seqs,
                 int64_t queries, int64_t keys) {
  const KvFormatTraits& traits = kv_format_traits(format);
  const std::string name = fmt::format("attention {} {} seqs x {} queries, {} keys, {}", shape.name,
                                       seqs, queries, keys, traits.name);
  if (!bench.wants(name)) return;
  const int64_t blocks = ceil_div(keys, kKvBlockTokens), pages = seqs * blocks;
  std::vector<int32_t> all;
  for (int64_t s = 0; s <= seqs; ++s) all.push_back(static_cast<int32_t>(s * queries));
  all.insert(all.end(), static_cast<size_t>(seqs), static_cast<int32_t>(keys));
  all.insert(all.end(), static_cast<size_t>(seqs), 0);  // near_begin
  for (int32_t page = 0; page < pages; ++page) all.push_back(page);
  constexpr int32_t kNearPages = 512;
  for (int32_t page = 0; page < pages; ++page) all.push_back(page % kNearPages);
  auto* integers = reinterpret_cast<int32_t*>(bench.prepared());
  check(cudaMemcpy(integers, all.data(), all.size() * sizeof(int32_t), cudaMemcpyHostToDevice));
  const int64_t vectors = pages * shape.kv_heads * kKvBlockTokens;
  const int64_t near_vectors = kNearPages * shape.kv_heads * kKvBlockTokens;
  const int64_t bytes[] = {vectors * traits.keys.code_bytes(shape.k_dim),
                           vectors * traits.values.code_bytes(shape.v_dim),
                           vectors * traits.keys.gain_bytes(shape.k_dim),
                           vectors * traits.values.gain_bytes(shape.v_dim),
                           near_vectors * shape.k_dim * 2,
                           near_vectors * shape.v_dim * 2};
  int64_t total = 0;
  for (const int64_t n : bytes) total += n;
  constexpr int64_t kMoreThanCached = int64_t{256} << 20;
  const int64_t copies = 1 + kMoreThanCached / total;
  uint8_t* memory = nullptr;
  check(cudaMalloc(reinterpret_cast<void**>(&memory), static_cast<size_t>(copies * total)));
  constexpr int kPattern = 0x2c;  // f16: 0.065
  check(cudaMemset(memory, kPattern, static_cast<size_t>(copies * total)));
  const int64_t tokens = seqs * queries;
  for (int64_t i = 0; i < copies; ++i) {
    const int64_t codes = bytes[0] + bytes[1];
    check(cudaMemcpy(memory + i * total, bench.weights(codes, static_cast<int>(i)),
                     static_cast<size_t>(codes), cudaMemcpyDeviceToDevice));
  }
  const auto run = [&](int i) {
    uint8_t* at = memory + i % copies * total;
    void* planes[6];
    for (int p = 0; p < 6; at += bytes[p++]) planes[p] = at;
    const KvLayerView near{default_kv_format(), kNearPages, shape.kv_heads, shape.k_dim,
                           shape.v_dim,         planes[4],  planes[5]};
    KvLayerView kv{format, pages, shape.kv_heads, shape.k_dim, shape.v_dim, planes[0], planes[1]};
    kv.k_gains = static_cast<uint16_t*>(planes[2]);
    kv.v_gains = static_cast<uint16_t*>(planes[3]);
    kv.near = &near;
    kv.sinks = 4;
    kv.tail = 128;
    const int32_t* begin = integers + 2 * seqs + 1;
    AttentionArgs args{kv,
                       {},
                       bench.input(),
                       shape.heads,
                       0.06f,
                       shape.window,
                       0,
                       bench.output(),
                       bench.output() + tokens * shape.heads * shape.v_dim};
    args.batch = {seqs,   integers, integers + seqs + 1,  begin + seqs, blocks,
                  tokens, keys,     begin + seqs + pages, begin};
    cuda::attention(args, {nullptr, cuda::kMostDecodeSeqs, true}, bench.stream());
  };
  bench.report(name, static_cast<double>(bytes[0] + bytes[1] + bytes[2] + bytes[3]), 0, run);
  check(cudaFree(memory));
}

}  // namespace

void bench_attention(Bench& bench) {
  for (const char* format : {"k4v3", "k8v8", "k8v4", "k5v4", "k4v4", "k3v3"}) {
    const KvFormatId id = find_kv_format(format)->id;
    for (const int64_t keys : {256, 1024, 4096, 8192, 32768}) {
      for (const int64_t seqs : {1, 8, 32}) bench_coded(bench, kQwen, id, seqs, 1, keys);
    }
    for (const int64_t keys : {8192, 32768}) {
      bench_coded(bench, kGemmaGlobal, id, 1, 1, keys);
      bench_coded(bench, kQwen, id, 1, 2048, keys);
    }
  }

  const auto alike = [](int64_t seqs, int64_t keys) {
    return std::vector<int32_t>(static_cast<size_t>(seqs), static_cast<int32_t>(keys));
  };
  for (const AttentionShape& shape : {kGemmaLocal, kGemmaGlobal, kQwen, kGlm}) {
    for (const int64_t keys : {256, 512, 1024, 4096, 8192, 32768}) {
      for (const int64_t seqs : {1, 8, 16, 32}) {
        if (keys > 512 && seqs == 16) continue;
        bench_attention(
            bench, keys > 512 && shape.window == 0 && shape.kv_heads == 8 ? kGemmaWindow : shape, 1,
            alike(seqs, keys));
      }
    }
    // One long conversation among short ones, and all lengths up to it.
    std::vector<int32_t> one(32, 1024), all;
    one[5] = 32768;
    for (int32_t s = 1; s <= 16; ++s) all.push_back(s * 2000 - 13);
    bench_attention(bench, shape, 1, one);
    bench_attention(bench, shape, 1, all);
  }
  for (const int64_t kv_heads : {8, 4, 2}) {
    const AttentionShape shape{kv_heads == 8   ? "group 4"
                               : kv_heads == 4 ? "group 8"
                                               : "group 16",
                               32, kv_heads, 128, 128};
    for (const int64_t keys : {8192, 32768}) bench_attention(bench, shape, 1, alike(1, keys));
  }
  for (const bool fast : {true, false}) {
    for (const auto& [seqs, queries, keys] :
         std::vector<std::array<int64_t, 3>>{{1, 128, 128},
                                             {1, 512, 512},
                                             {1, 2048, 2048},
                                             {16, 128, 128},
                                             {1, 128, 4096},
                                             {1, 2048, 8192},
                                             {1, 2048, 32768}}) {
      if (!fast && keys > 8192) continue;
      for (const AttentionShape& shape : {kGemmaLocal, kGemmaGlobal, kQwen, kGlm}) {
        bench_attention(bench, shape, queries, alike(seqs, keys), fast);
      }
    }
  }
}

}  // namespace tq::bench
