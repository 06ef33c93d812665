#!/usr/bin/env python3
"""Makes tests/golden/gguf/models/NAME.gguf of tests/golden/models/NAME.

    PYTHONPATH=... python3 tests/golden/make_gguf_models.py [NAME...]

Needs gguf (0.19: names of tensors and keys are its own), numpy and safetensors. What a GGUF holds beside names
(permuted rows, stacked experts, keys of latent attention transposed, rope as divisors) is done here as the converters
of llama.cpp do it, so that reading the file must undo it: tests/unit/model/gguf_golden_test.cpp compares the logits
with those of the Hugging Face checkpoint. All tensors are f32, but for the experts of gpt_oss_mxfp4.
"""

import json
import pathlib
import re
import sys

import gguf
import numpy as np
from gguf import MODEL_ARCH as A
from safetensors.numpy import load_file

ROOT = pathlib.Path(__file__).resolve().parent
# What converters call tensors before they look for the name in a GGUF.
RENAMES = {".experts.gate_up_proj": ".experts.gate_up_proj.weight",
           ".experts.down_proj": ".experts.down_proj.weight", ".sinks": ".sinks.weight",
           "layer_scalar": "layer_scalar.weight"}


class Model:
    """A golden on its way into a GGUF file."""

    def __init__(self, name, arch):
        folder = ROOT / "models" / name
        self.config = json.loads((folder / "config.json").read_text())
        self.tensors = load_file(folder / "model.safetensors")
        self.layers = self.config["num_hidden_layers"]
        self.heads = self.config["num_attention_heads"]
        self.kv_heads = self.config.get("num_key_value_heads", self.heads)
        self.names = gguf.get_tensor_name_map(arch, self.layers)
        out = ROOT / "gguf/models"
        out.mkdir(parents=True, exist_ok=True)
        self.writer = gguf.GGUFWriter(out / f"{name}.gguf", gguf.MODEL_ARCH_NAMES[arch])

    def head_dim(self):
        return self.config.get("head_dim") or self.config["hidden_size"] // self.heads

    def add(self, name, values, exact=False):
        if not exact:
            for old, new in RENAMES.items():
                if name.endswith(old):
                    name = name.removesuffix(old) + new
            found = self.names.get_name(name, try_suffixes=(".weight", ".bias"))
            assert found is not None, name
            name = found
        self.writer.add_tensor(name, np.ascontiguousarray(values, dtype=np.float32))

    def sizes(self, heads=True):
        w, c = self.writer, self.config
        w.add_block_count(self.layers)
        w.add_context_length(c["max_position_embeddings"])
        w.add_embedding_length(c["hidden_size"])
        w.add_head_count(self.heads)
        w.add_layer_norm_rms_eps(c["rms_norm_eps"])
        w.add_vocab_size(c["vocab_size"])
        rope = c.get("rope_parameters") or {}
        if "rope_theta" in rope:
            w.add_rope_freq_base(rope["rope_theta"])
        if not heads:
            return
        w.add_feed_forward_length(c["intermediate_size"])
        w.add_head_count_kv(self.kv_heads)
        if "head_dim" in c:
            w.add_key_length(c["head_dim"])
            w.add_value_length(c["head_dim"])
        self.yarn(rope)

    def yarn(self, rope):
        if rope.get("rope_type") != "yarn":
            return
        w = self.writer
        w.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        w.add_rope_scaling_factor(rope["factor"])
        w.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        w.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
        w.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])

    def stack_experts(self):
        """One tensor a projection, of experts that are stored one by one."""
        experts = {}
        for name in list(self.tensors):
            if found := re.match(r"(.*\.experts)\.(\d+)\.(\w+)\.weight", name):
                experts.setdefault((found[1], found[3]), {})[int(found[2])] = self.tensors.pop(name)
        for (prefix, part), matrices in experts.items():
            self.add(f"{prefix}.{part}.weight", np.stack([matrices[i] for i in sorted(matrices)]))

    def add_rest(self, change=lambda name, values: values):
        for name, values in self.tensors.items():
            self.add(name, change(name, values))

    def finish(self):
        self.writer.write_header_to_file()
        self.writer.write_kv_data_to_file()
        self.writer.write_tensors_to_file()
        self.writer.close()


def permuted(model):
    """Rows of queries and keys so that the two that rope turns together are neighbours."""
    def change(name, values):
        for part, heads in (("q_proj", model.heads), ("k_proj", model.kv_heads)):
            if part in name:
                halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
                return halves.swapaxes(1, 2).reshape(values.shape)
        return values
    return change


def make_llama_like(name, arch):
    model = Model(name, arch)
    model.sizes()
    rope = model.config["rope_parameters"]
    if "llama_4_scaling_beta" in rope:
        model.writer.add_rope_scaling_yarn_log_mul(rope["mscale_all_dim"])
        model.writer.add_attn_temperature_scale(rope["llama_4_scaling_beta"])
    model.add_rest(permuted(model))
    model.finish()


