#include "io/gguf/gguf_checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/float16.h"
#include "io/gguf/gguf_dequant.h"
#include "support/gguf_builder.h"

namespace tq {
namespace {

using fixtures::GgufBuilder;
using fixtures::tiny_gguf;
using fixtures::TinyGguf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

// A checkpoint in a temporary folder.
struct Opened {
  explicit Opened(const GgufBuilder& builder) {
    builder.write(folder / "m.gguf");
    checkpoint = open_gguf_checkpoint(folder / "m.gguf");
  }
  const TensorEntry& at(std::string_view name) const {
    const TensorEntry* entry = checkpoint->find(name);
    if (entry == nullptr) fail(ErrorCode::kNotFound, "{}", name);
    return *entry;
  }
  std::vector<float> rows(std::string_view name, int64_t begin, int64_t n) const {
    const TensorEntry& entry = at(name);
    std::vector<float> out(static_cast<size_t>(n * entry.in()));
    checkpoint->read_rows(entry, begin, n, out.data());
    return out;
  }
  std::vector<float> all(std::string_view name) const { return rows(name, 0, at(name).n_rows()); }

  fixtures::TempDir folder;
  std::unique_ptr<Checkpoint> checkpoint;
};

void expect_error(const GgufBuilder& builder, ErrorCode code, const std::string& part) {
  try {
    const Opened opened(builder);
    ADD_FAILURE() << "no error: " << part;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(error.what(), HasSubstr(part));
    EXPECT_THAT(error.what(), HasSubstr("m.gguf"));
  }
}

std::vector<float> counted(int64_t n) {
  std::vector<float> out(static_cast<size_t>(n));
  for (size_t i = 0; i < out.size(); ++i) out[i] = static_cast<float>(i);
  return out;
}

TEST(GgufCheckpoint, PresentsLlamaWithHuggingFaceNames) {
  const Opened model(tiny_gguf("llama", {.tied = false}));
  const std::map<std::string, Shape> expected = {
      {"model.embed_tokens.weight", {40, 64}},
      {"model.norm.weight", {64}},
      {"lm_head.weight", {40, 64}},
      {"model.layers.1.input_layernorm.weight", {64}},
      {"model.layers.1.self_attn.q_proj.weight", {64, 64}},
      {"model.layers.1.self_attn.k_proj.weight", {32, 64}},
      {"model.layers.1.self_attn.v_proj.weight", {32, 64}},
      {"model.layers.1.self_attn.o_proj.weight", {64, 64}},
      {"model.layers.1.post_attention_layernorm.weight", {64}},
      {"model.layers.1.mlp.gate_proj.weight", {96, 64}},
      {"model.layers.1.mlp.up_proj.weight", {96, 64}},
      {"model.layers.1.mlp.down_proj.weight", {64, 96}},
  };
  for (const auto& [name, shape] : expected) EXPECT_EQ(model.at(name).shape, shape) << name;
  EXPECT_EQ(model.checkpoint->tensors().size(), 3u + 2 * 9);
  EXPECT_EQ(model.checkpoint->kind(), CheckpointKind::kGguf);
  EXPECT_EQ(model.checkpoint->path(), model.folder / "m.gguf");
  EXPECT_EQ(model.checkpoint->files(), std::vector<fs::path>{model.folder / "m.gguf"});
  const TensorEntry& gate = model.at("model.layers.0.mlp.gate_proj.weight");
  EXPECT_EQ(gate.storage, "f32");
  EXPECT_EQ(gate.dtype, DType::kF32);
  EXPECT_EQ(gate.stored_bytes, 96 * 64 * 4);
}

TEST(GgufCheckpoint, PresentsGemma3WithHuggingFaceNames) {
  const Opened model(tiny_gguf("gemma3"));
  for (const char* name :
       {"input_layernorm", "post_attention_layernorm", "pre_feedforward_layernorm",
        "post_feedforward_layernorm", "self_attn.q_norm", "self_attn.k_norm", "self_attn.q_proj",
        "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj",
        "mlp.down_proj"}) {
    model.at("model.layers.0." + std::string(name) + ".weight");
  }
  EXPECT_EQ(model.checkpoint->tensors().size(), 2u + 2 * 13);
  EXPECT_EQ(model.checkpoint->find("lm_head.weight"), nullptr);
}

TEST(GgufCheckpoint, PresentsQwen2WithItsBiases) {
  const Opened model(tiny_gguf("qwen2"));
  const std::string attention = "model.layers.1.self_attn.";
  EXPECT_EQ(model.at(attention + "q_proj.bias").shape, Shape{64});
  EXPECT_EQ(model.at(attention + "k_proj.bias").shape, Shape{32});
  EXPECT_EQ(model.at(attention + "v_proj.bias").shape, Shape{32});
  EXPECT_EQ(model.checkpoint->find(attention + "o_proj.bias"), nullptr);
  // Rows are as Hugging Face orders them: nothing is undone.
  EXPECT_EQ(model.at(attention + "q_proj.weight").dtype, DType::kF32);
  EXPECT_EQ(model.checkpoint->tensors().size(), 2u + 2 * 12);
}

// The rows of a q or k matrix as converters for llama.cpp store them: of each head's [2, head_dim /
// 2] rows the two axes are swapped.
std::vector<float> interleave_heads(const std::vector<float>& rows, int64_t in, int64_t head_dim) {
  std::vector<float> out;
  const auto n_rows = static_cast<int64_t>(rows.size()) / in;
  for (int64_t head = 0; head < n_rows; head += head_dim) {
    for (int64_t i = 0; i < head_dim / 2; ++i) {
      for (int64_t half = 0; half < 2; ++half) {
        const auto row = rows.begin() + (head + half * head_dim / 2 + i) * in;
        out.insert(out.end(), row, row + in);
      }
    }
  }
  return out;
}

TEST(GgufCheckpoint, UndoesThePermutationOfQueriesAndKeys) {
  GgufBuilder builder = tiny_gguf("llama");
  const std::vector<float> q = counted(64 * 64);
  const std::vector<float> k = counted(32 * 64);
  builder.erase_tensor("blk.0.attn_q.weight").erase_tensor("blk.0.attn_k.weight");
  builder.tensor("blk.0.attn_q.weight", {64, 64}, interleave_heads(q, 64, 16));
  builder.tensor("blk.0.attn_k.weight", {32, 64}, interleave_heads(k, 64, 16));
  const Opened model(builder);
  const std::string attention = "model.layers.0.self_attn.";
  EXPECT_EQ(model.all(attention + "q_proj.weight"), q);
  EXPECT_EQ(model.all(attention + "k_proj.weight"), k);
  const std::vector<float> middle(q.begin() + 13 * 64, q.begin() + 35 * 64);
  EXPECT_EQ(model.rows(attention + "q_proj.weight", 13, 22), middle);
  const TensorEntry& entry = model.at(attention + "q_proj.weight");
  EXPECT_EQ(entry.dtype, std::nullopt);
  EXPECT_EQ(entry.storage, "f32");
  EXPECT_FALSE(model.checkpoint->view(entry).has_value());
  EXPECT_THROW(model.checkpoint->raw(entry), Error);
}

TEST(GgufCheckpoint, LeavesGemmaQueriesAsTheyAre) {
  GgufBuilder builder = tiny_gguf("gemma3");
  builder.erase_tensor("blk.0.attn_q.weight");
  builder.tensor("blk.0.attn_q.weight", {64, 64}, counted(64 * 64));
  const Opened model(builder);
  EXPECT_EQ(model.all("model.layers.0.self_attn.q_proj.weight"), counted(64 * 64));
}

TEST(GgufCheckpoint, SubtractsOneFromGemmaNorms) {
  GgufBuilder builder = tiny_gguf("gemma3");
  builder.erase_tensor("output_norm.weight");
  builder.tensor("output_norm.weight", {64}, counted(64));
  const Opened model(builder);
  const TensorEntry& entry = model.at("model.norm.weight");
  std::vector<float> expected = counted(64);
  for (float& value : expected) value -= 1.0f;
  EXPECT_EQ(model.all("model.norm.weight"), expected);
  EXPECT_EQ(entry.dtype, DType::kF32);
  const auto raw = model.checkpoint->raw(entry);
  ASSERT_EQ(raw.size(), 64 * sizeof(float));
  EXPECT_EQ(std::memcmp(raw.data(), expected.data(), raw.size()), 0);
  std::vector<uint8_t> copy(8);
  model.checkpoint->read_raw(entry, 12, copy);
  EXPECT_EQ(std::memcmp(raw.data() + 12, copy.data(), copy.size()), 0);
  model.checkpoint->drop_rows(entry, 0, 1);
  EXPECT_EQ(model.all("model.norm.weight"), expected);
}

TEST(GgufCheckpoint, LlamaNormsAreAsStored) {
  GgufBuilder builder = tiny_gguf("llama");
  builder.erase_tensor("output_norm.weight");
  builder.tensor("output_norm.weight", {64}, counted(64));
  EXPECT_EQ(Opened(builder).all("model.norm.weight"), counted(64));
}

TEST(GgufCheckpoint, ViewsPlainTensorsInPlace) {
  GgufBuilder builder = tiny_gguf("llama");
  std::vector<uint16_t> halves(96 * 64);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = f32_to_f16(static_cast<float>(i % 97));
  builder.erase_tensor("blk.0.ffn_up.weight");
  builder.tensor("blk.0.ffn_up.weight", static_cast<uint32_t>(GgmlType::kF16), {96, 64},
                 GgufBuilder::bytes_of_all(halves));
  const Opened model(builder);
  const TensorEntry& entry = model.at("model.layers.0.mlp.up_proj.weight");
  EXPECT_EQ(entry.storage, "f16");
  EXPECT_EQ(entry.dtype, DType::kF16);
  const auto view = model.checkpoint->view(entry);
  ASSERT_TRUE(view.has_value());
  EXPECT_EQ(view->traits().name, "f16");
  EXPECT_EQ(view->rows, 96);
  EXPECT_EQ(view->in, 64);
  EXPECT_EQ(view->in_padded, 64);
  EXPECT_EQ(view->experts, 1);
  EXPECT_EQ(view->codes, model.checkpoint->raw(entry).data());
  EXPECT_EQ(std::memcmp(view->codes, halves.data(), halves.size() * 2), 0);
  EXPECT_EQ(model.rows("model.layers.0.mlp.up_proj.weight", 2, 1)[5],
            static_cast<float>((2 * 64 + 5) % 97));
}

TEST(GgufCheckpoint, DecodesRowsOfBlocks) {
  GgufBuilder builder = tiny_gguf("llama");
  const GgmlTypeInfo& type = ggml_type_info(GgmlType::kQ4_1);
  std::string blocks(96 * 64 / 32 * 20, '\0');
  for (size_t i = 0; i < blocks.size(); ++i) blocks[i] = static_cast<char>(i * 37 % 120);
  builder.erase_tensor("blk.1.ffn_gate.weight");
  builder.tensor("blk.1.ffn_gate.weight", static_cast<uint32_t>(type.type), {96, 64}, blocks);
  const Opened model(builder);
  const std::string name = "model.layers.1.mlp.gate_proj.weight";
  const TensorEntry& entry = model.at(name);
  EXPECT_EQ(entry.storage, "q4_1");
  EXPECT_EQ(entry.dtype, std::nullopt);
  EXPECT_EQ(entry.stored_bytes, static_cast<int64_t>(blocks.size()));
  EXPECT_FALSE(model.checkpoint->view(entry).has_value());
  std::vector<float> expected(96 * 64);
  type.decode(reinterpret_cast<const uint8_t*>(blocks.data()), 96 * 2, expected.data());
  EXPECT_EQ(model.all(name), expected);
  EXPECT_EQ(model.rows(name, 7, 3),
            std::vector<float>(expected.begin() + 7 * 64, expected.begin() + 10 * 64));
  model.checkpoint->drop_rows(entry, 0, 96);
  EXPECT_EQ(model.all(name), expected);
}

TEST(GgufCheckpoint, RefusesRowsThatAreNotThere) {
  const Opened model(tiny_gguf("llama"));
  const TensorEntry& entry = model.at("model.embed_tokens.weight");
  std::vector<float> out(64);
  EXPECT_THROW(model.checkpoint->read_rows(entry, 40, 1, out.data()), Error);
  EXPECT_THROW(model.checkpoint->read_rows(entry, -1, 1, out.data()), Error);
  TensorEntry alien = entry;
  alien.name = "alien";
  EXPECT_THROW(model.checkpoint->read_rows(alien, 0, 1, out.data()), Error);
}

TEST(GgufCheckpoint, HasTextFiles) {
  GgufBuilder builder = tiny_gguf("llama");
  builder.u32("tokenizer.ggml.bos_token_id", 1).u32("tokenizer.ggml.eos_token_id", 2);
  builder.u32("tokenizer.ggml.eot_token_id", 7).u32("tokenizer.ggml.eom_token_id", 2);
  const Opened model(builder);  // without a tokenizer
  EXPECT_THAT(model.checkpoint->text_files(), ElementsAre("generation_config.json"));
  EXPECT_EQ(parse_json(model.checkpoint->text_file("generation_config.json").value(), "test"),
            (Json{{"bos_token_id", 1}, {"eos_token_id", {2, 7}}}));
  EXPECT_EQ(model.checkpoint->text_file("tokenizer.json"), std::nullopt);
}

TEST(GgufCheckpoint, HasTheTokenizerAndItsEndsOfTurn) {
  GgufBuilder builder = tiny_gguf("llama");
  builder.string("tokenizer.ggml.model", "gpt2").string("tokenizer.ggml.pre", "smollm");
  builder.strings("tokenizer.ggml.tokens", {"a", "b", "<end>", "<|im_end|>", "ab"});
  builder.i32s("tokenizer.ggml.token_type", {1, 1, 3, 3, 1});
  builder.strings("tokenizer.ggml.merges", {"a b"}).u32("tokenizer.ggml.eos_token_id", 2);
  builder.string("tokenizer.chat_template", "{{ messages }}");
  const Opened model(builder);
  EXPECT_THAT(model.checkpoint->text_files(),
              ElementsAre("generation_config.json", "tokenizer.json", "tokenizer_config.json"));
  const auto json = [&](const char* name) {
    return parse_json(model.checkpoint->text_file(name).value(), name);
  };
  EXPECT_EQ(json("generation_config.json")["eos_token_id"], (Json{2, 3}));
  EXPECT_EQ(json("tokenizer.json")["model"]["vocab"]["ab"], 4);
  EXPECT_EQ(json("tokenizer_config.json")["chat_template"], "{{ messages }}");
}

TEST(GgufCheckpoint, LeavesOutATokenizerItCannotTranslateAndSaysWhy) {
  const Opened model(tiny_gguf("llama").string("tokenizer.ggml.model", "bert"));
  EXPECT_EQ(model.rows("model.norm.weight", 0, 1).size(), 64u);
  EXPECT_THAT(model.checkpoint->text_files(), ElementsAre("generation_config.json"));
  EXPECT_EQ(model.checkpoint->text_file("tokenizer.json"), std::nullopt);
  ASSERT_TRUE(model.checkpoint->tokenizer_problem().has_value());
  EXPECT_THAT(model.checkpoint->tokenizer_problem()->what(), HasSubstr("bert"));
}

TEST(GgufCheckpoint, RefusesADamagedTokenizerWhenAsked) {
  const Opened model(tiny_gguf("llama").string("tokenizer.ggml.model", "gpt2"));
  EXPECT_EQ(model.rows("model.norm.weight", 0, 1).size(), 64u);
  for (int i = 0; i < 2; ++i) EXPECT_THROW(model.checkpoint->text_files(), Error);
}

// Converters interleave the biases of q and k as they do the rows.
TEST(GgufCheckpoint, PutsBiasesOfHeadsInOrder) {
  GgufBuilder builder = tiny_gguf("llama");
  const std::vector<float> q = counted(64);
  builder.tensor("blk.0.attn_q.bias", {64}, interleave_heads(q, 1, 16));
  builder.tensor("blk.0.attn_k.bias", {32}, interleave_heads(counted(32), 1, 16));
  builder.tensor("blk.0.attn_v.bias", {32}, counted(32));
  const Opened model(builder);
  EXPECT_EQ(model.all("model.layers.0.self_attn.q_proj.bias"), q);
  EXPECT_EQ(model.all("model.layers.0.self_attn.k_proj.bias"), counted(32));
  EXPECT_EQ(model.all("model.layers.0.self_attn.v_proj.bias"), counted(32));
  EXPECT_EQ(model.at("model.layers.0.self_attn.q_proj.bias").dtype, DType::kF32);
  EXPECT_EQ(model.checkpoint->raw(model.at("model.layers.0.self_attn.q_proj.bias")).size(), 256u);
}

TEST(GgufCheckpoint, RefusesTensorsItDoesNotKnow) {
  GgufBuilder llama = tiny_gguf("llama");
  expect_error(GgufBuilder(llama).tensor("blk.0.attn_norm.bias", {64}), ErrorCode::kUnsupported,
               "tensor blk.0.attn_norm.bias is not one that a model of architecture llama has");
  expect_error(GgufBuilder(llama).tensor("blk.0.attn_q_norm.weight", {16}), ErrorCode::kUnsupported,
               "attn_q_norm");
  expect_error(GgufBuilder(llama).tensor("blk.", {16}), ErrorCode::kUnsupported, "tensor blk. ");
  for (const char* layer : {"2", "01", "-1", "x", "99999999999999999999"}) {
    expect_error(GgufBuilder(llama).tensor(fmt::format("blk.{}.ffn_up.weight", layer), {96, 64}),
                 ErrorCode::kCorrupt, "belongs to no layer; there are 2");
  }
  expect_error(GgufBuilder(llama).tensor("blk.{}.ffn_up.weight", {96, 64}), ErrorCode::kCorrupt,
               "belongs to no layer");
}

TEST(GgufCheckpoint, RefusesShapesItCannotPermute) {
  GgufBuilder builder = tiny_gguf("llama");
  builder.erase_tensor("blk.0.attn_k.weight").tensor("blk.0.attn_k.weight", {48, 64});
  expect_error(builder, ErrorCode::kCorrupt,
               "blk.0.attn_k.weight has shape [48, 64]; 2 heads of 16 rows were expected");
  GgufBuilder gemma = tiny_gguf("gemma3");
  gemma.erase_tensor("output_norm.weight").tensor("output_norm.weight", {8, 8});
  expect_error(gemma, ErrorCode::kCorrupt, "a vector was expected");
}

TEST(GgufCheckpoint, RefusesTypesItDoesNotRead) {
  GgufBuilder builder = tiny_gguf("llama");
  builder.erase_tensor("blk.0.ffn_up.weight")
      .tensor("blk.0.ffn_up.weight", 20, {96, 64}, std::string(96 * 2 * 18, '\0'));
  expect_error(builder, ErrorCode::kUnsupported,
               "tensor blk.0.ffn_up.weight has ggml type 20 (iq4_nl), which is not read");
}

// A model in two files: the metadata in the first, the tensors of layer 1 in the second.
struct SplitModel {
  SplitModel() {
    GgufBuilder first = tiny_gguf("llama");
    GgufBuilder second;
    for (const char* part : {"attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm",
                             "ffn_gate", "ffn_up", "ffn_down"}) {
      const std::string name = fmt::format("blk.1.{}.weight", part);
      first.erase_tensor(name);
      const std::string_view last = part;
      const Shape shape = last.ends_with("norm")                   ? Shape{64}
                          : last == "attn_k" || last == "attn_v"   ? Shape{32, 64}
                          : last == "ffn_gate" || last == "ffn_up" ? Shape{96, 64}
                          : last == "ffn_down"                     ? Shape{64, 96}
                                                                   : Shape{64, 64};
      second.tensor(name, shape);
    }
    write(first, 0, "m-00001-of-00002.gguf");
    write(second, 1, "m-00002-of-00002.gguf");
  }
  void write(GgufBuilder builder, uint32_t number, const std::string& name) const {
    builder.u32("split.no", number).u32("split.count", 2).u32("split.tensors.count", 20);
    builder.write(folder / name);
  }
  std::string error(const std::string& name) const {
    try {
      open_gguf_checkpoint(folder / name);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }
  fixtures::TempDir folder;
};

TEST(GgufSplit, EveryPartOpensTheWhole) {
  const SplitModel split;
  const Opened whole(tiny_gguf("llama"));
  for (const char* name : {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}) {
    const auto checkpoint = open_gguf_checkpoint(split.folder / name);
    EXPECT_EQ(checkpoint->files().size(), 2u);
    ASSERT_EQ(checkpoint->tensors().size(), whole.checkpoint->tensors().size());
    for (const TensorEntry& entry : checkpoint->tensors()) {
      std::vector<float> values(static_cast<size_t>(entry.n_elements()));
      checkpoint->read_rows(entry, 0, entry.n_rows(), values.data());
      EXPECT_EQ(values, whole.all(entry.name)) << entry.name;
      checkpoint->drop_rows(entry, 0, entry.n_rows());
    }
  }
  // A folder of all parts is the model.
  EXPECT_EQ(open_checkpoint(split.folder.path())->tensors().size(),
            whole.checkpoint->tensors().size());
}

TEST(GgufSplit, PartsThatDoNotFitAreRefused) {
  const SplitModel split;
  fs::copy(split.folder / "m-00001-of-00002.gguf", split.folder / "renamed.gguf");
  EXPECT_THAT(split.error("renamed.gguf"),
              HasSubstr("one of 2 parts of a split model, which must"));
  fs::remove(split.folder / "m-00002-of-00002.gguf");
  EXPECT_THAT(split.error("m-00001-of-00002.gguf"),
              HasSubstr("m-00002-of-00002.gguf: part 2 of a model of 2 files is missing"));
  // Who only looks sees the part that is there.
  OpenOptions inspect;
  inspect.inspect = true;
  const auto lone = open_gguf_checkpoint(split.folder / "m-00001-of-00002.gguf", inspect);
  EXPECT_TRUE(lone->problem().has_value());
  EXPECT_NE(lone->find("blk.0.attn_q.weight"), nullptr);
  fs::copy(split.folder / "m-00001-of-00002.gguf", split.folder / "m-00002-of-00002.gguf");
  EXPECT_THAT(split.error("m-00001-of-00002.gguf"),
              HasSubstr("m-00002-of-00002.gguf: its metadata says part 1 of 2"));
  fs::remove(split.folder / "m-00002-of-00002.gguf");
  GgufBuilder twice = tiny_gguf("llama");
  split.write(twice, 1, "m-00002-of-00002.gguf");
  EXPECT_THAT(split.error("m-00001-of-00002.gguf"), HasSubstr("an earlier part of the model has"));
  split.write(GgufBuilder().tensor("extra", {4}), 1, "m-00002-of-00002.gguf");
  EXPECT_THAT(split.error("m-00001-of-00002.gguf"), HasSubstr("not 20 (split.tensors.count)"));
}

TEST(GgufSplit, RefusesOnePartOfASplitModel) {
  expect_error(tiny_gguf("llama").raw("split.count", GgufBuilder::kU16, std::string("\3\0", 2)),
               ErrorCode::kUnsupported, "one of 3 parts of a split model, which must");
}

}  // namespace
}  // namespace tq
