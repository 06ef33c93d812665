#!/usr/bin/env python3
"""Makes tests/golden/models: tiny seeded checkpoints and the logits transformers computes from them.

    python3 tests/golden/make_model_goldens.py [OUT [NAME...]]

Needs torch, numpy and transformers >= 5.5 (made with 5.17.0, qwen2, qwen2_yarn, qwen3_5 and what follows glm4_moe_lite_groups
with 5.19.0, on the CPU, fp32, eager attention and experts). Only needed to change the goldens; the tests read what is stored. Each folder holds

    config.json, model.safetensors   as save_pretrained writes them, but for FLAT_SIZES
    tokens.npy                       int32 [tokens], the prompt: TOKENS, or those of PROMPTS
    logits.npy                       float32 [tokens, vocab], one full pass
    logits_cached.npy                float32 [tokens, vocab], prefill of PREFILL, then token by token
    layers.npy                       (of WITH_LAYERS) float32 [layers, 2, tokens, hidden]: the
                                     residual after the attention block and at the end of the layer

Weights that the usual initialisation would hide (norms at 1, biases at 0, projections too small to
matter) are randomised, and prompts are longer than three sliding windows. Prompts of mixtures of
experts are drawn until no choice of experts is closer than MARGIN, so that rounding cannot turn it,
and no expert is idle.
"""

import json
import pathlib
import shutil
import sys

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.integrations.mxfp4 import convert_moe_packed_tensors

TOKENS = 40
PREFILL = 27
MARGIN = 1e-3

LLAMA = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 128,
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 2,
    "num_key_value_heads": 1, "head_dim": 32, "rms_norm_eps": 1e-5, "rope_theta": 100000.0,
    "max_position_embeddings": 512, "tie_word_embeddings": True,
}
GEMMA3 = {
    "model_type": "gemma3_text", "architectures": ["Gemma3ForCausalLM"], "vocab_size": 128,
    "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4,
    "layer_types": ["sliding_attention", "sliding_attention", "full_attention",
                    "sliding_attention"],
    "num_attention_heads": 4, "num_key_value_heads": 1, "head_dim": 32, "query_pre_attn_scalar": 48,
    "sliding_window": 8, "rms_norm_eps": 1e-6, "max_position_embeddings": 512,
    "hidden_activation": "gelu_pytorch_tanh", "tie_word_embeddings": True,
    "final_logit_softcapping": 12.0,
    "rope_parameters": {
        "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    },
}
GEMMA4_DENSE = {
    "model_type": "gemma4_text", "architectures": ["Gemma4ForCausalLM"], "vocab_size": 128,
    "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 3,
    "layer_types": ["sliding_attention", "full_attention", "full_attention"],
    "num_attention_heads": 6, "num_key_value_heads": 2, "num_global_key_value_heads": 1,
    "head_dim": 16, "global_head_dim": 32, "attention_k_eq_v": True, "sliding_window": 8,
    "hidden_activation": "gelu_pytorch_tanh", "rms_norm_eps": 1e-6, "max_position_embeddings": 512,
    "final_logit_softcapping": 5.0, "hidden_size_per_layer_input": 0, "num_kv_shared_layers": 0,
    "enable_moe_block": False, "use_double_wide_mlp": False, "tie_word_embeddings": True,
    "rope_parameters": {
        "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25,
                           "rope_theta": 1000000.0},
        "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
    },
}
QWEN3 = {
    "model_type": "qwen3", "architectures": ["Qwen3ForCausalLM"], "vocab_size": 128,
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
    "max_position_embeddings": 512, "tie_word_embeddings": True,
}
QWEN2 = {
    "model_type": "qwen2", "architectures": ["Qwen2ForCausalLM"], "vocab_size": 128,
    "hidden_size": 96, "intermediate_size": 80, "num_hidden_layers": 3, "num_attention_heads": 6,
    "num_key_value_heads": 2, "rms_norm_eps": 1e-6, "rope_theta": 1000000.0,
    "max_position_embeddings": 512, "tie_word_embeddings": True,
}
GLM4_MOE_LITE = {
    "model_type": "glm4_moe_lite", "architectures": ["Glm4MoeLiteForCausalLM"], "vocab_size": 128,
    "hidden_size": 64, "intermediate_size": 48, "moe_intermediate_size": 32,
    "num_hidden_layers": 3, "num_attention_heads": 3, "num_key_value_heads": 3, "q_lora_rank": 48,
    "kv_lora_rank": 32, "qk_nope_head_dim": 24, "qk_rope_head_dim": 8, "v_head_dim": 20,
    "n_routed_experts": 5, "n_shared_experts": 1, "num_experts_per_tok": 2, "n_group": 1,
    "topk_group": 1, "norm_topk_prob": True, "routed_scaling_factor": 1.8, "rms_norm_eps": 1e-5,
    "rope_theta": 1000000.0, "max_position_embeddings": 512, "tie_word_embeddings": False,
}
MISTRAL = LLAMA | {
    "model_type": "mistral", "architectures": ["MistralForCausalLM"], "hidden_size": 96,
    "intermediate_size": 80, "num_attention_heads": 4, "num_key_value_heads": 2,
    "tie_word_embeddings": False,
}
SMOLLM3 = LLAMA | {
    "model_type": "smollm3", "architectures": ["SmolLM3ForCausalLM"], "num_hidden_layers": 4,
    "hidden_size": 96, "intermediate_size": 80, "num_attention_heads": 6,
    "num_key_value_heads": 2, "head_dim": 16, "no_rope_layers": [1, 1, 1, 0], "rope_theta": 10000.0,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}
