"""Real models end to end: convert, evaluate, answer. The paths come from scripts/test.sh, which fetches the
models (scripts/fetch_model.sh); without them there is nothing to test and the script says so."""
import json
import os
import shutil
import subprocess
import tempfile
import unittest

TQ = os.environ["TQ_BINARY"]
TEXT = "/usr/share/common-licenses/GPL-3"


def run_tq(*arguments, code=0):
    result = subprocess.run([TQ, *map(str, arguments)], capture_output=True, text=True, timeout=800,
                            stdin=subprocess.DEVNULL)
    if result.returncode != code:
        raise AssertionError(f"tq {arguments}: exit {result.returncode}\n{result.stdout}\n{result.stderr}")
    return result.stdout


class RealModel:
    variable = ""  # the environment variable with the path of the GGUF

    @classmethod
    def setUpClass(cls):
        cls.source = os.environ.get(cls.variable, "")
        if not os.path.isfile(cls.source):
            raise unittest.SkipTest(f"{cls.variable} names no model (see scripts/test.sh)")
        cls.folder = tempfile.mkdtemp(prefix="tq-real-")
        cls.text = os.path.join(cls.folder, "text.txt")
        with open(TEXT) as full, open(cls.text, "w") as part:
            part.write(full.read(5000))
        cls.compressed = os.path.join(cls.folder, "model")
        cls.report = json.loads(run_tq("convert", cls.source, cls.compressed, "--json"))

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.folder, ignore_errors=True)

    def ppl(self, model, *options):
        return json.loads(run_tq("eval", "ppl", model, "--text", self.text, "--ctx", "512", "--json", *options))["ppl"]

    def test_perplexity(self):
        source, compressed = self.ppl(self.source), self.ppl(self.compressed)
        self.assertGreater(source, 1)
        self.assertLess(source, self.max_source_ppl)
        self.assertLess(compressed, source * self.max_ppl_ratio)

    def test_verify_finds_no_fault_and_then_a_planted_one(self):
        run_tq("verify", self.compressed)
        copy = os.path.join(self.folder, "damaged")
        shutil.copytree(self.compressed, copy)
        path = os.path.join(copy, "model.safetensors")
        with open(path, "r+b") as file:
            file.seek(os.path.getsize(path) // 2)
            byte = file.read(1)
            file.seek(-1, 1)
            file.write(bytes([byte[0] ^ 1]))
        run_tq("verify", copy, code=4)

    def test_tokens_survive_conversion(self):
        text = "Fünf  tests:\n\n\tint x = 42; 你好 🙂"
        ids = [json.loads(run_tq("tokenize", model, text, "--json")) for model in (self.source, self.compressed)]
        self.assertEqual(ids[0], ids[1])

    def test_greedy_continuation_makes_sense(self):
        out = run_tq("run", self.compressed, *self.question, "--max-tokens", "24", "--temp", "0", "--quiet")
        self.assertIn(self.answer, out)


class SmolLM2(RealModel, unittest.TestCase):
    variable = "TQ_TEST_SMOLLM2"
    max_source_ppl = 30
    max_ppl_ratio = 1.3
    question = ("What is the capital of France?",)
    answer = "Paris"


class Gemma3(RealModel, unittest.TestCase):  # a base model: no chat template, it continues text
    variable = "TQ_TEST_GEMMA3"
    max_source_ppl = 40
    max_ppl_ratio = 1.3
    question = ("The capital of France is the city of", "--raw")
    answer = "Paris"


if __name__ == "__main__":
    unittest.main()
