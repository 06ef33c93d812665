#!/usr/bin/env python3
"""The compressed KV formats through the program, on the golden checkpoints."""

import math
import os
import tempfile
import unittest

from cli_support import MODELS, read_npy, rows, tq, tq_json, write_ids

FORMATS = ("k8v8", "k8v4", "k5v4", "k4v4", "k4v3", "k4v2", "k3v3")


def divergence(a, b):
    """Mean KL divergence of the rows of logits b from those of a."""
    def log_softmax(row):
        highest = max(row)
        total = math.log(sum(math.exp(x - highest) for x in row)) + highest
        return [x - total for x in row]
    total = 0
    for p, q in zip(map(log_softmax, a), map(log_softmax, b)):
        total += sum(math.exp(x) * (x - y) for x, y in zip(p, q))
    return total / len(a)


class KvCache(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def logits(self, model, *options):
        ids = list(read_npy(MODELS / model / "tokens.npy")[1])
        out = os.path.join(self.folder, "logits.npy")
        done = tq("eval", "logits", MODELS / model, "--device", "cpu", "--exact", "--tokens",
                  write_ids(os.path.join(self.folder, "ids.json"), ids), "--out", out, *options)
        self.assertEqual(done.returncode, 0, done)
        return rows(out)

    def test_more_bits_are_nearer_to_numbers(self):
        for model in ("llama", "gemma3"):
            plain = self.logits(model)
            far = {name: divergence(plain, self.logits(model, "--kv-format", name, "--kv-sink", 0,
                                                       "--kv-tail", 0))
                   for name in FORMATS}
            self.assertGreater(far["k8v8"], 0, model)
            for wider, narrower in (("k8v8", "k8v4"), ("k8v4", "k4v4"), ("k4v4", "k4v2")):
                self.assertLess(far[wider], far[narrower], (model, far))
            self.assertLess(far["k8v8"], far["k4v3"] / 20, (model, far))

    def test_the_reference_is_not_compressed(self):
        model = MODELS / "llama"
        ids = write_ids(os.path.join(self.folder, "ids.json"), list(read_npy(model / "tokens.npy")[1]))

        def kld(*options):
            return tq_json("eval", *options, "--tokens", ids)
        same = (model, "--reference", model, "--device", "cpu", "--exact")
        k3v3 = ("--kv-format", "k3v3", "--kv-sink", 0, "--kv-tail", 0)
        self.assertEqual(kld("kld", *same)["kld"], 0)
        result = kld("kld", *same, *k3v3)
        self.assertGreater(result["kld"], 1e-4)
        self.assertEqual(result["settings"]["kv_dtype"], "k3v3")
        self.assertEqual(result["reference_kv_dtype"], "f32")
        result = kld("generate-kld", *same, *k3v3, "--prompt-tokens", 16, "-n", 8)
        self.assertGreater(result["kld"], 1e-4)
        self.assertEqual(result["reference_kv_dtype"], "f32")
        result = kld("kld", model, "--reference", model, "--device", "cpu", "--kv-format", "k8v8")
        self.assertEqual(result["reference_kv_dtype"], "f16")

    def test_what_stays_16_bit(self):
        plain = self.logits("llama")
        wide = divergence(plain, self.logits("llama", "--kv-dtype", "f16"))

        def far(*options):
            return divergence(plain, self.logits("llama", "--kv-format", "k4v2", *options))
        none = far("--kv-sink", 0, "--kv-tail", 0)
        some = far("--kv-sink", 4, "--kv-tail", 8)
        self.assertLess(some, none)
        self.assertLess(far("--kv-sink", 0, "--kv-tail", 0, "--kv-skip-layers", 1), none / 100)
        self.assertLess(far(), some / 100)  # the default tail is longer than the text
        self.assertLess(far(), 2 * wide + 1e-9)

    def test_pieces_of_a_prompt_give_the_same_bits(self):
        options = ("--kv-format", "k4v3", "--kv-tail", 10)
        self.assertEqual(self.logits("llama", *options),
                         self.logits("llama", *options, "--batch", 7))

    def test_the_plan_counts_the_codes(self):
        def needed(name):
            result = tq_json("plan", MODELS / "llama", "--kv-format", name, "--ctx", 512, "--batch", 32)
            self.assertEqual(result["kv_dtype"], name)
            return result["rows"][0]["needed_bytes"]
        # Two layers, one head of 32: 128 bytes a token, or 16 + 12 of codes and two gains; and near
        # pages: the first one and those that 128 + 32 - 1 tokens touch. Tables take some bytes.
        saved = 512 * 2 * (128 - 32) - 12 * 16 * 2 * 128
        self.assertLessEqual(needed("f16") - needed("k4v3"), saved)
        self.assertGreater(needed("f16") - needed("k4v3"), saved - 2000)

    def test_inspect_says_how_many_conversations_fit(self):
        rows_of = tq_json("inspect", MODELS / "llama")["model"]["conversations"]
        n = {(row["kv_format"], row["memory_bytes"] >> 30): row["conversations"] for row in rows_of}
        self.assertEqual({gib for _, gib in n}, {12, 24, 48, 80})
        for gib in (12, 24):  # more are counted up to a million
            # 128 bytes of numbers, or 32 of codes and near pages of 11 / 32 of the context of 512.
            self.assertAlmostEqual(n["k4v3", gib] / n["f16", gib], 128 / (32 + 128 * 11 / 32), delta=0.05)
        text = tq("inspect", MODELS / "glm4_moe_lite").stdout
        self.assertRegex(text, "k4v3 +not possible")

    def test_what_it_cannot_hold_is_refused_by_name(self):
        for model, word in (("gemma4_e", "multiple of 32"), ("glm4_moe_lite", "latent")):
            done = tq("run", MODELS / model, "hi", "--device", "cpu", "--kv-format", "k4v3")
            self.assertEqual(done.returncode, 5, done)
            self.assertIn("k4v3", done.stderr)
            self.assertIn(word, done.stderr)
            self.assertNotIn("memory:", done.stderr)

    def test_near_tokens_of_numbers_are_nothing(self):
        done = tq("bench", MODELS / "llama", "--device", "cpu", "--kv-tail", 5, "-p", 8, "-n", 4, "-r", 1)
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("no effect on a KV cache of f16", done.stderr)

    def test_the_other_name_of_the_option(self):
        result = tq_json("bench", MODELS / "llama", "--device", "cpu", "--kv-dtype", "k4v3", "-p",
                         "8", "-n", "4", "-r", "1")
        self.assertEqual(result["settings"]["kv_dtype"], "k4v3")


if __name__ == "__main__":
    unittest.main()
