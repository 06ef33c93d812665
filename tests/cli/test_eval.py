#!/usr/bin/env python3
"""tq eval ppl, kld and logits on the golden checkpoints."""

import math
import os
import tempfile
import unittest

from cli_support import (BOS, MODELS, argmax, make_model, read_npy, rows, tq, tq_json, write_ids)


def nll(row, token):
    highest = max(row)
    return math.log(sum(math.exp(x - highest) for x in row)) + highest - row[token]


class Eval(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.prompt = list(read_npy(MODELS / "llama/tokens.npy")[1])
        self.ids = write_ids(self.path("ids.json"), self.prompt)

    def path(self, name):
        return os.path.join(self.folder, name)

    def check_error(self, done, code, *parts):
        self.assertEqual(done.returncode, code, done)
        for part in parts:
            self.assertIn(part, done.stderr)

    def logits(self, model, ids, *options):
        """Rows of logits as tq computes them."""
        out = self.path("logits.npy")
        done = tq("eval", "logits", model, "--tokens", write_ids(self.path("l.json"), ids), "--out",
                  out, *options)
        self.assertEqual(done.returncode, 0, done)
        return rows(out)

    def test_logits_are_those_of_transformers(self):
        for name in ("llama", "llama_bias_rope3", "gemma3"):
            prompt = list(read_npy(MODELS / name / "tokens.npy")[1])
            expected = rows(MODELS / name / "logits.npy")
            scale = max(abs(x) for row in expected for x in row)
            for batch in (512, 7):  # in one pass, and in pieces
                got = self.logits(MODELS / name, prompt, "--exact", "--batch", batch)
                self.assertEqual(len(got), len(expected))
                worst = max(abs(a - b) for g, e in zip(got, expected) for a, b in zip(g, e))
                self.assertLess(worst, 1e-4 * scale, name)

    def test_logits_json_and_layers(self):
        layers = self.path("layers")
        result = tq_json("eval", "logits", MODELS / "llama", "--tokens", self.ids, "--out",
                         self.path("x.npy"), "--dump-layers", layers)
        n = len(self.prompt)
        self.assertEqual(result["shape"], [n, 128])
        names = {"embed", "norm"} | {f"layer0{i}_{s}" for i in (0, 1) for s in ("attention", "ffn")}
        self.assertEqual(set(os.listdir(layers)), {name + ".npy" for name in names})
        for name in names:
            self.assertEqual(read_npy(os.path.join(layers, name + ".npy"))[0], (n, 64))

    def test_logits_errors_leave_no_file(self):
        out = self.path("bad.npy")

        def run(ids, *options):
            path = write_ids(self.path("bad.json"), ids)
            return tq("eval", "logits", MODELS / "llama", "--tokens", path, "--out", out, *options)

        self.check_error(run([1, 128]), 2, "128", "0 to 127")
        self.check_error(run([-1]), 2, "-1")
        self.check_error(run([2**32]), 2, str(2**32))
        self.check_error(run([1] * 513), 2, "513", "512")
        self.check_error(run([1] * 20, "--ctx", "16"), 2, "20", "16")
        self.check_error(run([1], "--ctx", "4096"), 2, "4096", "512")
        self.check_error(run([]), 2, "empty")
        self.check_error(run({"ids": [1]}), 4, "bad.json", "list")
        self.check_error(run([1.5]), 4, "1.5")
        done = tq("eval", "logits", MODELS / "llama", "--tokens", self.path("none"), "--out", out)
        self.check_error(done, 3, "none")
        self.assertFalse(os.path.exists(out))

    def test_ppl_is_that_of_the_logits(self):
        expected = rows(MODELS / "llama/logits.npy")
        values = [nll(expected[i], self.prompt[i + 1]) for i in range(len(self.prompt) - 1)]
        mean = sum(values) / len(values)
        deviation = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1))
        result = tq_json("eval", "ppl", MODELS / "llama", "--tokens", self.ids, "--exact")
        self.assertEqual(result["tokens"], len(values))
        self.assertAlmostEqual(result["nll"], mean, delta=1e-4)
        self.assertAlmostEqual(result["ppl"], math.exp(mean), delta=1e-3 * math.exp(mean))
        self.assertAlmostEqual(result["nll_se"], deviation / math.sqrt(len(values)), delta=1e-4)

    def test_ppl_with_overlapping_windows(self):
        total = 0.0
        count = 0
        scored = 0
        for begin in range(0, len(self.prompt), 8):
            end = min(begin + 16, len(self.prompt))
            window = self.prompt[begin:end]
            got = self.logits(MODELS / "llama", window, "--exact")
            for t in range(max(scored, begin + 1), end):
                total += nll(got[t - begin - 1], self.prompt[t])
                count += 1
            scored = end
            if end == len(self.prompt):
                break
        result = tq_json("eval", "ppl", MODELS / "llama", "--tokens", self.ids, "--exact", "--ctx",
                         16, "--stride", 8)
        self.assertEqual(result["tokens"], count)
        self.assertAlmostEqual(result["nll"], total / count, delta=1e-5)

    def test_ppl_of_text_puts_bos_before_every_window(self):
        model = make_model(self.path("model"))
        text = "the quick brown fox jumps over the lazy dog 1234567890"
        with open(self.path("text.txt"), "w", encoding="utf-8") as file:
            file.write(text)
        result = tq_json("eval", "ppl", model, "--text", self.path("text.txt"), "--ctx", 16,
                         "--exact")
        self.assertEqual(result["tokens"], len(text))
        self.assertEqual(result["windows"], math.ceil(len(text) / 15))
        ids = tq_json("run", model, text, "--raw", "-n", "1")["prompt_tokens"]
        self.assertEqual(ids, len(text) + 1)  # with BOS
        first = tq_json("eval", "ppl", model, "--text", self.path("text.txt"), "--exact",
                        "--max-tokens", 10)
        # The same by ids with BOS as the first: its tokens are those scored.
        alphabet = {c: 4 + i for i, c in enumerate("abcdefghijklmnopqrstuvwxyz0123456789 ")}
        path = write_ids(self.path("same.json"), [BOS] + [alphabet[c] for c in text[:10]])
        same = tq_json("eval", "ppl", model, "--tokens", path, "--exact")
        self.assertEqual(first["tokens"], 10)
        self.assertAlmostEqual(first["nll"], same["nll"], places=6)

    def test_ppl_errors(self):
        model = MODELS / "llama"
        self.check_error(tq("eval", "ppl", model), 2, "--text", "--tokens")
        self.check_error(tq("eval", "ppl", model, "--text", __file__), 2, "tokenizer.json",
                         "--tokens")
        self.check_error(tq("eval", "ppl", model, "--tokens", write_ids(self.path("1"), [5])), 2,
                         "too few")
        self.check_error(tq("eval", "ppl", model, "--tokens", self.ids, "--ctx", 16, "--stride",
                            17), 2, "stride", "17", "16")

    def test_kld(self):
        same = tq_json("eval", "kld", MODELS / "llama", "--reference", MODELS / "llama", "--tokens",
                       self.ids)
        self.assertEqual(same["kld"], 0)
        self.assertEqual(same["same_top1"], 1)
        self.assertEqual(same["ppl_ratio"], 1)
        coarse = tq_json("eval", "kld", MODELS / "llama", "--reference", MODELS / "llama",
                         "--tokens", self.ids, "--format", "tq3", "--exact")
        fine = tq_json("eval", "kld", MODELS / "llama", "--reference", MODELS / "llama", "--tokens",
                       self.ids, "--format", "tq6", "--exact")
        self.assertGreater(coarse["kld"], fine["kld"])
        self.assertGreater(fine["kld"], 0)
        self.assertAlmostEqual(coarse["ppl_ratio"], coarse["ppl"] / coarse["reference_ppl"],
                               places=6)

    def test_kld_is_that_of_the_logits(self):
        p_rows = self.logits(MODELS / "llama", self.prompt, "--exact")
        q_rows = self.logits(MODELS / "llama", self.prompt, "--exact", "--format", "tq4")
        total = 0.0
        same = 0
        for p_row, q_row in zip(p_rows[:-1], q_rows[:-1]):
            log_p = [-nll(p_row, i) for i in range(len(p_row))]
            log_q = [-nll(q_row, i) for i in range(len(q_row))]
            total += sum(math.exp(a) * (a - b) for a, b in zip(log_p, log_q))
            same += argmax(p_row) == argmax(q_row)
        result = tq_json("eval", "kld", MODELS / "llama", "--reference", MODELS / "llama",
                         "--tokens", self.ids, "--format", "tq4", "--exact")
        n = len(self.prompt) - 1
        self.assertAlmostEqual(result["kld"], total / n, delta=1e-5)
        self.assertAlmostEqual(result["same_top1"], same / n, places=6)

    def test_text_of_stdin(self):
        model = make_model(self.path("model"))
        text = "the quick brown fox jumps over the lazy dog"
        with open(self.path("text.txt"), "w", encoding="utf-8") as file:
            file.write(text)
        args = ["eval", "ppl", model, "--exact", "--text"]
        self.assertEqual(tq_json(*args, "-", stdin=text)["nll"],
                         tq_json(*args, self.path("text.txt"))["nll"])
        self.check_error(tq(*args, "-", stdin=""), 2, "too few")

    def test_saved_reference(self):
        """Against saved logits a model diverges as against the reference itself."""
        kld = ["eval", "kld", MODELS / "llama"]
        saved = self.path("saved")
        windows = ["--tokens", self.ids, "--ctx", 16, "--stride", 8]
        written = tq_json(*kld, *windows, "--exact", "--save-reference", saved)
        self.assertEqual(os.listdir(self.folder).count("saved.tmp"), 0)
        self.assertEqual(written["bytes"], os.path.getsize(saved))
        self.assertEqual(written["ppl"],
                         tq_json("eval", "ppl", MODELS / "llama", *windows, "--exact")["ppl"])
        live = tq_json(*kld, *windows, "--exact", "--reference", MODELS / "llama", "--format", "tq3")
        for more in ([], ["--tokens", self.ids]):
            result = tq_json(*kld, "--exact", "--format", "tq3", "--reference-logits", saved, *more)
            self.assertEqual(result["tokens"], live["tokens"])
            self.assertEqual(result["ppl"], live["ppl"])
            self.assertEqual(result["reference_ppl"], live["reference_ppl"])
            self.assertEqual(result["same_top1"], live["same_top1"])
            self.assertAlmostEqual(result["kld"], live["kld"], delta=1e-3 * live["kld"])
        same = tq_json(*kld, "--exact", "--reference-logits", saved)
        self.assertLess(abs(same["kld"]), 1e-7)
        self.assertEqual(same["same_top1"], 1)

    def test_saved_reference_errors(self):
        kld = ["eval", "kld", MODELS / "llama"]
        saved = self.path("saved")
        tq_json(*kld, "--tokens", self.ids, "--ctx", 16, "--save-reference", saved)
        self.check_error(tq(*kld, "--reference-logits", saved, "--ctx", 32), 2, "--ctx 16")
        self.check_error(tq(*kld, "--reference-logits", saved, "--stride", 8), 2, "--stride")
        self.check_error(tq(*kld, "--reference-logits", saved, "--max-tokens", 8), 2,
                         "--max-tokens")
        self.check_error(tq(*kld, "--reference-logits", saved, "--reference", MODELS / "llama"), 2,
                         "--reference")
        other = write_ids(self.path("other.json"), self.prompt[:-1])
        self.check_error(tq(*kld, "--reference-logits", saved, "--tokens", other), 2, "another text")
        self.check_error(tq("eval", "kld", MODELS / "qwen3", "--reference-logits", saved), 2,
                         "llama", "qwen3", "--reference MODEL")
        self.check_error(tq(*kld, "--reference-logits", self.ids), 4, "ids.json")
        with open(saved, "rb") as file:
            whole = file.read()
        for broken in (whole[:-1], whole + b"x", whole[:8], b"", whole[:16]):
            with open(self.path("broken"), "wb") as file:
                file.write(broken)
            self.check_error(tq(*kld, "--reference-logits", self.path("broken")), 4, "broken")
        done = tq(*kld, "--tokens", self.ids, "--save-reference", self.path("none/saved"))
        self.assertEqual(done.returncode, 6, done)

    def test_kld_errors(self):
        done = tq("eval", "kld", MODELS / "llama", "--tokens", self.ids)
        self.check_error(done, 2, "--reference")
        done = tq("eval", "kld", MODELS / "llama", "--reference", "/nowhere", "--tokens", self.ids)
        self.check_error(done, 3, "/nowhere")


if __name__ == "__main__":
    unittest.main()
