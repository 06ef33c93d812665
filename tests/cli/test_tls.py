#!/usr/bin/env python3
"""tq serve and tq bench serve over TLS: answers, old versions, certificates, clients that say nothing or go."""

import http.client
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import unittest

import test_serve
from cli_support import tq
from test_serve import LONG, MODEL, Server, read_until, start_of_post

FOLDER = tempfile.TemporaryDirectory()
PATH = pathlib.Path(FOLDER.name)


def make_certificate(name, kind=("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")):
    """Of localhost, signed by itself."""
    done = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", *kind, "-nodes",
         "-keyout", PATH / f"{name}.key", "-out", PATH / f"{name}.pem", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"], capture_output=True, text=True)
    assert done.returncode == 0, done


def setUpModule():
    test_serve.setUpModule()
    if shutil.which("openssl") is None:
        raise unittest.SkipTest("no openssl, which makes the certificates")
    make_certificate("own")
    make_certificate("other")
    make_certificate("rsa", ("rsa:2048",))
    if "without TLS" in serve_fails("own.pem", "own.key").stderr:
        raise unittest.SkipTest("built without TLS")


def tearDownModule():
    FOLDER.cleanup()


def serve_fails(cert, key):
    return tq("serve", "/nowhere/model", "--port", "0", "--tls-cert", PATH / cert, "--tls-key", PATH / key)


def context(**changes):
    made = ssl.create_default_context(cafile=PATH / "own.pem")
    for name, value in changes.items():
        setattr(made, name, value)
    return made


class TlsTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server("--tls-cert", PATH / "own.pem", "--tls-key", PATH / "own.key", "--header-timeout", 1,
                            "--max-body", "1MiB", "--max-num-seqs", 4)
        cls.url = f"https://localhost:{cls.server.port}"

    @classmethod
    def tearDownClass(cls):
        assert cls.server.stop() == 0

    def connect(self, **changes):
        plain = socket.create_connection(("127.0.0.1", self.server.port), timeout=30)
        return context(**changes).wrap_socket(plain, server_hostname="localhost")

    def client(self):
        return http.client.HTTPSConnection("localhost", self.server.port, timeout=60, context=context())

    def ask(self, client, method, path, body=None):
        client.request(method, path, json.dumps(body) if body else None, {"Content-Type": "application/json"})
        response = client.getresponse()
        return response.status, response.read().decode()

    def test_answers_and_streams_on_one_connection(self):
        self.assertTrue(any("listening on https://" in line for line in self.server.log))
        client = self.client()
        ask = {"prompt": "abc", "max_tokens": 20, "temperature": 0, "ignore_eos": True}
        for _ in range(2):
            self.assertEqual(self.ask(client, "GET", "/health"), (200, '{"status":"ok"}'))
            status, whole = self.ask(client, "POST", "/v1/completions", ask)
            self.assertEqual(status, 200, whole)
            _, events = self.ask(client, "POST", "/v1/completions", {**ask, "stream": True})
            chunks = [json.loads(event[6:]) for event in events.split("\n\n")[:-2]]
            self.assertEqual("".join(choice["text"] for chunk in chunks for choice in chunk["choices"]),
                             json.loads(whole)["choices"][0]["text"])
        client.close()

    def test_large_bodies_and_limits(self):
        client = self.client()
        status, text = self.ask(client, "POST", "/tokenize", {"prompt": "abc " * 100_000})
        self.assertEqual((status, json.loads(text)["count"]), (200, 400_001))
        self.assertEqual(self.ask(client, "POST", "/tokenize", {"prompt": "abc " * 500_000})[0], 413)
        client.close()

    def test_requests_may_come_one_behind_the_other(self):
        with self.connect() as connection:
            get = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
            connection.sendall(get * 2000)
            data = b""
            while data.count(b"HTTP/1.1 200 OK") < 2000:
                data += connection.recv(65536)

    def test_versions(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            with self.connect(minimum_version=version, maximum_version=version) as connection:
                connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
                read_until(connection, b'{"status":"ok"}')
        old = context()
        old.set_ciphers("DEFAULT@SECLEVEL=0")
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1
        plain = socket.create_connection(("127.0.0.1", self.server.port), timeout=30)
        with self.assertRaises(ssl.SSLError):
            old.wrap_socket(plain, server_hostname="localhost")
        plain.close()

    def test_who_says_nothing_or_something_else_is_cut_off(self):
        for sent in (b"", b"\x16\x03\x01", b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            connection = socket.create_connection(("127.0.0.1", self.server.port), timeout=30)
            connection.sendall(sent)
            data = test_serve.read_all(connection)
            self.assertNotIn(b"HTTP", data)
        with self.connect() as connection:  # after the handshake the same limit holds for headers
            self.assertIn(b" 408 ", connection.recv(65536))

    def test_a_client_that_goes_frees_what_it_used(self):
        body = json.dumps({"prompt": "a", "max_tokens": LONG, "ignore_eos": True, "stream": True}).encode()
        post = start_of_post(f"Content-Length: {len(body)}\r\n") + body
        for politely in (True, False):
            connections = [self.connect() for _ in range(6)]
            for connection in connections:
                connection.sendall(post)
            for connection in connections[:3]:
                read_until(connection, b"data:")
            for connection in connections:
                if politely:
                    connection.setblocking(False)
                    try:
                        connection.unwrap()
                    except (ssl.SSLError, OSError):
                        pass
                connection.close()
            self.wait_until_idle()

    def wait_until_idle(self):
        client = self.client()
        for _ in range(600):
            if self.ask(client, "GET", "/load")[1] == '{"server_load":0}':
                return client.close()
            time.sleep(0.05)
        self.fail("some requests never end")

    def test_many_at_a_time(self):
        results = []

        def run():
            client = self.client()
            ask = {"prompt": "ab", "max_tokens": 8, "temperature": 0}
            results.append(self.ask(client, "POST", "/v1/completions", ask)[0])
            client.close()

        threads = [threading.Thread(target=run) for _ in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(results, [200] * 32)

    def test_bench(self):
        options = ["-c", "2", "-r", "4", "-n", "4", "--input-len", "8", "--quiet", "--json"]
        for trust in (["--ca", PATH / "own.pem"], ["--insecure"]):
            done = tq("bench", "serve", self.url, *options, *trust)
            self.assertEqual(done.returncode, 0, done)
            result = json.loads(done.stdout)
            self.assertEqual(result["url"], self.url)
            self.assertEqual(result["results"][0]["completed"], 4)
        for url, trust, reason in ((self.url, [], "certificate"), (self.url, ["--ca", PATH / "other.pem"], "certificate"),
                                   (self.url.replace("localhost", "127.0.0.1"), ["--ca", PATH / "own.pem"], "IP")):
            done = tq("bench", "serve", url, *options, *trust)
            self.assertEqual(done.returncode, 6, done)
            self.assertIn("TLS: certificate verify failed", done.stderr)
            self.assertIn(reason, done.stderr)


class FileTest(unittest.TestCase):
    def test_files_that_do_not_fit(self):
        (PATH / "none.pem").write_text("nothing\n")
        for cert, key, names in (("missing.pem", "own.key", "missing.pem"), ("own.pem", "missing.key", "missing.key"),
                                 ("none.pem", "own.key", "none.pem"), ("own.pem", "none.pem", "none.pem"),
                                 ("own.pem", "other.key", "is not the key of"),
                                 ("rsa.pem", "own.key", "is not the key of")):
            done = serve_fails(cert, key)
            self.assertNotEqual(done.returncode, 0, done)
            self.assertIn(names, done.stderr)
        subprocess.run(["openssl", "pkey", "-in", PATH / "own.key", "-aes128", "-passout", "pass:secret", "-out",
                        PATH / "locked.key"], check=True, capture_output=True)
        self.assertIn("password", serve_fails("own.pem", "locked.key").stderr)

    def test_one_without_the_other(self):
        done = tq("serve", MODEL, "--port", "0", "--tls-cert", PATH / "own.pem")
        self.assertEqual(done.returncode, 2, done)
        self.assertIn("--tls-key", done.stderr)


if __name__ == "__main__":
    unittest.main()
