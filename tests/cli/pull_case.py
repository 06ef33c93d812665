"""What tests of tq pull share: a hub on this machine, a cache of their own, and what lies in it."""

import json
import os
import pathlib
import random
import re
import subprocess
import tempfile
import unittest

from cli_support import TQ
from hub_server import Hub, Repository

PROXIES = [name for part in ("http", "https", "all", "no") for name in (f"{part}_proxy", f"{part.upper()}_PROXY")]
CERTIFICATES = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
PLACES = ("XDG_CACHE_HOME", "TRANSFORMERS_OFFLINE")
TOKEN = "hf_secretsecretsecret"
CHUNK = 16 << 20  # of a request: src/hub/download.cpp


def random_bytes(n, seed=1):
    return random.Random(seed).randbytes(n)


def gguf_files(**more):
    return {f"Tiny-{name}.gguf": random_bytes(5000, seed=name) for name in ("Q2_K", "Q4_K_M", "Q8_0")} | more


def without_hub():
    """Whether the build was told to do without tq pull; one that has missed its libraries is a failure."""
    options = (pathlib.Path(os.environ["TQ_BUILD_DIR"]) / "CMakeCache.txt").read_text(encoding="utf-8")
    return re.search(r"^TQ_HUB:\w+=(OFF|FALSE|NO|N|0)$", options, re.MULTILINE | re.IGNORECASE) is not None


class PullCase(unittest.TestCase):
    maxDiff = None

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        self.home = self.dir / "hf"
        self.cache = self.home / "hub"

    def serve(self, repositories):
        hub = Hub({name: files if isinstance(files, Repository) else Repository(files)
                   for name, files in repositories.items()})
        self.enterContext(hub)
        self.hub = hub
        return hub

    def env(self, **more):
        env = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING")) and k not in (*PROXIES, *CERTIFICATES, *PLACES)}
        env |= {"HF_HOME": str(self.home), "HOME": str(self.dir), "NO_PROXY": "127.0.0.1"}
        if hasattr(self, "hub"):
            env["HF_ENDPOINT"] = self.hub.url
        return {k: v for k, v in (env | more).items() if v is not None}

    def tq(self, *args, code=0, before=None, **env):
        done = subprocess.run([TQ, *map(str, args)], capture_output=True, text=True, env=self.env(**env), timeout=120,
                              cwd=self.dir, check=False, preexec_fn=before)
        if "built without libcurl" in done.stderr and without_hub():
            self.skipTest("this tq was built without libcurl, as it was asked to be")
        if code is not None:
            self.assertEqual(done.returncode, code, done)
        return done

    def start(self, *args, **env):
        process = subprocess.Popen([TQ, *map(str, args)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                   env=self.env(**env), cwd=self.dir)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        return process

    def json(self, *args, **env):
        return json.loads(self.tq(*args, "--json", **env).stdout)

    def folder(self, name="org/tiny"):
        return self.cache / ("models--" + name.replace("/", "--"))

    def seen(self, name="org/tiny"):
        """Paths in snapshots whose content is there."""
        top = self.folder(name) / "snapshots"
        return sorted(str(p.relative_to(top)) for p in top.rglob("*") if p.is_file())

    def blobs(self, name="org/tiny"):
        return sorted(p.name for p in (self.folder(name) / "blobs").glob("*"))

    def check_snapshot(self, repository, paths, name="org/tiny"):
        """These files of the repository are there as the cache has them, and nothing else."""
        snapshot = self.folder(name) / "snapshots" / repository.commit
        self.assertEqual(sorted(str(p.relative_to(snapshot)) for p in snapshot.rglob("*") if not p.is_dir()), sorted(paths))
        for path in paths:
            link = os.readlink(snapshot / path)
            up = "../" * (path.count("/") + 2)
            self.assertEqual(link, f"{up}blobs/{repository.hash(path)[0]}")
            self.assertEqual((snapshot / path).read_bytes(), repository.files[path])
        self.assertFalse([b for b in self.blobs(name) if "part" in b or "incomplete" in b])