def make_qwen(name, arch):
    model = Model(name, arch)
    model.sizes()
    if "moe_intermediate_size" in model.config:
        c = model.config
        model.writer.add_expert_count(c.get("num_local_experts") or c["num_experts"])
        model.writer.add_expert_used_count(c["num_experts_per_tok"])
        model.writer.add_expert_feed_forward_length(c["moe_intermediate_size"])
        # Dense layers have names that gguf does not know in this architecture.
        for i in c["mlp_only_layers"]:
            for part in ("gate", "up", "down"):
                values = model.tensors.pop(f"model.layers.{i}.mlp.{part}_proj.weight")
                model.add(f"blk.{i}.ffn_{part}.weight", values, exact=True)
        model.stack_experts()
    model.add_rest()
    model.finish()


def make_phi3(name, arch):
    model = Model(name, arch)
    model.sizes()
    w, c = model.writer, model.config
    rope = c["rope_parameters"]
    dims = int(rope["partial_rotary_factor"] * model.head_dim())
    original = c["original_max_position_embeddings"]
    w.add_rope_dimension_count(dims)
    w.add_rope_scaling_orig_ctx_len(original)
    w.add_sliding_window(c["sliding_window"] or 0)
    if "long_factor" in rope:
        scale = c["max_position_embeddings"] / original
        w.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE)
        w.add_rope_scaling_attn_factors(
            np.sqrt(1 + np.log(scale) / np.log(original)) if scale > 1 else 1.0)
        model.add("rope_factors_long.weight", rope["long_factor"], exact=True)
        model.add("rope_factors_short.weight", rope["short_factor"], exact=True)
    model.add_rest()
    model.finish()


def make_gemma4(name, arch):
    model = Model(name, arch)
    model.sizes(heads=False)
    w, c = model.writer, model.config
    sliding = [kind == "sliding_attention" for kind in c["layer_types"]]
    shared = c["num_kv_shared_layers"]
    w.add_shared_kv_layers(shared)
    w.add_embedding_length_per_layer_input(c["hidden_size_per_layer_input"] or 0)
    w.add_sliding_window(c["sliding_window"])
    w.add_sliding_window_pattern(sliding)
    w.add_key_length(c["global_head_dim"])
    w.add_value_length(c["global_head_dim"])
    w.add_key_length_swa(c["head_dim"])
    w.add_value_length_swa(c["head_dim"])
    w.add_rope_dimension_count(c["global_head_dim"])
    w.add_rope_dimension_count_swa(c["head_dim"])
    w.add_final_logit_softcapping(c["final_logit_softcapping"])
    width = c["intermediate_size"]
    if c["use_double_wide_mlp"]:
        w.add_feed_forward_length([width if i < model.layers - shared else 2 * width
                                   for i in range(model.layers)])
    else:
        w.add_feed_forward_length(width)
    if c["num_global_key_value_heads"]:
        w.add_head_count_kv([c["num_key_value_heads"] if local else c["num_global_key_value_heads"]
                             for local in sliding])
    else:
        w.add_head_count_kv(c["num_key_value_heads"])
    if c["enable_moe_block"]:
        w.add_expert_count(c["num_experts"])
        w.add_expert_used_count(c["top_k_experts"])
        w.add_expert_feed_forward_length(c["moe_intermediate_size"])
    ropes = c["rope_parameters"]
    w.add_rope_freq_base(ropes["full_attention"]["rope_theta"])
    w.add_rope_freq_base_swa(ropes["sliding_attention"]["rope_theta"])
    pairs = c["global_head_dim"] // 2
    turning = int(pairs * ropes["full_attention"]["partial_rotary_factor"])
    model.add("rope_freqs.weight", [1.0] * turning + [1e30] * (pairs - turning), exact=True)
    for i in range(model.layers):
        for hf, name in (("router.scale", "ffn_gate_inp.scale"),
                         ("router.per_expert_scale", "ffn_down_exps.scale")):
            if (values := model.tensors.pop(f"model.layers.{i}.{hf}", None)) is not None:
                model.add(f"blk.{i}.{name}", values, exact=True)
    model.add_rest()
    model.finish()


