#!/usr/bin/env python3
"""Tries to make tq serve lose memory, pages, files or threads, or stop to answer:

  loris        connections that send a byte now and then: all are cut off, and /health is answered meanwhile
  readers      clients that ask for long streams and read nothing or hardly: all are cut off, and nothing stays
  disconnects  clients that go while their request is queued, while its prompt is computed, while it is
               answered: each frees everything, and it is told how soon
  soak         for SECONDS, clients of every kind at a time: chats, completions, tools, grammars, several
               choices, wrong requests, probes, the page, and those that go midway

Afterwards memory, file descriptors, threads and pages are compared with those before. The binary is
TQ_BINARY, the model the tests' tiny one. Python's standard library only. One summary line at the end; not 0 when
anything was found."""

import argparse
import collections
import http.client
import json
import multiprocessing
import os
import pathlib
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
os.environ.setdefault("TQ_SOURCE_DIR", str(ROOT))
os.environ.setdefault("TQ_BINARY", str(ROOT / "build/release/tq"))
sys.path.insert(0, str(ROOT / "tests/cli"))
from cli_support import TQ, make_model  # noqa: E402

LIMIT_MIB = 8  # that memory may grow by from the soak's beginning to its end: what allocators keep
# What the tiny model's letters and digits can write.
FORMS = ({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {"type": "integer"}}}},
         {"guided_regex": "[a-z0-9]{5,40}"}, {"guided_choice": ["yes", "no", "7"]}, {"grammar": 'root ::= "a" [b-k]* "z"'})
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {
    "type": "object", "properties": {"city": {"type": "string"}}}}}]


class Finding(Exception):
    pass


