"""Tiny checkpoints and a way to run tq, for the command line tests. Standard library only."""

import hashlib
import json
import os
import random
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path

TQ = os.environ.get("TQ_BINARY", "build/release/tq")

USAGE, NOT_FOUND, CORRUPT, UNSUPPORTED, IO, NO_SPACE, CANCELLED = 2, 3, 4, 5, 6, 7, 130


os.environ.setdefault("TQ_CONFIG", "")  # tests do not read the config file of who runs them


def run_tq(*args, **kwargs):
    """Runs tq with the arguments; stdout and stderr are captured as text."""
    return subprocess.run([TQ, *map(str, args)], capture_output=True, text=True, timeout=300,
                          **kwargs)


def safetensors_bytes(header, data):
    """A file from a header (a dict, or text to be taken as it is) and its data."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def bf16_noise(n, seed):
    """n Gaussian-like bf16 values as bytes: f32 values cut to their upper halves."""
    values = random.Random(seed)
    block = [values.gauss(0, 0.05) for _ in range(min(n, 4096))]
    packed = struct.pack(f"<{len(block)}f", *block)
    halves = b"".join(packed[i + 2:i + 4] for i in range(0, len(packed), 4))
    return (halves * (n // len(block) + 1))[:2 * n]


def tiny_tensors(hidden=128, ffn=192, layers=2, vocab=64):
    """Names and shapes of a small llama."""
    tensors = {"model.embed_tokens.weight": [vocab, hidden], "model.norm.weight": [hidden]}
    for i in range(layers):
        layer = f"model.layers.{i}."
        tensors[layer + "input_layernorm.weight"] = [hidden]
        tensors[layer + "post_attention_layernorm.weight"] = [hidden]
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            tensors[f"{layer}self_attn.{name}.weight"] = [hidden, hidden]
        tensors[layer + "mlp.gate_proj.weight"] = [ffn, hidden]
        tensors[layer + "mlp.up_proj.weight"] = [ffn, hidden]
        tensors[layer + "mlp.down_proj.weight"] = [hidden, ffn]
    return tensors


def model_bytes(tensors):
    """A bf16 safetensors file of these names and shapes with noise in it."""
    header, data = {}, b""
    for seed, (name, shape) in enumerate(tensors.items()):
        n = 1
        for dim in shape:
            n *= dim
        begin = len(data)
        data += bf16_noise(n, seed)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, len(data)]}
    return safetensors_bytes(header, data)


def tokenizer_text(n_letters=26):
    """A tokenizer.json of single letters."""
    return json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
        "normalizer": None, "post_processor": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                          "use_regex": True},
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                    "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "merges": [],
                  "vocab": {chr(ord("a") + i): i for i in range(n_letters)}}})


def write_model(folder, **sizes):
    """A Hugging Face folder of a small llama that can be run. Returns the folder."""
    folder.mkdir(parents=True)
    tensors = tiny_tensors(**sizes)
    (folder / "model.safetensors").write_bytes(model_bytes(tensors))
    vocab, hidden = tensors["model.embed_tokens.weight"]
    ffn, _ = tensors["model.layers.0.mlp.up_proj.weight"]
    n_layers = sum(name.endswith("up_proj.weight") for name in tensors)
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": vocab,
        "hidden_size": hidden, "intermediate_size": ffn, "num_hidden_layers": n_layers,
        "num_attention_heads": hidden // 32, "num_key_value_heads": hidden // 32,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
        "hidden_act": "silu", "tie_word_embeddings": True}))
    (folder / "tokenizer.json").write_text(tokenizer_text())
    return folder


def tree_hash(folder):
    """Relative path -> SHA-256 of every file below the folder."""
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in sorted(folder.rglob("*")) if path.is_file()}


class TqTest(unittest.TestCase):
    """A test with a temporary folder of its own, self.dir."""

    def setUp(self):
        temporary = tempfile.TemporaryDirectory(prefix="tq-cli-")
        self.addCleanup(temporary.cleanup)
        self.dir = Path(temporary.name)

    def assert_ok(self, result):
        self.assertEqual(result.returncode, 0, result.stderr)

    def assert_fails(self, result, code, *parts):
        """The exit code, one error on stderr that has all the parts, nothing on stdout."""
        self.assertEqual(result.returncode, code, result.stderr)
        self.assertIn("tq: error: ", result.stderr)
        self.assertEqual(result.stdout, "")
        for part in parts:
            self.assertIn(str(part), result.stderr)
