#!/usr/bin/env python3
"""Writes tests/golden/reference/: a tiny checkpoint made by the reference library itself.

Needs turboquant-vllm 0.13.1, torch, transformers and safetensors; run by hand, the result is stored.
model.safetensors, config.json, tq_config.json: what save_tq3_checkpoint writes (3 bits, 4 for o_proj
and down_proj). expected.safetensors: rows 0, 1 and the last of every packed tensor, dequantised by
the library to fp32 before its rounding to half precision.
"""
import os
import shutil
import sys
import tempfile

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, Qwen3MoeConfig
from turboquant_vllm.checkpoint import save_tq3_checkpoint
from turboquant_vllm.torch_ops import PolarQuantTorch
from turboquant_vllm.weight_quant import unpack_indices

HIDDEN, HEAD_DIM, HEADS, EXPERTS, EXPERT_WIDTH, GROUP = 136, 16, 4, 2, 8, 128
LAYER = "model.layers.0."
SHAPES = {
    "model.embed_tokens.weight": (8, HIDDEN),
    LAYER + "input_layernorm.weight": (HIDDEN,),
    LAYER + "self_attn.q_proj.weight": (HEADS * HEAD_DIM // 4, HIDDEN),
    LAYER + "self_attn.o_proj.weight": (HIDDEN, HEADS * HEAD_DIM),
    LAYER + "mlp.gate.weight": (EXPERTS, HIDDEN),
    LAYER + "mlp.experts.gate_up_proj": (EXPERTS, 2 * EXPERT_WIDTH, HIDDEN),
    LAYER + "mlp.experts.down_proj": (EXPERTS, HIDDEN, EXPERT_WIDTH),
}


def write_source(folder):
    torch.manual_seed(7)
    save_file({name: torch.randn(shape) * 0.05 for name, shape in SHAPES.items()},
              os.path.join(folder, "model.safetensors"))
    Qwen3MoeConfig(
        vocab_size=8, hidden_size=HIDDEN, num_hidden_layers=1, num_attention_heads=HEADS,
        num_key_value_heads=1, head_dim=HEAD_DIM, intermediate_size=320, num_experts=EXPERTS,
        moe_intermediate_size=EXPERT_WIDTH, num_experts_per_tok=1).save_pretrained(folder)
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)


def expected_rows(stored):
    out = {}
    for key in stored:
        if not key.endswith(".tq_packed"):
            continue
        name = key[: -len(".tq_packed")]
        norms, packed = stored[name + ".tq_norms"], stored[key]
        bits = packed.numel() * 8 // (norms.numel() * GROUP)
        quantizer = PolarQuantTorch(GROUP, bits, seed=42, device="cpu")
        indices = unpack_indices(packed.reshape(norms.numel(), -1), bits, GROUP)
        rows = quantizer.dequantize(indices, norms.reshape(-1)).reshape(norms.shape[0], -1)
        out[name] = rows[[0, 1, -1], : SHAPES[name][-1]].float().contiguous()
    return out


def main():
    target = os.path.join(os.path.dirname(os.path.abspath(sys.argv[0])), "reference")
    with tempfile.TemporaryDirectory() as source, tempfile.TemporaryDirectory() as made:
        write_source(source)
        save_tq3_checkpoint(source, made, bits=3, sensitive_bits=4)
        os.makedirs(target, exist_ok=True)
        for name in ("model.safetensors", "config.json", "tq_config.json"):
            shutil.copy(os.path.join(made, name), target)
    path = os.path.join(target, "tq_config.json")
    with open(path) as f:
        text = f.read().replace(source, "tests/golden/make_reference.py")
    with open(path, "w") as f:
        f.write(text)
    save_file(expected_rows(load_file(os.path.join(target, "model.safetensors"))),
              os.path.join(target, "expected.safetensors"))


if __name__ == "__main__":
    main()
