#!/usr/bin/env python3
"""turboquant.LLM: answers as tq gives them, many at a time, in pieces, cancelled; what is wrong is refused."""

import gc
import json
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
import unittest

import numpy
import turboquant
from support import CPU, ModelTest, tq_json
from turboquant import LLM

HI = [{"role": "user", "content": "abc"}]
LONG = {"max_tokens": 60000, "ignore_eos": True}  # that nobody waits for
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}


class LlmTest(ModelTest):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.llm = LLM(str(cls.model), max_num_seqs=4, **CPU)
        cls.addClassCleanup(cls.llm.close)


class Answers(LlmTest):
    def test_as_tq_run(self):
        options = ("--device", "cpu", "--exact", "--temp", "0", "-n", "12")
        said = tq_json("run", self.model, "abc", "--raw", *options)
        answer = self.llm.generate("abc", temp=0, max_tokens=12)
        self.assertEqual(answer.text, said["text"])
        self.assertEqual(answer.finish_reason, "length")
        self.assertEqual((answer.usage.prompt_tokens, answer.usage.completion_tokens), (4, 12))
        said = tq_json("run", self.model, "abc", *options)
        self.assertEqual(self.llm.chat(HI, temperature=0, max_tokens=12).text, said["text"])
        said = tq_json("run", self.model, "abc", "--raw", *options[:3], "--temp", "1.5", "--seed", "7", "-n", "20")
        self.assertEqual(self.llm.generate("abc", temperature=1.5, seed=7, max_tokens=20).text, said["text"])

    def test_ids(self):
        ids = self.llm.tokenize("abc")
        self.assertEqual(ids, [0, 4, 5, 6])
        self.assertEqual(self.llm.tokenize("abc", add_special=False), [4, 5, 6])
        self.assertEqual(self.llm.detokenize(ids), "abc")
        self.assertEqual(self.llm.generate(ids, temp=0, max_tokens=9).text,
                         self.llm.generate("abc", temp=0, max_tokens=9).text)
        with self.assertRaisesRegex(turboquant.InvalidArgumentError, "token id 400"):
            self.llm.detokenize([400])

    def test_batch(self):
        prompts = ["abc", "b", "hello there", [0, 5, 6], "x1"] * 4
        together = self.llm.generate(prompts, temp=0, max_tokens=10)
        self.assertEqual(len(together), len(prompts))
        for prompt, answer in zip(prompts[:5], together):
            self.assertEqual(answer.text, self.llm.generate(prompt, temp=0, max_tokens=10).text)
        self.assertEqual([answer.text for answer in together[:5]] * 4, [answer.text for answer in together])
        chats = self.llm.chat([HI, HI], temp=0, max_tokens=5)
        self.assertEqual(chats[0].text, chats[1].text)
        self.assertEqual(self.llm.generate([]), [])

    def test_choices(self):
        answer = self.llm.generate("abc", n=3, temp=1, seed=5, max_tokens=16)
        self.assertEqual([choice.index for choice in answer.choices], [0, 1, 2])
        self.assertGreater(len({choice.text for choice in answer.choices}), 1)

    def test_logprobs(self):
        for answer in (self.llm.generate("abc", temp=0, max_tokens=6, logprobs=3),
                       self.llm.chat(HI, temp=0, max_tokens=6, logprobs=3)):
            self.assertEqual(len(answer.logprobs), 6)
            for token in answer.logprobs:
                self.assertLess(token.logprob, 0)
                self.assertEqual(token.top[0], (token.token, token.logprob))  # greedy takes the best
                self.assertGreaterEqual(token.top[0][1], token.top[-1][1])
        self.assertIsNone(self.llm.generate("abc", max_tokens=2).logprobs)

    def test_schema(self):
        schema = {"type": "array", "items": {"enum": [1, 2]}, "minItems": 2, "maxItems": 2}
        for answer in (self.llm.chat(HI, regex="[ab]{3}c", temp=1), self.llm.generate("a", regex="[ab]{3}c", temp=1)):
            self.assertRegex(answer.text, "^[ab]{3}c$")
        self.assertIn(self.llm.chat(HI, json_schema={"enum": [12, 345]}, temp=1).text, ("12", "345"))
        with self.assertRaisesRegex(turboquant.InvalidArgumentError, "grammar"):
            self.llm.chat(HI, json_schema=schema)  # this tokenizer has no brackets
        with self.assertRaises(turboquant.InvalidArgumentError):
            self.llm.chat(HI, regex="(")

    def test_tools(self):
        # The template says nothing of tools, so that none is called; that they are read, and wrong ones refused.
        self.assertEqual(self.llm.chat(HI, tools=[TOOL], temp=0, max_tokens=3).tool_calls, ())
        with self.assertRaisesRegex(turboquant.InvalidArgumentError, "only \"function\""):
            self.llm.chat(HI, tools=[{"type": "other"}])

    def test_template(self):
        self.assertEqual(self.llm.apply_chat_template(HI), "<s><user>abc<model>")
        self.assertEqual(self.llm.apply_chat_template(HI, add_generation_prompt=False), "<s><user>abc")

    def test_about(self):
        self.assertEqual(self.llm.about["arch"], "llama")
        self.assertEqual(self.llm.context, 1 << 16)
        self.assertEqual(self.llm.about["max_num_seqs"], 4)