PHI3 = {
    "model_type": "phi3", "architectures": ["Phi3ForCausalLM"], "vocab_size": 128,
    "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "rms_norm_eps": 1e-5, "max_position_embeddings": 512,
    "original_max_position_embeddings": 512, "sliding_window": 8, "tie_word_embeddings": False,
    "rope_parameters": {"rope_type": "default", "rope_theta": 250000.0,
                        "partial_rotary_factor": 0.75},
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}
LONGROPE = PHI3 | {
    "sliding_window": None, "tie_word_embeddings": True, "max_position_embeddings": 1024,
    "rope_parameters": {"rope_type": "longrope", "rope_theta": 10000.0,
                        "partial_rotary_factor": 0.75, "original_max_position_embeddings": 512,
                        "short_factor": [1.0, 1.1, 1.3, 1.5, 1.8, 2.0],
                        "long_factor": [1.0, 1.5, 2.5, 4.0, 7.0, 12.0]},
}
QWEN3_5 = {
    "model_type": "qwen3_5_text", "architectures": ["Qwen3_5ForCausalLM"], "vocab_size": 128,
    "hidden_size": 64, "intermediate_size": 48, "num_hidden_layers": 5,
    "layer_types": ["linear_attention", "linear_attention", "full_attention", "linear_attention",
                    "full_attention"],
    "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 32,
    "linear_num_key_heads": 2, "linear_key_head_dim": 24, "linear_num_value_heads": 6,
    "linear_value_head_dim": 20, "linear_conv_kernel_dim": 4, "rms_norm_eps": 1e-6,
    "max_position_embeddings": 512, "tie_word_embeddings": True,
    "rope_parameters": {"rope_type": "default", "rope_theta": 10000000.0,
                        "partial_rotary_factor": 0.25, "mrope_section": [2, 1, 1],
                        "mrope_interleaved": True},
}
# name -> (config, dtype of the stored weights)
GPT_OSS = {
    "model_type": "gpt_oss", "architectures": ["GptOssForCausalLM"], "vocab_size": 128,
    "hidden_size": 64, "intermediate_size": 32, "num_hidden_layers": 2,
    "layer_types": ["sliding_attention", "full_attention"], "num_attention_heads": 4,
    "num_key_value_heads": 2, "head_dim": 32, "sliding_window": 8, "num_local_experts": 6,
    "num_experts_per_tok": 3, "swiglu_limit": 1.5, "rms_norm_eps": 1e-5,
    "max_position_embeddings": 512, "attention_bias": True, "tie_word_embeddings": False,
    "rope_parameters": {"rope_type": "yarn", "rope_theta": 1000.0, "factor": 8.0,
                        "beta_fast": 8.0, "beta_slow": 1.0, "truncate": False,
                        "original_max_position_embeddings": 64},
}
MODELS = {
    "llama": (LLAMA, torch.float32),
    # Same shapes, weights stored in bf16; the logits are still computed in fp32.
    "llama_bf16": (LLAMA, torch.bfloat16),
    # Untied head, biases everywhere, llama3 rope scaling whose three bands all occur.
    "llama_bias_rope3": (LLAMA | {
        "hidden_size": 128, "intermediate_size": 64, "num_attention_heads": 4,
        "num_key_value_heads": 2, "tie_word_embeddings": False, "attention_bias": True,
        "mlp_bias": True, "rope_theta": 10000.0,
        "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0,
                         "high_freq_factor": 4.0, "original_max_position_embeddings": 64},
    }, torch.float32),
    # heads * head_dim = 128 but hidden = 96; no dimension divides by 128 but that one.
    "llama_wide_heads": (LLAMA | {
        "hidden_size": 96, "intermediate_size": 96, "num_attention_heads": 4,
        "num_key_value_heads": 2,
    }, torch.float32),
    "gemma3": (GEMMA3, torch.float32),
    # Keys that are values and larger heads on global layers.
    "gemma4_dense": (GEMMA4_DENSE, torch.float32),
    # Experts beside the dense MLP.
    "gemma4_moe": (GEMMA4_DENSE | {
        "enable_moe_block": True, "num_experts": 5, "top_k_experts": 3, "moe_intermediate_size": 32,
    }, torch.float32),
    # Per-layer embeddings; the last three layers use keys and values of the first three, with MLPs
    # of twice the width.
    "gemma4_e": (GEMMA4_DENSE | {
        "num_hidden_layers": 6, "layer_types": ["sliding_attention", "sliding_attention",
                                                "full_attention"] * 2,
        "num_attention_heads": 3, "num_key_value_heads": 1, "num_global_key_value_heads": None,
        "attention_k_eq_v": False, "intermediate_size": 48, "hidden_size_per_layer_input": 16,
        "vocab_size_per_layer_input": 128, "num_kv_shared_layers": 3, "use_double_wide_mlp": True,
    }, torch.float32),
    # The sizes of global layers where transformers >= 5.15 writes them, in per_layer_config only.
    "gemma4_per_layer_config": (GEMMA4_DENSE | {
        "num_hidden_layers": 2, "layer_types": ["sliding_attention", "full_attention"],
        "num_key_value_heads": 3, "num_global_key_value_heads": 2, "global_head_dim": 48,
    }, torch.float32),
    # Biases of queries, keys and values only.
    "qwen2": (QWEN2, torch.float32),
    # The layers from max_window_layers on slide.
    "qwen2_sliding": (QWEN2 | {
        "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1,
        "tie_word_embeddings": False,
    }, torch.float32),
    # Pairs that keep their frequency, blended ones and interpolated ones; cos and sin scaled.
    "qwen2_yarn": (QWEN2 | {
        "num_hidden_layers": 2, "rope_theta": 100.0,
        "rope_scaling": {"rope_type": "yarn", "factor": 4.0, "beta_fast": 2.0, "beta_slow": 1.0,
                         "original_max_position_embeddings": 64},
    }, torch.float32),
    "qwen3": (QWEN3, torch.float32),
    "qwen3_moe": (QWEN3 | {
        "model_type": "qwen3_moe", "architectures": ["Qwen3MoeForCausalLM"],
        "num_hidden_layers": 3, "num_experts": 6, "num_experts_per_tok": 3,
        "moe_intermediate_size": 32, "norm_topk_prob": True, "decoder_sparse_step": 1,
        "mlp_only_layers": [1], "intermediate_size": 48, "tie_word_embeddings": False,
    }, torch.float32),
    "glm4_moe_lite": (GLM4_MOE_LITE, torch.float32),
    # Experts are chosen from one of two groups.
    "glm4_moe_lite_groups": (GLM4_MOE_LITE | {
        "num_hidden_layers": 2, "n_routed_experts": 8, "n_group": 2, "num_experts_per_tok": 3,
    }, torch.float32),
    # All layers slide.
    "mistral": (MISTRAL | {"sliding_window": 8}, torch.float32),
    # Yarn with mscales of its own; queries scaled from position 16 on.
    "ministral3": (MISTRAL | {
        "model_type": "ministral3", "architectures": ["Ministral3ForCausalLM"],
        "sliding_window": None, "tie_word_embeddings": True,
        "rope_parameters": {
            "rope_type": "yarn", "rope_theta": 1000.0, "factor": 8.0, "beta_fast": 4.0,
            "beta_slow": 1.0, "mscale": 1.0, "mscale_all_dim": 0.5,
            "original_max_position_embeddings": 16, "llama_4_scaling_beta": 0.3},
    }, torch.float32),
    "smollm3": (SMOLLM3, torch.float32),
    # Fused projections, three quarters of each head turn, all layers slide.
    "phi3": (PHI3, torch.float32),
    # Contexts up to the original one, and longer ones.
    "phi3_longrope": (LONGROPE, torch.float32),
    "phi3_longrope_long": (LONGROPE | {"original_max_position_embeddings": 24}, torch.float32),
    # Sinks, clamped experts with biases.
    "gpt_oss": (GPT_OSS, torch.float32),
    # Experts packed as in the published checkpoints.
    "gpt_oss_mxfp4": (GPT_OSS | {"num_hidden_layers": 1, "layer_types": ["sliding_attention"],
                                 "swiglu_limit": 7.0},
                      torch.float32),
    # Gated delta rule with heads of another size for values, three of which share a key head.
    "qwen3_5": (QWEN3_5, torch.float32),
    # Experts and a gated shared one in every layer, a convolution of three tokens, untied head.
    "qwen3_5_moe": ({key: value for key, value in QWEN3_5.items() if key != "intermediate_size"} | {
        "model_type": "qwen3_5_moe_text", "architectures": ["Qwen3_5MoeForCausalLM"],
        "num_hidden_layers": 3, "layer_types": ["linear_attention", "linear_attention",
                                                "full_attention"],
        "linear_key_head_dim": 16, "linear_num_value_heads": 4, "linear_value_head_dim": 16,
        "linear_conv_kernel_dim": 3, "num_experts": 6, "num_experts_per_tok": 3,
        "moe_intermediate_size": 32, "shared_expert_intermediate_size": 48,
        "tie_word_embeddings": False,
    }, torch.float32),
}
# Longer than a chunk of transformers' delta rule, which is 64 tokens.
PROMPTS = {"qwen3_5": 75, "qwen3_5_moe": 75}
# Configs that are rewritten to the older spelling, global_head_dim and num_global_key_value_heads,
# which the published checkpoints have.
FLAT_SIZES = {"gemma4_moe", "gemma4_dense", "gemma4_e"}
WITH_LAYERS = {"gemma4_moe", "glm4_moe_lite", "qwen3_5", "qwen3_5_moe"}


