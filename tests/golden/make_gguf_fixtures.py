#!/usr/bin/env python3
"""Makes tests/golden/gguf/ and fuzz/corpus/gguf/ with the `gguf` package (pip install gguf numpy).

tests/golden/gguf/blocks.gguf holds, for each tensor type TYPE, a tensor "TYPE" of random blocks and
a tensor "TYPE.expected", f32: what gguf.quants decodes it to. The output is deterministic.
"""

import pathlib
import struct

import gguf
import numpy as np
from gguf import GGMLQuantizationType as T
from gguf import quants

ROOT = pathlib.Path(__file__).resolve().parents[2]
ROWS, WIDTH = 2, 512

# Byte offsets of the f16 scales in a block. Everything else in a block may be any byte.
F16_OFFSETS = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.MXFP4: [],
}
PLAIN = [T.F32, T.F16, T.BF16]


def random_f16(rng, n):
    """Finite halves of all magnitudes and both signs, subnormals and zeros among them."""
    bits = rng.integers(0, 1 << 16, n, dtype=np.uint16)
    return np.where(bits & 0x7C00 == 0x7C00, bits & 0x83FF, bits).astype(np.uint16)


def random_blocks(rng, kind, rows, width):
    weights, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (rows * width // weights, size), dtype=np.uint8)
    for offset in F16_OFFSETS[kind]:
        blocks[:, offset:offset + 2] = random_f16(rng, len(blocks)).view(np.uint8).reshape(-1, 2)
    return blocks.reshape(rows, -1)


def random_plain(rng, kind, rows, width):
    values = rng.standard_normal((rows, width)).astype(np.float32)
    if kind == T.F32:
        return values
    if kind == T.F16:
        return random_f16(rng, rows * width).view(np.float16).reshape(rows, width)
    return quants.quantize(values, T.BF16)


def add_random(writer, rng, name, kind, rows, width):
    """Adds a random tensor and returns what it decodes to."""
    if kind in PLAIN:
        data = random_plain(rng, kind, rows, width)
    else:
        data = random_blocks(rng, kind, rows, width)
    writer.add_tensor(name, data, raw_dtype=kind)
    return np.ascontiguousarray(quants.dequantize(data, kind)).reshape(rows, width)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_blocks(path, with_expected, rows, width):
    rng = np.random.default_rng(2)
    writer = gguf.GGUFWriter(path, "blocks")
    for kind in PLAIN + list(F16_OFFSETS):
        expected = add_random(writer, rng, kind.name.lower(), kind, rows, width)
        if with_expected:
            writer.add_tensor(kind.name.lower() + ".expected", expected.astype(np.float32))
    finish(writer)


def make_model(path, arch, kind):
    """A whole model, as small as one block of 32 weights allows."""
    rng = np.random.default_rng(3)
    gemma = arch == "gemma3"
    hidden, ffn, vocab, head = 32, 32, 4, 16
    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(hidden)
    writer.add_feed_forward_length(ffn)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    if gemma:
        writer.add_sliding_window(8)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(["a", "b", "ab", "<|end|>"])
    writer.add_token_types([1, 1, 1, 3])
    writer.add_token_merges(["a b"])
    writer.add_eos_token_id(3)
    matrices = {"token_embd": (vocab, hidden), "blk.0.attn_q": (2 * head, hidden),
                "blk.0.attn_k": (head, hidden), "blk.0.attn_v": (head, hidden),
                "blk.0.attn_output": (hidden, 2 * head), "blk.0.ffn_gate": (ffn, hidden),
                "blk.0.ffn_up": (ffn, hidden), "blk.0.ffn_down": (hidden, ffn)}
    norms = {"output_norm": hidden, "blk.0.attn_norm": hidden, "blk.0.ffn_norm": hidden}
    if gemma:
        norms |= {"blk.0.attn_q_norm": head, "blk.0.attn_k_norm": head,
                  "blk.0.post_attention_norm": hidden, "blk.0.post_ffw_norm": hidden}
    if arch == "qwen2":
        for name in ("q", "k", "v"):
            rows = matrices[f"blk.0.attn_{name}"][0]
            writer.add_tensor(f"blk.0.attn_{name}.bias", np.ones(rows, np.float32))
    for name, (rows, width) in matrices.items():
        add_random(writer, rng, name + ".weight", kind, rows, width)
    for name, width in norms.items():
        writer.add_tensor(name + ".weight", np.ones(width, np.float32))
    finish(writer)


COMMON = ("token_embd", "output_norm", "blk.0.attn_norm", "blk.0.ffn_norm", "blk.0.attn_output",
          "blk.0.attn_q", "blk.0.attn_k", "blk.0.attn_v")
# What a seed of an architecture has: integers, and names of tensors [heads or rows, 32].
SEEDS = {
    "qwen3moe": ({"expert_count": 2, "expert_used_count": 1, "expert_feed_forward_length": 32},
                 COMMON + ("blk.0.ffn_gate_inp", "blk.0.ffn_gate_exps", "blk.0.ffn_up_exps",
                           "blk.0.ffn_down_exps", "blk.0.attn_q_norm")),
    "phi3": ({"rope.dimension_count": 16, "attention.sliding_window": 0},
             ("token_embd", "output_norm", "blk.0.attn_qkv", "blk.0.ffn_up", "rope_factors_long")),
    "gemma4": ({"attention.sliding_window": 8, "attention.shared_kv_layers": 0,
                "embedding_length_per_layer_input": 0, "expert_count": 0},
               COMMON + ("blk.0.layer_output_scale", "blk.0.ffn_gate_up_exps", "rope_freqs")),
    "deepseek2": ({"attention.q_lora_rank": 32, "attention.kv_lora_rank": 32,
                   "attention.key_length_mla": 32, "attention.value_length_mla": 32,
                   "rope.dimension_count": 16, "expert_count": 2, "expert_used_count": 1,
                   "expert_feed_forward_length": 32, "expert_shared_count": 1,
                   "leading_dense_block_count": 1, "nextn_predict_layers": 0},
                  COMMON + ("blk.0.attn_k_b", "blk.0.attn_v_b", "blk.0.attn_q_a")),
    "gpt-oss": ({"expert_count": 2, "expert_used_count": 1, "expert_feed_forward_length": 32,
                 "attention.sliding_window": 8, "rope.scaling.original_context_length": 32},
                COMMON + ("blk.0.attn_sinks", "blk.0.ffn_gate_exps")),
    "mistral3": ({"rope.scaling.original_context_length": 32}, COMMON),
}


def make_seed(path, arch):
    """What a fuzzer can begin with: metadata that is read, and tensors whose shapes may be wrong."""
    integers, tensors = SEEDS[arch]
    rng = np.random.default_rng(4)
    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(1)
    writer.add_context_length(64)
    writer.add_embedding_length(32)
    writer.add_feed_forward_length(32)
    writer.add_head_count(2)
    writer.add_head_count_kv(1)
    writer.add_layer_norm_rms_eps(1e-5)
    if "original" in str(integers):
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(4.0)
    for name, value in integers.items():
        writer.add_uint32(f"{arch}.{name}", value)
    for name in tensors:
        three = name.endswith(("_exps", "_b"))
        shape = (2, 16, 32) if three else (32,) if "norm" in name or "rope" in name else (32, 32)
        writer.add_tensor(name + ".weight", rng.standard_normal(shape).astype(np.float32))
    finish(writer)


def make_values(path):
    """Metadata of every value type, no tensors."""
    writer = gguf.GGUFWriter(path, "llama")
    for name in "uint8 int8 uint16 int16 uint32 int32 uint64 int64 float32 float64 bool".split():
        getattr(writer, "add_" + name)("value." + name, 1)
    writer.add_array("array.strings", ["one", "two"])
    writer.add_array("array.integers", [1, 2, 3])
    writer.add_array("array.floats", [1.5, 2.5])
    finish(writer)


def main():
    golden = ROOT / "tests/golden/gguf"
    corpus = ROOT / "fuzz/corpus/gguf"
    golden.mkdir(parents=True, exist_ok=True)
    corpus.mkdir(parents=True, exist_ok=True)
    make_blocks(golden / "blocks.gguf", True, ROWS, WIDTH)
    make_blocks(corpus / "blocks.gguf", False, 1, 256)
    make_model(corpus / "llama.gguf", "llama", T.Q4_0)
    make_model(corpus / "gemma3.gguf", "gemma3", T.Q8_0)
    make_model(corpus / "qwen2.gguf", "qwen2", T.Q5_0)
    for arch in SEEDS:
        make_seed(corpus / f"{arch}.gguf", arch)
    make_values(corpus / "values.gguf")
    (corpus / "huge_counts.gguf").write_bytes(struct.pack("<4sIQQ", b"GGUF", 3, 1 << 60, 1 << 60))
    (corpus / "big_endian.gguf").write_bytes(struct.pack(">4sIQQ", b"GGUF", 3, 0, 0))


if __name__ == "__main__":
    main()
