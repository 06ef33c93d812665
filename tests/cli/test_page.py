#!/usr/bin/env python3
"""The chat page as it is served, without a browser (test_page_browser.py has one): its files and headers, who gets
them, and what must not stand in them. With node also what becomes of Markdown."""

import pathlib
import re
import shutil
import subprocess
import unittest

from cli_support import tq
from test_serve import MODEL, Server, setUpModule, tearDownModule  # noqa: F401

SOURCE = pathlib.Path(__file__).resolve().parents[2]
PAGE = SOURCE / "src/server/page"
TYPES = {".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
         ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml; charset=utf-8"}
FILES = {("/" if path.name == "index.html" else f"/page/{path.name}"): path for path in PAGE.iterdir()}


class FilesTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = Server()

    @classmethod
    def tearDownClass(cls):
        cls.server.stop()

    def test_files_and_headers(self):
        self.assertGreater(len(FILES), 5)
        for path, file in FILES.items():
            response, text = self.server.send("GET", path)
            self.assertEqual((response.status, text), (200, file.read_text()), path)
            headers = response.headers
            self.assertEqual(headers["Content-Type"], TYPES[file.suffix])
            self.assertEqual(headers["X-Content-Type-Options"], "nosniff")
            self.assertEqual(headers["Cache-Control"], "no-cache")
            self.assertEqual(headers["Referrer-Policy"], "no-referrer")
            policy = dict(rule.split(" ", 1) for rule in headers["Content-Security-Policy"].split("; "))
            self.assertEqual(policy["default-src"], "'none'")
            self.assertEqual(policy["script-src"], "'self'")
            self.assertEqual(policy["connect-src"], "'self'")
            self.assertEqual(policy["frame-ancestors"], "'none'")
            self.assertNotIn("unsafe", headers["Content-Security-Policy"])

    def test_a_file_that_the_browser_has_is_not_sent_again(self):
        tags = set()
        for path, file in FILES.items():
            response, text = self.server.send("HEAD", path)
            self.assertEqual((response.status, text), (200, ""))
            self.assertEqual(response.headers["Content-Length"], str(file.stat().st_size))
            tag = response.headers["ETag"]
            tags.add(tag)
            for known, status in ((tag, 304), (f'"x", W/{tag}', 304), ("*", 304), ('"x"', 200)):
                response, text = self.server.send("GET", path, headers={"If-None-Match": known})
                self.assertEqual((response.status, text == ""), (status, status == 304), known)
                self.assertEqual(response.headers["ETag"], tag)
        self.assertEqual(len(tags), len(FILES))

    def test_what_is_not_there(self):
        for path in ("/page/", "/page/index.html", "/page/../openapi.json", "/page/nothing.js", "/index.html"):
            self.assertEqual(self.server.send("GET", path)[0].status, 404, path)
        self.assertEqual(self.server.send("POST", "/", {})[0].status, 405)
        for headers in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
            self.assertEqual(self.server.send("GET", "/", headers=headers)[0].status, 403)


class KeyTest(unittest.TestCase):
    def test_only_the_page_needs_no_key(self):
        server = Server("--api-key", "secret")
        for path in FILES:
            self.assertEqual(server.send("GET", path)[0].status, 200, path)
            self.assertEqual(server.send("HEAD", path)[0].status, 200, path)
            self.assertEqual(server.send("POST", path, {})[0].status, 401, path)
        for path in ("/v1/models", "/openapi.json", "/metrics", "/pagex", "/nothing"):
            self.assertEqual(server.send("GET", path)[0].status, 401, path)
        server.stop()

    def test_a_server_without_a_page(self):
        server = Server("--no-page", "--api-key", "secret")
        for path in FILES:
            self.assertEqual(server.send("GET", path)[0].status, 401, path)
            headers = {"Authorization": "Bearer secret"}
            self.assertEqual(server.send("GET", path, headers=headers)[0].status, 404, path)
        server.stop()
        self.assertIn("--no-page", tq("serve", "--help").stdout)


class SourceTest(unittest.TestCase):
    def test_nothing_comes_from_elsewhere(self):
        for file in FILES.values():
            text = file.read_text().replace('xmlns="http://www.w3.org/2000/svg"', "")
            self.assertEqual(re.findall(r"(?:https?:|[\"'(])//[\w.-]+", text), [], file)
            for source in re.findall(r"""(?:src=|href=|from |fetch\(|url\(|import\()["']([^"']+)["']""", text):
                self.assertRegex(source, r"^(page/[\w.]+|\./[\w.]+|#\w+)$", file)

    def test_text_never_becomes_markup_or_code(self):
        for file in FILES.values():
            text = file.read_text()
            for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function",
                         "DOMParser", "srcdoc", "javascript:", " style=", " onclick"):
                if not (file.name == "markdown.js" and word == "javascript:"):  # which it refuses
                    self.assertNotIn(word, text, file)

    def test_markdown(self):
        node = shutil.which("node")
        if not node:
            self.skipTest("there is no node; test_page_browser.py runs the same cases")
        done = subprocess.run([node, SOURCE / "tests/page/markdown.mjs"], capture_output=True, text=True,
                              timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)


if __name__ == "__main__":
    unittest.main()
