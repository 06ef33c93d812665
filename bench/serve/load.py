#!/usr/bin/env python3
"""Puts load on a running `tq serve`: closed loop, so many streams at a time. Python's standard library only.
    load.py URL [-c CONCURRENCY] [-r REQUESTS] [-n TOKENS] [-p PROMPT_WORDS] [--health]
Prints one JSON object: tokens/s of all answers together, time to the first token, time between tokens, and with
--health how long GET /health takes meanwhile (one request after the other on a connection of its own)."""

import argparse
import http.client
import json
import statistics
import threading
import time
import urllib.parse


def percentiles(values):
    if not values:
        return None
    values = sorted(values)
    return {"mean": round(statistics.mean(values), 3),
            **{f"p{p}": round(values[min(len(values) - 1, len(values) * p // 100)], 3) for p in (50, 90, 99)},
            "max": round(values[-1], 3)}


class Load:
    def __init__(self, options):
        self.options = options
        url = urllib.parse.urlparse(options.url)
        self.address = (url.hostname, url.port)
        self.lock = threading.Lock()
        self.left = options.r
        self.tokens, self.failed = 0, 0
        self.first, self.between, self.health = [], [], []
        self.over = False

    def connect(self):
        return http.client.HTTPConnection(*self.address, timeout=3600)

    def client(self, number):
        connection = self.connect()
        while True:
            with self.lock:
                if self.left == 0:
                    return
                self.left -= 1
                number += self.options.c
            try:
                self.request(connection, number)
            except OSError:
                with self.lock:
                    self.failed += 1
                connection = self.connect()

    def request(self, connection, number):
        body = {"prompt": f"Request {number}: " + "word " * self.options.p, "max_tokens": self.options.n,
                "temperature": 0, "ignore_eos": True, "stream": True, "stream_options": {"include_usage": True}}
        begun = last = time.perf_counter()
        connection.request("POST", "/v1/completions", json.dumps(body), {"Content-Type": "application/json"})
        response = connection.getresponse()
        if response.status != 200:
            response.read()
            raise OSError(response.status)
        first, between, tokens = None, [], 0
        for line in response:
            if not line.startswith(b"data: {"):
                continue
            now = time.perf_counter()
            if first is None:
                first = now - begun
            else:
                between.append(now - last)
            last = now
            if b'"choices":[]' in line:
                tokens = json.loads(line[6:])["usage"]["completion_tokens"]
        with self.lock:
            self.tokens += tokens
            self.first.append(first * 1e3)
            self.between += [seconds * 1e3 for seconds in between]

    def watch_health(self):
        connection = self.connect()
        while not self.over:
            begun = time.perf_counter()
            connection.request("GET", "/health")
            assert connection.getresponse().read() == b'{"status":"ok"}'
            self.health.append((time.perf_counter() - begun) * 1e3)
            time.sleep(0.02)

    def run(self):
        clients = [threading.Thread(target=self.client, args=(i,)) for i in range(self.options.c)]
        watcher = threading.Thread(target=self.watch_health)
        begun = time.perf_counter()
        for client in clients:
            client.start()
        if self.options.health:
            watcher.start()
        for client in clients:
            client.join()
        seconds = time.perf_counter() - begun
        self.over = True
        if self.options.health:
            watcher.join()
        print(json.dumps({"concurrency": self.options.c, "completed": len(self.first), "failed": self.failed,
                          "seconds": round(seconds, 2), "tokens_per_s": round(self.tokens / seconds, 1),
                          "first_token_ms": percentiles(self.first), "between_tokens_ms": percentiles(self.between),
                          "health_ms": percentiles(self.health)}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("-c", type=int, default=4)
    parser.add_argument("-r", type=int, default=16)
    parser.add_argument("-n", type=int, default=128)
    parser.add_argument("-p", type=int, default=8)
    parser.add_argument("--health", action="store_true")
    Load(parser.parse_args()).run()
