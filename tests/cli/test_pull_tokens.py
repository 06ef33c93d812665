#!/usr/bin/env python3
"""tq pull: who gets the token, gated and private repositories, certificates, https that stays https."""

import shutil
import subprocess
import unittest

from hub_server import Hub, Repository
from pull_case import CERTIFICATES, TOKEN, PullCase, gguf_files


@unittest.skipIf(shutil.which("openssl") is None, "no openssl, which makes the certificate")
class Https(PullCase):
    def setUp(self):
        super().setUp()
        self.pem = self.dir / "own.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", self.dir / "own.key", "-out", self.pem, "-days", "2", "-subj", "/CN=localhost",
                        "-addext", "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        both = self.dir / "both.pem"
        both.write_bytes(self.pem.read_bytes() + (self.dir / "own.key").read_bytes())
        self.hub = self.enterContext(Hub({"org/tiny": Repository(gguf_files())}, certificate=both))

    def test_certificates_are_checked(self):
        self.hub.redirect = None
        done = self.tq("pull", "org/tiny", code=6)
        self.assertIn("certificate", done.stderr)
        self.assertEqual(self.hub.log, [])
        for name in CERTIFICATES:
            self.tq("pull", "org/tiny", **{name: str(self.pem)})

    def test_never_from_https_to_http(self):
        done = self.tq("pull", "org/tiny", code=6, SSL_CERT_FILE=str(self.pem))
        self.assertIn("redirected from https to http", done.stderr)
        self.assertEqual(self.hub.requests("files"), [])
        self.assertEqual(self.seen(), [])


class Tokens(PullCase):
    def setUp(self):
        super().setUp()
        self.files = gguf_files()
        self.serve({"org/gated": Repository(self.files, gated=True), "org/open": Repository(self.files),
                    "org/private": Repository(self.files, private=True)})
        self.hub.token = TOKEN

    def test_gated(self):
        done = self.tq("pull", "org/gated", code=5)
        self.assertIn(f"accept its licence at {self.hub.url}/org/gated", done.stderr)
        self.assertIn("HF_TOKEN", done.stderr)
        self.hub.repositories["org/gated"].gated = "refused"
        self.assertIn("awaits a review", self.tq("pull", "org/gated", code=5, HF_TOKEN=TOKEN).stderr)
        self.hub.repositories["org/gated"].gated = True
        self.tq("pull", "org/gated", HF_TOKEN=TOKEN)

    def test_private(self):
        self.assertIn("private", self.tq("pull", "org/private", code=3).stderr)
        self.tq("pull", "org/private", HF_TOKEN=TOKEN)
        self.assertIn("no such repository", self.tq("pull", "org/none", code=3, HF_TOKEN=TOKEN).stderr)

    def test_wrong_tokens_are_not_shown(self):
        done = self.tq("pull", "org/open", code=2, HF_TOKEN="hf_otherother")
        self.assertIn("does not accept the token", done.stderr)
        self.assertNotIn("otherother", done.stderr)
        done = self.tq("pull", "org/open", code=2, HF_TOKEN="hf_other\nX-Evil: 1")
        self.assertIn("HF_TOKEN holds characters", done.stderr)
        self.assertNotIn("hf_other", done.stderr)

    def test_tokens_go_to_the_hub_only(self):
        self.tq("pull", "org/private", HF_TOKEN=TOKEN)
        sent = {headers.get("authorization") for _, _, headers in self.hub.requests("hub")}
        self.assertEqual(sent, {f"Bearer {TOKEN}"})
        self.assertTrue(self.hub.requests("files"))
        for _, _, headers in self.hub.requests("files"):
            self.assertNotIn("authorization", headers)

    def test_token_files(self):
        self.home.mkdir()
        (self.home / "token").write_text(TOKEN + "\n")
        self.tq("pull", "org/private")
        self.tq("rm", "org/private")
        self.tq("pull", "org/private", code=3, HF_HUB_DISABLE_IMPLICIT_TOKEN="1")
        self.tq("pull", "org/private", code=3, HF_TOKEN=TOKEN, HF_HUB_DISABLE_IMPLICIT_TOKEN="1")
        (self.dir / "t").write_text(TOKEN)
        (self.home / "token").unlink()
        self.tq("pull", "org/private", HF_TOKEN_PATH=str(self.dir / "t"))


if __name__ == "__main__":
    unittest.main()
