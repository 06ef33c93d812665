#!/usr/bin/env python3
"""Models that think before they answer: reasoning and answer apart, shown or hidden, kept in a chat;
and ids that are no text."""

import json
import os
import pty
import subprocess
import tempfile
import unittest

from cli_support import EOS, TOKENS, TQ, make_model, tq, tq_json, write_ids

OPEN, CLOSE = len(TOKENS), len(TOKENS) + 1
TAGS = ["<think>", "</think>"]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'assistant' %}<model>"
    "{% if m.reasoning_content %}<think>{{ m.reasoning_content }}</think>{% endif %}"
    "{% else %}<user>{% endif %}{{ m.content }}{% endfor %}"
    "{% if add_generation_prompt %}<model>"
    "{{ '</think>' if enable_thinking is defined and not enable_thinking else '<think>' }}{% endif %}"
)
# Thinks for a few tokens and then answers.
OPTIONS = ["-n", 40, "--ignore-eos", "--temp", 10, "--seed", 2, "--logit-bias", f"{CLOSE}=15",
           "--logit-bias", f"{OPEN}=-1000"]


def text_of(ids):
    return "".join((TOKENS + TAGS)[i] for i in ids if i > 3).replace("\u0120", " ")


class Reasoning(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.model = make_model(self.path("model"), template=TEMPLATE, more_special=TAGS)

    def path(self, name):
        return os.path.join(self.folder, name)

    def check_error(self, done, *parts):
        self.assertEqual(done.returncode, 2, done)
        for part in parts:
            self.assertIn(part, done.stderr)

    def run_split(self):
        """A run whose reasoning and answer both hold something."""
        result = tq_json("run", self.model, "abc", *OPTIONS)
        self.assertTrue(result["reasoning"] and result["text"], result)
        return result

    def test_the_prompt_ends_inside(self):
        result = self.run_split()
        close = result["ids"].index(CLOSE)
        self.assertEqual(result["reasoning"], text_of(result["ids"][:close]))
        self.assertEqual(result["text"], text_of(result["ids"][close + 1:]))

    def test_thinking_off(self):
        result = tq_json("run", self.model, "abc", *OPTIONS, "--think", "off")
        self.assertEqual(result["reasoning"], "")
        self.assertEqual(result["text"], text_of(result["ids"]))
        on = tq_json("run", self.model, "abc", *OPTIONS, "--think", "on")
        self.assertEqual(on["ids"], self.run_split()["ids"])

    def test_a_tag_opens_the_output(self):
        plain = make_model(self.path("plain"), more_special=TAGS)
        opened = tq_json("run", plain, "abc", "-n", 4, "--logit-bias", f"{OPEN}=100")
        self.assertEqual(opened["text"], "")
        self.assertEqual(opened["reasoning"], TAGS[0] * 3)  # unclosed

    def test_what_is_printed(self):
        result = self.run_split()
        run = ["run", self.model, "abc", *OPTIONS, "--quiet"]
        shown = result["reasoning"] + "\n\n" + result["text"] + "\n"
        self.assertEqual(tq(*run).stdout, result["text"] + "\n")
        self.assertEqual(tq(*run, "--reasoning", "hide").stdout, result["text"] + "\n")
        self.assertEqual(tq(*run, "--reasoning", "show").stdout, shown)

    def test_dimmed_on_a_terminal(self):
        result = self.run_split()
        main, terminal = pty.openpty()
        subprocess.run([TQ, *map(str, ["run", self.model, "abc", *OPTIONS, "--quiet"])],
                       stdout=terminal, check=True, timeout=60)
        os.close(terminal)
        screen = b""
        while True:
            try:
                screen += os.read(main, 4096)
            except OSError:
                break
        os.close(main)
        reasoning, answer = screen.decode().replace("\r\n", "\n").split("\n\n", 1)
        self.assertTrue(reasoning.startswith("\x1b[2m") and reasoning.endswith("\x1b[22m"))
        self.assertEqual(reasoning.replace("\x1b[2m", "").replace("\x1b[22m", ""),
                         result["reasoning"])
        self.assertEqual(answer, result["text"] + "\n")

    def test_chat_leaves_reasoning_to_the_template(self):
        done = tq("chat", self.model, "--json", *OPTIONS, stdin="abc\nd\n")
        self.assertEqual(done.returncode, 0, done)
        first, second = map(json.loads, done.stdout.splitlines())
        self.assertEqual(first["reasoning"], self.run_split()["reasoning"])
        # <model> and the tags; further tags are part of the answer, and one token each.
        answer = 3 + len(first["reasoning"]) + len(first["text"].replace(TAGS[1], "x"))
        self.assertEqual(second["prompt_tokens"], 5 + answer + 4)

    def test_options_that_would_do_nothing(self):
        run = ["run", self.model]
        self.check_error(tq(*run, "abc", "--raw", "--think", "on"), "--think", "--raw")
        ids = write_ids(self.path("ids"), [4])
        self.check_error(tq(*run, "--tokens", ids, "--think", "on"), "--think", "--tokens")
        self.check_error(tq(*run, "--tokens", ids, "--system", "x"), "--system", "--tokens")
        plain = make_model(self.path("plain"))
        for command in (["run", plain, "abc"], ["chat", plain]):
            self.check_error(tq(*command, "--think", "off"), "enable_thinking")
        self.check_error(tq(*run, "abc", "--think", "maybe"), "--think")


class NotText(unittest.TestCase):
    def test_ids_that_are_no_text_are_never_chosen(self):
        a = TOKENS.index("a")
        with tempfile.TemporaryDirectory() as folder:
            model = make_model(os.path.join(folder, "m"),
                               generation_config={"suppress_tokens": [a]})
            result = tq_json("run", model, "abc", "-n", 200, "--ignore-eos", "--temp", 5,
                             "--seed", 0, "--logit-bias", f"{a}=50", "--logit-bias",
                             f"{EOS}=-50")
        self.assertEqual(len(result["ids"]), 200)
        self.assertNotIn(a, result["ids"])
        self.assertGreater(len(set(result["ids"])), 20)

    def test_bos_only_once(self):
        with tempfile.TemporaryDirectory() as folder:
            model = make_model(os.path.join(folder, "m"))
            run = ["run", model, "--raw", "-n", 1]
            self.assertEqual(tq_json(*run, "abc")["prompt_tokens"], 4)
            self.assertEqual(tq_json(*run, "<s>abc")["prompt_tokens"], 4)
            self.assertEqual(tq_json(*run, "</s>abc")["prompt_tokens"], 5)


if __name__ == "__main__":
    unittest.main()
