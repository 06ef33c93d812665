// Goldens written as GGUF files must compute what they compute as Hugging Face checkpoints.
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "support/gguf_builder.h"
#include "unit/model/model_test_util.h"

namespace tq::test {
namespace {

// A GGUF file of a golden: `names` replaces parts of names, one after the other.
void write_gguf(const MemoryCheckpoint& checkpoint, tq::fixtures::GgufBuilder builder,
                const std::vector<std::pair<std::string, std::string>>& names,
                const fs::path& path) {
  for (const TensorEntry& entry : checkpoint.tensors()) {
    std::string name = entry.name;
    for (const auto& [hf, gguf] : names) {
      const size_t at = name.find(hf);
      if (at != std::string::npos) name.replace(at, hf.size(), gguf);
    }
    std::vector<float> values(static_cast<size_t>(entry.n_elements()));
    checkpoint.read_rows(entry, 0, entry.n_rows(), values.data());
    builder.tensor(name, entry.shape, values);
  }
  builder.write(path);
}

// Queries and keys of Qwen2 stand unpermuted in GGUF files, and their biases too.
TEST(GoldenGgufFile, Qwen2) {
  const Golden golden("qwen2");
  tq::fixtures::GgufBuilder builder;
  builder.string("general.architecture", "qwen2").u32("qwen2.block_count", 3);
  builder.u32("qwen2.context_length", 512).u32("qwen2.embedding_length", 96);
  builder.u32("qwen2.feed_forward_length", 80).u32("qwen2.attention.head_count", 6);
  builder.u32("qwen2.attention.head_count_kv", 2).f32("qwen2.rope.freq_base", 1e6f);
  builder.f32("qwen2.attention.layer_norm_rms_epsilon", 1e-6f);
  const tq::fixtures::TempDir folder;
  write_gguf(MemoryCheckpoint(*golden.checkpoint), builder,
             {{"model.layers.", "blk."},
              {"model.embed_tokens", "token_embd"},
              {"model.norm", "output_norm"},
              {"post_attention_layernorm", "ffn_norm"},
              {"input_layernorm", "attn_norm"},
              {"self_attn.o_proj", "attn_output"},
              {"self_attn.", "attn_"},
              {"mlp.", "ffn_"},
              {"_proj", ""}},
             folder / "m.gguf");
  const auto checkpoint = open_checkpoint(folder / "m.gguf");
  EXPECT_LE(relative_difference(Runner(*checkpoint).run(golden.tokens), golden.logits), kTolerance);
}

// Files that tests/golden/make_gguf_models.py wrote with gguf's own names, stacks and permutations.
class GoldenGguf : public testing::TestWithParam<const char*> {};

TEST_P(GoldenGguf, ComputesWhatItsCheckpointComputes) {
  const Golden golden(GetParam());
  const fs::path folder = golden_path("").parent_path().parent_path() / "gguf/models";
  const auto checkpoint = open_checkpoint(folder / fmt::format("{}.gguf", GetParam()));
  EXPECT_LE(relative_difference(Runner(*checkpoint).run(golden.tokens), golden.logits), kTolerance);
  // Elements, but for what the config says in a checkpoint.
  EXPECT_EQ(Runner(*checkpoint).model().n_parameters(),
            Runner(*golden.checkpoint).model().n_parameters());
}

INSTANTIATE_TEST_SUITE_P(
    Models, GoldenGguf,
    testing::ValuesIn(on_this_device({"qwen2_yarn", "qwen3", "qwen3_moe", "ministral3", "smollm3",
                                      "phi3", "phi3_longrope_long", "gemma4_moe", "gemma4_e",
                                      "glm4_moe_lite_groups", "gpt_oss_mxfp4"})),
    [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace tq::test
