"""Files as tools write them: configs that contradict the tensors or hold fields of other programs,
GGUF files with tokenizers and architectures that are not known. Right or refused by name."""

import json
import struct
import unittest

from checkpoints import NOT_FOUND, UNSUPPORTED, TqTest, safetensors_bytes
from cli_support import MODELS, TOKENS, make_model, rows, tq, tq_json, write_ids
from gguf_files import gguf_bytes, llama_gguf, read_safetensors

IDS = [5, 9, 14, 20, 3, 77, 41]
TOKENIZER = {"tokenizer.ggml.model": "gpt2", "tokenizer.ggml.pre": "smollm",
             "tokenizer.ggml.tokens": [*TOKENS, "ab"],
             "tokenizer.ggml.token_type": [3] * 4 + [1] * 38,
             "tokenizer.ggml.merges": ["a b"], "tokenizer.ggml.bos_token_id": 0,
             "tokenizer.ggml.eos_token_id": 1}


def write_tensors(path, tensors):
    """A safetensors file of name -> (dtype, shape, bytes)."""
    header, data = {}, b""
    for name, (dtype, shape, content) in tensors.items():
        header[name] = {"dtype": dtype, "shape": shape,
                        "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    path.write_bytes(safetensors_bytes(header, data))


def scaled(data, factor):
    n = len(data) // 4
    return struct.pack(f"<{n}f", *(factor * x for x in struct.unpack(f"<{n}f", data)))


class SourceFiles(TqTest):
    def setUp(self):
        super().setUp()
        self.model = make_model(self.dir / "model")
        self.tokens = write_ids(self.dir / "tokens.json", IDS)
        self.expected = self.logits(MODELS / "llama")

    def logits(self, model, *args):
        out = self.dir / "logits.npy"
        result = tq("eval", "logits", model, "--tokens", self.tokens, "--out", out, "--exact",
                    "--device", "cpu", *args)
        self.assert_ok(result)
        self.notes = result.stderr
        return rows(out)

    def assert_logits(self, actual, expected, factor=1, tolerance=1e-4):
        self.assertEqual(len(actual), len(IDS))
        scale = max(abs(x) for row in expected for x in row) * abs(factor)
        for got, wanted in zip(actual, expected):
            for x, y in zip(got, wanted):
                self.assertLess(abs(x - factor * y), tolerance * scale)

    def change_config(self, **fields):
        path = self.model / "config.json"
        config = json.loads(path.read_text())
        config.update(fields)
        path.write_text(json.dumps(config))

    def add_head(self, factor):
        """A head that is the embedding table times the factor."""
        path = self.model / "model.safetensors"
        tensors = read_safetensors(path)
        dtype, shape, data = tensors["model.embed_tokens.weight"]
        tensors["lm_head.weight"] = (dtype, shape, scaled(data, factor))
        write_tensors(path, tensors)

    def convert(self, source, *args):
        result = self.dir / "converted"
        done = tq("convert", source, result, "--format", "f32", *args)
        self.assert_ok(done)
        return result

    def gguf(self, tokenizer=None, more=None, name="model.gguf"):
        path = self.dir / name
        path.write_bytes(llama_gguf(self.model, {**TOKENIZER, **(tokenizer or {})}, more))
        return path


class Heads(SourceFiles):
    def test_a_head_of_its_own_is_used_though_the_config_says_tied(self):
        self.add_head(-2)
        self.change_config(tie_word_embeddings=True)
        self.assert_logits(self.logits(self.model), self.expected, -2)
        self.assertIn("lm_head.weight holds other weights: it is used", self.notes)
        self.assertEqual(tq_json("inspect", self.model)["model"]["tied_head"], False)
        result = self.convert(self.model)
        self.assertEqual(json.loads((result / "config.json").read_text())["tie_word_embeddings"],
                         False)
        self.assert_logits(self.logits(result), self.expected, -2)
        self.assertNotIn("holds other weights", self.notes)  # the new config is right

    def test_a_copy_is_loaded_and_stored_once(self):
        self.add_head(1)
        self.change_config(tie_word_embeddings=False)
        self.assert_logits(self.logits(self.model), self.expected)
        self.assertEqual(tq_json("inspect", self.model)["model"]["tied_head"], True)
        result = self.convert(self.model)
        self.assertNotIn("lm_head.weight", read_safetensors(result / "model.safetensors"))
        self.assertEqual(json.loads((result / "config.json").read_text())["tie_word_embeddings"],
                         True)
        self.assert_logits(self.logits(result), self.expected)

    def test_gguf_alike(self):
        self.add_head(-2)
        own = self.gguf()
        self.assert_logits(self.logits(own), self.expected, -2)
        self.assert_logits(self.logits(self.convert(own)), self.expected, -2)

    def test_a_copy_in_gguf(self):
        self.add_head(1)
        copy = self.gguf()
        self.assert_logits(self.logits(copy), self.expected)
        self.assertEqual(tq_json("inspect", copy)["model"]["tied_head"], True)
        result = self.convert(copy)
        self.assertNotIn("lm_head.weight", read_safetensors(result / "model.safetensors"))
        self.assert_logits(self.logits(result), self.expected)


class Biases(SourceFiles):
    def setUp(self):
        super().setUp()
        self.biased = MODELS / "llama_bias_rope3"
        self.expected = self.logits(self.biased)
        for name in ("model.safetensors", "config.json"):
            (self.model / name).write_bytes((self.biased / name).read_bytes())

    def test_they_are_used_whatever_the_config_says(self):
        self.change_config(attention_bias=False, mlp_bias=False)
        self.assert_logits(self.logits(self.model), self.expected)
        self.assertIn("although the config says otherwise, and are used", self.notes)

    def test_gguf_alike(self):
        self.change_config(rope_scaling=None, rope_parameters=None, rope_theta=10000.0)
        expected = self.logits(self.model)
        source = self.gguf()
        self.assert_logits(self.logits(source), expected)
        result = self.convert(source)
        config = json.loads((result / "config.json").read_text())
        self.assertEqual((config["attention_bias"], config["mlp_bias"]), (True, True))
        self.assert_logits(self.logits(result), expected)


class ConfigFields(SourceFiles):
    def test_fields_of_training_tools_are_ignored(self):
        self.change_config(unsloth_version="2026.3.3", unsloth_fixed=True,
                           _attn_implementation="sdpa", _flash_attn_2_enabled=True,
                           num_beam_groups=1, diversity_penalty=0.0, no_repeat_ngram_size=0,
                           pruned_heads={}, num_labels=2, tokenizer_padding_side="left")
        self.assert_logits(self.logits(self.model), self.expected)
        self.assertNotIn("config", self.notes)

    def test_other_fields_are_refused_with_the_way_out(self):
        self.change_config(logit_scale=0.5, num_registers=4)
        commands = (("run", self.model, "--tokens", self.tokens),
                    ("bench", self.model),
                    ("eval", "ppl", self.model, "--tokens", self.tokens))
        for command in commands:
            self.assert_fails(tq(*command), UNSUPPORTED, "\"logit_scale\" = 0.5",
                              "--ignore-config logit_scale --ignore-config num_registers")
        options = ("--ignore-config", "logit_scale", "--ignore-config", "num_registers")
        self.assert_logits(self.logits(self.model, *options), self.expected)
        self.assertIn("\"logit_scale\" = 0.5 is ignored", self.notes)
        self.assertIn("not_runnable", tq_json("inspect", self.model))
        self.assertNotIn("not_runnable", tq_json("inspect", self.model, *options))
        result = self.convert(self.model, *options)
        self.assert_logits(self.logits(result), self.expected)  # they are gone from its config

    def test_metadata_of_gguf(self):
        source = self.gguf(more={"llama.logit_scale": 0.5})
        command = ("run", source, "--tokens", self.tokens, "-n", 1)
        self.assert_fails(tq(*command), UNSUPPORTED, "--ignore-config llama.logit_scale")
        option = ("--ignore-config", "llama.logit_scale")
        self.assert_ok(tq(*command, *option))
        self.assert_logits(self.logits(source, *option), self.expected)


class GgufTokenizers(SourceFiles):
    def test_an_alias(self):
        ids = tq_json("tokenize", self.gguf({"tokenizer.ggml.pre": "llama-bpe"}), "ab 12")["ids"]
        falcon = self.gguf({"tokenizer.ggml.pre": "falcon3"})
        self.assertEqual(tq_json("tokenize", falcon, "ab 12")["ids"], ids)
        self.assert_ok(tq("run", falcon, "ab", "-n", 2))

    def test_an_unknown_pre_tokenizer_refuses_text_only(self):
        source = self.gguf({"tokenizer.ggml.pre": "jina-v9"})
        for command in (("run", source, "ab"), ("chat", source), ("tokenize", source, "ab"),
                        ("eval", "ppl", source, "--text", self.tokens)):
            self.assert_fails(tq(*command), UNSUPPORTED, "\"jina-v9\"")
        result = tq("run", source, "--tokens", self.tokens, "-n", 3)
        self.assert_ok(result)
        self.assertEqual(len(result.stdout.split()), 3)
        self.assertIn("jina-v9", result.stderr)
        self.assert_logits(self.logits(source), self.expected)
        self.assert_ok(tq("eval", "ppl", source, "--tokens", self.tokens))
        self.assertIn("jina-v9", tq_json("inspect", source)["no_text"])
        result = self.convert(source)
        self.assertFalse((result / "tokenizer.json").exists())
        self.assertTrue((result / "generation_config.json").exists())
        self.assert_logits(self.logits(result), self.expected)

    def test_special_ids_out_of_range_are_a_warning(self):
        source = self.gguf({"tokenizer.ggml.bos_token_id": 500})
        result = tq("run", source, "ab", "-n", 2)
        self.assert_ok(result)
        self.assertIn("bos_token_id is 500, but there are 42 tokens", result.stderr)

    def test_a_broken_tokenizer_of_a_folder_refuses_text_only(self):
        (self.model / "tokenizer.json").write_text("version https://git-lfs.github.com/spec/v1")
        self.assertNotEqual(tq("run", self.model, "ab").returncode, 0)
        self.assert_logits(self.logits(self.model), self.expected)
        self.assertIn("no text can be read or shown", self.notes)


class Inspect(SourceFiles):
    def shown(self, model, *parts):
        """The file is shown, with the reason why it cannot be run."""
        text = tq("inspect", model, "--tensors")
        self.assert_ok(text)
        self.assertIn("cannot be run: ", text.stdout)
        report = tq_json("inspect", model, "--tensors")
        self.assertIsNone(report["model"])
        for part in parts:
            self.assertIn(part, report["not_runnable"])
            self.assertIn(part, text.stdout)
        return report

    def test_gguf_of_an_unknown_architecture(self):
        path = self.dir / "mamba.gguf"
        path.write_bytes(gguf_bytes(
            {"general.architecture": "mamba2", "mamba2.block_count": 1},
            {"token_embd.weight": ([4, 8], 0, bytes(128)),
             "blk.0.ssm_in.weight": ([8, 256], 23, bytes(8 * 136))}))  # iq4_xs
        report = self.shown(path, "mamba2", "is not supported")
        self.assertEqual(report["architecture"], "mamba2")
        self.assertEqual([(t["name"], t["storage"], t["shape"]) for t in report["tensor_list"]],
                         [("token_embd.weight", "f32", [4, 8]),
                          ("blk.0.ssm_in.weight", "iq4_xs", [8, 256])])
        for command in (("run", path, "--tokens", self.tokens),
                        ("convert", path, self.dir / "result")):
            self.assert_fails(tq(*command), UNSUPPORTED, "mamba2")

    def test_gguf_adapter(self):
        path = self.dir / "adapter.gguf"
        path.write_bytes(gguf_bytes(
            {"general.architecture": "llama", "general.type": "adapter", "adapter.type": "lora"},
            {"blk.0.attn_q.weight.lora_a": ([4, 32], 0, bytes(512))}))
        report = self.shown(path)
        self.assertEqual(report["tensor_list"][0]["name"], "blk.0.attn_q.weight.lora_a")

    def test_split_gguf(self):
        report = self.shown(self.gguf(more={"split.no": 0, "split.count": 2}), "split")
        self.assertEqual(report["architecture"], "llama")

    def test_folders(self):
        self.change_config(model_type="mamba2", architectures=["Mamba2ForCausalLM"])
        self.shown(self.model, "mamba2")
        self.change_config(quantization_config={"quant_method": "awq"})
        self.shown(self.model, "awq")
        (self.model / "config.json").unlink()
        self.shown(self.model, "config.json is missing")

    def test_nothing_there_is_still_an_error(self):
        self.assert_fails(tq("inspect", self.dir / "none.gguf"), NOT_FOUND, "none.gguf")


class TrainedTensors(SourceFiles):
    def test_none_is_dropped_silently(self):
        path = self.model / "model.safetensors"
        tensors = read_safetensors(path)
        tensors["model.embed_positions.weight"] = ("F32", [2], bytes(8))
        write_tensors(path, tensors)
        self.assert_fails(tq("run", self.model, "ab"), UNSUPPORTED, "model.embed_positions.weight")


if __name__ == "__main__":
    unittest.main()
