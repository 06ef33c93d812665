"""tq convert --effort data: rounding by a text."""

import json
import math
import random
import unittest

from checkpoints import (UNSUPPORTED, USAGE, TqTest, bf16_noise, run_tq, safetensors_bytes, tokenizer_text,
                         write_model)  # fmt: skip


def write_moe(folder, hidden=384, width=256, experts=6):
    """A Qwen3-MoE of two layers whose rows have several groups. Returns the folder."""
    shapes = {"model.embed_tokens.weight": [64, hidden], "model.norm.weight": [hidden], "lm_head.weight": [64, hidden]}
    for layer in ("model.layers.0.", "model.layers.1."):
        attention = {"q_proj": [256, hidden], "k_proj": [128, hidden], "v_proj": [128, hidden], "o_proj": [hidden, 256],
                     "q_norm": [64], "k_norm": [64]}  # fmt: skip
        shapes.update({f"{layer}self_attn.{name}.weight": shape for name, shape in attention.items()})
        shapes.update({f"{layer}{name}.weight": [hidden] for name in ("input_layernorm", "post_attention_layernorm")})
        shapes[f"{layer}mlp.gate.weight"] = [experts, hidden]
        for e in range(experts):
            for name, shape in (("gate", [width, hidden]), ("up", [width, hidden]), ("down", [hidden, width])):
                shapes[f"{layer}mlp.experts.{e}.{name}_proj.weight"] = shape
    header, data = {}, bytearray()
    for seed, (name, shape) in enumerate(shapes.items()):
        n = math.prod(shape)
        values = b"\x80\x3f" * n if "norm" in name else bf16_noise(n, seed)
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(safetensors_bytes(header, bytes(data)))
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "vocab_size": 64, "hidden_size": hidden,
        "intermediate_size": 512, "moe_intermediate_size": width, "num_experts": experts, "num_experts_per_tok": 2,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64, "norm_topk_prob": True,
        "max_position_embeddings": 512, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "hidden_act": "silu",
        "mlp_only_layers": [], "decoder_sparse_step": 1, "tie_word_embeddings": False}))  # fmt: skip
    (folder / "tokenizer.json").write_text(tokenizer_text())
    return folder


class EffortData(TqTest):
    def setUp(self):
        super().setUp()
        self.source = write_model(self.dir / "source", hidden=384, ffn=512)
        self.text = self.dir / "text.txt"
        draw = random.Random(5)
        self.text.write_text("".join(draw.choice("abcdefgh") for _ in range(3000)))

    def convert(self, name, *args, effort="data"):
        return run_tq("convert", self.source, self.dir / name, "--format", "tq3", "--effort", effort, *args)

    def kld(self, name):
        result = run_tq("eval", "kld", self.dir / name, "--reference", self.source, "--text", self.text, "--max-tokens", "400", "--ctx", "128",
                        "--exact", "--json")  # fmt: skip
        self.assert_ok(result)
        return json.loads(result.stdout)["kld"]

    def test_predictions_are_closer_to_the_source(self):
        data = ("--data", self.text, "--data-tokens", "2048")
        result = self.convert("data", *data, "--progress", "plain")
        self.assert_ok(result)
        self.assertIn("reading the text", result.stderr)
        self.assert_ok(self.convert("default", effort="default"))
        self.assertLess(self.kld("data"), 0.9 * self.kld("default"))
        encoder = json.loads((self.dir / "data" / "tq_config.json").read_text())["encoder"]
        self.assertEqual(encoder["data"]["tokens"], 2048)
        self.assert_ok(run_tq("verify", self.dir / "data"))
        # Little memory: the text is run once for each linear, and gives the same.
        self.assert_ok(self.convert("little", *data, "--data-memory", "1", "--threads", "1"))
        self.assertEqual((self.dir / "little" / "model.safetensors").read_bytes(), (self.dir / "data" / "model.safetensors").read_bytes())

    def test_experts_have_hessians_too(self):
        self.source = write_moe(self.dir / "moe")
        self.assert_ok(self.convert("data", "--data", self.text, "--data-tokens", "2048"))
        self.assert_ok(self.convert("default", effort="default"))
        self.assertLess(self.kld("data"), 0.8 * self.kld("default"))
        self.assert_ok(self.convert("little", "--data", self.text, "--data-tokens", "2048", "--data-memory", "1"))
        self.assertEqual((self.dir / "little" / "model.safetensors").read_bytes(), (self.dir / "data" / "model.safetensors").read_bytes())

    def test_inputs_that_are_not_finite_are_said(self):
        path = self.source / "model.safetensors"
        broken = bytearray(path.read_bytes())
        n_header = int.from_bytes(broken[:8], "little")
        entry = json.loads(broken[8:8 + n_header])["model.layers.0.mlp.down_proj.weight"]
        first = 8 + n_header + entry["data_offsets"][0]
        broken[first:first + 2] = b"\xff\x7f"  # a NaN, before layer 1
        path.write_bytes(broken)
        result = self.convert("nan", "--data", self.text, "--allow-nan")
        self.assert_ok(result)
        self.assertIn("not finite", result.stderr)

    def test_what_cannot_be_done_is_refused(self):
        self.assert_fails(self.convert("a"), USAGE, "--data")
        self.assert_fails(self.convert("b", "--data", self.text, effort="best"), USAGE, "--effort data")
        self.assert_fails(self.convert("c", "--data", self.text, "--layout", "turboquant-vllm"), USAGE, "native")
        self.text.write_text("abc")
        self.assert_fails(self.convert("d", "--data", self.text), USAGE, "tokens")
        self.text.write_text("abc" * 1000)
        self.assert_ok(self.convert("e", effort="fast"))
        compressed = run_tq("convert", self.dir / "e", self.dir / "f", "--format", "tq2", "--effort", "data", "--data", self.text)
        self.assert_fails(compressed, UNSUPPORTED, "compressed")
        plan = run_tq("convert", self.source, "--write-plan", self.dir / "plan.json", "--bpw", "4", "--effort", "data")
        self.assert_fails(plan, USAGE, "--data")
        for name in "abcdf":
            self.assertFalse((self.dir / name / "model.safetensors").exists(), name)


if __name__ == "__main__":
    unittest.main()