def spread(name, tensor, family):
    """Gives a weight a spread at which it matters to the logits."""
    if "norm" in name:
        tensor.uniform_(-0.3, 0.3)
        # These store w of (1 + w), Qwen3.5 but for one norm.
        if family != "gemma3" and (family != "qwen3_5" or "linear_attn" in name):
            tensor.add_(1.0)
        if family == "gemma4" and ("q_norm" in name or "k_norm" in name):
            tensor.mul_(0.4)  # its scores are not scaled
    elif name.endswith("e_score_correction_bias"):
        tensor.uniform_(-0.3, 0.3)
    elif name.endswith("sinks"):
        tensor.uniform_(-2.0, 2.0)
    elif name.endswith(("A_log", "dt_bias")):
        tensor.uniform_(-2.0, 1.0)
    elif name.endswith("bias"):
        tensor.normal_(0.0, 0.2)
    elif name.endswith("conv1d.weight"):
        tensor.normal_(0.0, 0.4)
    elif name.endswith("layer_scalar"):
        tensor.uniform_(0.3, 1.2)
    elif name.endswith(("router.scale", "per_expert_scale")):
        tensor.uniform_(0.5, 1.5)
    elif name.endswith("router.proj.weight"):
        tensor.normal_(0.0, 1.5)  # of a normed input divided by sqrt(hidden)
    elif "embed_tokens" in name:
        tensor.normal_(0.0, 0.3 if family.startswith("gemma") else 1.0)
    else:
        tensor.normal_(0.0, 0.15)


