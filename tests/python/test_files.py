#!/usr/bin/env python3
"""turboquant.convert, inspect, verify, save_tq3_checkpoint, load_tq3_model: what tq does and says."""

import hashlib
import os
import pathlib
import subprocess
import sys
import unittest

import turboquant
from support import CPU, ModelTest, tq, tq_json


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


class Files(ModelTest):
    def test_convert(self):
        told = []
        report = turboquant.convert(self.model, self.folder / "python", format="tq3", effort="fast", threads=2,
                                    progress=lambda done, total: told.append((done, total)))
        done = tq("convert", self.model, self.folder / "tq", "--format", "tq3", "--effort", "fast")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(hashes(self.folder / "python"), hashes(self.folder / "tq"))
        self.assertEqual(told[-1][0], told[-1][1])
        self.assertEqual(report["format"], "tq3")
        self.assertTrue(turboquant.verify(self.folder / "python")["sound"])
        with self.assertRaises(turboquant.InvalidArgumentError):  # it is there
            turboquant.convert(self.model, self.folder / "python")
        turboquant.convert(self.model, self.folder / "python", overwrite=True, format="tq4", shard_size="4GB")
        with turboquant.LLM(str(self.folder / "python"), **CPU) as llm:
            self.assertEqual(llm.generate("abc", max_tokens=4).usage.completion_tokens, 4)

    def test_data(self):
        text = self.folder / "text.txt"
        text.write_text("abc def ghi " * 200)
        turboquant.convert(self.model, self.folder / "data", format="tq3", effort="data", data=str(text), threads=2)
        done = tq("convert", self.model, self.folder / "data_tq", "--format", "tq3", "--effort", "data", "--data", text)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(hashes(self.folder / "data"), hashes(self.folder / "data_tq"))

    def test_wrong_options(self):
        for options, part in (({"formt": "tq3"}, "formt"), ({"format": "tq9"}, "tq9"), ({"bits": "three"}, "bits"),
                              ({"format": "tq3", "preset": "small"}, "exclude"), ({"layout": "zip"}, "layout"),
                              ({"plan": "measured", "bpw": 4}, "tq convert"), ({"bpw": 100}, "bpw")):
            with self.assertRaisesRegex(turboquant.InvalidArgumentError, part):
                turboquant.convert(self.model, self.folder / "none", **options)
            self.assertFalse((self.folder / "none").exists())
        with self.assertRaises(turboquant.NotFoundError):
            turboquant.convert("/nowhere/at/all", self.folder / "none")

    def test_stopped(self):
        def stop(done, total):
            raise RuntimeError("enough")

        with self.assertRaisesRegex(RuntimeError, "enough"):
            turboquant.convert(self.model, self.folder / "stopped", format="tq3", progress=stop)
        self.assertFalse((self.folder / "stopped/model.safetensors").exists())
        turboquant.convert(self.model, self.folder / "stopped", format="tq3")
        self.assertTrue(turboquant.verify(self.folder / "stopped")["sound"])

    def test_inspect(self):
        said = tq_json("inspect", self.model, "--tensors")
        for key in ("schema", "command", "versions"):
            del said[key]
        self.assertEqual(turboquant.inspect(self.model, tensors=True), said)
        self.assertNotIn("tensor_list", turboquant.inspect(self.model))

    def test_damage(self):
        folder = self.folder / "damaged"
        turboquant.convert(self.model, folder, format="tq3")
        file = folder / "model.safetensors"
        data = bytearray(file.read_bytes())
        data[-100] ^= 1
        file.write_bytes(data)
        report = turboquant.verify(folder, progress=lambda done, total: None)
        self.assertFalse(report["sound"])
        self.assertGreater(len(report["faults"]), 0)

    def test_tq3(self):
        folder = self.folder / "tq3"
        turboquant.save_tq3_checkpoint(self.model, folder)
        self.assertEqual(turboquant.inspect(folder)["kind"], "turboquant-vllm")
        done = tq("convert", self.model, self.folder / "tq3_tq", "--layout", "turboquant-vllm", "--format", "tq3")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(hashes(folder), hashes(self.folder / "tq3_tq"))
        model, tokenizer = turboquant.load_tq3_model(folder, device="cpu")
        ids = tokenizer("abc")["input_ids"]
        self.assertEqual(ids, [0, 4, 5, 6])
        self.assertEqual(model.generate(ids, temp=0, max_tokens=5).usage.completion_tokens, 5)
        self.assertEqual(tokenizer.decode(ids, skip_special_tokens=True), "abc")
        self.assertEqual(tokenizer.apply_chat_template([{"role": "user", "content": "a"}], tokenize=False), "<s><user>a")
        model.close()

    def test_examples(self):
        """The examples of docs/python.md run, one after the other, in a folder with a model."""
        text = (pathlib.Path(os.environ["TQ_SOURCE_DIR"]) / "docs/python.md").read_text()
        blocks = [part.split("```")[0] for part in text.split("```python\n")[1:]]
        self.assertGreater(len(blocks), 4)
        done = subprocess.run([sys.executable, "-c", "\n".join(blocks)], capture_output=True, text=True, timeout=120,
                              check=False, cwd=self.folder)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotEqual(done.stdout, "")


if __name__ == "__main__":
    unittest.main()
