#!/usr/bin/env python3
"""tq bench serve: against tq serve itself, and against a server that does everything wrong."""

import html.parser
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest
import xml.etree.ElementTree

import test_serve
from cli_support import TQ, make_model, tq

SUMMARIES = [f"{how}_{what}_ms" for how in ("mean", "median", "std", "p50", "p90", "p95", "p99")
             for what in ("ttft", "tpot", "itl", "e2el")]


def setUpModule():
    test_serve.setUpModule()


def bench(url, *options):
    """The result of a run that must succeed, and what it wrote to stderr."""
    done = tq("bench", "serve", url, "--save", RESULT, "--quiet", *options)
    assert done.returncode == 0, done
    return json.loads(pathlib.Path(RESULT).read_text())


FOLDER = tempfile.TemporaryDirectory()
RESULT = pathlib.Path(FOLDER.name) / "result.json"


class OwnServerTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = test_serve.Server("--max-num-seqs", "4")
        cls.url = f"http://127.0.0.1:{cls.server.port}"

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def test_levels(self):
        result = bench(self.url, "-c", "1,3", "-r", "6", "-n", "8", "--input-len", "20", "--ignore-eos",
                       "--health", "--endpoint", "completions")
        self.assertEqual(result["schema"], 1)
        self.assertEqual(result["command"], "bench serve")
        self.assertEqual(result["model_id"], "model")
        self.assertEqual(result["url"], self.url)
        for level, concurrency in zip(result["results"], (1, 3)):
            self.assertEqual((level["completed"], level["failed"]), (6, 0))
            self.assertEqual(level["max_concurrency"], concurrency)
            self.assertEqual(level["max_concurrent_requests"], concurrency)
            self.assertEqual(level["total_input_tokens"], 6 * 20)
            self.assertEqual(level["total_output_tokens"], 6 * 8)
            self.assertEqual(level["tokens_by"], "usage")
            for name in SUMMARIES + ["duration", "request_throughput", "output_throughput",
                                     "total_token_throughput"]:
                self.assertGreater(level[name], 0 if not name.startswith("std") else -1, name)
            self.assertAlmostEqual(level["output_throughput"] * level["duration"], 48, delta=0.01)
            self.assertGreater(level["health_completed"], 0)
            self.assertEqual(level["health_failed"], 0)
            self.assertEqual(level["errors"], {})
        self.assertEqual(len(result["results"]), 2)

    def test_conversations_use_the_prefix_cache(self):
        result = bench(self.url, "-c", "2", "-r", "3", "-n", "20", "--input-len", "30", "--turns", "3",
                       "--ignore-eos", "--warmup", "0")["results"][0]
        self.assertEqual(result["completed"], 9)
        # What was said before is asked again, and computed only once.
        self.assertGreater(result["total_input_tokens"], 3 * (30 + 60 + 90))
        self.assertGreater(result["total_cached_tokens"], 3 * 32)

    def test_shared_prefixes(self):
        result = bench(self.url, "-c", "1", "-r", "6", "-n", "2", "--input-len", "5", "--prefix-len",
                       "64", "--num-prefixes", "2", "--endpoint", "completions", "--warmup", "0",
                       "--ignore-eos", "--seed", "7")["results"][0]
        self.assertEqual(result["total_input_tokens"], 6 * 69)
        self.assertEqual(result["total_cached_tokens"], 4 * 64)  # the first of each kind computes it

    def test_random_is_the_same_for_a_seed(self):
        options = ("-c", "2", "-r", "8", "-n", "8", "--input-len", "40", "--range-ratio", "0.5",
                   "--endpoint", "completions", "--ignore-eos")
        tokens = [bench(self.url, *options, "--seed", seed)["results"][0] for seed in (1, 1, 2)]
        sums = [(t["total_input_tokens"], t["total_output_tokens"]) for t in tokens]
        self.assertEqual(sums[0], sums[1])
        self.assertNotEqual(sums[0], sums[2])
        self.assertTrue(8 * 20 <= sums[0][0] <= 8 * 60, sums)

    def test_rates_and_goodput(self):
        result = bench(self.url, "--request-rate", "200,400", "-r", "8", "-n", "4", "--goodput",
                       "ttft:100000,tpot:100000")
        for level, rate in zip(result["results"], (200, 400)):
            self.assertEqual(level["request_rate"], rate)
            self.assertIsNone(level["max_concurrency"])
            self.assertAlmostEqual(level["request_goodput"], level["request_throughput"])
        level = bench(self.url, "--request-rate", "1000", "-c", "2", "-r", "8", "-n", "4", "--goodput",
                      "e2el:0.000001")["results"][0]
        self.assertLessEqual(level["max_concurrent_requests"], 2)
        self.assertEqual(level["request_goodput"], 0)

    def test_files(self):
        chats = pathlib.Path(FOLDER.name) / "chats.jsonl"
        chats.write_text('{"conversations": [{"from": "human", "value": "abc"}, '
                         '{"from": "gpt", "value": "x"}, {"from": "human", "value": "de"}]}\n'
                         '{"messages": [{"role": "user", "content": "fgh"}]}\n')
        result = bench(self.url, "--dataset", chats, "--turns", "0", "-c", "1", "-r", "2", "-n", "3",
                       "--warmup", "0")
        self.assertEqual(result["results"][0]["completed"], 3)
        self.assertEqual(result["note"], "")
        result = bench(self.url, "--dataset", chats, "-c", "1", "-r", "4", "-n", "3")
        self.assertIn("used again", result["note"])
        text = pathlib.Path(FOLDER.name) / "text"
        text.write_text("some words of a text " * 20)
        result = bench(self.url, "--dataset", text, "--input-len", "5", "-c", "1", "-r", "4", "-n", "3",
                       "--endpoint", "completions")
        self.assertEqual(result["results"][0]["completed"], 4)
        chats.write_text('{"messages": 1}')
        done = tq("bench", "serve", self.url, "--dataset", chats)
        self.assertEqual(done.returncode, 4, done)
        self.assertIn(f"{chats}:1", done.stderr)

    def test_requests_carry_what_is_asked(self):
        result = bench(self.url, "-c", "1", "-r", "2", "-n", "9", "--extra-body",
                       '{"max_tokens": 3, "ignore_eos": true}', "--temp", "0", "--top-p", "0.9")
        self.assertEqual(result["results"][0]["total_output_tokens"], 6)
        done = tq("bench", "serve", self.url, "--extra-body", "[]")
        self.assertEqual(done.returncode, 2, done)
        done = tq("bench", "serve", self.url, "--model", "other", "-c", "1", "-r", "2")
        self.assertEqual(done.returncode, 6, done)
        self.assertIn("status 404: there is no model", done.stderr)

    def test_tables_and_lines(self):
        options = ("-r", "3", "-n", "4", "--health")
        done = tq("bench", "serve", f"127.0.0.1:{self.server.port}/v1/", "-c", "2", *options)
        self.assertEqual(done.returncode, 0, done)
        for text in ("completed 3, failed 0", "output tokens/s", "TTFT", "E2E", "/health", "p99"):
            self.assertIn(text, done.stdout)
        done = tq("bench", "serve", self.url, "-c", "1,2", *options, "--progress", "plain")
        self.assertIn("concurrency  ok  failed", done.stdout)
        self.assertIn("concurrency 2: 100% 3 / 3 requests", done.stderr)
        done = tq("bench", "serve", self.url, "-c", "1,2", *options, "--jsonl")
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        self.assertEqual([line["type"] for line in lines], ["start", "result", "result"])
        self.assertEqual(lines[0]["command"], "bench serve")
        self.assertEqual(lines[2]["max_concurrency"], 2)
        done = tq("bench", "serve", self.url, "-c", "1", *options, "--json")
        self.assertEqual(done.stderr, "")
        self.assertEqual(json.loads(done.stdout)["results"][0]["completed"], 3)

    def test_report(self):
        page = pathlib.Path(FOLDER.name) / "report.html"
        for levels in ("1,2", "2"):
            bench(self.url, "-c", levels, "-r", "4", "-n", "6", "--report", page)
            text = page.read_text()
            root = xml.etree.ElementTree.fromstring(text)
            names = [element.tag for element in root.iter()]
            self.assertGreater(names.count("svg"), 3)
            self.assertNotIn("script", names)
            self.assertGreater(names.count("polyline"), 3)
            for element in root.iter():
                self.assertFalse({"src", "href", "srcset"} & set(element.attrib), element.attrib)
            self.assertIn("model at http://127.0.0.1", root.find("head/title").text)
            html.parser.HTMLParser().feed(text)


