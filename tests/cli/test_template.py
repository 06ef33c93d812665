#!/usr/bin/env python3
"""tq template, the template options of tq run, and what sampling says about its seed."""

import json
import os
import tempfile
import unittest

from cli_support import BOS, TOKENS, make_model, tq, tq_json, write_ids

TOOL_TEMPLATE = ("{{ bos_token }}{% for t in tools or [] %}{{ t.function.name }} {% endfor %}"
                 "{% for m in messages %}<user>{{ m.content }}{% for c in m.tool_calls or [] %}"
                 "{{ c.function.arguments.x }}{% endfor %}{% endfor %}"
                 "{% if style is defined %}{{ style }}{% endif %}"
                 "{% if add_generation_prompt %}<model>{% endif %}")


class TemplateBase(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, content):
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(content if isinstance(content, str) else json.dumps(content))
        return path

    def output(self, *args, stdin=""):
        done = tq(*args, stdin=stdin)
        self.assertEqual(done.returncode, 0, done)
        return done.stdout

    def check_error(self, done, code, *parts):
        self.assertEqual(done.returncode, code, done)
        for part in parts:
            self.assertIn(part, done.stderr)


class Template(TemplateBase):
    def setUp(self):
        super().setUp()
        self.model = make_model(self.path("model"), template=TOOL_TEMPLATE)
        self.messages = self.write("messages.json", [
            {"role": "user", "content": "abc"},
            {"role": "assistant", "content": "d",
             "tool_calls": [{"function": {"name": "f", "arguments": {"x": "e"}}}]}])
        self.tools = self.write("tools.json", [{"type": "function", "function": {"name": "ff"}}])

    def test_prompt(self):
        self.assertEqual(self.output("template", self.model, "abc"), "<s><user>abc<model>")
        self.assertEqual(self.output("template", self.model, stdin="abc"), "<s><user>abc<model>")
        self.assertEqual(self.output("template", self.model, "abc", "--system", "x"),
                         "<s><user>x<user>abc<model>")

    def test_messages_tools_and_variables(self):
        options = ["--messages", self.messages, "--tools", self.tools]
        self.assertEqual(self.output("template", self.model, *options),
                         "<s>ff <user>abc<user>de<model>")
        self.assertEqual(self.output("template", self.model, *options, "--no-generation-prompt",
                                     "--var", "style=[1, null]"),
                         "<s>ff <user>abc<user>de[1, None]")
        self.assertEqual(self.output("template", self.model, "abc", "--var", "style=plain text"),
                         "<s><user>abcplain text<model>")
        self.assertEqual(self.output("template", self.model, "abc", "--chat-template-kwargs",
                                     '{"style": true}'), "<s><user>abcTrue<model>")
        request = self.write("request.json", {"messages": [{"role": "user", "content": "q"}],
                                              "tools": [{"function": {"name": "gg"}}]})
        self.assertEqual(self.output("template", self.model, "--messages", request),
                         "<s>gg <user>q<model>")
        with open(self.messages, encoding="utf-8") as file:
            self.assertEqual(self.output("template", self.model, "--messages", "-",
                                         stdin=file.read()), "<s><user>abc<user>de<model>")

    def test_tokens_are_those_of_run(self):
        ids = [BOS, 2, *(TOKENS.index(c) for c in "abc"), 3]
        self.assertEqual(json.loads(self.output("template", self.model, "abc", "--tokens")), ids)
        result = tq_json("template", self.model, "abc")
        self.assertEqual((result["prompt"], result["ids"]), ("<s><user>abc<model>", ids))
        options = ["-n", 6, "--temp", 0]
        self.assertEqual(tq_json("run", self.model, "abc", *options)["ids"],
                         tq_json("run", self.model, "--tokens", write_ids(self.path("ids"), ids),
                                 *options)["ids"])

    def test_run_takes_the_same_options(self):
        result = tq_json("run", self.model, "--messages", self.messages, "--tools", self.tools,
                         "-n", 1)
        prompt = tq_json("template", self.model, "--messages", self.messages, "--tools",
                         self.tools)
        self.assertEqual(result["prompt_tokens"], len(prompt["ids"]))

    def test_other_templates(self):
        other = self.write("other.jinja", "<user>{{ messages[0].content }}")
        self.assertEqual(self.output("template", self.model, "abc", "--chat-template", other),
                         "<user>abc")
        self.assertEqual(self.output("template", self.model, "a", "--chat-template",
                                     "{{ messages | length }}"), "1")
        self.assertEqual(tq_json("run", self.model, "abc", "--chat-template", other, "-n",
                                 1)["prompt_tokens"], 4)
        self.assertEqual(self.output("template", self.model, "--source"), TOOL_TEMPLATE)

    def test_named_templates(self):
        self.write("model/additional_chat_templates/rag.jinja", "rag {{ bos_token }}")
        self.write("model/additional_chat_templates/tool_use.jinja", "tools {{ tools | length }}")
        self.assertEqual(self.output("template", self.model, "--list"),
                         "rag\ntool_use\ndefault\n")
        self.assertEqual(self.output("template", self.model, "a", "--chat-template", "rag"),
                         "rag <s>")
        self.assertEqual(self.output("template", self.model, "a", "--tools", self.tools),
                         "tools 1")
        converted = self.path("converted")
        self.assertEqual(tq("convert", self.model, converted, "--format", "tq8").returncode, 0)
        self.assertEqual(self.output("template", converted, "a", "--chat-template", "rag"),
                         "rag <s>")
        self.check_error(tq("template", self.model, "a", "--chat-template", "rug"), 3, "rug",
                         "rag, tool_use, default")

    def test_chat_template_json(self):
        plain = make_model(self.path("plain"), template=None)
        self.write("plain/chat_template.json", {
            "chat_template": "{{ raise_exception('TEMPLATE USED: ' + messages[0].content) }}"})
        self.check_error(tq("run", plain, "abc"), 2, "TEMPLATE USED: abc")
        self.check_error(tq("template", plain, "abc"), 2, "TEMPLATE USED: abc")

    def test_select_of_none(self):
        self.write("model/chat_template.jinja",
                   '{{ none | selectattr("type", "equalto", "x") | list | length }}'
                   "{% for m in messages %}{{ m.content }}{% endfor %}")
        self.assertEqual(self.output("template", self.model, "abc"), "0abc")

    def test_raw_text_is_said(self):
        plain = make_model(self.path("plain"), template=None)
        done = tq("run", plain, "abc", "-n", 1)
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("has no chat template", done.stderr)
        self.assertNotIn("no chat template", tq("run", plain, "abc", "-n", 1, "--raw").stderr)
        self.assertNotIn("no chat template", tq("run", self.model, "abc", "-n", 1).stderr)

    def test_errors(self):
        template = ["template", self.model]
        bad = self.write("bad.jinja", "\n{{ messages.x.y }}")
        self.check_error(tq(*template, "a", "--chat-template", bad), 2, bad, "line 2")
        self.check_error(tq(*template, "a", "--chat-template", "missing.jinja"), 3,
                         "missing.jinja", "default")
        self.check_error(tq(*template, "--messages", self.path("none.json")), 3, "none.json")
        for content in ("{", "[1]", "5", '{"a": 1}'):
            path = self.write("wrong.json", content)
            done = tq(*template, "--messages", path)
            self.assertIn(done.returncode, (2, 4), done)
            self.assertIn("wrong.json", done.stderr)
        self.check_error(tq(*template, "a", "--tools", self.write("t.json", {"a": 1})), 2,
                         "t.json")
        self.check_error(tq(*template, "a", "--messages", self.messages), 2, "--messages")
        self.check_error(tq(*template, "a", "--var", "novalue"), 2, "novalue")
        self.check_error(tq(*template, "a", "--chat-template-kwargs", "[]"), 2, "kwargs")
        plain = make_model(self.path("plain"), template=None)
        self.check_error(tq("template", plain, "a"), 3, "no chat template", "--chat-template")
        self.check_error(tq("run", plain, "--messages", self.messages), 2, "--messages")
        self.check_error(tq("run", self.model, "a", "--raw", "--chat-template", bad), 2, "--raw")


