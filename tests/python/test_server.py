#!/usr/bin/env python3
"""turboquant.Server and serve: they answer as tq serve does, and end when they are told to."""

import json
import re
import signal
import subprocess
import sys
import threading
import unittest
import urllib.error
import urllib.request

import turboquant
from support import CPU, ModelTest

TEXT = {"prompt": "abc", "temperature": 0, "max_tokens": 8}
LONG = {"prompt": "abc", "max_tokens": 60000, "ignore_eos": True}


def post(url, body, **headers):
    request = urllib.request.Request(url + "/v1/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json", **headers})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


class ServerTest(ModelTest):
    def server(self, **options):
        try:
            return turboquant.Server(self.model, port=0, **CPU, **options)
        except turboquant.UnsupportedError as error:
            self.skipTest(str(error))

    def test_answers(self):
        with self.server(api_key="secret", served_model_name=["small"]) as server:
            self.assertEqual(server.url, f"http://127.0.0.1:{server.port}")
            with self.assertRaises(urllib.error.HTTPError) as caught:
                post(server.url, TEXT)
            self.assertEqual(caught.exception.code, 401)
            caught.exception.close()
            said = post(server.url, TEXT, Authorization="Bearer secret")
            with turboquant.LLM(str(self.model), **CPU) as llm:
                self.assertEqual(said["choices"][0]["text"], llm.generate("abc", temp=0, max_tokens=8).text)
            self.assertEqual(said["model"], "small")
            self.assertEqual(server.n_open, 0)
            server.check()
            url = server.url
        with self.assertRaises(turboquant.CancelledError):
            server.port
        with self.assertRaises(urllib.error.URLError):
            post(url, TEXT)

    def test_drain(self):
        with self.server() as server:
            got = []

            def ask():
                try:
                    post(server.url, LONG)
                except urllib.error.HTTPError as error:
                    got.append(error.code)
                    error.close()

            thread = threading.Thread(target=ask)
            thread.start()
            while server.n_open == 0:
                pass
            self.assertFalse(server.drain(timeout=0.1))
            with self.assertRaises(urllib.error.HTTPError) as caught:
                post(server.url, TEXT)
            self.assertEqual(caught.exception.code, 503)
            caught.exception.close()
        thread.join(30)
        self.assertEqual(got, [503])

    def test_refused(self):
        for options, part in (({"prot": 1}, "prot"), ({"port": 70000}, "port"), ({"tls_cert": "a"}, "tls-key"),
                              ({"idle_timeout": 0}, "idle_timeout"), ({"max_queue": -1}, "max_queue")):
            with self.assertRaisesRegex(turboquant.InvalidArgumentError, part):
                turboquant.Server(self.model, **options)
        with self.server() as server, self.assertRaises(turboquant.IoError):
            turboquant.Server(self.model, port=server.port)

    def test_serve(self):
        self.server().close()
        code = f"import turboquant\nturboquant.serve({str(self.model)!r}, port=0, device='cpu', threads=1)\n"
        process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        url = re.match(r"listening on (http://\S+)", process.stdout.readline())[1]
        self.assertEqual(post(url, TEXT)["usage"]["completion_tokens"], 8)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
        self.assertEqual((process.returncode, errors), (0, ""))


if __name__ == "__main__":
    unittest.main()
