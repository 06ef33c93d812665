#!/usr/bin/env python3
"""tq pull, list and rm against hubs that lie, what others left in the cache, and what happens to it meanwhile."""

import json
import signal
import time
import unittest

from cli_support import make_model
from hub_server import Repository
from pull_case import CHUNK, TOKEN, PullCase, gguf_files, random_bytes


def listing(commit, *siblings):
    return json.dumps({"sha": commit, "siblings": list(siblings)}).encode()


class Lies(PullCase):
    """A hub, or a mirror of it, that is not honest."""

    def setUp(self):
        super().setUp()
        self.repository = Repository(gguf_files())
        self.serve({"org/tiny": self.repository})

    def test_no_redirect_gives_the_token_away(self):
        # The hub's host for parsers to which a backslash ends the host, another one for libcurl.
        self.hub.redirect = "disguised"
        self.hub.token = TOKEN
        done = self.tq("pull", "org/tiny", code=6, HF_TOKEN=TOKEN)
        self.assertIn("no address of the web", done.stderr)
        self.assertEqual(self.hub.requests("files"), [])

    def test_a_pinned_commit_is_that_commit(self):
        bad = Repository({path: data[::-1] for path, data in self.repository.files.items()})
        pinned = f"org/tiny:{self.repository.commit}:Q4_K_M"
        self.hub.api_text = listing(bad.commit, *map(bad.sibling, bad.files))
        done = self.tq("pull", pinned, code=4)
        self.assertIn(f"answers with commit {bad.commit}", done.stderr)
        self.assertFalse(self.folder().exists())
        self.hub.api_text = None
        self.tq("pull", pinned)
        self.check_snapshot(self.repository, ["Tiny-Q4_K_M.gguf"])
        (self.folder() / "refs" / self.repository.commit).write_text(bad.commit)  # of another program
        (self.folder() / "snapshots" / bad.commit).mkdir()
        self.assertEqual(self.json("pull", pinned, HF_HUB_OFFLINE="1")["commit"], self.repository.commit)

    def test_another_content_of_the_same_size_does_not_stay(self):
        evil = Repository({"Tiny-Q4_K_M.gguf": b"E" * 5000})
        evil.commit = self.repository.commit
        self.hub.repositories["org/tiny"] = evil
        self.tq("pull", "org/tiny")
        self.hub.repositories["org/tiny"] = self.repository
        self.assertEqual(self.json("pull", "org/tiny")["fetched_bytes"], 5000)
        self.assertEqual((self.folder() / "snapshots" / evil.commit / "Tiny-Q4_K_M.gguf").read_bytes(),
                         self.repository.files["Tiny-Q4_K_M.gguf"])

    def test_sizes_that_no_sum_holds(self):
        parts = [{"rfilename": f"m-{i:05d}-of-00005.gguf", "size": 1, "lfs": {"sha256": str(i) * 64, "size": (2**63 - 1) // 4}}
                 for i in range(1, 6)]
        self.hub.api_text = listing(self.repository.commit, *parts)
        self.assertIn("more bytes than", self.tq("pull", "org/tiny", code=4).stderr)
        self.assertEqual(self.hub.requests("hub", "resolve"), [])

    def test_one_content_with_two_sizes(self):
        one = self.repository.sibling("Tiny-Q4_K_M.gguf")
        other = one | {"rfilename": "Tiny-Q8_0.gguf", "lfs": one["lfs"] | {"size": 9000}}
        self.hub.api_text = listing(self.repository.commit, one, other)
        self.assertIn("two sizes", self.tq("pull", "org/tiny", code=4).stderr)

    def test_headers_of_redirects_are_not_the_answers(self):
        # The hub's own Retry-After on the way is not the other host's, which has none.
        self.hub.redirect_headers = {"Retry-After": "86400"}
        self.hub.links_busy = 1
        self.tq("pull", "org/tiny")
        self.check_snapshot(self.repository, ["Tiny-Q4_K_M.gguf"])


class Network(PullCase):
    def test_passwords_of_proxies_are_not_shown(self):
        self.serve({"org/tiny": Repository(gguf_files())})
        for env in ({"HF_ENDPOINT": "http://hub.invalid", "http_proxy": "foo://user:secretpw@127.0.0.1:9"},
                    {"HF_ENDPOINT": "https://hub.invalid", "HTTPS_PROXY": "http://user:secretpw@127.0.0.1:999999"}):
            done = self.tq("pull", "org/tiny", code=6, NO_PROXY=None, **env)
            self.assertIn("the proxy that is set", done.stderr)
            self.assertNotIn("secretpw", done.stderr)

    def test_redirects_to_https_take_its_proxy(self):
        hub = self.serve({"org/tiny": Repository(gguf_files())})
        hub.redirect = "https"
        pull = self.start("pull", "org/tiny", HF_ENDPOINT="http://hub.invalid", NO_PROXY=None, HTTP_PROXY=hub.url,
                          HTTPS_PROXY=hub.files_url)
        deadline = time.monotonic() + 20
        while not hub.requests("files", "files.invalid:443"):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        pull.kill()
        self.assertIn("/api/models/", hub.requests("hub")[0][1])

    def test_a_login_page_takes_nothing_away(self):
        data = random_bytes(3 * CHUNK)
        repository = Repository({"Big-Q4_K_M.gguf": data})
        hub = self.serve({"org/tiny": repository})
        blobs = self.folder() / "blobs"
        blobs.mkdir(parents=True)
        part = blobs / (repository.hash("Big-Q4_K_M.gguf")[0] + ".tq-part")
        part.write_bytes(data[:2 * CHUNK])
        (blobs / (part.name + ".json")).write_text(json.dumps({"size": 3 * CHUNK, "ranges": [[0, 2 * CHUNK]]}))
        hub.login_pages = 1
        self.assertEqual(self.json("pull", "org/tiny", "--progress", "off")["fetched_bytes"], CHUNK)
        self.check_snapshot(repository, ["Big-Q4_K_M.gguf"])

    def test_connections_that_fail_together_fail_once(self):
        repository = Repository({"Big-Q4_K_M.gguf": random_bytes(8 * CHUNK)})
        hub = self.serve({"org/tiny": repository})
        hub.barrier(8)  # answered when all eight have come
        hub.fail = [(503, {"Retry-After": "0"})] * 8
        self.tq("pull", "org/tiny", "--progress", "off")
        self.check_snapshot(repository, ["Big-Q4_K_M.gguf"])

    def test_paths_are_not_asked_for(self):
        self.serve({})
        (self.dir / "models").mkdir()
        for env in ({}, {"HF_HUB_OFFLINE": "1"}):
            done = self.tq("run", "modles/x.gguf", "hello", code=3, **env)
            self.assertIn("modles/x.gguf: no such file or folder", done.stderr)
        self.assertEqual(self.hub.log, [])
        done = self.tq("run", "modles/x", "hello", code=3)  # which may be either
        self.assertIn("modles/x: no such file or folder, and as a name of the hub: ", done.stderr)


class Cache(PullCase):
    def test_a_longer_part_of_before(self):
        repository = Repository(gguf_files())
        self.serve({"org/tiny": repository})
        blobs = self.folder() / "blobs"
        blobs.mkdir(parents=True)
        (blobs / (repository.hash("Tiny-Q4_K_M.gguf")[0] + ".tq-part")).write_bytes(b"E" * 6000)
        self.tq("pull", "org/tiny")
        self.check_snapshot(repository, ["Tiny-Q4_K_M.gguf"])

    def test_nothing_is_removed_while_it_is_pulled(self):
        first = {"x-Q4_K_M-00001-of-00002.gguf": b"A" * 5000}
        old = Repository(first | {"x-Q4_K_M-00002-of-00002.gguf": b"B" * 5000}, revisions=["v1"])
        new = Repository(first | {"x-Q4_K_M-00002-of-00002.gguf": random_bytes(2 * CHUNK)})
        hub = self.serve({"org/tiny": old})
        self.tq("pull", "org/tiny:v1")
        hub.repositories["org/tiny"] = new
        hub.forget()
        hub.delay = 0.02
        pull = self.start("pull", "org/tiny", "--progress", "off")
        hub.wait_for_bytes(1 << 20)
        self.assertIn("is being fetched", self.tq("rm", "org/tiny:v1", code=2).stderr)
        hub.delay = 0
        pull.communicate(timeout=60)
        self.assertEqual(pull.returncode, 0)
        self.check_snapshot(new, list(new.files))
        self.tq("rm", "org/tiny:v1")
        self.check_snapshot(new, list(new.files))

    def test_the_rest_of_a_model_is_fetched(self):
        files = {p.name: p.read_bytes() for p in make_model(self.dir / "local").iterdir()}
        weights = files.pop("model.safetensors")
        index = {"weight_map": {"w": "model-00001-of-00001.safetensors"}}
        files |= {"model.safetensors.index.json": json.dumps(index).encode(), "model-00001-of-00001.safetensors": weights}
        hub = self.serve({"org/tiny": files})
        self.tq("pull", "org/tiny", "--include", "model*")
        self.assertIn("config.json is missing", self.tq("list").stdout)
        hub.forget()
        self.tq("run", "org/tiny", "hello", "-n", 1, code=None)
        self.assertTrue(hub.requests("hub", "config.json"))

    def test_config_json_comes_last(self):
        files = {p.name: p.read_bytes() for p in make_model(self.dir / "local").iterdir()}
        repository = Repository(files)
        self.serve({"org/tiny": repository})
        snapshot = self.folder() / "snapshots" / repository.commit
        (snapshot / "model.safetensors/in the way").mkdir(parents=True)
        self.tq("pull", "org/tiny", code=6)
        self.assertEqual(sorted(p.name for p in snapshot.iterdir() if p.is_file()),
                         sorted(set(files) - {"model.safetensors", "config.json"}))

    def test_branches_in_each_others_way(self):
        hub = self.serve({"org/tiny": Repository(gguf_files(), revisions=["f", "f/x"])})
        self.tq("pull", "org/tiny:f")
        hub.forget()
        self.assertIn("a branch or tag f of before", self.tq("pull", "org/tiny:f/x", code=2).stderr)
        self.assertEqual(hub.requests("hub", "resolve"), [])

    def test_one_of_two_names(self):
        repository = Repository(gguf_files(), revisions=["main", "v1"])
        self.serve({"org/tiny": repository})
        self.tq("pull", "org/tiny")
        self.tq("pull", "org/tiny:v1")
        self.assertIn("the name removed", self.tq("rm", "org/tiny:v1").stdout)
        self.check_snapshot(repository, ["Tiny-Q4_K_M.gguf"])
        self.assertTrue((self.folder() / "refs/main").exists())

    def test_what_an_interrupted_pull_leaves(self):
        hub = self.serve({"org/tiny": {"Big-Q4_K_M.gguf": random_bytes(CHUNK)}})
        hub.delay = 0.01
        pull = self.start("pull", "org/tiny")
        hub.wait_for_bytes(1 << 20)
        pull.send_signal(signal.SIGINT)
        pull.communicate(timeout=60)
        self.assertIn("`tq rm org/tiny` removes what", self.tq("rm", "org/tiny:Q4_K_M", code=3).stderr)


if __name__ == "__main__":
    unittest.main()