def randomise(model, family):
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread(name, parameter, family)
        for name, buffer in model.named_buffers():
            if name in model.state_dict():
                spread(name, buffer, family)
        # What is normed next is made so small that the epsilon of its norm shows.
        for name, parameter in model.named_parameters():
            if name.endswith(("q_a_proj.weight", "per_layer_model_projection.weight")):
                parameter.mul_(0.01)
            elif name.endswith("kv_a_proj_with_mqa.weight"):
                parameter[:model.config.kv_lora_rank].mul_(0.01)


def flatten_sizes(path):
    """Rewrites a Gemma 4 config from per_layer_config to the fields of earlier releases."""
    config = json.loads(path.read_text())
    config.pop("_layer_overrides", None)
    overrides = list(config.pop("per_layer_config").values())
    assert all(override == overrides[0] for override in overrides)
    config["global_head_dim"] = overrides[0]["head_dim"]
    config["num_global_key_value_heads"] = overrides[0].get("num_key_value_heads")
    path.write_text(json.dumps(config, indent=2) + "\n")


def gap(scores, k):
    """Distance of the k-th largest from the next; nothing is chosen if there is none."""
    top = scores.topk(min(k + 1, scores.shape[-1]), dim=-1).values
    return (top[..., k - 1] - top[..., k]).min().item() if top.shape[-1] > k else float("inf")