class Seed(TemplateBase):
    def setUp(self):
        super().setUp()
        self.model = make_model(self.path("model"))

    def run_json(self, *args):
        return tq_json("run", self.model, "abc", "-n", 30, "--ignore-eos", *args)

    def test_a_seed_is_drawn_and_told(self):
        first = self.run_json("--temp", 1)
        seed = first["sampling"]["seed"]
        self.assertEqual(self.run_json("--temp", 1, "--seed", seed)["ids"], first["ids"])
        seeds = {seed, *(self.run_json("--temp", 1, "--seed", -1)["sampling"]["seed"]
                         for _ in range(3))}
        self.assertEqual(len(seeds), 4)
        done = tq("run", self.model, "abc", "-n", 3, "--temp", 1, "--top-k", 5)
        self.assertRegex(done.stderr, r"sampling: temperature 1, top-k 5, seed \d+\n")
        self.assertRegex(tq("run", self.model, "abc", "-n", 1, "--temp", 1, "--seed", 7).stderr,
                         "seed 7\n")

    def test_greedy_needs_none(self):
        self.assertEqual(self.run_json()["sampling"], {"temperature": 0})
        self.assertNotIn("seed", tq("run", self.model, "abc", "-n", 1).stderr)

    def test_min_p_of_one_is_the_best_token(self):
        self.assertEqual(self.run_json("--temp", 2, "--min-p", 1)["ids"], self.run_json()["ids"])

    def test_bad_seeds(self):
        for seed in ("-2", "x", "1.5", "18446744073709551616", ""):
            self.check_error(tq("run", self.model, "abc", f"--seed={seed}"), 2, "--seed")

    def test_generation_config_is_named(self):
        config = {"do_sample": True, "temperature": 0.5, "top_k": 7}
        sampled = make_model(self.path("sampled"), generation_config=config)
        done = tq("run", sampled, "abc", "-n", 1, "--top-p", 0.5, "--seed", 1)
        self.assertIn("sampling: temperature 0.5, top-k 7 (generation_config.json), top-p 0.5, "
                      "seed 1\n", done.stderr)
        for bad in ({"top_p": 1.5}, {"top_k": 2**32 + 1}, {"temperature": -1}):
            model = make_model(self.path(str(bad)), generation_config=config | bad)
            self.check_error(tq("run", model, "abc"), 4, "generation_config.json", *bad)


if __name__ == "__main__":
    unittest.main()
