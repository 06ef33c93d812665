#!/usr/bin/env python3
"""One cache for two: what tq pulled is found by the package huggingface_hub, and what that fetched by tq. TQ_HUB_PACKAGE is
a folder that has the package (pip install --target DIR huggingface_hub); scripts/test.sh --extended sets it."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

from cli_support import TQ, make_model
from hub_server import Hub, Repository
from pull_case import PROXIES, gguf_files, random_bytes

PACKAGE = os.environ.get("TQ_HUB_PACKAGE", "")


@unittest.skipUnless(pathlib.Path(PACKAGE, "huggingface_hub").is_dir(),
                     "TQ_HUB_PACKAGE names no folder with huggingface_hub; scripts/test.sh --extended does")
class HubPackage(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = pathlib.Path(folder.name)
        files = {p.name: p.read_bytes() for p in make_model(self.dir / "local").iterdir()}
        self.model = Repository(files | {"additional_chat_templates/tool.jinja": b"{{ x }}"})
        self.gguf = Repository(gguf_files(**{"Q6_K/Tiny-Q6_K.gguf": random_bytes(200_000)}))
        self.hub = self.enterContext(Hub({"org/tiny": self.model, "org/gguf": self.gguf}))
        self.env = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and k not in PROXIES}
        self.env |= {"HF_ENDPOINT": self.hub.url, "HF_HOME": str(self.dir / "hf"), "PYTHONPATH": PACKAGE,
                     "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1", "NO_PROXY": "127.0.0.1"}

    def tq(self, *args, **env):
        done = subprocess.run([TQ, *map(str, args), "--json"], capture_output=True, text=True, env=self.env | env,
                              timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done)
        return json.loads(done.stdout)

    def python(self, code, **env):
        """What the code prints as JSON, run with the package."""
        done = subprocess.run([sys.executable, "-c", "import json, huggingface_hub as hub\n" + code], capture_output=True,
                              text=True, env=self.env | env, timeout=120, check=False)
        self.assertEqual(done.returncode, 0, done)
        return json.loads(done.stdout.splitlines()[-1])

    def test_what_tq_pulled(self):
        path = self.tq("pull", "org/tiny")["path"]
        gguf = self.tq("pull", "org/gguf:Q6_K")["path"]
        self.hub.forget()
        found = self.python("""print(json.dumps([
            hub.snapshot_download("org/tiny", local_files_only=True),
            hub.hf_hub_download("org/tiny", "config.json", local_files_only=True),
            hub.hf_hub_download("org/gguf", "Q6_K/Tiny-Q6_K.gguf", local_files_only=True),
            hub.try_to_load_from_cache("org/gguf", "Tiny-Q8_0.gguf")]))""")
        self.assertEqual(found, [path, f"{path}/config.json", gguf, None])
        self.assertEqual(self.hub.log, [])
        # Online, too, nothing of it is fetched again.
        self.assertEqual(self.python("""print(json.dumps(hub.snapshot_download("org/tiny")))"""), path)
        self.assertEqual(self.hub.body_bytes, 0)
        sizes = self.python("""cache = hub.scan_cache_dir()
assert not cache.warnings, cache.warnings
print(json.dumps({r.repo_id: [r.size_on_disk, r.nb_files, sorted(r.refs)] for r in cache.repos}))""")
        tiny = [sum(map(len, self.model.files.values())), len(self.model.files), ["main"]]
        self.assertEqual(sizes, {"org/tiny": tiny, "org/gguf": [200_000, 1, ["main"]]})

    def test_what_the_package_fetched(self):
        path = self.python("""hub.hf_hub_download("org/gguf", "Q6_K/Tiny-Q6_K.gguf")
print(json.dumps(hub.snapshot_download("org/tiny")))""")
        self.hub.forget()
        rows = {row["model"]: row for row in self.tq("list")["models"]}
        self.assertEqual(set(rows), {"org/tiny", "org/gguf:Q6_K"})
        self.assertEqual([row["missing"] for row in rows.values()], ["", ""])
        self.assertEqual(rows["org/tiny"]["path"], path)
        ids = self.tq("run", "org/tiny", "hello", "-n", 5, HF_HUB_OFFLINE="1")["ids"]
        self.assertEqual(ids, self.tq("run", self.dir / "local", "hello", "-n", 5)["ids"])
        self.assertEqual(self.hub.log, [])
        for name in ("org/tiny", "org/gguf:Q6_K"):
            self.assertEqual(self.tq("pull", name)["fetched_bytes"], 0)
        self.tq("rm", "org/tiny")
        self.assertEqual(self.python("""print(json.dumps([r.repo_id for r in hub.scan_cache_dir().repos]))"""), ["org/gguf"])

    def test_each_goes_on_after_the_other(self):
        # Configuration first, as other programs read it; then all by tq; then what the package still lacks.
        self.python("""print(json.dumps(hub.hf_hub_download("org/tiny", "config.json")))""")
        small = len(self.model.files["config.json"])
        total = sum(map(len, self.model.files.values()))
        self.assertEqual(self.tq("pull", "org/tiny")["fetched_bytes"], total - small)
        self.hub.forget()
        self.python("""print(json.dumps(hub.snapshot_download("org/tiny")))""")
        self.assertEqual(self.hub.body_bytes, 0)
        # A snapshot whose blobs the package's user removed.
        shutil.rmtree(self.dir / "hf/hub/models--org--tiny/blobs")
        self.assertEqual(self.tq("pull", "org/tiny")["fetched_bytes"], total)


if __name__ == "__main__":
    unittest.main()