class Script:
    """A server whose answers are scripts: answer(request number, path) gives pieces of bytes;
    None in place of a piece closes the connection at once, a number waits so many seconds."""

    def __init__(self, answer):
        self.answer = answer
        self.number = 0
        self.lock = threading.Lock()
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        data = b""
        with connection:
            try:
                while True:
                    while b"\r\n\r\n" not in data:
                        more = connection.recv(65536)
                        if not more:
                            return
                        data += more
                    head, data = data.split(b"\r\n\r\n", 1)
                    lines = head.decode().split("\r\n")
                    length = sum(int(line.split(":")[1]) for line in lines
                                 if line.lower().startswith("content-length:"))
                    while len(data) < length:
                        data += connection.recv(65536)
                    data = data[length:]
                    path = lines[0].split(" ")[1]
                    with self.lock:
                        number = self.number
                        self.number += path.startswith("/v1/c")
                    for piece in self.answer(number, path):
                        if piece is None:
                            return
                        if isinstance(piece, bytes):
                            connection.sendall(piece)
                        else:
                            time.sleep(piece)
            except OSError:
                pass

    def stop(self):
        self.socket.close()


def whole(status, body, content_type="application/json"):
    body = body.encode()
    return [f"HTTP/1.1 {status} X\r\nContent-Type: {content_type}\r\nContent-Length: {len(body)}"
            f"\r\n\r\n".encode() + body]


STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"


def chunk(data):
    data = data if isinstance(data, bytes) else data.encode()
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(text, reason=None):
    return "data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text},
                                               "finish_reason": reason}]}) + "\n\n"


USAGE = 'data: {"choices":[],"usage":{"prompt_tokens":5,"completion_tokens":3}}\n\n'
DONE = "data: [DONE]\n\n"
END = b"0\r\n\r\n"
GOOD = [STREAM, chunk(event("a") + event("b")), chunk(event("c", "stop") + USAGE + DONE), END]
MODELS = whole(200, '{"data":[{"id":"scripted"}]}')


class ScriptedServerTest(unittest.TestCase):
    def run_bench(self, answer, *options):
        """Runs against a server that answers to requests for completions as told, and to nothing
        else but /v1/models."""
        def all_paths(number, path):
            if path.startswith("/v1/c"):
                return answer(number)
            return MODELS if path == "/v1/models" else whole(404, "no")
        script = Script(all_paths)
        begun = time.monotonic()
        done = tq("bench", "serve", script.url, "--warmup", "0", "--json", "--connect-timeout", "5",
                  *(() if "--timeout" in options else ("--timeout", "30")), *options)
        self.assertLess(time.monotonic() - begun, 25, "it hangs")
        script.stop()
        result = json.loads(done.stdout)["results"] if done.stdout else None
        return done, result

    def check_faults(self, answer, wanted, *options, completed=None, code=0):
        """Half of the requests are answered well; the others fail as told."""
        if completed is None:
            done, result = self.run_bench(lambda n: GOOD if n % 2 else answer, "-c", "3", "-r", "6",
                                          *options)
            completed = 3
        else:
            done, result = self.run_bench(lambda n: answer, "-c", "3", "-r", "6", *options)
        self.assertEqual(done.returncode, code, done)
        level = result[0]
        self.assertEqual(level["errors"], wanted, level)
        self.assertEqual((level["completed"], level["failed"]), (completed, 6 - completed))
        self.assertEqual(len(level["first_errors"]), min(3, 6 - completed))
        self.assertEqual(level["total_output_tokens"], 3 * completed)
        return level

    def test_good(self):
        level = self.check_faults(GOOD, {}, completed=6)
        self.assertEqual(level["total_input_tokens"], 30)
        self.assertIsNotNone(level["mean_tpot_ms"])

    def test_statuses(self):
        for status, text in ((429, "too many"), (500, "broken"), (404, "what?")):
            level = self.check_faults(whole(status, json.dumps({"error": {"message": text}})),
                                      {f"status {status}": 3})
            self.assertIn(f"status {status}: {text}", level["first_errors"])
        self.check_faults(whole(503, "<html>no", "text/html"), {"status 503": 3})

    def test_streams_that_break(self):
        begun = [STREAM, chunk(event("a"))]
        self.check_faults(begun + [None], {"closed": 3})
        self.check_faults(begun + [b"5\r\nda", None], {"closed": 3})  # within a chunk
        self.check_faults(begun + [END], {"closed": 3})  # an end without the answer's end
        self.check_faults([STREAM, END], {"closed": 3})
        self.check_faults([STREAM, chunk(DONE), END], {"no answer": 3})
        self.check_faults([b"HTTP/1.1 200 OK\r\nContent-", None], {"closed": 3})

    def test_garbage(self):
        self.check_faults([b"\x00\xff\x17 not http\r\n\r\n", None], {"protocol": 3})
        self.check_faults([STREAM, chunk("data: {nonsense\n\n"), 5], {"bad event": 3})
        self.check_faults([STREAM, chunk(b"data: \xff\xfe\n\n"), END], {"bad event": 3})
        self.check_faults([STREAM, chunk('data: {"a":1}\n\n'), END], {"bad event": 3})
        self.check_faults([STREAM, b"zz\r\n"], {"protocol": 3})
        self.check_faults([STREAM, chunk('data: {"error":{"message":"full"}}\n\n'), 5],
                          {"error event": 3})
        self.check_faults(whole(200, "{}"), {"no stream": 3})
        self.check_faults([b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n"],
                          {"too large": 3})
        self.check_faults([b"HTTP/1.1 200 OK\r\n" + b"X: %s\r\n" % (b"a" * 100) * 2000],
                          {"too large": 3})

    def test_endless_event(self):
        self.check_faults([STREAM] + [chunk(b"data: " + b"a" * (1 << 20))] * 17, {"bad event": 3})

    def test_slow(self):
        self.check_faults([STREAM, 3], {"timeout": 3}, "--timeout", "0.5")
        self.check_faults([3], {"timeout": 3}, "--timeout", "0.5")
        drip = [STREAM] + [piece for _ in range(100) for piece in (chunk(": ping\n\n"), 0.05)]
        self.check_faults(drip, {"timeout": 3}, "--timeout", "0.5")

    def test_split_anywhere(self):
        stream = b"".join(GOOD[1:])
        one_by_one = [STREAM] + [stream[i:i + 1] for i in range(len(stream))]
        self.check_faults(one_by_one, {}, completed=6)
        data = (event("\u00e9") + event("b") + event("c", "stop") + USAGE + DONE).encode()
        small_chunks = [STREAM + b"".join(chunk(data[i:i + 1]) for i in range(len(data))) + END]
        self.check_faults(small_chunks, {}, completed=6)
        until_close = [b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n" + data, None]
        self.check_faults(until_close, {}, completed=6)

    def test_connections_that_are_closed_between_requests(self):
        """A client that uses one again must not count that as a failure."""
        self.check_faults(GOOD + [None], {}, completed=6)
        self.check_faults([b"HTTP/1.1 100 Continue\r\n\r\n"] + GOOD, {}, completed=6)

    def test_nothing_is_answered(self):
        for answer, text in ((whole(500, "{}"), "status 500"), ([None], "closed")):
            done, result = self.run_bench(lambda n, answer=answer: answer, "-c", "2", "-r", "4")
            self.assertEqual(done.returncode, 6, done)
            self.assertIn("none of 4 requests was answered", done.stderr)
            self.assertIn(text, done.stderr)
            self.assertEqual(result[0]["failed"], 4)
            self.assertIsNone(result[0]["mean_ttft_ms"])

    def test_no_server(self):
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{unused.getsockname()[1]}"
            done = tq("bench", "serve", url, "-r", "2")
            self.assertEqual(done.returncode, 6, done)
            self.assertIn(f"{url}/v1/models: ", done.stderr)
            done = tq("bench", "serve", url, "-r", "2", "-c", "1", "--model", "m")
            self.assertEqual(done.returncode, 6, done)
            self.assertIn("connect: ", done.stderr)

    def test_tokens_that_nobody_counts(self):
        pieces = [STREAM, chunk(event("ab") + event("c")), chunk(event("", "stop") + DONE), END]
        _, result = self.run_bench(lambda n: pieces, "-c", "1", "-r", "2")
        self.assertEqual(result[0]["tokens_by"], "chunks")
        self.assertEqual(result[0]["total_output_tokens"], 4)

        def answer(number, path):
            if path == "/tokenize":
                return whole(200, '{"tokens": [1, 2, 3, 4, 5]}')
            return pieces if path.startswith("/v1/c") else MODELS
        script = Script(answer)
        level = bench(script.url, "-c", "1", "-r", "2", "--warmup", "0")["results"][0]
        script.stop()
        self.assertEqual(level["tokens_by"], "tokenize")
        self.assertEqual((level["total_input_tokens"], level["total_output_tokens"]), (10, 10))

    def test_turns_end_with_a_failure(self):
        done, result = self.run_bench(lambda n: whole(500, "{}") if n == 1 else GOOD, "-c", "1", "-r",
                                      "2", "--turns", "3")
        self.assertEqual(done.returncode, 0, done)
        self.assertEqual((result[0]["completed"], result[0]["failed"]), (4, 1))

    def test_interrupted(self):
        def answer(_, path):
            return [STREAM, 30] if path.startswith("/v1/c") else \
                MODELS if path == "/v1/models" else whole(404, "no")
        script = Script(answer)
        process = subprocess.Popen([TQ, "bench", "serve", script.url, "--warmup", "0"],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        while script.number == 0:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
        script.stop()
        self.assertEqual(process.returncode, 130, errors)


class CommandLineTest(unittest.TestCase):
    def refused(self, *words, text):
        done = tq("bench", *words)
        self.assertEqual(done.returncode, 2, done)
        self.assertIn(text, done.stderr)

    def test_beside_tq_bench(self):
        self.assertIn("--request-rate", tq("bench", "serve", "--help").stdout)
        self.assertIn("serve", tq("bench", "--help").stdout)
        self.assertIn("request\\-rate", tq("man", "bench", "serve").stdout)
        self.assertIn("tq bench serve", tq("completion", "bash").stdout)
        with tempfile.TemporaryDirectory() as folder:
            make_model(pathlib.Path(folder) / "serve")
            options = ("-p", "4", "-n", "0", "-r", "1", "--json")
            for words in (["./serve"], ["--", "serve"]):
                done = subprocess.run([os.path.abspath(TQ), "bench", *options, *words], cwd=folder,
                                      capture_output=True, text=True, check=False)
                self.assertEqual(done.returncode, 0, done)
                self.assertEqual(json.loads(done.stdout)["command"], "bench")
        self.refused("a", "serve", text="unexpected argument serve")
        self.refused("-p", "4", "serve", "x", text="-p stands before serve")
        self.refused("serve", text="URL is required")

    def test_what_does_not_go_together(self):
        self.refused("serve", "ftp://x", text="http://HOST:PORT")
        self.refused("serve", "a", "b", text="one server's URL")
        self.refused("serve", "a", "--request-rate", "1,2", "-c", "1,2", text="--request-rate")
        self.refused("serve", "a", "--goodput", "speed:1", text="--goodput")
        self.refused("serve", "a", "--serve-options", "x", text="--preset")
        self.refused("serve", "a", "--concurency", "1", text="did you mean --concurrency")
        self.refused("serve", "--preset", "seed-table", "a", "b", "c", text="takes a bf16 MODEL")
        self.assertIn(tq("bench", "serve", "https://nowhere.invalid").returncode, (3, 5))  # 5: no TLS


class SeedTableTest(unittest.TestCase):
    OPTIONS = ("--preset", "seed-table", "-c", "1,2", "-r", "2", "-n", "4", "--input-len", "8",
               "--serve-options", "--device cpu --threads 1")

    def test_table(self):
        model = test_serve.MODEL
        done = tq("bench", "serve", model, *self.OPTIONS)
        self.assertEqual(done.returncode, 0, done)
        for text in ("H100", "27.4", "54.2", "not measured here", "--format tq3"):
            self.assertIn(text, done.stdout)
        done = tq("bench", "serve", model, model, *self.OPTIONS, "--json")
        self.assertEqual(done.returncode, 0, done)
        result = json.loads(done.stdout)
        columns = {entry["column"]: entry for entry in result["results"]}
        self.assertEqual(list(columns), ["bf16", "weights", "weights_kv"])
        for name in ("bf16", "weights"):
            self.assertEqual([r["completed"] for r in columns[name]["results"]], [2, 2])
            self.assertEqual([r["total_output_tokens"] for r in columns[name]["results"]], [8, 8])
        self.assertEqual(columns["weights"]["known_output_throughput"]["16"], 357.2)
        self.assertTrue(columns["weights_kv"]["available"])
        self.assertEqual([r["completed"] for r in columns["weights_kv"]["results"]], [2, 2])

    def test_a_model_that_is_not_there(self):
        done = tq("bench", "serve", "/nowhere/model", *self.OPTIONS)
        self.assertEqual(done.returncode, 3, done)
        self.assertIn("/nowhere/model", done.stderr)


if __name__ == "__main__":
    unittest.main()
