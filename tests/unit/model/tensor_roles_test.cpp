#include "model/tensor_roles.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/file.h"
#include "io/checkpoint.h"

namespace tq::test {
namespace {

std::vector<std::string> models() {
  std::vector<std::string> paths = {"synth:gemma-4-26B-A4B", "synth:qwen3-30B-A3B",
                                    "synth:glm-4.7-flash", "synth:gemma-3-1b"};
  for (const auto& entry : fs::directory_iterator(fs::path(TQ_TEST_DATA) / "golden/models")) {
    if (fs::exists(entry.path() / "model.safetensors")) paths.push_back(entry.path().string());
  }
  return paths;
}

// The architecture's names have the roles that these names commonly have, and none is left out.
TEST(TensorRoles, EveryTensorOfEveryArchitecture) {
  const TensorRoles common(Json::object());
  size_t n_models = 0;
  for (const std::string& path : models()) {
    const auto checkpoint = open_checkpoint(path);
    const TensorRoles roles(checkpoint->config());
    ++n_models;
    for (const TensorEntry& tensor : checkpoint->tensors()) {
      const TensorRole role = roles.role(tensor.name, tensor.shape);
      EXPECT_EQ(role, common.role(tensor.name, tensor.shape)) << path << " " << tensor.name;
      EXPECT_NE(role, TensorRole::kOther) << path << " " << tensor.name;
    }
  }
  EXPECT_GE(n_models, 15u);
}

TEST(TensorRoles, FollowTheArchitecture) {
  const Shape stack = {8, 64, 32};
  const Shape matrix = {64, 32};
  const TensorRoles gemma(Json{{"model_type", "gemma4_text"}});
  const std::string layer = "model.language_model.layers.17.";
  EXPECT_EQ(gemma.role(layer + "experts.anything", stack), TensorRole::kExperts);
  EXPECT_EQ(gemma.role(layer + "router.scale", {32}), TensorRole::kRouter);
  EXPECT_EQ(gemma.role(layer + "self_attn.o_proj.weight", matrix), TensorRole::kOutput);
  EXPECT_EQ(gemma.role("model.language_model.embed_tokens_per_layer.weight", matrix),
            TensorRole::kPerLayerTable);
  EXPECT_EQ(gemma.role("model.vision_tower.layers.0.self_attn.q_proj.weight", matrix),
            TensorRole::kTower);
  const TensorRoles glm(Json{{"model_type", "glm4_moe_lite"}});
  EXPECT_EQ(glm.role("model.layers.1.self_attn.kv_b_proj.weight", matrix),
            TensorRole::kLatentExpansion);
  EXPECT_EQ(glm.role("model.layers.1.mlp.experts.5.down_proj.weight", matrix),
            TensorRole::kExperts);
  // Elsewhere the stack is nothing that is known.
  EXPECT_EQ(TensorRoles(Json::object()).role(layer + "experts_anything", matrix),
            TensorRole::kOther);
}

}  // namespace
}  // namespace tq::test