def margin(router, output):
    """How close the closest choice of a router is: of logits, for GLM of scores and of groups."""
    if not hasattr(router, "e_score_correction_bias"):
        if hasattr(router, "per_expert_scale"):  # Gemma 4 hands out probabilities
            return gap(output[0].log(), router.config.top_k_experts)
        return gap(output[0], router.top_k)
    scores = output[0].sigmoid() + router.e_score_correction_bias
    groups = scores.view(len(scores), router.num_group, -1)
    sums = groups.topk(2, dim=-1).values.sum(dim=-1)
    kept = torch.zeros_like(sums).scatter(1, sums.topk(router.topk_group, dim=-1).indices, 1)
    scores = groups.masked_fill(kept[..., None] == 0, -1e9).flatten(1)
    return min(gap(sums, router.topk_group), gap(scores, router.top_k))


class Watch:
    """Records the closest routing choice, idle experts and the stages of layers.npy of a pass."""

    def __init__(self, model):
        self.reset()
        before_ffn = "pre_feedforward_layernorm" if "gemma" in model.config.model_type \
            else "post_attention_layernorm"
        for module in model.modules():
            if type(module).__name__.endswith("Router"):
                module.register_forward_hook(self.see_router)
        for layer in model.model.layers:
            getattr(layer, before_ffn).register_forward_pre_hook(self.see_stage)
            layer.register_forward_hook(lambda _, __, output: self.see_stage(_, (output,)))

    def see_router(self, router, _, output):
        self.margin = min(self.margin, margin(router, output))
        self.idle += output[0].shape[-1] - len(output[2].unique())

    def see_stage(self, _, inputs):
        self.stages.append(inputs[0][0].detach().clone().numpy())

    def reset(self):
        self.margin = float("inf")
        self.idle = 0
        self.stages = []


