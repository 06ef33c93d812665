#!/usr/bin/env python3
"""tq serve over real sockets: answers and streams, limits, who may ask, clients that go, the end."""

import concurrent.futures
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
import unittest

from cli_support import TQ, make_model, tq

LONG = 60000  # tokens that nobody waits for
FOLDER = tempfile.TemporaryDirectory()
MODEL = make_model(pathlib.Path(FOLDER.name) / "model", max_position=1 << 16)


def setUpModule():
    if "without its server" in tq("serve", "/nowhere/model", "--port", "0").stderr:
        raise unittest.SkipTest("built without the server")


def tearDownModule():
    FOLDER.cleanup()


class Server:
    """A running tq serve; the model's context is long, so that streams can be."""

    def __init__(self, *options, model=MODEL):
        self.process = subprocess.Popen(
            [TQ, "serve", str(model), "--port", "0", "--threads", "2", *map(str, options)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.log = []
        self.ready = threading.Event()
        self.reader = threading.Thread(target=self.read)
        self.reader.start()
        assert self.ready.wait(60), self.log
        self.port = int(re.search(r"https?://127.0.0.1:(\d+)", "".join(self.log))[1])

    def read(self):
        for line in self.process.stderr:
            self.log.append(line)
            if "ready: " in line:
                self.ready.set()
        self.ready.set()

    def stop(self):
        """Ends it, however it is; returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(30)
        self.reader.join()
        self.process.stderr.close()
        return code

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def send(self, method, path, body=None, headers=None):
        """The response and its text."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        text = json.dumps(body) if body is not None else None
        headers = {"Content-Type": "application/json", **(headers or {})}
        connection.request(method, path, text, headers)
        response = connection.getresponse()
        data = response.read().decode()
        connection.close()
        return response, data

    def post(self, path, body, **headers):
        response, text = self.send("POST", path, body, headers)
        return response.status, json.loads(text)

    def get(self, path):
        response, text = self.send("GET", path)
        return response.status, json.loads(text)

    def stream(self, path, body):
        """The data of the events of a whole stream."""
        response, text = self.send("POST", path, {**body, "stream": True})
        assert response.status == 200, text
        assert response.headers["Content-Type"].startswith("text/event-stream"), response.headers
        events = [event for event in text.split("\n\n") if event and not event.startswith(":")]
        assert all(event.startswith("data: ") for event in events), text
        assert events[-1] == "data: [DONE]", text
        return [json.loads(event[6:]) for event in events[:-1]]

    def open_stream(self, max_tokens=LONG, text="hi"):
        """A socket on which a stream has begun."""
        body = json.dumps({"prompt": text, "max_tokens": max_tokens, "ignore_eos": True,
                           "stream": True})
        connection = self.connect()
        connection.sendall(f"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                           f"application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        return connection

    def wait_until_idle(self):
        for _ in range(600):
            _, metrics = self.send("GET", "/metrics")
            idle = self.get("/load")[1]["server_load"] == 0
            if idle and re.search(r"num_requests_running\{.*\} 0\n", metrics) and \
                    re.search(r"kv_cache_usage_perc\{.*\} 0\n", metrics):
                return
            time.sleep(0.05)
        raise AssertionError(metrics)


def read_until(connection, wanted):
    data = b""
    while wanted not in data:
        more = connection.recv(65536)
        assert more, data
        data += more
    return data


def read_all(connection):
    data = b""
    try:
        while more := connection.recv(65536):
            data += more
    except ConnectionResetError:
        pass
    connection.close()
    return data


def start_of_post(headers, path="/v1/completions"):
    return (f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"{headers}\r\n").encode()


class ServeTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--max-num-seqs", "4")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def test_stream_and_whole_are_the_same(self):
        messages = [{"role": "user", "content": "hello"}]
        for options in ({"temperature": 0}, {"temperature": 1.5, "seed": 7, "n": 3}):
            body = {"messages": messages, "max_tokens": 40, **options}
            status, whole = self.server.post("/v1/chat/completions", body)
            self.assertEqual(status, 200)
            texts = {}
            for chunk in self.server.stream("/v1/chat/completions", body):
                for choice in chunk["choices"]:
                    index = choice["index"]
                    texts[index] = texts.get(index, "") + choice["delta"].get("content", "")
            self.assertEqual(texts, {choice["index"]: choice["message"]["content"]
                                     for choice in whole["choices"]})
            self.assertTrue(any(texts.values()))

    def test_responses_are_the_same_answer(self):
        ask = {"input": "tell me", "max_output_tokens": 9, "temperature": 0}
        whole = self.server.post("/v1/responses", ask)[1]
        chat = {"messages": [{"role": "user", "content": "tell me"}], "max_tokens": 9, "temperature": 0}
        answer = self.server.post("/v1/chat/completions", chat)[1]["choices"][0]["message"]["content"]
        self.assertEqual(whole["output"][0]["content"][0]["text"], answer)

    def test_the_command_line_says_the_same(self):
        run = tq("run", MODEL, "hello", "--raw", "-n", "30", "--temp", "0", "--ignore-eos", "-q")
        _, served = self.server.post("/v1/completions", {
            "prompt": "hello", "max_tokens": 30, "temperature": 0, "ignore_eos": True})
        self.assertEqual(served["choices"][0]["text"] + "\n", run.stdout)

    def test_tells_about_itself(self):
        self.assertEqual(self.server.get("/health")[0], 200)
        models = self.server.get("/v1/models")[1]["data"]
        self.assertEqual([m["id"] for m in models], ["model"])
        self.assertEqual(models[0]["root"], str(MODEL))
        ids = self.server.post("/tokenize", {"prompt": "ab"})[1]["tokens"]
        self.assertEqual(ids, [0, 4, 5])
        self.assertEqual(self.server.post("/detokenize", {"tokens": ids})[1]["prompt"], "<s>ab")

    def test_a_client_that_goes_frees_what_it_used(self):
        for close_early in (True, False):
            connections = [self.server.open_stream() for _ in range(8)]  # 4 run, 4 wait
            for connection in connections[:1 if close_early else 4]:
                read_until(connection, b"data:")
            for connection in connections:
                connection.close()
            self.server.wait_until_idle()
        gone = []
        while not gone:  # what is logged arrives on a thread of this test
            time.sleep(0.01)
            gone = [line for line in self.server.log if "/v1/completions gone" in line]
        self.assertTrue(all("prompt 3 tokens" in line for line in gone), gone)

    def test_a_client_that_waits_for_a_whole_answer_and_goes(self):
        body = json.dumps({"prompt": "a", "max_tokens": LONG, "ignore_eos": True}).encode()
        connection = self.server.connect()
        connection.sendall(start_of_post(f"Content-Length: {len(body)}\r\n") + body)
        while self.server.get("/load")[1]["server_load"] == 0:
            time.sleep(0.01)
        connection.close()
        self.server.wait_until_idle()

    def test_a_client_that_has_sent_more_and_goes(self):
        body = json.dumps({"prompt": "a", "max_tokens": LONG, "ignore_eos": True}).encode()
        connection = self.server.connect()
        connection.sendall(start_of_post(f"Content-Length: {len(body)}\r\n") + body)
        get = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        connection.sendall(get * (100_000 // len(get)))  # more than is read ahead
        while self.server.get("/load")[1]["server_load"] == 0:
            time.sleep(0.01)
        connection.close()
        self.server.wait_until_idle()

    def test_much_may_be_sent_ahead(self):
        body = b'{"prompt":"a","max_tokens":3}'
        get = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        n = 100_000 // len(get)
        connection = self.server.connect()
        connection.sendall(start_of_post(f"Content-Length: {len(body)}\r\n") + body + get * n +
                           last)
        data = read_all(connection)
        self.assertEqual(data.count(b"HTTP/1.1 200 OK"), n + 2)

    def test_many_clients_get_what_they_would_get_alone(self):
        prompts = [f"prompt {i}" for i in range(64)]

        def ask(prompt):
            body = {"prompt": prompt, "max_tokens": 24, "temperature": 0}
            if len(prompt) % 2:
                return self.server.post("/v1/completions", body)[1]["choices"][0]["text"]
            return "".join(choice["text"] for chunk in self.server.stream("/v1/completions", body)
                           for choice in chunk["choices"])

        with concurrent.futures.ThreadPoolExecutor(64) as pool:
            together = list(pool.map(ask, prompts))
        self.assertEqual(together, [ask(prompt) for prompt in prompts])

    def test_a_connection_is_kept_for_more_requests(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=30)
        for _ in range(3):
            connection.request("GET", "/health")
            self.assertEqual(connection.getresponse().read(), b'{"status":"ok"}')
            body = json.dumps({"prompt": "a", "max_tokens": 3, "stream": True})
            connection.request("POST", "/v1/completions", body,
                               {"Content-Type": "application/json"})
            self.assertIn(b"[DONE]", connection.getresponse().read())
        connection.close()

    def test_requests_may_come_one_behind_the_other(self):
        connection = self.server.connect()
        body = b'{"prompt":"a","max_tokens":3}'
        post = start_of_post(f"Content-Length: {len(body)}\r\n") + body
        get = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
        last = b"GET /version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        connection.sendall(post + get + post + last)
        data = read_all(connection)
        self.assertEqual(data.count(b"HTTP/1.1 200 OK"), 4)
        self.assertEqual(data.count(b"text_completion"), 2)

    def test_http_1_0_streams_end_with_the_connection(self):
        body = b'{"prompt":"a","max_tokens":3,"stream":true}'
        connection = self.server.connect()
        connection.sendall(b"POST /v1/completions HTTP/1.0\r\nContent-Type: application/json\r\n"
                           b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        data = read_all(connection)
        self.assertNotIn(b"chunked", data)
        self.assertTrue(data.endswith(b"data: [DONE]\n\n"), data)

    def test_a_client_may_ask_before_it_sends_a_body(self):
        body = b'{"prompt":"a","max_tokens":3}'
        connection = self.server.connect()
        connection.sendall(start_of_post(f"Content-Length: {len(body)}\r\n"
                                         "Expect: 100-continue\r\nConnection: close\r\n"))
        self.assertEqual(read_until(connection, b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n")
        connection.sendall(body)
        self.assertIn(b"200 OK", read_all(connection))

    def test_a_request_id_goes_back(self):
        for sent, good in (("abc-1.2_3", True), ("a b", False), ("x" * 65, False)):
            response, _ = self.server.send("GET", "/version", headers={"X-Request-Id": sent})
            self.assertEqual(response.headers["X-Request-Id"] == sent, good)

    def test_who_may_not_ask(self):
        for headers, status in (({"Host": "evil.example"}, 403),
                                ({"Origin": "https://evil.example"}, 403),
                                ({"Origin": f"http://127.0.0.1:{self.server.port}"}, 200),
                                ({"Content-Type": "text/plain"}, 415)):
            response, text = self.server.send("POST", "/tokenize", {"prompt": "a"}, headers)
            self.assertEqual(response.status, status, text)


@unittest.skipUnless(os.environ.get("TQ_WRK"), "no wrk (see scripts/test.sh --extended)")
class WrkTest(unittest.TestCase):
    def test_load_is_answered(self):
        server = Server("--max-num-seqs", "16")
        self.addCleanup(server.stop)
        script = pathlib.Path(FOLDER.name) / "post.lua"
        script.write_text("""wrk.method = "POST"
wrk.headers["Content-Type"] = "application/json"
wrk.body = '{"prompt": "abcde", "max_tokens": 8}'
""")
        for connections, path, options in ((64, "/v1/completions", ("-s", script)), (500, "/health", ())):
            done = subprocess.run([os.environ["TQ_WRK"], "-t1", f"-c{connections}", "-d5s", *map(str, options),
                                   f"http://127.0.0.1:{server.port}{path}"], capture_output=True, text=True)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotIn("Non-2xx", done.stdout)
            self.assertNotIn("Socket errors", done.stdout)
            self.assertGreater(float(re.search(r"Requests/sec: +([\d.]+)", done.stdout)[1]), 10)


class LimitTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--max-num-seqs", "1", "--max-queue", "1", "--max-body", "100KiB",
                            "--header-timeout", "0.5", "--body-timeout", "0.5",
                            "--write-timeout", "0.5", "--ping-interval", "0.2")

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def answer_to(self, data):
        connection = self.server.connect()
        try:
            connection.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return read_all(connection)

    def test_what_is_too_large(self):
        large = b"x" * (200 << 10)
        chunk = b"8000\r\n" + b"y" * 0x8000 + b"\r\n"
        for data, status in ((start_of_post(f"Content-Length: {len(large)}\r\n") + large, 413),
                             (start_of_post("Transfer-Encoding: chunked\r\n") + chunk * 16, 413),
                             (start_of_post(f"X-Long: {'x' * 20000}\r\n"), 431),
                             (start_of_post("X-Many: 1\r\n" * 120), 431)):
            answer = self.answer_to(data)
            self.assertTrue(answer.startswith(f"HTTP/1.1 {status} ".encode()), answer[:200])
            self.assertEqual(list(json.loads(answer.split(b"\r\n\r\n")[1])), ["error"])
        # Endless headers are cut off, too.
        connection = self.server.connect()
        with self.assertRaises((BrokenPipeError, ConnectionResetError)):
            connection.sendall(b"GET / HTTP/1.1\r\n")
            for _ in range(100000):
                connection.sendall(b"X-More: " + b"z" * 1000 + b"\r\n")
        connection.close()

    def test_what_is_no_http(self):
        for data in (b"hello\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n",
                     start_of_post("Content-Length: 1\r\nContent-Length: 2\r\n"),
                     start_of_post("Transfer-Encoding: chunked\r\n") + b"zz\r\n"):
            self.assertTrue(self.answer_to(data).startswith(b"HTTP/1.1 400 "), data)

    def test_who_sends_slowly_is_cut_off(self):
        for data in (b"", b"GET /health HT", start_of_post("Content-Length: 100\r\n") + b"{"):
            self.assertTrue(self.answer_to(data).startswith(b"HTTP/1.1 408 "), data)
        connection = self.server.connect()  # a byte now and then is no better
        with self.assertRaises((BrokenPipeError, ConnectionResetError)):
            for _ in range(200):
                connection.sendall(b"G")
                time.sleep(0.05)
        connection.close()

    def test_who_reads_nothing_is_cut_off(self):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", self.server.port))
        body = json.dumps({"prompt": "a", "max_tokens": LONG, "ignore_eos": True, "stream": True,
                           "logprobs": 20}).encode()
        connection.sendall(start_of_post(f"Content-Length: {len(body)}\r\n") + body)
        while self.server.get("/load")[1]["server_load"] == 0:
            time.sleep(0.01)
        self.server.wait_until_idle()
        connection.close()

    def test_who_waits_is_told_that_there_is_someone(self):
        first = self.server.open_stream()
        read_until(first, b"data:")
        second = self.server.open_stream()
        read_until(second, b": ping\n\n")
        response, text = self.server.send("POST", "/v1/completions", {"prompt": "a"})
        self.assertEqual(response.status, 429, text)
        self.assertEqual(response.headers["Retry-After"], "1")
        first.close()
        read_until(second, b"data:")
        second.close()
        self.server.wait_until_idle()

    def test_health_is_answered_whatever_else_is_open(self):
        idle = [self.server.connect() for _ in range(300)]
        self.assertEqual(self.server.get("/health")[0], 200)
        for connection in idle:
            connection.close()


class KeyTest(unittest.TestCase):
    def test_keys_origins_and_logs(self):
        with tempfile.TemporaryDirectory() as folder:
            keys = pathlib.Path(folder) / "keys"
            keys.write_text("# keys\n\nfile-secret\n")
            server = Server("--api-key", "typed-secret", "--api-key-file", keys,
                            "--cors-origins", "https://chat.example", "--allowed-hosts", "llm",
                            "--served-model-name", "first", "--served-model-name", "second")
            ask = {"prompt": "a most private prompt", "max_tokens": 3, "model": "second"}
            for key, status in (("typed-secret", 200), ("file-secret", 200), ("other", 401)):
                headers = {"Authorization": f"Bearer {key}"}
                response, text = server.send("POST", "/v1/completions", ask, headers)
                self.assertEqual(response.status, status, text)
            self.assertEqual(server.get("/health")[0], 200)
            self.assertEqual(server.get("/metrics")[0], 401)
            headers = {"Origin": "https://chat.example", "Host": "llm:1",
                       "Access-Control-Request-Method": "POST"}
            response, _ = server.send("OPTIONS", "/v1/completions", headers=headers)
            self.assertEqual(response.status, 204)
            self.assertEqual(response.headers["Access-Control-Allow-Origin"], "https://chat.example")
            self.assertIn("Authorization", response.headers["Access-Control-Allow-Headers"])
            self.assertEqual(server.stop(), 0)
            log = "".join(server.log)
            self.assertIn("POST /v1/completions 200", log)
            self.assertIn("(0 reused: nothing that is cached begins so)", log)
            for secret in ("secret", "private"):
                self.assertNotIn(secret, log)

    def test_a_log_of_json(self):
        server = Server("--log-format", "json")
        server.post("/v1/completions", {"prompt": "a most private prompt", "max_tokens": 3},
                    **{"X-Request-Id": "mine"})
        self.assertEqual(server.stop(), 0)
        lines = [json.loads(line) for line in server.log]
        for line in lines:
            self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
            self.assertIn(line["level"], ("info", "warning"))
        [request] = [line for line in lines if line.get("event") == "request"]
        self.assertEqual([request[key] for key in ("id", "method", "path", "status")],
                         ["mine", "POST", "/v1/completions", "200"])
        self.assertEqual(request["answer_tokens"], 3)
        self.assertGreater(request["seconds"], 0)
        self.assertTrue(any("KV cache" in line.get("message", "") for line in lines))
        self.assertNotIn("private", "".join(server.log))

    def test_a_file_without_keys_is_refused(self):
        with tempfile.NamedTemporaryFile("w", suffix="keys") as keys:
            keys.write("# none yet\n")
            keys.flush()
            done = tq("serve", MODEL, "--port", "0", "--api-key-file", keys.name)
        self.assertEqual(done.returncode, 2, done)
        self.assertIn(f"{keys.name}: there is no key", done.stderr)


class EndTest(unittest.TestCase):
    def test_a_signal_lets_answers_be_completed(self):
        server = Server()
        connection = server.open_stream(max_tokens=4000)
        data = read_until(connection, b"data:")
        server.process.send_signal(signal.SIGTERM)
        while server.get("/health")[0] != 503:
            time.sleep(0.01)
        self.assertEqual(server.post("/v1/completions", {"prompt": "a"})[0], 503)
        data += read_until(connection, b"[DONE]")
        connection.close()
        self.assertEqual(server.process.wait(30), 0)
        server.stop()

    def test_a_second_signal_cancels_them(self):
        server = Server()
        connection = server.open_stream()
        read_until(connection, b"data:")
        server.process.send_signal(signal.SIGINT)
        while server.get("/health")[0] != 503:
            time.sleep(0.01)
        server.process.send_signal(signal.SIGINT)
        data = read_all(connection)
        self.assertIn(b'data: {"error":', data)
        self.assertEqual(server.process.wait(30), 130)
        server.stop()

    def test_answers_that_take_too_long_are_cancelled(self):
        server = Server("--drain-timeout", "0.3")
        connection = server.open_stream()
        read_until(connection, b"data:")
        server.process.send_signal(signal.SIGTERM)
        self.assertIn(b'data: {"error":', read_all(connection))
        self.assertEqual(server.process.wait(30), 130)
        server.stop()

    def test_what_cannot_begin(self):
        self.assertEqual(tq("serve", "/nowhere/model", "--port", "0").returncode, 3)
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            port = taken.getsockname()[1]
            done = tq("serve", MODEL, "--port", port)
            self.assertEqual(done.returncode, 6, done)
            self.assertIn(f"127.0.0.1 port {port}", done.stderr)
        with tempfile.TemporaryDirectory() as folder:
            model = make_model(pathlib.Path(folder) / "model")
            os.unlink(model / "tokenizer.json")
            self.assertEqual(tq("serve", model, "--port", "0").returncode, 2)

    def test_a_host_cache_is_for_gpus(self):
        done = tq("serve", MODEL, "--port", "0", "--device", "cpu", "--host-cache", "1GiB")
        self.assertEqual(done.returncode, 2, done)
        self.assertIn("--host-cache is for models on a GPU", done.stderr)

    def test_without_a_template_chats_are_refused(self):
        with tempfile.TemporaryDirectory() as folder:
            server = Server(model=make_model(pathlib.Path(folder) / "model", template=None))
            status, answer = server.post("/v1/chat/completions",
                                         {"messages": [{"role": "user", "content": "a"}]})
            self.assertEqual((status, answer["error"]["code"]), (400, "no_chat_template"))
            self.assertEqual(server.post("/v1/completions", {"prompt": "a"})[0], 200)
            self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    unittest.main()
