#!/usr/bin/env python3
"""tq serve as the official packages of OpenAI and Anthropic see it. TQ_CLIENTS is a folder that has them
and TQ_TEST_SMOLLM2 a model (scripts/test.sh --extended makes both); without them there is nothing to test."""

import json
import os
import sys
import typing
import unittest

from test_serve import Server, setUpModule, tearDownModule  # noqa: F401

sys.path.insert(0, os.environ.get("TQ_CLIENTS", "/nowhere"))
try:
    import anthropic
    import openai
    import pydantic
except ImportError:
    openai = anthropic = pydantic = None

MESSAGES = [{"role": "user", "content": "What is the capital of France? Answer in one word."}]


class ServerTest(unittest.TestCase):
    options = []

    @classmethod
    def setUpClass(cls):
        model = os.environ.get("TQ_TEST_SMOLLM2", "")
        if openai is None or not os.path.isfile(model):
            raise unittest.SkipTest("no packages or no model (see scripts/test.sh --extended)")
        cls.server = Server("--api-key", "secret", "--served-model-name", "smol", "--ctx", "2048", *cls.options,
                            model=model)
        cls.url = f"http://127.0.0.1:{cls.server.port}"

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()


class OpenAiTest(ServerTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = openai.OpenAI(base_url=cls.url + "/v1", api_key="secret", max_retries=0)

    def test_models(self):
        self.assertEqual([model.id for model in self.client.models.list()], ["smol"])

    def test_chat(self):
        done = self.client.chat.completions.create(model="smol", messages=MESSAGES, temperature=0,
                                                   max_completion_tokens=16)
        self.assertIn("Paris", done.choices[0].message.content)
        self.assertEqual(done.choices[0].finish_reason, "stop")
        self.assertGreater(done.usage.prompt_tokens, 10)
        # The second time the prompt's full pages of 16 tokens are there.
        again = self.client.chat.completions.create(model="smol", messages=MESSAGES, temperature=0,
                                                    max_completion_tokens=16)
        self.assertGreaterEqual(again.usage.prompt_tokens_details.cached_tokens, 16)
        self.assertEqual(again.choices[0].message.content, done.choices[0].message.content)

    def test_chat_stream(self):
        text, usage, roles, finish = "", None, [], []
        for chunk in self.client.chat.completions.create(
                model="smol", messages=MESSAGES, temperature=0, max_tokens=16, stream=True,
                stream_options={"include_usage": True}):
            usage = chunk.usage or usage
            for choice in chunk.choices:
                text += choice.delta.content or ""
                roles += [choice.delta.role] if choice.delta.role else []
                finish += [choice.finish_reason] if choice.finish_reason else []
        self.assertIn("Paris", text)
        self.assertEqual((roles, finish), (["assistant"], ["stop"]))
        self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)

    def test_the_package_puts_a_stream_together(self):
        with self.client.chat.completions.stream(model="smol", messages=MESSAGES, temperature=0,
                                                 max_tokens=16) as stream:
            for _ in stream:
                pass
            self.assertIn("Paris", stream.get_final_completion().choices[0].message.content)

    def test_completions_and_logprobs(self):
        done = self.client.completions.create(model="smol", prompt="The capital of France is",
                                              temperature=0, max_tokens=4, logprobs=2)
        self.assertIn("Paris", done.choices[0].text)
        self.assertEqual(len(done.choices[0].logprobs.tokens), done.usage.completion_tokens)
        chat = self.client.chat.completions.create(model="smol", messages=MESSAGES, temperature=0,
                                                   max_tokens=4, logprobs=True, top_logprobs=3)
        for token in chat.choices[0].logprobs.content:
            self.assertEqual(len(token.top_logprobs), 3)
            self.assertEqual(bytes(token.bytes).decode(), token.token)

    def test_choices_seeds_and_stops(self):
        def ask(**options):
            done = self.client.chat.completions.create(
                model="smol", messages=[{"role": "user", "content": "Tell me a story."}],
                max_tokens=24, temperature=1.2, **options)
            return [choice.message.content for choice in done.choices]
        self.assertEqual(ask(seed=5, n=3), ask(seed=5, n=3))
        self.assertEqual(len(set(ask(seed=5, n=3))), 3)
        self.assertNotIn(" the", ask(seed=5, stop=[" the"])[0])

    def test_tools_reach_the_template_without_harm(self):
        tools = [{"type": "function", "function": {"name": "weather", "parameters": {
            "type": "object", "properties": {"city": {"type": "string"}}}}}]
        done = self.client.chat.completions.create(model="smol", messages=MESSAGES, tools=tools,
                                                   max_tokens=8)
        self.assertIn(done.choices[0].finish_reason, ("stop", "length", "tool_calls"))

    def test_parse_gives_what_pydantic_asks_for(self):
        class Place(pydantic.BaseModel):
            name: str = pydantic.Field(max_length=40)
            country: typing.Optional[typing.Literal["France", "Spain"]]
            population: int = pydantic.Field(ge=0)

        class Answer(pydantic.BaseModel):
            kind: typing.Literal["city", "country"]
            places: typing.List[Place] = pydantic.Field(max_length=2)

        done = self.client.chat.completions.parse(model="smol", messages=MESSAGES, max_tokens=400,
                                                  temperature=0, response_format=Answer)
        self.assertIsInstance(done.choices[0].message.parsed, Answer)
        small = self.client.chat.completions.parse(
            model="smol", messages=MESSAGES, max_tokens=100, temperature=0,
            response_format=pydantic.create_model("Small", is_paris=(bool, ...), digit=(
                typing.Literal[1, 2], ...)))
        self.assertIsInstance(small.choices[0].message.parsed.is_paris, bool)
        self.assertIn(small.choices[0].message.parsed.digit, (1, 2))

    def test_errors_have_the_packages_types(self):
        create = self.client.chat.completions.create
        with self.assertRaises(openai.NotFoundError):
            create(model="gpt-4", messages=MESSAGES)
        with self.assertRaises(openai.BadRequestError) as caught:
            create(model="smol", messages=[{"role": "user", "content": "word " * 5000}])
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        with self.assertRaises(openai.BadRequestError) as caught:
            create(model="smol", messages=MESSAGES, temperature=-1)
        self.assertEqual(caught.exception.param, "temperature")
        other = openai.OpenAI(base_url=self.url + "/v1", api_key="wrong", max_retries=0)
        with self.assertRaises(openai.AuthenticationError):
            other.models.list()

    def test_a_stream_may_be_left(self):
        stream = self.client.chat.completions.create(model="smol", messages=MESSAGES, stream=True,
                                                     extra_body={"ignore_eos": True})
        next(iter(stream))
        stream.close()
        self.assertTrue(self.client.chat.completions.create(model="smol", messages=MESSAGES,
                                                            max_tokens=2).choices)


    def test_responses(self):
        ask = {"model": "smol", "input": MESSAGES[0]["content"], "temperature": 0,
               "max_output_tokens": 16}
        done = self.client.responses.create(**ask, instructions="You answer.")
        self.assertIn("Paris", done.output_text)
        self.assertEqual((done.status, done.output[0].type), ("completed", "message"))
        self.assertGreater(done.usage.total_tokens, done.usage.output_tokens)
        with self.client.responses.stream(**ask, instructions="You answer.") as stream:
            types = [event.type for event in stream]
            final = stream.get_final_response()
        self.assertEqual(final.output_text, done.output_text)
        self.assertEqual((types[0], types[-1]), ("response.created", "response.completed"))
        history = [{"role": "user", "content": "Hi"}, *[item.to_dict() for item in done.output],
                   {"role": "user", "content": "And of Italy?"}]
        self.assertTrue(self.client.responses.create(**{**ask, "input": history}).output_text)
        cut = self.client.responses.create(**{**ask, "max_output_tokens": 1}, extra_body={"ignore_eos": True})
        self.assertEqual((cut.status, cut.incomplete_details.reason), ("incomplete", "max_output_tokens"))
        with self.assertRaises(openai.BadRequestError) as caught:
            self.client.responses.create(**ask, previous_response_id="resp_1")
        self.assertEqual(caught.exception.param, "previous_response_id")

    def test_responses_of_a_schema(self):
        schema = {"type": "object", "properties": {"city": {"enum": ["Paris", "Rome"]}},
                  "required": ["city"], "additionalProperties": False}
        done = self.client.responses.create(
            model="smol", input=MESSAGES[0]["content"], max_output_tokens=40,
            text={"format": {"type": "json_schema", "name": "city", "schema": schema, "strict": True}})
        self.assertIn(json.loads(done.output_text)["city"], ("Paris", "Rome"))


