#!/usr/bin/env python3
"""tq eval tasks, generate-kld, needle and compare on the golden checkpoint."""

import html.parser
import json
import math
import pathlib
import tempfile
import unittest

from cli_support import MODELS, TOKENS, make_model, rows, tq, tq_json, write_ids


def log_softmax(row, token):
    highest = max(row)
    return row[token] - highest - math.log(sum(math.exp(x - highest) for x in row))


def ids_of(text, bos=True):
    return [0] * bos + [TOKENS.index("\u0120" if c == " " else c) for c in text]


class Tasks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.model = make_model(cls.folder / "model")

    @classmethod
    def tearDownClass(cls):
        cls.temporary.cleanup()

    def write(self, *items):
        path = self.folder / "tasks.jsonl"
        path.write_text("\n".join(json.dumps(item) for item in items) + "\n\n")
        return path

    def tasks(self, path, *options):
        return tq_json("eval", "tasks", self.model, "--tasks", path, "--device", "cpu", "--exact", *options)

    def by_logits(self, context, continuation):
        """The log probability of the continuation, from the logits of one run."""
        ids = ids_of(context + continuation)
        out = self.folder / "logits.npy"
        done = tq("eval", "logits", self.model, "--tokens", write_ids(self.folder / "ids.json", ids),
                  "--out", out, "--exact", "--device", "cpu")
        self.assertEqual(done.returncode, 0, done)
        logits = rows(out)
        first = len(ids_of(context))
        return sum(log_softmax(logits[i - 1], ids[i]) for i in range(first, len(ids)))

    def test_log_probabilities_are_those_of_the_logits(self):
        choices = ["ab", "q", "a longer one of many letters", "zz9"]
        context = "some context that is longer than a page of sixteen tokens"
        path = self.write({"id": "x", "prompt": context, "choices": choices, "answer": 2})
        expected = [self.by_logits(context, " " + choice) for choice in choices]
        for options in ((), ("--batch", "7", "--parallel", "2"), ("--parallel", "1")):
            result = self.tasks(path, *options)
            (answer,) = result["answers"]
            for got, value in zip(answer["log_probabilities"], expected):
                self.assertAlmostEqual(got, value, delta=2e-3)
            self.assertEqual(answer["chosen"], max(range(4), key=lambda i: expected[i]))
            by_byte = [value / len(choice) for value, choice in zip(expected, choices)]
            self.assertEqual(answer["chosen_by_byte"], max(range(4), key=lambda i: by_byte[i]))
        self.assertEqual(result["acc"]["n"], 1)
        self.assertEqual(result["acc"]["mean"], float(answer["chosen"] == 2))

    def test_shots_are_in_front(self):
        items = [{"prompt": "one", "choices": ["a", "b"], "answer": "b"},
                 {"prompt": "two", "choices": ["c", "d"], "answer": 0}]
        result = self.tasks(self.write(*items), "--shots", "1")
        (answer,) = result["answers"]
        # The tiny tokenizer has no newlines: they leave nothing.
        expected = self.by_logits("one btwo", " c")
        self.assertAlmostEqual(answer["log_probabilities"][0], expected, delta=2e-3)
        done = tq("eval", "tasks", self.model, "--tasks", self.folder / "tasks.jsonl", "--shots", "2")
        self.assertEqual(done.returncode, 2, done)

    def test_reference_and_agreement(self):
        items = [{"prompt": f"question {i}", "choices": ["a", "b", "cc", "d e"], "answer": i % 4}
                 for i in range(12)]
        items += [{"question": f"what is {i}", "answer": "x"} for i in range(3)]
        path = self.write(*items)
        same = self.tasks(path, "--reference", self.model, "-n", "4")
        self.assertEqual(same["agreement"]["mean"], 1)
        self.assertEqual(same["difference"]["mean"], 0)
        self.assertEqual(same["acc"], same["reference"]["acc"])
        self.assertEqual((same["acc"]["n"], same["exact_match"]["n"]), (12, 3))
        mean = same["acc"]["mean"]
        self.assertAlmostEqual(same["acc"]["se"], math.sqrt(mean * (1 - mean) / 11))
        coarse = self.tasks(path, "--reference", self.model, "--format", "tq2", "-n", "4")
        self.assertLess(coarse["agreement"]["mean"], 1)
        self.assertEqual(coarse["reference"]["acc"], same["acc"])
        kv = self.tasks(path, "--reference", self.model, "--kv-format", "k3v3", "--kv-sink", 0,
                        "--kv-tail", 0, "-n", "4")
        for got, plain in zip(kv["answers"][:12], same["answers"]):
            self.assertEqual(got["reference"]["log_probabilities"], plain["log_probabilities"])
            self.assertNotEqual(got["log_probabilities"], plain["log_probabilities"])
        self.assertEqual(kv["reference"]["kv_dtype"], "f32")
        text = tq("eval", "tasks", self.model, "--tasks", path, "--reference", self.model, "-n", "4")
        self.assertIn("same answer: 1.0000", text.stdout)

    def test_faults(self):
        def error(code, *parts, line=None, options=()):
            path = self.write(line) if line is not None else self.folder / "none.jsonl"
            done = tq("eval", "tasks", self.model, "--tasks", path, *options)
            self.assertEqual(done.returncode, code, done)
            for part in parts:
                self.assertIn(part, done.stderr)
        error(3, "none.jsonl")
        error(4, "tasks.jsonl: line 1", "fields", line={"text": "x"})
        error(4, "answer", line={"prompt": "x", "choices": ["a", "b"], "answer": 2})
        error(4, "choices", line={"prompt": "x", "choices": ["a"], "answer": 0})
        error(2, "question 1", "context", line={"prompt": "x" * 600, "choices": ["a", "b"], "answer": 0})
        error(2, "question 1", line={"prompt": "x" * 600, "answer": "b"})

    def test_generate_kld(self):
        ids = write_ids(self.folder / "ids.json", ids_of("the text that prompts are cut from", False))
        model = ("eval", "generate-kld", self.model, "--reference", self.model, "--tokens", ids, "--prompts",
                 "3", "--prompt-tokens", "8", "--device", "cpu")
        run = (*model, "-n", "20")
        same = tq_json(*run)
        self.assertLess(abs(same["kld"]), 1e-9)
        self.assertEqual((same["same_top1"], same["whole"], same["prompts"]), (1, 3, 3))
        coarse = tq_json(*run, "--format", "tq2")
        self.assertGreater(coarse["kld"], 0.001)
        self.assertLess(coarse["agreed_tokens"], same["agreed_tokens"])
        self.assertEqual(sum(place["tokens"] for place in coarse["by_place"]), coarse["tokens"])
        by_reference = tq_json(*run, "--format", "tq2", "--writer", "reference")
        self.assertGreater(by_reference["kld"], 0.001)
        self.assertEqual(by_reference["tokens"], same["tokens"])  # it writes what it wrote
        done = tq(*model, "-n", "600")
        self.assertEqual(done.returncode, 2, done)
        self.assertIn("--ctx", done.stderr)

    def test_needle(self):
        run = ("eval", "needle", self.model, "--lengths", "300,420", "--depths", "0,100", "--trials", "2",
               "--device", "cpu")
        result = tq_json(*run)
        self.assertEqual(result["trials"], 8)
        self.assertEqual([(cell["tokens"], cell["depth"]) for cell in result["cells"]],
                         [(300, 0), (300, 1), (420, 0), (420, 1)])
        for cell in result["cells"]:
            self.assertLess(cell["prompt_tokens"], cell["tokens"])
            self.assertGreater(cell["prompt_tokens"], cell["tokens"] - 130)
            self.assertLess(cell["log_probability"], 0)
        self.assertEqual(result["cells"], tq_json(*run)["cells"])
        self.assertNotEqual(result["cells"], tq_json(*run, "--seed", "2")["cells"])
        done = tq("eval", "needle", self.model, "--lengths", "30", "--device", "cpu")
        self.assertEqual(done.returncode, 2, done)

    def test_compare(self):
        ids = write_ids(self.folder / "ids.json", ids_of("a text to be scored " * 8, False))
        tq_json("convert", self.model, self.folder / "tq3", "--format", "tq3", "--effort", "fast")
        report = self.folder / "compare.html"
        result = tq_json("eval", "compare", self.model, self.folder / "tq3", "--tokens", ids, "--ctx", "64",
                         "--device", "cpu", "--report", report)
        source, small = result["models"]
        self.assertLess(abs(source["kld"]), 1e-9)
        self.assertEqual(source["same_top1"], 1)
        self.assertGreater(small["kld"], 1e-4)
        self.assertLess(small["bytes"], source["bytes"])
        self.assertLess(small["bits_per_weight"], source["bits_per_weight"])
        self.assertGreater(small["decode_tokens_per_s"], 0)
        alone = tq_json("eval", "kld", self.folder / "tq3", "--reference", self.model, "--tokens", ids,
                        "--ctx", "64", "--device", "cpu")
        self.assertAlmostEqual(alone["kld"], small["kld"])
        self.assertAlmostEqual(alone["ppl"], small["ppl"])
        page = report.read_text()
        html.parser.HTMLParser().feed(page)
        self.assertIn("bits/weight", page)
        self.assertEqual(page.count("<svg"), 3)


if __name__ == "__main__":
    unittest.main()
