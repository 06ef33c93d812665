#!/usr/bin/env python3
"""Models that think before they answer: reasoning and answer apart, shown or hidden, kept in a chat;
and ids that are no text."""

import json
import os
import pty
import subprocess
import tempfile
import unittest

import test_serve
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

    def serve(self, model):
        test_serve.setUpModule()
        server = test_serve.Server(model=model)
        self.addCleanup(server.stop)
        return server

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

    def test_a_budget_ends_the_reasoning(self):
        think = ["-n", 40, "--ignore-eos", "--temp", 0, "--logit-bias", f"{CLOSE}=-1000"]
        free = tq_json("run", self.model, "abc", *think)
        self.assertEqual(free["text"], "")
        for budget in (0, 5):
            limited = tq_json("run", self.model, "abc", *think, "--thinking-budget", budget)
            self.assertEqual(limited["ids"][:budget + 1], free["ids"][:budget] + [CLOSE])
            self.assertEqual(limited["reasoning"], text_of(free["ids"][:budget]))
            self.assertEqual(limited["text"], text_of(limited["ids"][budget + 1:]))
            self.assertEqual(len(limited["ids"]), 40)
        self.assertEqual(tq_json("run", self.model, "abc", *think, "--thinking-budget", 40)["ids"], free["ids"])
        held = tq_json("run", self.model, "abc", *think[:2], "--temp", 0, "--thinking-budget", 3, "--regex", "a{5}")
        self.assertEqual(held["text"], "aaaaa")
        chat = tq("chat", self.model, "--json", *think, "--thinking-budget", 5, stdin="abc\nd\n")
        first, second = map(json.loads, chat.stdout.splitlines())
        self.assertEqual(first["reasoning"], text_of(free["ids"][:5]))
        self.assertTrue(second["reasoning"] and second["text"])
        plain = make_model(self.path("plain"))
        self.check_error(tq("run", plain, "abc", "--thinking-budget", 5), "thinking budget")

    def test_a_budget_of_requests(self):
        server = self.serve(self.model)
        ask = {"messages": [{"role": "user", "content": "abc"}], "max_tokens": 40, "ignore_eos": True,
               "temperature": 0, "logit_bias": {str(CLOSE): -100}}
        free = server.post("/v1/chat/completions", ask)[1]["choices"][0]["message"]
        self.assertEqual(free["content"], "")
        for fields in ({"thinking_budget": 5}, {"thinking_token_budget": 5}, {"reasoning": {"max_tokens": 5}}):
            status, answer = server.post("/v1/chat/completions", {**ask, **fields})
            self.assertEqual(status, 200, answer)
            message = answer["choices"][0]["message"]
            self.assertTrue(free["reasoning_content"].startswith(message["reasoning_content"]))
            self.assertLess(len(message["reasoning_content"]), len(free["reasoning_content"]))
            self.assertTrue(message["content"])
            limited = message
        status, answer = server.post("/v1/responses", {
            "input": "abc", "max_output_tokens": 40, "ignore_eos": True, "temperature": 0, "reasoning": {"max_tokens": 5},
            "logit_bias": {str(CLOSE): -100}})
        self.assertEqual([item["type"] for item in answer["output"]], ["reasoning", "message"])
        self.assertEqual(answer["output"][1]["content"][0]["text"], limited["content"])
        status, answer = server.post("/v1/messages", {
            "messages": ask["messages"], "max_tokens": 40, "temperature": 0,
            "thinking": {"type": "enabled", "budget_tokens": 5}})
        self.assertEqual(status, 200, answer)
        self.assertEqual(answer["content"][0]["type"], "thinking")
        for wrong in (-1, "5", 1.5):
            status, answer = server.post("/v1/chat/completions", {**ask, "thinking_budget": wrong})
            self.assertEqual((status, answer["error"]["param"]), (400, "thinking_budget"))
        stream = server.stream("/v1/chat/completions", {**ask, "thinking_budget": 5})
        deltas = [choice["delta"] for chunk in stream for choice in chunk["choices"]]
        self.assertEqual("".join(delta.get("reasoning_content") or "" for delta in deltas), limited["reasoning_content"])
        self.assertEqual("".join(delta.get("content") or "" for delta in deltas), limited["content"])

    def test_a_budget_where_nothing_is_marked(self):
        server = self.serve(make_model(self.path("plain")))
        ask = {"messages": [{"role": "user", "content": "abc"}], "max_tokens": 4}
        status, answer = server.post("/v1/chat/completions", {**ask, "thinking_budget": 5})
        self.assertEqual((status, answer["error"]["param"]), (400, "thinking_budget"))
        # Agents send it to every model.
        thinking = {"type": "enabled", "budget_tokens": 5}
        self.assertEqual(server.post("/v1/messages", {**ask, "thinking": thinking})[0], 200)

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