def full_pass(model, tokens):
    return model(tokens[None]).logits[0]


def cached_pass(model, tokens):
    out = model(tokens[None, :PREFILL], use_cache=True)
    rows = [out.logits[0]]
    for t in range(PREFILL, len(tokens)):
        out = model(tokens[None, t:t + 1], use_cache=True, past_key_values=out.past_key_values)
        rows.append(out.logits[0])
    return torch.cat(rows)


def random_mxfp4(parameter):
    """Fills experts [experts, in, rows] with what random blocks and scales decode to, by transformers' own code."""
    experts, inputs, rows = parameter.shape
    blocks = torch.randint(0, 256, (experts, rows, inputs // 32, 16), dtype=torch.uint8)
    scales = torch.randint(121, 125, (experts, rows, inputs // 32), dtype=torch.uint8)
    with torch.no_grad():
        parameter.copy_(convert_moe_packed_tensors(blocks, scales, dtype=torch.float32))
    return blocks, scales


def pack_experts(model, folder):
    """The checkpoint with packed experts, and the model that it is."""
    packed = {}
    for name, parameter in model.named_parameters():
        if name.endswith(("experts.gate_up_proj", "experts.down_proj")):
            packed[f"{name}_blocks"], packed[f"{name}_scales"] = random_mxfp4(parameter)
    model.save_pretrained(folder)
    tensors = load_file(folder / "model.safetensors")
    plain = {name: values for name, values in tensors.items() if f"{name}_blocks" not in packed}
    save_file(plain | packed, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "mxfp4",
                                     "modules_to_not_convert": ["model.layers.*.self_attn"]}
    (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)
    return model.eval()


def make_checkpoint(name, folder):
    """Saves the seeded checkpoint and loads it again in fp32."""
    config, dtype = MODELS[name]
    eager = {"attn_implementation": "eager"}
    if any("experts" in key for key in config):
        eager["experts_implementation"] = "eager"
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config), **eager)
    family = config["model_type"]
    randomise(model, "qwen3_5" if family.startswith("qwen3_5") else family.partition("_")[0])
    shutil.rmtree(folder, ignore_errors=True)
    if name.endswith("mxfp4"):
        return pack_experts(model, folder)
    model.to(dtype).save_pretrained(folder)
    (folder / "generation_config.json").unlink(missing_ok=True)
    (folder / "model.safetensors").chmod(0o644)
    if name in FLAT_SIZES:
        flatten_sizes(folder / "config.json")
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **eager).eval()


def make(name, out):
    torch.manual_seed(20240 + len(name))
    folder = out / name
    model = make_checkpoint(name, folder)
    watch = Watch(model)
    for attempt in range(1000):
        tokens = torch.randint(0, model.config.vocab_size, (PROMPTS.get(name, TOKENS),))
        watch.reset()
        with torch.no_grad():
            full = full_pass(model, tokens)
        if watch.margin > MARGIN and watch.idle == 0:
            break
    assert watch.margin > MARGIN and watch.idle == 0, name
    closest, stages = watch.margin, np.stack(watch.stages)
    with torch.no_grad():
        cached = cached_pass(model, tokens)
    scale = full.abs().max()
    assert (full - cached).abs().max() / scale < 2e-5, name
    np.save(folder / "tokens.npy", tokens.numpy().astype(np.int32))
    np.save(folder / "logits.npy", full.numpy())
    np.save(folder / "logits_cached.npy", cached.numpy())
    if name in WITH_LAYERS:
        np.save(folder / "layers.npy", stages.reshape(-1, 2, *stages.shape[1:]))
    size = sum(file.stat().st_size for file in folder.iterdir())
    print(f"{name}: {size} bytes, largest logit {scale:.1f}, prompt {attempt}, "
          f"routing margin {closest:.1e}")


def main():
    default = pathlib.Path(__file__).parent / "models"
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else default
    for name in sys.argv[2:] or MODELS:
        make(name, out)


if __name__ == "__main__":
    main()