def make_glm(name, arch):
    model = Model(name, arch)
    model.sizes(heads=False)
    w, c = model.writer, model.config
    rank, keys, values = c["kv_lora_rank"], c["qk_nope_head_dim"], c["v_head_dim"]
    w.add_feed_forward_length(c["intermediate_size"])
    w.add_head_count_kv(1)
    w.add_leading_dense_block_count(1)
    w.add_q_lora_rank(c["q_lora_rank"])
    w.add_kv_lora_rank(rank)
    w.add_key_length(rank + c["qk_rope_head_dim"])
    w.add_value_length(rank)
    w.add_key_length_mla(keys + c["qk_rope_head_dim"])
    w.add_value_length_mla(values)
    w.add_rope_dimension_count(c["qk_rope_head_dim"])
    w.add_expert_count(c["n_routed_experts"])
    w.add_expert_used_count(c["num_experts_per_tok"])
    w.add_expert_feed_forward_length(c["moe_intermediate_size"])
    w.add_expert_shared_count(c["n_shared_experts"])
    w.add_expert_weights_scale(c["routed_scaling_factor"])
    w.add_expert_weights_norm(c["norm_topk_prob"])
    if c["n_group"] > 1:
        w.add_expert_group_count(c["n_group"])
        w.add_expert_group_used_count(c["topk_group"])
    model.stack_experts()
    for i in range(model.layers):
        both = model.tensors.pop(f"model.layers.{i}.self_attn.kv_b_proj.weight")
        both = both.reshape(model.heads, keys + values, rank)
        model.add(f"blk.{i}.attn_k_b.weight", both[:, :keys].swapaxes(1, 2), exact=True)
        model.add(f"blk.{i}.attn_v_b.weight", both[:, keys:], exact=True)
        bias = model.tensors.pop(f"model.layers.{i}.mlp.gate.e_score_correction_bias", None)
        if bias is not None:
            model.add(f"blk.{i}.exp_probs_b.bias", bias, exact=True)
    model.add_rest()
    model.finish()


def repacked(blocks, scales):
    """MXFP4 rows as ggml has them: the scale, then numbers j and j + 16 in a byte, not 2 j and 2 j + 1."""
    codes = np.stack([blocks & 15, blocks >> 4], axis=-1).reshape(*blocks.shape[:-1], 32)
    packed = codes[..., :16] | codes[..., 16:] << 4
    rows = np.concatenate([scales[..., None], packed], axis=-1)
    return np.ascontiguousarray(rows.reshape(*rows.shape[:-2], -1).astype(np.uint8))


def add_packed_experts(model, experts, layer):
    take = model.tensors.pop
    blocks, scales = take(experts + "gate_up_proj_blocks"), take(experts + "gate_up_proj_scales")
    bias = take(experts + "gate_up_proj_bias")
    parts = {"gate": (blocks[:, ::2], scales[:, ::2]), "up": (blocks[:, 1::2], scales[:, 1::2]),
             "down": (take(experts + "down_proj_blocks"), take(experts + "down_proj_scales"))}
    for part, planes in parts.items():
        model.writer.add_tensor(f"blk.{layer}.ffn_{part}_exps.weight", repacked(*planes),
                                raw_dtype=gguf.GGMLQuantizationType.MXFP4)
    model.add(experts + "gate_proj.bias", bias[:, ::2])
    model.add(experts + "up_proj.bias", bias[:, 1::2])
    model.add(experts + "down_proj.bias", take(experts + "down_proj_bias"))


def make_gpt_oss(name, arch):
    model = Model(name, arch)
    model.sizes()
    w, c = model.writer, model.config
    w.add_sliding_window(c["sliding_window"])
    w.add_expert_feed_forward_length(c["intermediate_size"])
    w.add_expert_count(c["num_local_experts"])
    w.add_expert_used_count(c["num_experts_per_tok"])
    for i in range(model.layers):
        experts = f"model.layers.{i}.mlp.experts."
        if experts + "down_proj_blocks" in model.tensors:
            add_packed_experts(model, experts, i)
            continue
        gate_up = model.tensors.pop(experts + "gate_up_proj").swapaxes(1, 2)
        bias = model.tensors.pop(experts + "gate_up_proj_bias")
        for part, first in (("gate", 0), ("up", 1)):
            model.add(f"{experts}{part}_proj.weight", gate_up[:, first::2])
            model.add(f"{experts}{part}_proj.bias", bias[:, first::2])
        model.add(experts + "down_proj.weight",
                  model.tensors.pop(experts + "down_proj").swapaxes(1, 2))
        model.add(experts + "down_proj.bias", model.tensors.pop(experts + "down_proj_bias"))
    model.add_rest()
    model.finish()


MODELS = {
    "qwen2_yarn": (make_qwen, A.QWEN2), "qwen3": (make_qwen, A.QWEN3),
    "qwen3_moe": (make_qwen, A.QWEN3MOE),
    "ministral3": (make_llama_like, A.MISTRAL3), "smollm3": (make_llama_like, A.SMOLLM3),
    "phi3": (make_phi3, A.PHI3), "phi3_longrope_long": (make_phi3, A.PHI3),
    "gemma4_moe": (make_gemma4, A.GEMMA4), "gemma4_e": (make_gemma4, A.GEMMA4),
    "glm4_moe_lite_groups": (make_glm, A.DEEPSEEK2), "gpt_oss": (make_gpt_oss, A.GPT_OSS),
    "gpt_oss_mxfp4": (make_gpt_oss, A.GPT_OSS),
}


def main():
    for name in sys.argv[1:] or MODELS:
        make, arch = MODELS[name]
        make(name, arch)


if __name__ == "__main__":
    main()
