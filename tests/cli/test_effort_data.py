"""tq convert --effort data: rounding by a text."""

import json
import random
import unittest

from checkpoints import UNSUPPORTED, USAGE, TqTest, run_tq, write_model


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
        for name in "abcdf":
            self.assertFalse((self.dir / name / "model.safetensors").exists(), name)


if __name__ == "__main__":
    unittest.main()
