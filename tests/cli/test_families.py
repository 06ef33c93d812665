#!/usr/bin/env python3
"""The tiny golden models of each family, as folders and as GGUF files: inspected, run, converted, verified."""

import json
import os
import pathlib
import unittest

from checkpoints import TqTest, run_tq

GOLDEN = pathlib.Path(os.environ["TQ_SOURCE_DIR"]) / "tests/golden"
FOLDERS = ("qwen2_yarn", "mistral", "ministral3", "smollm3", "phi3", "phi3_longrope", "gpt_oss",
           "gpt_oss_mxfp4")
FILES = ("qwen3_moe", "gemma4_moe", "gemma4_e", "glm4_moe_lite_groups", "ministral3", "smollm3",
         "phi3_longrope_long", "gpt_oss_mxfp4")


class Families(TqTest):
    def answer(self, model):
        """Greedy ids of an answer to ids."""
        ids = self.dir / "ids.json"
        ids.write_text("[5, 9, 22, 7, 31, 64, 3, 3, 18]")
        done = run_tq("--json", "run", model, "--tokens", ids, "-n", "6", "--temp", "0", "--exact")
        self.assert_ok(done)
        return json.loads(done.stdout)["ids"]

    def check(self, model, architecture):
        shown = run_tq("inspect", model)
        self.assert_ok(shown)
        self.assertIn(architecture, shown.stdout)
        self.assertNotIn("cannot be run", shown.stdout)
        copy = self.dir / "copy"
        self.assert_ok(run_tq("convert", model, copy, "--format", "tq8", "--effort", "fast"))
        self.assert_ok(run_tq("verify", copy))
        self.assertEqual(len(self.answer(copy)), 6)
        self.assertEqual(len(self.answer(model)), 6)

    def test_gguf_answers_as_the_folder(self):
        for name in FILES:
            with self.subTest(name):
                file = self.answer(GOLDEN / f"gguf/models/{name}.gguf")
                self.assertEqual(file, self.answer(GOLDEN / "models" / name))


def add(name, model):
    architecture = json.loads((GOLDEN / "models" / name / "config.json").read_text())["architectures"][0]
    setattr(Families, f"test_{model.parent.parent.name}_{name}",
            lambda self: self.check(model, architecture))


for folder in FOLDERS:
    add(folder, GOLDEN / "models" / folder)
for file in FILES:
    add(file, GOLDEN / f"gguf/models/{file}.gguf")

if __name__ == "__main__":
    unittest.main()
