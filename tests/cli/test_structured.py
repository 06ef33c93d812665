#!/usr/bin/env python3
"""Answers held to schemas, patterns and grammars: tq run and tq serve on a model that would say anything."""

import json
import pathlib
import re
import tempfile
import unittest

import cli_support
from cli_support import make_model, tq, tq_json
from test_serve import Server

FOLDER = tempfile.TemporaryDirectory()
SCHEMA = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 8},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
        "kind": {"enum": ["a", "b", None]},
        "tags": {"type": "array", "items": {"$ref": "#/$defs/tag"}, "minItems": 1, "maxItems": 3},
        "more": {"anyOf": [{"type": "boolean"}, {"type": "null"}]},
    },
    "required": ["name", "age", "tags"],
    "additionalProperties": False,
    "$defs": {"tag": {"type": "string", "pattern": "^[a-z]{2,4}$"}},
}


def make_ascii_model(folder):
    """The tiny model with a token for every printable character, and some of more than one."""
    model = make_model(folder)
    tokenizer = json.loads((model / "tokenizer.json").read_text())
    tokens = cli_support.TOKENS[:4] + [chr(c) for c in range(33, 127)] + ["Ġ", "Ċ"]
    tokens += ['{"', '":', '",', '"}', "],", "null", "true", "12", "ab", "Ġ{", "}}", '"]}']
    tokenizer["model"]["vocab"] = {token: i for i, token in enumerate(tokens)}
    (model / "tokenizer.json").write_text(json.dumps(tokenizer))
    return model


MODEL = make_ascii_model(pathlib.Path(FOLDER.name) / "model")


def setUpModule():
    if "without its server" in tq("serve", "/nowhere/model", "--port", "0").stderr:
        raise unittest.SkipTest("built without the server")


def tearDownModule():
    FOLDER.cleanup()


def check(test, text):
    """That a text is a JSON value of SCHEMA."""
    value = json.loads(text)
    test.assertLessEqual(set(value), set(SCHEMA["properties"]))
    test.assertLessEqual({"name", "age", "tags"}, set(value))
    test.assertTrue(1 <= len(value["name"]) <= 8, value)
    test.assertIsInstance(value["age"], int)
    test.assertTrue(0 <= value["age"] <= 150, value)
    test.assertIn(value.get("kind"), ("a", "b", None))
    test.assertTrue(1 <= len(value["tags"]) <= 3, value)
    for tag in value["tags"]:
        test.assertRegex(tag, "^[a-z]{2,4}$")
    test.assertIn(value.get("more"), (True, False, None))


class RunTest(unittest.TestCase):
    def test_schema_regex_and_grammar(self):
        for seed in range(3):
            done = tq_json("run", MODEL, "hi", "--json-schema", json.dumps(SCHEMA), "--temp", 2,
                           "--seed", seed, "-n", 400)
            check(self, done["text"])
            self.assertEqual(done["finish_reason"], "stop")
        file = pathlib.Path(FOLDER.name) / "list.gbnf"
        file.write_text('root ::= item ("," item){2}\nitem ::= [a-c]{1,3}\n')
        for options, pattern in [(["--regex", "x[0-9]{3}(y|z)"], "x[0-9]{3}[yz]"),
                                 (["--grammar", file], "[a-c]{1,3}(,[a-c]{1,3}){2}"),
                                 (["--grammar", 'root ::= "ab" | "cd"'], "ab|cd")]:
            text = tq_json("run", MODEL, "hi", *options, "--temp", 2, "--seed", 1)["text"]
            self.assertTrue(re.fullmatch(pattern, text), text)

    def test_errors_name_what_is_wrong(self):
        for options, code, words in [
                (["--json-schema", '{"not":{}}'], 5, ["not"]),
                (["--json-schema", "/nowhere/schema"], 3, ["/nowhere/schema"]),
                (["--regex", "(a"], 2, ["not closed"]),
                (["--grammar", "root ::= x"], 2, ["line 1", "x"]),
                (["--regex", "a", "--grammar", "root ::= x"], 2, ["--regex"])]:
            done = tq("run", MODEL, "hi", *options)
            self.assertEqual(done.returncode, code, done.stderr)
            for word in words:
                self.assertIn(word, done.stderr)


class ServeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(model=MODEL)

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def chat(self, **options):
        return self.server.post("/v1/chat/completions", {
            "messages": [{"role": "user", "content": "hi"}], "temperature": 2, "max_tokens": 400,
            **options})

    def test_answers_are_of_the_schema(self):
        for options in [
                {"response_format": {"type": "json_schema",
                                     "json_schema": {"name": "x", "strict": True, "schema": SCHEMA}}},
                {"guided_json": SCHEMA, "n": 4, "seed": 3, "logprobs": True},
                {"structured_outputs": {"json": SCHEMA}, "top_p": 0.9, "logit_bias": {"5": 50}}]:
            status, done = self.chat(**options)
            self.assertEqual(status, 200, done)
            for choice in done["choices"]:
                check(self, choice["message"]["content"])
                self.assertEqual(choice["finish_reason"], "stop")

    def test_streams(self):
        chunks = self.server.stream("/v1/chat/completions", {
            "messages": [{"role": "user", "content": "hi"}], "temperature": 2, "max_tokens": 400,
            "guided_json": SCHEMA})
        check(self, "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks))

    def test_other_kinds(self):
        status, done = self.chat(guided_choice=["yes", "no"])
        self.assertIn(done["choices"][0]["message"]["content"], ("yes", "no"), status)
        _, done = self.chat(guided_regex="[a-f]{3}-[0-9]{2}")
        self.assertRegex(done["choices"][0]["message"]["content"], "^[a-f]{3}-[0-9]{2}$")
        _, done = self.server.post("/v1/completions", {
            "prompt": "hi", "max_tokens": 50, "grammar": 'root ::= "<" [a-z]{2} ">"'})
        self.assertRegex(done["choices"][0]["text"], "^<[a-z]{2}>$")
        _, done = self.chat(response_format={"type": "json_object"}, max_tokens=60)
        choice = done["choices"][0]
        self.assertTrue(choice["message"]["content"].startswith("{"), choice)
        if choice["finish_reason"] == "stop":
            self.assertIsInstance(json.loads(choice["message"]["content"]), dict)

    def test_what_is_not_supported_is_named(self):
        for options, param, words in [
                ({"guided_json": {"properties": {"a": {"multipleOf": 3}}}}, "guided_json",
                 ["#/properties/a", "multipleOf"]),
                ({"guided_regex": "a(?=b)"}, "guided_regex", ["look-ahead"]),
                ({"guided_grammar": "root ::= x"}, "guided_grammar", ["line 1"]),
                ({"guided_choice": [], "n": 2}, "guided_choice", ["long"]),
                ({"response_format": {"type": "json_schema"}}, "response_format", ["schema"])]:
            status, done = self.chat(**options)
            self.assertEqual((status, done["error"]["param"]), (400, param))
            for word in words:
                self.assertIn(word, done["error"]["message"])


if __name__ == "__main__":
    unittest.main()
