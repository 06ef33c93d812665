#!/usr/bin/env python3
"""tq run on tiny checkpoints: prompts, sampling, stops, errors, Ctrl-C."""

import json
import os
import signal
import subprocess
import tempfile
import unittest
import unittest.mock

from cli_support import (BOS, EOS, MODELS, TOKENS, TQ, argmax, make_model, read_npy, rows, tq,
                         tq_json, write_ids)


class RunBase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def check_error(self, done, code, *parts):
        self.assertEqual(done.returncode, code, done)
        for part in parts:
            self.assertIn(part, done.stderr)


class CutFiles(RunBase):
    """A model's file that is cut while it is in use: an error that names it, and no signal."""

    def check_cut(self, *command):
        model = make_model(self.path("model"), max_position=60000)
        weights = model / "model.safetensors"
        # Generates until its output is full, which nobody reads, and goes on when it is read.
        with subprocess.Popen([TQ, *command, model], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as process:
            process.stdin.write(b"hello\n")
            process.stdin.close()
            self.assertTrue(process.stdout.read(1))
            os.truncate(weights, 0)
            while process.stdout.read(1 << 16):
                pass
            error = process.stderr.read().decode()
        self.assertEqual(process.returncode, 6, error)
        self.assertIn(f"{weights}: was cut short or could not be read while it was in use", error)

    def test_run(self):
        self.check_cut("run", "--jsonl", "--ignore-eos", "-n", "50000")

    def test_chat(self):
        self.check_cut("chat", "--jsonl", "--ignore-eos", "-n", "50000")


class LongInput(RunBase):
    """Texts on stdin are bounded as files are."""

    def test_stdin(self):
        model = make_model(self.path("model"))
        text = "a" * ((64 << 20) + 1)
        for command in (["run", model], ["chat", model], ["template", model],
                        ["run", model, "--messages", "-"], ["eval", "ppl", model, "--text", "-"]):
            self.check_error(tq(*command, stdin=text), 2, "stdin", str(64 << 20))


class NamesOfFiles(RunBase):
    """Every message about a file names it with its folder."""

    def check_broken(self, name, text, code, *parts):
        model = make_model(self.path(f"model {len(os.listdir(self.folder))}"))
        (model / name).write_text(text)
        self.check_error(tq("run", model, "a", "-n", 1), code, str(model / name), *parts)

    def test_broken_files(self):
        config = json.loads((MODELS / "llama/config.json").read_text())
        for change in ({"rms_norm_eps": 1e300}, {"hidden_size": 2**32 + 64},
                       {"num_hidden_layers": 1.5}, {"vocab_size": -128}):
            self.check_broken("config.json", json.dumps(config | change), 4, *change)
        self.check_broken("config.json", json.dumps(config | {"model_type": "other"}), 5)
        self.check_broken("config.json", json.dumps(config | {"eos_token_id": 2**32 + 62}), 4,
                          "eos_token_id", str(2**32 + 62))
        for name in ("config.json", "tokenizer.json", "tokenizer_config.json",
                     "generation_config.json"):
            self.check_broken(name, "[]", 4)
            self.check_broken(name, "{", 4)
        self.check_broken("chat_template.jinja", "{% if", 4)

    def test_names_that_are_too_long(self):
        for name in ("x" * 300, "x/" * 3000):
            for command in (["run", "a"], ["tokenize", "a"], ["inspect"], ["verify"]):
                self.check_error(tq(command[0], self.path(name), *command[1:]), 2, "too long")
        model = make_model(self.path("model"))
        self.check_error(tq("run", model, "--file", self.path("x" * 300)), 2, "too long")


class RunByIds(RunBase):
    """A checkpoint without tokenizer files."""

    def setUp(self):
        super().setUp()
        self.model = MODELS / "llama"
        self.prompt = list(read_npy(self.model / "tokens.npy")[1])[:20]
        self.ids = write_ids(self.path("ids.json"), self.prompt)

    def test_decoding_agrees_with_one_full_pass(self):
        for batch in (512, 6):
            result = tq_json("run", self.model, "--tokens", self.ids, "-n", 12, "--exact",
                             "--temp", 0, "--ignore-eos", "--batch", batch)
            self.assertEqual(len(result["ids"]), 12)
            self.assertEqual(result["finish_reason"], "length")
            self.assertEqual(result["prompt_tokens"], 20)
            self.assertNotIn("text", result)
            path = write_ids(self.path("all.json"), self.prompt + result["ids"])
            done = tq("eval", "logits", self.model, "--tokens", path, "--out", self.path("l.npy"),
                      "--exact")
            self.assertEqual(done.returncode, 0, done)
            expected = [argmax(row) for row in rows(self.path("l.npy"))[19:-1]]
            self.assertEqual(result["ids"], expected)

    def test_prints_ids(self):
        done = tq("run", self.model, "--tokens", self.ids, "-n", 3, "--ignore-eos")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(len([int(x) for x in done.stdout.split()]), 3)
        self.assertIn("tokens/s", done.stderr)

    def test_compression_at_load(self):
        for name in ("tq3", "tq8", "auto"):
            result = tq_json("run", self.model, "--tokens", self.ids, "-n", 2, "--format", name,
                             "--ignore-eos")
            self.assertEqual(len(result["ids"]), 2)

    def test_errors(self):
        run = ["run", self.model]
        self.check_error(tq(*run, "text"), 2, "tokenizer.json", "--tokens")
        self.check_error(tq("chat", self.model), 2, "tokenizer.json")
        self.check_error(tq(*run, "--tokens", self.ids, "--stop", "x"), 2, "tokenizer")
        self.check_error(tq(*run, "--tokens", self.ids, "text"), 2, "--tokens")
        self.check_error(tq(*run, "--tokens", write_ids(self.path("b"), [3, 500])), 2, "500", "127")
        # Too long for the context: both numbers, nothing cut.
        self.check_error(tq(*run, "--tokens", self.ids, "-n", 500), 2, "20", "500", "512")
        self.check_error(tq(*run, "--tokens", self.ids, "--ctx", 16), 2, "20", "16")
        self.check_error(tq(*run, "--tokens", self.ids, "--ctx", 4096), 2, "4096", "512")
        for context in ("long", "-1", "16777217"):
            self.check_error(tq(*run, "--tokens", self.ids, f"--ctx={context}"), 2, "--ctx")

    def test_the_longest_context(self):
        done = tq("run", self.model, "--tokens", self.ids, "--max-model-len", "auto", "-n", 400,
                  "--ignore-eos")
        self.assertEqual(done.returncode, 0, done)
        self.assertRegex(done.stderr, r"memory: weights .*KV cache .*\(1 x 512 tokens\)")

    def test_sampling_errors(self):
        for option, value in (("--temp", "-1"), ("--top-p", "0"), ("--top-p", "1.5"),
                              ("--min-p", "1.1"), ("--top-k", "-2"), ("--repeat-penalty", "0"),
                              ("--max-tokens", "0"), ("--logit-bias", "5"),
                              ("--logit-bias", "500=1"), ("--logit-bias", "5=x")):
            done = tq("run", self.model, "--tokens", self.ids, f"{option}={value}")
            self.check_error(done, 2)
            self.assertEqual(done.stdout, "")


class RunText(RunBase):
    def setUp(self):
        super().setUp()
        self.model = make_model(self.path("model"))

    def run_json(self, *args, stdin=""):
        return tq_json("run", self.model, *args, stdin=stdin)

    def test_sources_of_the_prompt(self):
        with open(self.path("prompt.txt"), "w", encoding="utf-8") as file:
            file.write("hello world")
        expected = self.run_json("hello world", "-n", 5)
        self.assertEqual(self.run_json("-n", 5, stdin="hello world"), expected | {
            "timings": unittest.mock.ANY})
        self.assertEqual(self.run_json("-", "-n", 5, stdin="hello world")["ids"], expected["ids"])
        self.assertEqual(self.run_json("--file", self.path("prompt.txt"), "-n", 5)["ids"],
                         expected["ids"])
        self.assertEqual(len(expected["ids"]), 5)

    def test_empty_prompts(self):
        path = self.path("empty.txt")
        with open(path, "w", encoding="utf-8"):
            pass
        for args in ([""], ["-"], [], ["--file", path], ["", "--raw"], ["-p", ""]):
            self.check_error(tq("run", self.model, *args), 2, "the prompt is empty")
        self.check_error(tq("tokenize", self.model, "--file", path), 2, "empty.txt")

    def test_jsonl(self):
        done = tq("run", self.model, "abc", "-n", 8, "--ignore-eos", "--jsonl", "--seed", 7)
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual(done.stderr, "")
        start, *pieces, result = map(json.loads, done.stdout.splitlines())
        self.assertEqual(start["type"], "start")
        self.assertEqual(start["seed"], 7)
        self.assertEqual({piece["type"] for piece in pieces}, {"text"})
        self.assertGreater(len(pieces), 1)
        self.assertEqual("".join(piece["text"] for piece in pieces), result["text"])
        whole = self.run_json("abc", "-n", 8, "--ignore-eos", "--seed", 7)
        self.assertEqual(result, whole | {"type": "result", "timings": unittest.mock.ANY})

    def test_text_is_that_of_the_ids(self):
        result = self.run_json("abc", "-n", 40, "--ignore-eos", "--temp", 1, "--seed", 3)
        # Only ids of the tokenizer, though the model has rows for more.
        self.assertLess(max(result["ids"]), len(TOKENS))
        text = "".join(TOKENS[i] for i in result["ids"] if i > 3).replace("\u0120", " ")
        self.assertEqual(result["text"], text)
        done = tq("run", self.model, "abc", "-n", 40, "--ignore-eos", "--temp", 1, "--seed", 3,
                  "--quiet")
        self.assertEqual(done.stdout, text + "\n")
        self.assertEqual(done.stderr, "")

    def test_template_and_bos(self):
        # <s> of the template, <user>, the text, <model>; no second <s>.
        self.assertEqual(self.run_json("abc", "-n", 1)["prompt_tokens"], 1 + 1 + 3 + 1)
        self.assertEqual(self.run_json("abc", "-n", 1, "--raw")["prompt_tokens"], 1 + 3)
        self.assertEqual(self.run_json("abc", "-n", 1, "--system", "xy")["prompt_tokens"],
                         1 + 1 + 2 + 1 + 3 + 1)
        ids = [BOS, 2, 4, 5, 6, 3]
        by_ids = self.run_json("--tokens", write_ids(self.path("ids"), ids), "-n", 8)
        self.assertEqual(self.run_json("abc", "-n", 8)["ids"], by_ids["ids"])

    def test_system_needs_a_template(self):
        self.check_error(tq("run", self.model, "abc", "--raw", "--system", "x"), 2, "--system")
        plain = make_model(self.path("plain"), template=None)
        self.check_error(tq("run", plain, "abc", "--system", "x"), 2, "template")
        self.assertEqual(tq_json("run", plain, "abc", "-n", 1)["prompt_tokens"], 4)
        self.check_error(tq("chat", plain), 2, "chat template")

    def test_broken_template(self):
        broken = make_model(self.path("broken"), template="{% for %}")
        done = tq("run", broken, "abc")
        self.assertIn(done.returncode, (4, 5), done)
        self.assertEqual(tq("run", broken, "abc", "--raw", "-n", 1).returncode, 0)

    def test_stop_text(self):
        options = ["abc", "-n", 60, "--ignore-eos", "--temp", 1, "--seed", 1]
        whole = self.run_json(*options)["text"]
        stop = whole[20:23]
        result = self.run_json(*options, "--stop", "nowhere to be found", "--stop", stop)
        self.assertEqual(result["text"], whole[:whole.index(stop)])
        self.assertEqual(result["finish_reason"], "stop")

    def test_end_of_sequence(self):
        result = self.run_json("abc", "--logit-bias", f"{EOS}=100")
        self.assertEqual(result["ids"], [])
        self.assertEqual(result["text"], "")
        self.assertEqual(result["finish_reason"], "stop")
        result = self.run_json("abc", "--logit-bias", f"{EOS}=100", "--ignore-eos", "-n", 3)
        self.assertEqual(result["ids"], [EOS] * 3)

    def test_logit_bias_and_penalties(self):
        a = TOKENS.index("a")
        options = ["abc", "-n", 4, "--logit-bias", f"{a}=100"]
        self.assertEqual(self.run_json(*options)["text"], "aaaa")
        self.assertNotIn("aa", self.run_json(*options, "--presence-penalty", 200)["text"])
        self.assertNotIn("aa", self.run_json(*options, "--frequency-penalty", 200)["text"])

    def test_seed(self):
        options = ["abc", "-n", 30, "--temp", 1, "--ignore-eos", "--seed"]
        self.assertEqual(self.run_json(*options, 1)["ids"], self.run_json(*options, 1)["ids"])
        self.assertNotEqual(self.run_json(*options, 1)["ids"], self.run_json(*options, 2)["ids"])

    def test_generation_config(self):
        sampled = make_model(self.path("sampled"),
                             generation_config={"do_sample": True, "temperature": 10.0,
                                                "eos_token_id": [EOS, TOKENS.index("a")]})
        greedy = self.run_json("abc", "-n", 30, "--ignore-eos")["ids"]
        options = ["abc", "-n", 30, "--ignore-eos"]
        self.assertNotEqual(tq_json("run", sampled, *options, "--seed", 1)["ids"], greedy)
        self.assertEqual(tq_json("run", sampled, *options, "--temp", 0)["ids"], greedy)
        end = tq_json("run", sampled, "abc", "--logit-bias", f"{TOKENS.index('a')}=200")
        self.assertEqual((end["ids"], end["finish_reason"]), ([], "stop"))

    def test_the_answer_fills_what_the_context_leaves(self):
        result = self.run_json("abc", "--ctx", 20, "--ignore-eos")
        self.assertEqual(len(result["ids"]), 20 - 6)
        self.assertEqual(result["finish_reason"], "length")
        self.check_error(tq("run", self.model, "a" * 30, "--ctx", 20), 2, "33", "20")

    def test_no_limit_but_the_context(self):
        long = make_model(f"{self.folder}/long", max_position=1024)
        options = ("run", long, "abc", "--ctx", 600, "--ignore-eos")
        self.assertEqual(len(tq_json(*options)["ids"]), 512)
        self.assertEqual(len(tq_json(*options, "-n", -1)["ids"]), 600 - 6)
        self.check_error(tq(*options, "-n", -2), 2, "max_tokens")

    def test_prompt_that_begins_with_a_dash(self):
        self.assertEqual(self.run_json("-n", 1, "--raw", "--", "-a")["prompt_tokens"], 2)

    def test_interrupt_prints_what_there_is(self):
        endless = make_model(self.path("endless"), max_position=10**7)
        process = subprocess.Popen(
            [TQ, "run", endless, "abc", "-n", "90000", "--ctx", "100000", "--ignore-eos",
             "--temp", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        first = process.stdout.read(1)
        process.send_signal(signal.SIGINT)
        rest, stderr = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 130, stderr)
        self.assertIn(b"interrupted", stderr)
        self.assertTrue((first + rest).endswith(b"\n"))


if __name__ == "__main__":
    unittest.main()