class Server:
    def __init__(self, folder):
        self.process = subprocess.Popen(
            [TQ, "serve", str(make_model(pathlib.Path(folder) / "model", max_position=1 << 15)), "--port", "0",
             "--threads", "1", "--ctx", "16k", "--max-num-seqs", "4", "--max-queue", "64", "--max-body", "1MiB",
             "--header-timeout", "3", "--body-timeout", "3", "--write-timeout", "3", "--ping-interval", "1"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.log = collections.deque(maxlen=50)
        ready = threading.Event()

        def read():
            for line in self.process.stderr:
                self.log.append(line)
                if line.startswith("listening"):
                    self.port = int(line.rsplit(":", 1)[1])
                if line.startswith("ready:"):
                    ready.set()
            ready.set()

        self.reader = threading.Thread(target=read, daemon=True)
        self.reader.start()
        if not ready.wait(60) or self.process.poll() is not None:
            raise SystemExit("".join(self.log))

    def ask(self, method, path, body=None, timeout=120):
        """The status and the body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        try:
            text = body if isinstance(body, str) else json.dumps(body) if body is not None else None
            connection.request(method, path, text, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()

    def busy(self):
        """What requests hold: places, waiting ones, a share of the pages."""
        text = self.ask("GET", "/metrics")[1].decode()
        load = json.loads(self.ask("GET", "/load")[1])["server_load"]
        return (load, *(float(re.search(rf"^vllm:{name}\{{.*\}} (\S+)$", text, re.M)[1]) for name in
                        ("num_requests_running", "num_requests_waiting", "kv_cache_usage_perc")))

    def wait_until_idle(self, what):
        end = time.monotonic() + 120
        while any(self.busy()):
            if time.monotonic() > end:
                raise Finding(f"{what}: what stays is {self.busy()} (load, running, waiting, share of pages)")
            time.sleep(0.01)

    def state(self):
        """Memory in MiB, file descriptors, threads."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        number = lambda name: int(re.search(rf"^{name}:\s+(\d+)", status, re.M)[1])  # noqa: E731
        return number("VmRSS") / 1024, len(os.listdir(f"/proc/{self.process.pid}/fd")), number("Threads")

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def send_post(self, connection, path, body):
        body = json.dumps(body)
        connection.sendall(f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                           f"Content-Length: {len(body)}\r\n\r\n{body}".encode())


def words(n):
    return "".join(random.choice("abcdefghijklmnopqrstuvwxyz ") for _ in range(n))


def stream_of(n_prompt, n_answer):
    return {"prompt": words(n_prompt), "max_tokens": n_answer, "ignore_eos": True, "stream": True}


def watch_health(port, until):
    """Asks /health again and again until something comes; sends how long that took, in ms, and what failed."""
    times, failed = [], []
    while not until.poll(0.02):
        begun = time.monotonic()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            connection.request("GET", "/health")
            response = connection.getresponse()
            if (response.status, response.read()) != (200, b'{"status":"ok"}'):
                failed.append(f"/health says {response.status}")
        except OSError as error:
            failed.append(f"/health: {error}")
        connection.close()
        times.append(1000 * (time.monotonic() - begun))
    until.send((sorted(times), failed))


class Watch:
    """Asks /health meanwhile, in a process of its own, which does not wait for what this one does."""

    def __init__(self, server):
        context = multiprocessing.get_context("spawn")
        self.pipe, other = context.Pipe()
        self.process = context.Process(target=watch_health, args=(server.port, other))
        self.process.start()

    def end(self):
        self.pipe.send("enough")
        times, failed = self.pipe.recv()
        self.process.join()
        if failed:
            raise Finding(f"{len(failed)} of {len(times)}: {failed[0]}")
        at = lambda p: times[min(len(times) - 1, len(times) * p // 100)]  # noqa: E731
        return f"/health {at(50):.1f} ms (p99 {at(99):.1f}, at most {times[-1]:.1f}; {len(times)} times)"


def loris(server, n=200):
    watch = Watch(server)
    head = b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n" \
           b"Content-Length: 1000\r\n\r\n"
    open_ones = {server.connect(): random.randrange(2) * len(head) for _ in range(n)}
    for connection, sent in open_ones.items():
        connection.sendall(head[:sent])
        connection.setblocking(False)
    end = time.monotonic() + 30
    while open_ones and time.monotonic() < end:
        for connection, sent in list(open_ones.items()):
            try:
                connection.send((head + b"{" * 1000)[sent:sent + 1])
                open_ones[connection] += 1
                if not connection.recv(4096):
                    raise ConnectionResetError
            except BlockingIOError:
                pass
            except OSError:
                connection.close()
                del open_ones[connection]
        time.sleep(0.2)
    health = watch.end()
    if open_ones:
        raise Finding(f"{len(open_ones)} of {n} slow senders are still connected")
    return f"{n} slow senders cut off, {health}"


def readers(server, n=20):
    watch = Watch(server)
    connections = []
    for i in range(n):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect(("127.0.0.1", server.port))
        server.send_post(connection, "/v1/completions", {**stream_of(20, 15000), "logprobs": 20})
        connections.append(connection)
    server.wait_until_idle("slow readers")
    for connection in connections:
        connection.close()
    return f"{n} clients that read nothing cut off, {watch.end()}"


def disconnects(server, n):
    """n clients in batches; each batch is all freed before the next."""
    counts, times = collections.Counter(), []
    while sum(counts.values()) < n:
        kind = random.choice(("queued", "prefill", "decode"))
        batch = min(random.randint(1, 12), n - sum(counts.values()))
        holders = []
        if kind == "queued":  # behind those that have all places
            holders = [server.connect() for _ in range(4)]
            for holder in holders:
                server.send_post(holder, "/v1/completions", stream_of(5, 16000))
                while b"data: " not in holder.recv(65536):
                    pass
        connections = [server.connect() for _ in range(batch)]
        for connection in connections:
            body = stream_of(12000 if kind == "prefill" else 50, 3900)
            body["stream"] = random.random() < 0.7 or kind == "decode"
            server.send_post(connection, "/v1/completions", body)
        if kind == "decode":
            for connection in connections[:4]:
                while b"data: " not in connection.recv(65536):
                    pass
        time.sleep(random.uniform(0, 0.1))
        end = time.monotonic() + 10
        while kind == "queued" and server.busy()[2] == 0:
            if time.monotonic() > end:
                raise Finding("nobody waits behind four streams")
        random.shuffle(connections)
        for connection in connections:
            if random.random() < 0.5:  # RST instead of FIN
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
            counts[kind] += 1
        begun = time.monotonic()
        for holder in holders:
            holder.close()
        server.wait_until_idle(f"{batch} disconnects, {kind}")
        times.append(1000 * (time.monotonic() - begun))
    times.sort()
    kinds = ", ".join(f"{counts[kind]} {kind}" for kind in sorted(counts))
    return (f"{sum(counts.values())} of {n} disconnects freed everything ({kinds}), a batch of up to 16 within "
            f"{times[len(times) // 2]:.0f} ms in the median, {times[-1]:.0f} ms at most")


class Soak:
    def __init__(self, server, seconds):
        self.server, self.end = server, time.monotonic() + seconds
        self.counts, self.lock = collections.Counter(), threading.Lock()
        self.findings = []

    def kinds(self):
        chat = {"messages": [{"role": "user", "content": words(random.randint(1, 200))}],
                "max_tokens": random.randint(1, 60)}
        long_prompt = words(random.choice((10, 100, 1000, 3000)))
        return [
            ("chat", "/v1/chat/completions", chat, {200}),
            ("tools", "/v1/chat/completions", {**chat, "tools": TOOLS}, {200}),
            ("form", "/v1/chat/completions", {**chat, **random.choice(FORMS)}, {200}),
            ("choices", "/v1/chat/completions", {**chat, "n": random.randint(2, 6), "logprobs": True,
                                                "top_logprobs": 5}, {200}),
            ("messages", "/v1/messages", {**chat}, {200}),
            ("responses", "/v1/responses", {"input": words(20), "max_output_tokens": 20}, {200}),
            ("completion", "/v1/completions", {"prompt": long_prompt, "max_tokens": 30, "seed": 1}, {200}),
            ("completions", "/v1/completions", {"prompt": [words(9), words(30)], "max_tokens": 9, "echo": True},
             {200}),
            ("tokenize", "/tokenize", {"prompt": long_prompt}, {200}),
            ("wrong", "/v1/chat/completions", random.choice((
                "{", "[" * 100, "null", {"messages": 1}, {**chat, "temperature": -1}, {**chat, "n": 10 ** 9},
                {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]})), {400}),
            ("too long", "/v1/completions", {"prompt": words(20000)}, {400}),
            ("too large", "/v1/completions", {"prompt": "x" * (3 << 20)}, {413}),
            ("no such", "/v1/nothing", {}, {404}),
        ]

    def one(self):
        kind, path, body, statuses = random.choice(self.kinds())
        how = random.choice(("whole", "stream", "stream", "gone"))
        if how != "whole" and isinstance(body, dict):
            body["stream"] = True
        if how == "gone":
            connection = self.server.connect()
            try:
                self.server.send_post(connection, path, body)
                time.sleep(random.choice((0, 0, 0.01, 0.1)))
                if random.random() < 0.5:
                    connection.recv(1000)
            except OSError:
                pass  # refused before all was sent
            connection.close()
            return "gone"
        try:
            status, data = self.server.ask("POST", path, body)
        except (ConnectionResetError, BrokenPipeError):
            if kind == "too large":
                return kind
            raise
        if status not in statuses | {429}:
            raise Finding(f"{kind}: status {status}: {data[:300]}")
        if status == 200 and how == "stream" and b"[DONE]" not in data and b"message_stop" not in data and \
                b"response.completed" not in data and b"response.incomplete" not in data and kind != "tokenize":
            raise Finding(f"{kind}: the stream ends with {data[-300:]}")
        return "refused" if status == 429 else kind

    def client(self, seed):
        random.seed(seed)
        while time.monotonic() < self.end and not self.findings:
            try:
                kind = self.one()
                if random.random() < 0.1:
                    self.server.ask("GET", random.choice(("/", "/page/app.js", "/metrics", "/v1/models", "/load")))
                with self.lock:
                    self.counts[kind] += 1
            except (OSError, http.client.HTTPException, Finding) as error:
                self.findings.append(f"{type(error).__name__}: {error}")

    def run(self):
        watch = Watch(self.server)
        clients = [threading.Thread(target=self.client, args=(i,)) for i in range(10)]
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        health = watch.end()
        if self.findings:
            raise Finding(self.findings[0])
        self.server.wait_until_idle("the soak")
        return (f"{sum(self.counts.values())} requests ({self.counts['gone']} left midway, "
                f"{self.counts['refused']} refused with 429), {health}")


def settled(server):
    """The state once idle connections are gone."""
    server.wait_until_idle("at rest")
    end = time.monotonic() + 10
    state = server.state()
    while time.monotonic() < end:
        time.sleep(0.5)
        last, state = state, server.state()
        if last[1:] == state[1:] and abs(last[0] - state[0]) < 0.1:
            break
    return state


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", nargs="?", type=float, default=600)
    parser.add_argument("--disconnects", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    random.seed(options.seed)
    with tempfile.TemporaryDirectory(prefix="tq-serve-soak-") as folder:
        server = Server(folder)
        failed = False
        try:
            Soak(server, min(30, options.seconds)).run()  # every page of the cache has been used once
            begin = settled(server)
            for part in (lambda: loris(server), lambda: readers(server),
                         lambda: disconnects(server, options.disconnects)):
                print(part(), flush=True)
            middle = settled(server)
            print(Soak(server, options.seconds).run(), flush=True)
            end = settled(server)
            rows = list(zip(("memory", "files", "threads"), begin, middle, end))
            summary = "; ".join(f"{name} {a:.4g}, {b:.4g}, {c:.4g}" for name, a, b, c in rows)
            failed = end[0] > middle[0] + LIMIT_MIB or end[1:] != begin[1:]
            print(f"serve_soak: {options.seconds:.0f} s, at the beginning, before and after the soak: {summary} "
                  f"(MiB); {'something was lost' if failed else 'nothing was lost'}", flush=True)
        except Finding as finding:
            failed = True
            print(f"serve_soak: FOUND (seed {options.seed}): {finding}\n{''.join(server.log)}", flush=True)
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(60)
        if code != 0:
            failed = True
            print(f"serve_soak: FOUND (seed {options.seed}): exit code {code}\n{''.join(server.log)}", flush=True)
    sys.exit(failed)


if __name__ == "__main__":
    main()
