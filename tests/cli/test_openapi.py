#!/usr/bin/env python3
"""/openapi.json is true: it has the server's routes and fields and no others, its limits are those that are checked, and
answers are as it says. With TQ_SCHEMATHESIS (a folder with that package; scripts/test.sh --extended makes it) also
what that finds."""

import json
import os
import pathlib
import re
import subprocess
import sys
import unittest

from json_schema import Schema
from test_serve import Server, setUpModule, tearDownModule  # noqa: F401

SERVER = pathlib.Path(__file__).resolve().parents[2] / "src/server"
DOCUMENT = json.loads((SERVER / "openapi.json").read_text())
SCHEMA = Schema(DOCUMENT)
HI = {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 4}
TEXT = {"prompt": "hi", "max_tokens": 4}
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}

# Requests that are right, by path; some with a part that is wrong.
GOOD = {
    "/v1/chat/completions": [
        HI, {**HI, "n": 2, "seed": 3, "logprobs": True, "top_logprobs": 2}, {**HI, "tools": [TOOL], "parallel_tool_calls": False},
        {**HI, "max_tokens": None, "max_completion_tokens": 5, "stop": ["a", "b"], "temperature": 0, "stream": False},
        {**HI, "stream": True, "stream_options": {"include_usage": True}, "logit_bias": {"5": 3}, "n": 2},
        {**HI, "response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"const": 12}}}},
        {**HI, "response_format": {"type": "text"}, "priority": -3, "guided_json": None, "guided_json_object": False},
        {**HI, "guided_choice": ["ab", "c"]}, {**HI, "structured_outputs": {"regex": "[ab]+"}},
        {**HI, "continue_final_message": True}, {**HI, "tools": [TOOL], "tool_choice": "none"},
        {**HI, "stream": True, "logprobs": True, "stop": "x", "unknown": {"a": 1}, "top_k": -1, "min_p": 0.1},
        {"max_tokens": 3, "messages": [
            {"role": "developer", "content": [{"type": "text", "text": "a"}, "b"]}, {"role": "user", "content": "c"},
            {"role": "assistant", "reasoning": "r", "tool_calls": [CALL]},
            {"role": "tool", "content": "d", "tool_call_id": "c"}]}],
    "/v1/completions": [
        TEXT, {**TEXT, "prompt": ["a", [4, 5]], "echo": True}, {**TEXT, "prompt": [4, 5], "logprobs": 2},
        {**TEXT, "stream": True, "stream_options": {"include_usage": True}, "logprobs": 1, "n": 2, "best_of": 2}],
    "/v1/responses": [
        {"input": "hi", "max_output_tokens": 4}, {"input": "hi", "max_output_tokens": 4, "stream": True, "metadata": {"a": "b"}},
        {"max_output_tokens": 4, "instructions": "i", "reasoning": {"effort": "low"}, "input": [
            {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
            {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "r"}]},
            {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
            {"type": "function_call_output", "call_id": "c", "output": "o"}],
         "tools": [{"type": "function", "name": "f", "parameters": {}}], "tool_choice": "auto", "priority": 2},
        {"input": "hi", "max_output_tokens": 30, "text": {"format": {"type": "json_schema", "name": "n", "schema": {"const": 1}}}}],
    "/v1/messages": [
        HI, {**HI, "system": "s", "thinking": {"type": "enabled"}, "stop_sequences": ["a"], "top_k": 3},
        {**HI, "system": [{"type": "text", "text": "s"}], "tools": [{"name": "f", "input_schema": {}}],
         "tool_choice": {"type": "auto", "disable_parallel_tool_use": True}, "messages": [
            {"role": "user", "content": [{"type": "text", "text": "a"}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "t"},
                                              {"type": "tool_use", "id": "c", "name": "f", "input": {}}]},
            {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": "r"}]}]}],
    "/v1/messages/count_tokens": [HI, {**HI, "chat_template_kwargs": None, "thinking": {"type": "disabled"}}],
    "/tokenize": [{"prompt": "ab"}, {"prompt": "", "add_special_tokens": False}, HI,
                  {"prompt": "a", "add_special_tokens": None}],
    "/detokenize": [{"tokens": [4, 5]}, {"tokens": []}, {}, {"tokens": None}],
    "/apply-template": [HI],
}
BAD = {
    "/v1/chat/completions": [
        {}, {"messages": []}, {"messages": "a"}, {**HI, "temperature": -0.1}, {**HI, "n": 129}, {**HI, "top_p": 0},
        {**HI, "n": 1.5}, {**HI, "stop": [1]}, {**HI, "stop": [""]}, {**HI, "stop": ["a"] * 65}, {**HI, "tools": {}},
        {**HI, "tools": [{"type": "other"}]}, {**HI, "tools": [TOOL], "tool_choice": "some"},
        {**HI, "logit_bias": {"a": 1}}, {**HI, "logit_bias": {"1": 101}}, {**HI, "stream": "yes"},
        {**HI, "messages": [{"content": "a"}]}, {**HI, "messages": [{"role": "user"}]},
        {**HI, "messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
        {**HI, "messages": [{"role": "assistant", "tool_calls": [{}]}]},
        {**HI, "response_format": {"type": "xml"}}, {**HI, "response_format": {"type": "json_schema"}},
        {**HI, "guided_json": 5}, {**HI, "guided_choice": []}, {**HI, "structured_outputs": {"regex": 1}},
        {**HI, "tools": [TOOL], "tool_choice": {"type": "function", "function": {}}}, {**HI, "priority": "high"}],
    "/v1/responses": [
        {}, {"input": None}, {"input": []}, {"input": [{"type": "image"}]}, {"input": [{"role": "user"}]},
        {"input": "a", "tools": [{"type": "web_search"}]}, {"input": "a", "text": {"format": {"type": "json_schema"}}},
        {"input": "a", "max_output_tokens": 0}, {"input": "a", "instructions": 5}],
    "/v1/completions": [{}, {"prompt": None}, {"prompt": []}, {"prompt": [True]}, {"prompt": ["a"] * 257},
                        {**TEXT, "logprobs": 21}, {**TEXT, "logprobs": True}],
    "/v1/messages": [{**HI, "max_tokens": None}, {**HI, "messages": []}, {**HI, "system": [{"type": "image"}]},
                     {**HI, "tool_choice": "auto"}, {**HI, "stop_sequences": [""]}, {**HI, "tools": [{}]}],
    "/v1/messages/count_tokens": [{}, {**HI, "thinking": {}}, {**HI, "thinking": {"type": "enabled"},
                                                              "chat_template_kwargs": [None]}],
    "/tokenize": [{}, {"prompt": 1}, {"prompt": "a", "add_special_tokens": 1}],
    "/detokenize": [{"tokens": "a"}, {"tokens": [-1]}, {"tokens": {}}],
    "/apply-template": [{}],
}


def request_schema(path):
    return DOCUMENT["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]


def properties(schema):
    """The fields of a request's schema, also of those that it is made of."""
    if "$ref" in schema:
        return properties(SCHEMA.find(schema["$ref"]))
    found = dict(schema.get("properties", {}))
    for part in schema.get("allOf", []):
        found.update(properties(part))
    return found


class RoutesTest(unittest.TestCase):
    def test_routes(self):
        source = (SERVER / "api.cpp").read_text()
        served = {(path, method.lower()) for method, path in re.findall(r'\{"([A-Z]+)", "(/[^"]*)", &Api::', source)}
        self.assertGreater(len(served), 15)
        for file in (SERVER / "page").iterdir():
            served.add(("/" if file.name == "index.html" else f"/page/{file.name}", "get"))
        served.add(("/openapi.json", "get"))
        described = set()
        for path, operations in DOCUMENT["paths"].items():
            for method in set(operations) - {"parameters"}:
                if "{file}" in path:
                    described |= {(path.replace("{file}", name), method)
                                  for name in operations["parameters"][0]["schema"]["enum"]}
                else:
                    described.add((path, method))
        self.assertEqual(served, described)

    def test_fields_and_their_limits(self):
        source = (SERVER / "api_request.cpp").read_text()
        constants = {name: float(value) for name, value in re.findall(r"constexpr double (\w+) = (\d+);", source)}
        constants["kMostTokens"] = 2 ** 31 - 1
        types = {"kBool": "boolean", "kInteger": "integer", "kNumber": "number", "kString": "string",
                 "kArray": "array", "kObject": "object"}
        limits = {"kInteger": ("minimum", "maximum"), "kNumber": ("minimum", "maximum"),
                  "kString": ("minLength", "maxLength"), "kArray": ("minItems", "maxItems"),
                  "kObject": ("minProperties", "maxProperties")}
        tables = re.findall(r"std::array<ApiField, \d+> (k\w+) = \{\{(.*?)\n\}\};", source, re.S)
        known = {"kCommon": ("Sampling",), "kCompletion": ("CompletionRequest",), "kChat": ("ChatRequest",)}
        self.assertEqual({name for name, _ in tables}, set(known))
        for table, text in tables:
            for name, kind, low, high in re.findall(r'\{"(\w+)", (k\w+), ([^,]+), ([^,]+),', text):
                described = properties({"$ref": f"#/components/schemas/{known[table][0]}"})
                self.assertIn(name, described)
                schema = described[name]
                if kind not in types or "enum" in schema:
                    continue
                self.assertIn(types[kind], schema["type"], name)
                for keyword, limit in zip(limits.get(kind, ()), (low, high)):
                    value = constants.get(limit, limit)
                    # A limit of 0 may be tighter: the sampler has a last word.
                    if keyword in schema and "kNoLimit" not in limit:
                        self.assertEqual(schema[keyword], float(value), name)
                    elif keyword.startswith("max") and keyword != "maxLength" and "kNoLimit" not in limit:
                        self.fail(f"{name} has no {keyword}")

    def test_fields_of_structured_output(self):
        source = (SERVER / "structured.cpp").read_text()
        table = re.search(r"kGrammarFields\[\] = \{(.*?)\n\};", source, re.S)[1]
        names = re.findall(r'\{"(\w+)", ', table)
        self.assertIn("response_format", names)
        self.assertEqual(set(names) - set(properties({"$ref": "#/components/schemas/Sampling"})), set())

    def test_the_document_itself(self):
        text = json.dumps(DOCUMENT)
        for reference in set(re.findall(r'"\$ref": "([^"]+)"', text)):
            SCHEMA.find(reference)
        names = [operation["operationId"] for path in DOCUMENT["paths"].values()
                 for method, operation in path.items() if method != "parameters"]
        self.assertEqual(len(names), len(set(names)))


class AnswersTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def check_answer(self, method, path, response, text):
        """The answer is one of those that the document has for the path."""
        answers = DOCUMENT["paths"][path][method]["responses"]
        self.assertIn(str(response.status), answers, text)
        answer = answers[str(response.status)]
        if "$ref" in answer:
            answer = SCHEMA.find(answer["$ref"])
        kind = response.headers["Content-Type"].split(";")[0]
        self.assertIn(kind, answer["content"])
        if kind == "application/json":
            faults = SCHEMA.faults(answer["content"][kind]["schema"], json.loads(text))
            self.assertEqual(faults, [], text)
        for name in answer.get("headers", {}):
            self.assertIn(name, response.headers)

    def check_stream(self, path, text):
        name = {"/v1/chat/completions": "ChatChunk", "/v1/completions": "CompletionChunk"}.get(path)
        events = [event for event in text.split("\n\n") if "data: {" in event]
        self.assertGreater(len(events), 1)
        if path == "/v1/responses":
            data = [json.loads(event.split("data: ", 1)[1]) for event in events]
            self.assertEqual([event["sequence_number"] for event in data], list(range(len(data))))
            self.assertEqual(SCHEMA.faults({"$ref": "#/components/schemas/Response"}, data[-1]["response"]), [])
            return
        for event in events:
            self.assertEqual(SCHEMA.faults({"$ref": f"#/components/schemas/{name}"}, json.loads(event[6:])), [])

    def test_good_requests(self):
        self.assertEqual(set(GOOD), {path for path in DOCUMENT["paths"] if "post" in DOCUMENT["paths"][path]})
        for path, bodies in GOOD.items():
            for body in bodies:
                self.assertEqual(SCHEMA.faults(request_schema(path), body), [], (path, body))
                response, text = self.server.send("POST", path, body)
                self.assertEqual(response.status, 200, (path, body, text))
                self.check_answer("post", path, response, text)
                if body.get("stream"):
                    self.check_stream(path, text)

    def test_bad_requests(self):
        for path, bodies in BAD.items():
            for body in [*bodies, {**GOOD[path][0], "model": 5}]:
                self.assertNotEqual(SCHEMA.faults(request_schema(path), body), [], (path, body))
                response, text = self.server.send("POST", path, body)
                self.assertEqual(response.status, 400, (path, body, text))
                self.check_answer("post", path, response, text)

    def test_every_field_is_read(self):
        for path in ("/v1/chat/completions", "/v1/completions"):
            for name in properties(request_schema(path)):
                wrong = 5.5 if name != "prompt" else True
                if name in ("temperature", "presence_penalty", "frequency_penalty", "repetition_penalty", "top_p", "min_p"):
                    wrong = "warm"
                status, answer = self.server.post(path, {**GOOD[path][0], "tools": [TOOL], name: wrong})
                self.assertEqual(status, 400, (path, name))
                self.assertIn(name, answer["error"]["param"] or answer["error"]["message"], (path, answer))

    def test_other_errors(self):
        for path in GOOD:
            body = GOOD[path][0]
            for headers, status in (({"Host": "evil.example"}, 403), ({"Content-Type": "text/plain"}, 415)):
                response, text = self.server.send("POST", path, body, headers)
                self.assertEqual(response.status, status)
                self.check_answer("post", path, response, text)
            response, text = self.server.send("POST", path, {**body, "model": "other"})
            self.assertEqual(response.status, 404)
            self.check_answer("post", path, response, text)
            response, text = self.server.send("DELETE", path)
            self.assertEqual((response.status, response.headers["Allow"]), (405, "OPTIONS, POST"))
            self.check_answer("post", path, response, text)

    def test_what_is_read(self):
        for path, operations in DOCUMENT["paths"].items():
            if "get" not in operations:
                continue
            for name in operations.get("parameters", [{"schema": {"enum": [""]}}])[0]["schema"]["enum"]:
                response, text = self.server.send("GET", path.replace("{file}", name))
                self.assertEqual(response.status, 200)
                self.check_answer("get", path, response, text)
                response, text = self.server.send("PUT", path.replace("{file}", name))
                self.assertEqual((response.status, response.headers["Allow"]), (405, "OPTIONS, GET, HEAD"))
                self.check_answer("get", path, response, text)
        response, text = self.server.send("GET", "/openapi.json")
        self.assertEqual(text, (SERVER / "openapi.json").read_text())
        self.assertEqual(response.headers["Content-Type"], "application/json")


class KeyTest(unittest.TestCase):
    def test_what_needs_a_key(self):
        server = Server("--api-key", "secret")
        for path, operations in DOCUMENT["paths"].items():
            for method in set(operations) - {"parameters"}:
                real = path.replace("{file}", "app.js")
                needs_key = operations[method].get("security") != []
                body = GOOD[path][0] if method == "post" else None
                response, text = server.send(method.upper(), real, body)
                self.assertEqual(response.status, 401 if needs_key else 200, path)
                for headers in ({"Authorization": "Bearer secret"}, {"X-Api-Key": "secret"}):
                    self.assertEqual(server.send(method.upper(), real, body, headers)[0].status, 200, path)
                AnswersTest.check_answer(self, method, path, response, text)
        server.stop()


class SchemathesisTest(unittest.TestCase):
    def test_schemathesis(self):
        folder = os.environ.get("TQ_SCHEMATHESIS", "")
        if not os.path.isdir(folder):
            self.skipTest("no schemathesis (see scripts/test.sh --extended)")
        server = Server("--ctx", "512")  # an answer that nothing limits is soon over
        # Not everything that a schema allows is accepted: lengths are in bytes, ids are the model's.
        done = subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "run", f"http://127.0.0.1:{server.port}/openapi.json",
             "--checks", "all", "--exclude-checks", "positive_data_acceptance", "--max-examples", "20", "--no-color",
             "--max-response-time", "30"],
            env={**os.environ, "PYTHONPATH": folder}, cwd=folder, capture_output=True, text=True, timeout=1200,
            check=False)
        self.assertEqual(done.returncode, 0, done.stdout[-8000:] + done.stderr[-2000:])
        self.assertEqual(server.get("/health")[0], 200)
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