PARAMETERS = {"type": "object", "properties": {"city": {"type": "string", "maxLength": 20},
                                               "days": {"type": "integer", "maximum": 9, "minimum": 0}},
              "required": ["city", "days"], "additionalProperties": False}
TEMPLATE = """{% if tools %}<|im_start|>system
Tools: {{ tools | tojson }} Call one as <tool_call>{"name": ..., "arguments": ...}</tool_call><|im_end|>
{% endif %}{% for message in messages %}<|im_start|>{{ message.role }}
{{ message.content }}{% for call in message.tool_calls or [] %}<tool_call>
{{ call.function | tojson }}
</tool_call>{% endfor %}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


class ToolsTest(ServerTest):
    """A model that calls tools because it must."""
    options = ["--chat-template", TEMPLATE]

    def test_openai_chats(self):
        client = openai.OpenAI(base_url=self.url + "/v1", api_key="secret", max_retries=0)
        function = {"name": "weather", "parameters": PARAMETERS}
        ask = {"model": "smol", "messages": list(MESSAGES), "max_tokens": 120,
               "tools": [{"type": "function", "function": function}],
               "tool_choice": {"type": "function", "function": {"name": "weather"}}}
        done = client.chat.completions.create(**ask, temperature=0)
        [call] = done.choices[0].message.tool_calls
        self.assertEqual((call.function.name, done.choices[0].finish_reason), ("weather", "tool_calls"))
        self.assertEqual(set(json.loads(call.function.arguments)), {"city", "days"})
        with client.chat.completions.stream(**ask, temperature=0) as stream:
            for _ in stream:
                pass
            final = stream.get_final_completion().choices[0]
        self.assertEqual(final.message.tool_calls[0].function.arguments, call.function.arguments)
        ask["messages"] += [done.choices[0].message, {"role": "tool", "tool_call_id": call.id, "content": "Sun"}]
        again = client.chat.completions.create(**{**ask, "tool_choice": "none", "max_tokens": 8})
        self.assertFalse(again.choices[0].message.tool_calls)

    def test_openai_responses(self):
        client = openai.OpenAI(base_url=self.url + "/v1", api_key="secret", max_retries=0)
        ask = {"model": "smol", "input": list(MESSAGES), "temperature": 0, "max_output_tokens": 120,
               "tools": [{"type": "function", "name": "weather", "parameters": PARAMETERS, "strict": True}],
               "tool_choice": "required", "parallel_tool_calls": False}
        done = client.responses.create(**ask)
        [call] = [item for item in done.output if item.type == "function_call"]
        self.assertEqual(call.name, "weather")
        with client.responses.stream(**ask) as stream:
            for _ in stream:
                pass
            final = stream.get_final_response()
        self.assertEqual(final.output[0].arguments, call.arguments)
        ask["input"] += [call, {"type": "function_call_output", "call_id": call.call_id, "output": "Sun"}]
        self.assertTrue(client.responses.create(**{**ask, "tool_choice": "none"}).id)

    def test_anthropic(self):
        client = anthropic.Anthropic(base_url=self.url, api_key="secret", max_retries=0)
        ask = {"model": "smol", "messages": list(MESSAGES), "max_tokens": 120,
               "tools": [{"name": "weather", "input_schema": PARAMETERS}],
               "tool_choice": {"type": "tool", "name": "weather"}}
        done = client.messages.create(**ask)
        self.assertEqual(done.stop_reason, "tool_use")
        [use] = [block for block in done.content if block.type == "tool_use"]
        self.assertEqual(set(use.input), {"city", "days"})
        with client.messages.stream(**ask) as stream:
            final = stream.get_final_message()
        self.assertEqual(final.content[-1].name, "weather")


class AnthropicTest(ServerTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.client = anthropic.Anthropic(base_url=cls.url, api_key="secret", max_retries=0)

    def test_messages_whole_and_streamed(self):
        ask = {"model": "smol", "messages": MESSAGES, "max_tokens": 16, "extra_body": {"temperature": 0}}
        done = self.client.messages.create(**ask)
        self.assertIn("Paris", done.content[0].text)
        self.assertEqual(done.stop_reason, "end_turn")
        with self.client.messages.stream(**ask) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        self.assertEqual((text, final.stop_reason), (done.content[0].text, "end_turn"))
        self.assertEqual(final.usage.output_tokens, done.usage.output_tokens)
        counted = self.client.messages.count_tokens(model="smol", messages=MESSAGES)
        self.assertEqual(counted.input_tokens, done.usage.input_tokens + done.usage.cache_read_input_tokens)

    def test_a_stop_sequence_is_told(self):
        done = self.client.messages.create(model="smol", messages=MESSAGES, max_tokens=16,
                                           stop_sequences=["ris"], extra_body={"temperature": 0})
        self.assertEqual((done.stop_reason, done.stop_sequence), ("stop_sequence", "ris"))

    def test_errors_have_the_packages_types(self):
        image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": ""}}
        with self.assertRaises(anthropic.BadRequestError) as caught:
            self.client.messages.create(model="smol", max_tokens=4,
                                        messages=[{"role": "user", "content": [image]}])
        self.assertIn("image", str(caught.exception))
        with self.assertRaises(anthropic.NotFoundError):
            self.client.messages.create(model="other", max_tokens=4, messages=MESSAGES)
        other = anthropic.Anthropic(base_url=self.url, api_key="wrong", max_retries=0)
        with self.assertRaises(anthropic.AuthenticationError):
            other.messages.create(model="smol", max_tokens=4, messages=MESSAGES)


if __name__ == "__main__":
    unittest.main()