class Pieces(LlmTest):
    def test_stream(self):
        for stream, whole in ((self.llm.stream("abc", temp=0, max_tokens=12),
                               self.llm.generate("abc", temp=0, max_tokens=12)),
                              (self.llm.stream_chat(HI, temp=0, max_tokens=12),
                               self.llm.chat(HI, temp=0, max_tokens=12))):
            pieces = list(stream)
            self.assertEqual("".join(piece.text for piece in pieces if piece.kind == "text"), whole.text)
            self.assertGreater(len(pieces), 6)
            self.assertEqual([piece.kind for piece in pieces[-2:]], ["end", "usage"])
            self.assertEqual(pieces[-2].finish_reason, "length")
            self.assertEqual(pieces[-1].usage.completion_tokens, 12)
            self.assertEqual(list(stream), [])
        self.assertEqual("".join(self.llm.stream("abc", temp=0, max_tokens=12).text()), whole_text(self.llm))

    def test_leaving(self):
        for _ in range(20):
            for piece in self.llm.stream("abc", **LONG):
                if piece.kind == "text":
                    break
        with self.llm.stream("abc", **LONG) as stream:
            next(stream)
        self.assertEqual(list(stream), [])
        del stream
        gc.collect()
        # Places are free again at once: an answer does not wait for 60,000 tokens.
        began = time.monotonic()
        self.llm.generate("b", max_tokens=3)
        self.assertLess(time.monotonic() - began, 20)

    def test_cancel_stream(self):
        stream = self.llm.stream("abc", **LONG)
        next(stream)
        threading.Timer(0.05, stream.cancel).start()
        with self.assertRaises(turboquant.CancelledError) as caught:
            list(stream)
        self.assertEqual(caught.exception.code, "cancelled")

    def test_cancel_pending(self):
        pending = self.llm.submit("abc", **LONG)
        with self.assertRaises(TimeoutError):
            pending.result(timeout=0.05)
        self.assertFalse(pending.done())
        pending.cancel()
        with self.assertRaises(turboquant.CancelledError):
            pending.result()
        done = self.llm.submit_chat(HI, max_tokens=2)
        done.result()
        done.cancel()
        self.assertEqual(done.result().usage.completion_tokens, 2)

    def test_threads(self):
        wanted = self.llm.generate("abc", temp=0, max_tokens=8).text
        got = []
        threads = [threading.Thread(target=lambda: got.append(self.llm.generate("abc", temp=0, max_tokens=8).text))
                   for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(got, [wanted] * 8)


def whole_text(llm):
    return llm.generate("abc", temp=0, max_tokens=12).text


class Faults(LlmTest):
    def test_requests(self):
        for request, part in (({"temp": -1}, "temperature"), ({"tempp": 1}, "tempp"), ({"top_p": 2}, "top_p"),
                              ({"temp": 1, "temperature": 1}, "same option"), ({"stream": True}, "stream"),
                              ({"max_tokens": 0}, "max_tokens"), ({"tools": [TOOL]}, "tools")):
            with self.assertRaisesRegex(turboquant.InvalidArgumentError, part) as caught:
                self.llm.generate("abc", **request)
            self.assertEqual(caught.exception.code, "invalid_argument")
            self.assertIsInstance(caught.exception, ValueError)
        with self.assertRaises(turboquant.InvalidArgumentError):
            self.llm.chat([])
        with self.assertRaises(turboquant.InvalidArgumentError):
            self.llm.generate([1000000])
        with self.assertRaises(turboquant.InvalidArgumentError):
            next(self.llm.stream("abc", regex="("))
        with self.assertRaisesRegex(turboquant.InvalidArgumentError, "65536|65,536"):
            self.llm.generate("a" * (1 << 17))
        with self.assertRaises(turboquant.InvalidArgumentError):  # one of a batch; the others are cancelled
            self.llm.generate(["a", [1000000], "b"], **LONG)

    def test_models(self):
        with self.assertRaises(turboquant.NotFoundError):
            LLM("/nowhere/at/all")
        for options, part in (({"ctxx": 1}, "ctxx"), ({"ctx": "many"}, "ctx"), ({"threads": -1}, "threads"),
                              ({"kv_format": "f17"}, "kv_format"), ({"max_num_seqs": 0}, "max_num_seqs")):
            with self.assertRaisesRegex(turboquant.InvalidArgumentError, part):
                LLM(str(self.model), **options)
        broken = self.folder / "broken"
        broken.mkdir()
        (broken / "config.json").write_text("{")
        with self.assertRaises(turboquant.Error):
            LLM(str(broken))

    def test_progress(self):
        told = []
        with LLM(str(self.model), progress=lambda done, total: told.append((done, total)), **CPU):
            self.assertEqual(told[-1][0], told[-1][1])

        class Enough(Exception):
            pass

        def stop(done, total):
            raise Enough(f"{done} of {total}")

        with self.assertRaises(Enough):
            LLM(str(self.model), progress=stop, **CPU)

    def test_closed(self):
        llm = LLM(str(self.model), **CPU)
        pending = llm.submit("abc", **LONG)
        stream = llm.stream("abc", **LONG)
        next(stream)
        llm.close()
        llm.close()
        for wait in (pending.result, lambda: list(stream), lambda: llm.generate("abc"), lambda: llm.stream("abc")):
            with self.assertRaises(turboquant.CancelledError):
                wait()

    def test_what_is_no_prompt_and_no_value(self):
        for prompt in (b"abc", None, 7, {"prompt": "abc"}):
            with self.assertRaises(TypeError):
                self.llm.generate(prompt)
        for messages in ("abc", {"role": "user", "content": "abc"}, ["abc"]):
            with self.assertRaises(TypeError):
                self.llm.chat(messages)
        with self.assertRaises(TypeError):
            self.llm.generate("abc", prompt="abcd")
        with self.assertRaises(ValueError):
            self.llm.generate("abc", temperature=float("nan"))
        with self.assertRaises(turboquant.InvalidArgumentError):
            self.llm.generate("a\ud800")
        answer = self.llm.generate("abc", max_tokens=numpy.int64(2), temperature=numpy.float32(0), ignore_eos=True)
        self.assertEqual(answer.usage.completion_tokens, 2)

    def run_python(self, code, after=None):
        """Runs a program that prints "ready" and then is sent a signal."""
        environment = {**os.environ, "TQ_MODEL": str(self.model)}
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True, env=environment, cwd=pathlib.Path(__file__).parent)
        self.assertEqual(process.stdout.readline(), "ready\n", process)
        if after is not None:
            time.sleep(after)
            process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=60)
        return process.returncode, out, errors

    def test_interrupt(self):
        for call in ("llm.generate('abc', max_tokens=60000, ignore_eos=True)",
                     "list(llm.stream('abc', max_tokens=60000, ignore_eos=True))"):
            code = ("import os, turboquant\nllm = turboquant.LLM(os.environ['TQ_MODEL'], device='cpu', threads=1)\n"
                    f"print('ready', flush=True)\ntry:\n    {call}\nexcept KeyboardInterrupt:\n"
                    "    print(llm.generate('abc', max_tokens=3).usage.completion_tokens)\n")
            status, out, errors = self.run_python(code, after=0.3)
            self.assertEqual((status, out), (0, "3\n"), errors)

    def test_exit(self):
        # A program that ends with a model open and an answer on its way.
        code = ("import os, turboquant\nllm = turboquant.LLM(os.environ['TQ_MODEL'], device='cpu', threads=1)\n"
                "p = llm.submit('abc', max_tokens=60000, ignore_eos=True)\ns = llm.stream('abc', max_tokens=50000)\n"
                "next(s)\nprint('ready', flush=True)\n")
        status, out, errors = self.run_python(code)
        self.assertEqual((status, out, errors), (0, "", ""))


if __name__ == "__main__":
    unittest.main()
