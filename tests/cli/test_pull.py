#!/usr/bin/env python3
"""tq pull, list and rm, and names in place of paths, against a hub on this machine that misbehaves in every way that a
network and a hostile server can (hub_server.py)."""

import fcntl
import json
import pathlib
import resource
import shutil
import signal
import time
import unittest

from cli_support import make_model
from hub_server import Repository, git_sha1
from pull_case import CHUNK, PullCase, gguf_files, random_bytes


class Pulling(PullCase):
    def model(self):
        files = {p.name: p.read_bytes() for p in make_model(self.dir / "local").iterdir()}
        more = {"README.md": b"about", "pytorch_model.bin": b"pickle" * 500, "onnx/model.onnx": b"x" * 5000,
                "original/consolidated.00.pth": b"y" * 5000, "consolidated.safetensors": b"z" * 5000, "LICENSE": b"free",
                "additional_chat_templates/tool.jinja": b"{{ x }}"}
        wanted = [*files, "LICENSE", "additional_chat_templates/tool.jinja"]
        return Repository(files | more), wanted

    def test_pull_run_list_and_remove(self):
        repository, wanted = self.model()
        hub = self.serve({"org/tiny": repository})
        done = self.tq("pull", "org/tiny")
        self.assertIn("fetched and checked", done.stdout)
        self.check_snapshot(repository, wanted)
        self.assertEqual((self.folder() / "refs/main").read_text(), repository.commit)

        expected = self.json("run", self.dir / "local", "hello", "-n", 5)
        hub.forget()
        for env in ({}, {"HF_HUB_OFFLINE": "1"}):
            found = self.json("run", "org/tiny", "hello", "-n", 5, **env)
            self.assertEqual(found["ids"], expected["ids"])
            self.assertEqual(found["model"], "org/tiny")
        self.assertEqual(hub.log, [])  # what is there is used without asking
        self.assertEqual(self.json("pull", "org/tiny", HF_HUB_OFFLINE="1")["commit"], repository.commit)
        self.assertIn("HF_HUB_OFFLINE", self.tq("pull", "org/gone", code=3, HF_HUB_OFFLINE="1").stderr)

        (row,) = self.json("list")["models"]
        self.assertEqual((row["model"], row["missing"], row["commit"]), ("org/tiny", "", repository.commit))
        self.assertEqual(row["bytes"], sum(len(repository.files[path]) for path in wanted))
        self.assertIn("org/tiny", self.tq("list").stdout)
        self.assertIn("would be removed", self.tq("rm", "org/tiny", "--dry-run").stdout)
        self.assertEqual(len(self.seen()), len(wanted))
        self.assertGreater(self.json("rm", "org/tiny")["bytes"], row["bytes"] / 2)
        self.assertFalse(self.folder().exists())
        self.assertEqual(self.json("list")["models"], [])
        self.assertIn("there is no org/tiny", self.tq("rm", "org/tiny", code=3).stderr)

    def test_run_pulls_what_is_not_there(self):
        repository, wanted = self.model()
        self.serve({"org/tiny": repository})
        self.assertIn("HF_HUB_OFFLINE", self.tq("run", "org/tiny", "hello", code=3, HF_HUB_OFFLINE="1").stderr)
        expected = self.json("run", self.dir / "local", "hello", "-n", 5)["ids"]
        self.assertEqual(self.json("run", "org/tiny", "hello", "-n", 5)["ids"], expected)
        self.check_snapshot(repository, wanted)
        # Converted from its name, and under its name.
        self.tq("convert", "org/tiny", self.dir / "out", "--format", "tq4", "--quiet")
        self.assertIn('"tiny"', (self.dir / "out/tq_config.json").read_text())
        # A cache that has only what configuration readers fetch is no model yet.
        (self.folder() / "snapshots" / repository.commit / "model.safetensors").unlink()
        self.assertIn("HF_HUB_OFFLINE", self.tq("run", "org/tiny", "hello", code=3, HF_HUB_OFFLINE="1").stderr)
        self.assertEqual(self.json("run", "org/tiny", "hello", "-n", 5)["ids"], expected)

    def test_paths_come_first(self):
        self.serve({"org/tiny": self.model()[0]})
        (self.dir / "org").mkdir()
        done = self.tq("run", "org/tiny", "hello", code=3)
        self.assertIn("no such file or folder", done.stderr)
        self.assertEqual(self.hub.log, [])

    def test_only_what_changed(self):
        repository, wanted = self.model()
        hub = self.serve({"org/tiny": repository})
        self.tq("pull", "org/tiny")
        hub.forget()
        self.assertIn("all of it was there", self.tq("pull", "org/tiny").stdout)
        self.assertEqual([path for _, path, _ in hub.log], ["/api/models/org/tiny/revision/main?blobs=true"])
        changed = Repository(repository.files | {"generation_config.json": b"{}"})
        hub.repositories["org/tiny"] = changed
        self.assertEqual(self.json("pull", "org/tiny")["fetched_bytes"], 2)
        self.check_snapshot(changed, [*wanted, "generation_config.json"])
        self.check_snapshot(repository, wanted)
        self.assertEqual((self.folder() / "refs/main").read_text(), changed.commit)
        # The old one goes, the files that both have stay.
        self.tq("rm", f"org/tiny:{repository.commit}")
        self.check_snapshot(changed, [*wanted, "generation_config.json"])
        self.assertEqual(len(self.json("list")["models"]), 1)

    def test_revisions(self):
        repository, wanted = self.model()
        repository.revisions = ["main", "v1.0", "refs/pr/3"]
        self.serve({"org/tiny": repository})
        self.tq("pull", "org/tiny:refs/pr/3")
        self.check_snapshot(repository, wanted)
        self.assertEqual((self.folder() / "refs/refs/pr/3").read_text(), repository.commit)
        self.assertFalse((self.folder() / "refs/main").exists())
        self.assertEqual(self.json("list")["models"][0]["model"], "org/tiny:refs/pr/3")
        self.json("run", "org/tiny:refs/pr/3", "hello", "-n", 2, HF_HUB_OFFLINE="1")
        self.json("run", f"org/tiny:{repository.commit}", "hello", "-n", 2, HF_HUB_OFFLINE="1")
        self.tq("pull", f"org/tiny:{repository.commit}")
        self.assertIn("no revision v2", self.tq("pull", "org/tiny:v2", code=3).stderr)
        self.assertIn("no such repository", self.tq("pull", "org/tinny", code=3).stderr)
        self.assertIn("is no name", self.tq("pull", "tiny", code=2).stderr)

    def test_include(self):
        repository, _ = self.model()
        self.serve({"org/tiny": repository})
        self.tq("pull", "org/tiny", "--include", "*.json", "--include", "onnx/*")
        self.check_snapshot(repository, [p for p in repository.files if p.endswith(".json")] + ["onnx/model.onnx"])
        self.assertIn("no file matches", self.tq("pull", "org/tiny", "--include", "*.exe", code=3).stderr)
        self.assertIn("no weights", self.tq("list").stdout)

    def test_what_is_no_model(self):
        self.serve({"org/pickle": {"config.json": b"{}", "pytorch_model.bin": b"x"}, "org/empty": {},
                    "org/lora": {"adapter_config.json": b"{}", "adapter_model.safetensors": b"x"}})
        self.assertIn("pickles", self.tq("pull", "org/pickle", code=3).stderr)
        self.assertIn("its files: none", self.tq("pull", "org/empty", code=3).stderr)
        self.assertIn("an adapter", self.tq("pull", "org/lora", code=3).stderr)
        self.assertIn("no GGUF files", self.tq("pull", "org/pickle:Q4_K_M", code=3).stderr)


class Gguf(PullCase):
    def test_quantizations(self):
        repository = Repository(gguf_files(**{"mmproj-F16.gguf": b"p", "README.md": b"r"}))
        self.serve({"org/tiny": repository})
        done = self.tq("pull", "org/tiny")
        self.assertIn("taking Q4_K_M of Q2_K, Q4_K_M, Q8_0; another one is named as org/tiny:Q8_0", done.stderr)
        self.check_snapshot(repository, ["Tiny-Q4_K_M.gguf"])
        self.assertNotIn("taking", self.tq("pull", "org/tiny:q2_k").stderr)
        self.check_snapshot(repository, ["Tiny-Q2_K.gguf", "Tiny-Q4_K_M.gguf"])
        self.assertEqual(self.json("pull", "org/tiny:Tiny-Q8_0.gguf")["path"][-13:], "Tiny-Q8_0.gguf"[-13:])
        done = self.tq("pull", "org/tiny:Q4_K_S", code=3)
        self.assertIn("has no Q4_K_S; did you mean Q4_K_M?; there are Q2_K, Q4_K_M, Q8_0", done.stderr)
        self.assertIn("has no file", self.tq("pull", "org/tiny:other.gguf", code=3).stderr)
        names = [row["model"] for row in self.json("list")["models"]]
        self.assertEqual(names, ["org/tiny:Q2_K", "org/tiny:Q4_K_M", "org/tiny:Q8_0"])
        self.tq("rm", "org/tiny:Q8_0")
        self.check_snapshot(repository, ["Tiny-Q2_K.gguf", "Tiny-Q4_K_M.gguf"])
        self.assertEqual(len(self.blobs()), 2)
        self.assertIn("there are org/tiny:Q2_K", self.tq("rm", "org/tiny:Q8_0", code=3).stderr)

    def test_parts(self):
        parts = {f"Q4_K_M/Big-Q4_K_M-0000{i}-of-00003.gguf": random_bytes(3000, i) for i in (1, 2, 3)}
        repository = Repository(parts | {"Big-Q8_0-00001-of-00002.gguf": b"x"})
        self.serve({"org/tiny": repository})
        done = self.json("pull", "org/tiny:Q4_K_M")
        self.check_snapshot(repository, list(parts))
        self.assertTrue(done["path"].endswith("Q4_K_M/Big-Q4_K_M-00001-of-00003.gguf"), done)
        self.assertIn("are missing in the repository", self.tq("pull", "org/tiny:Q8_0", code=3).stderr)
        self.tq("rm", "org/tiny:Q4_K_M")
        self.assertEqual((self.seen(), self.blobs()), ([], []))


class Ranges(PullCase):
    """Large files: many requests at once, interrupted and resumed."""

    SIZE = 2 * CHUNK + 12345

    def big(self, seed=1):
        return Repository({"Big-Q4_K_M.gguf": random_bytes(self.SIZE, seed)})

    def assert_nothing_seen(self, name="org/tiny"):
        self.assertEqual(self.seen(name), [])
        self.assertEqual([b for b in self.blobs(name) if ".tq-part" not in b], [])

    def test_parallel_ranges(self):
        repository = self.big()
        hub = self.serve({"org/tiny": repository})
        self.assertEqual(self.json("pull", "org/tiny")["fetched_bytes"], self.SIZE)
        self.check_snapshot(repository, ["Big-Q4_K_M.gguf"])
        ranges = {headers.get("range") for _, _, headers in hub.requests("files")}
        self.assertEqual(ranges, {f"bytes=0-{CHUNK - 1}", f"bytes={CHUNK}-{2 * CHUNK - 1}",
                                  f"bytes={2 * CHUNK}-{self.SIZE - 1}"})

    def interrupted(self, how):
        """Stops a pull in its middle; what a second one fetches."""
        repository = self.big()
        hub = self.serve({"org/tiny": repository})
        hub.delay = 0.005
        pull = self.start("pull", "org/tiny", "--progress", "off")
        hub.wait_for_bytes(self.SIZE // 4)
        deadline = time.monotonic() + 20  # the state is kept once a second
        while how == signal.SIGKILL and not any(b.endswith(".tq-part.json") for b in self.blobs()):
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.01)
        pull.send_signal(how)
        errors = pull.communicate(timeout=60)[1]
        self.assert_nothing_seen()
        hub.delay = 0
        return repository, pull.returncode, errors

    def test_killed(self):
        repository, code, _ = self.interrupted(signal.SIGKILL)
        self.assertEqual(code, -signal.SIGKILL)
        (unfinished,) = self.json("list")["unfinished"]
        self.assertGreater(unfinished["bytes"], 0)
        again = self.json("pull", "org/tiny")
        self.assertLess(again["fetched_bytes"], self.SIZE)
        self.check_snapshot(repository, ["Big-Q4_K_M.gguf"])

    def test_ctrl_c(self):
        repository, code, errors = self.interrupted(signal.SIGINT)
        self.assertEqual(code, 130)
        self.assertIn("tq pull org/tiny goes on with it", errors)
        again = self.json("pull", "org/tiny")
        self.assertLessEqual(again["fetched_bytes"], self.SIZE - self.SIZE // 4 + (1 << 20))
        self.check_snapshot(repository, ["Big-Q4_K_M.gguf"])

    def test_changed_between(self):
        self.interrupted(signal.SIGINT)
        changed = self.big(seed=2)
        self.hub.repositories["org/tiny"] = changed
        self.assertEqual(self.json("pull", "org/tiny")["fetched_bytes"], self.SIZE)
        snapshot = self.folder() / "snapshots" / changed.commit
        self.assertEqual((snapshot / "Big-Q4_K_M.gguf").read_bytes(), changed.files["Big-Q4_K_M.gguf"])
        self.assertEqual(self.seen(), [f"{changed.commit}/Big-Q4_K_M.gguf"])

    def test_what_was_kept_is_damaged(self):
        repository, _, _ = self.interrupted(signal.SIGINT)
        (data,) = (self.folder() / "blobs").glob("*.tq-part")
        with open(data, "r+b") as file:
            file.write(b"damage")
        done = self.tq("pull", "org/tiny")
        self.assertIn("does not have the hash", done.stderr)
        self.check_snapshot(repository, ["Big-Q4_K_M.gguf"])

    def test_damaged_journals_begin_anew(self):
        repository = Repository(gguf_files())
        self.serve({"org/tiny": repository})
        name = repository.hash("Tiny-Q4_K_M.gguf")[0]
        for text in ("", "[1]", "{}", '{"size":5,"ranges":[[0,5]]}', f'{{"size":{5000},"ranges":[[0,{5000}]]}}',
                     f'{{"size":{5000},"ranges":[[-1,5]]}}', f'{{"size":{5000},"ranges":[[9,5]]}}', "\0" * 100):
            with self.subTest(text=text):
                blobs = self.folder() / "blobs"
                shutil.rmtree(self.cache, ignore_errors=True)
                blobs.mkdir(parents=True)
                (blobs / f"{name}.tq-part").write_bytes(b"12345")
                (blobs / f"{name}.tq-part.json").write_text(text)
                self.assertEqual(self.json("pull", "org/tiny")["fetched_bytes"], 5000)
                self.check_snapshot(repository, ["Tiny-Q4_K_M.gguf"])

    def test_truncated_bodies(self):
        repository = self.big()
        hub = self.serve({"org/tiny": repository})
        hub.cut_after, hub.cuts = 1_000_000, 4
        self.assertEqual(self.json("pull", "org/tiny")["fetched_bytes"], self.SIZE)
        self.check_snapshot(repository, ["Big-Q4_K_M.gguf"])

    def test_a_server_without_ranges(self):
        repository = self.big()
        hub = self.serve({"org/tiny": repository})
        hub.ignore_ranges = True
        hub.cut_after, hub.cuts = 3 * CHUNK // 2, 5  # beyond the first answers, which are not read to their end
        self.tq("pull", "org/tiny")
        self.check_snapshot(repository, ["Big-Q4_K_M.gguf"])

    def test_other_ranges_and_more_bytes(self):
        repository = self.big()
        hub = self.serve({"org/tiny": repository})
        hub.shift = True
        self.tq("pull", "org/tiny")
        self.check_snapshot(repository, ["Big-Q4_K_M.gguf"])
        self.tq("rm", "org/tiny")
        hub.shift, hub.excess = False, True
        self.tq("pull", "org/tiny")
        self.check_snapshot(repository, ["Big-Q4_K_M.gguf"])

    def test_disk_full(self):
        repository = self.big()
        self.serve({"org/tiny": repository})
        limit = CHUNK + 5000  # of a file, which the kernel holds tq to as to a full disk
        done = self.tq("pull", "org/tiny", "--connections", 1, code=7,
                       before=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
        self.assertIn("File too large", done.stderr)
        self.assert_nothing_seen()
        self.assertLess(self.json("pull", "org/tiny")["fetched_bytes"], self.SIZE)
        self.check_snapshot(repository, ["Big-Q4_K_M.gguf"])

    def test_two_at_once(self):
        repository = self.big()
        hub = self.serve({"org/tiny": repository})
        hub.delay = 0.002
        pulls = [self.start("pull", "org/tiny") for _ in range(3)]
        for pull in pulls:
            self.assertEqual(pull.communicate(timeout=100)[1].count("error"), 0)
            self.assertEqual(pull.returncode, 0)
        self.assertEqual(hub.body_bytes, self.SIZE)  # by one of them
        self.check_snapshot(repository, ["Big-Q4_K_M.gguf"])

    def test_removal_while_it_is_fetched(self):
        hub = self.serve({"org/tiny": self.big()})
        hub.delay = 0.01
        pull = self.start("pull", "org/tiny")
        hub.wait_for_bytes(1 << 20)
        self.assertIn("is being fetched", self.tq("rm", "org/tiny", code=2).stderr)
        pull.send_signal(signal.SIGINT)
        pull.communicate(timeout=60)
        self.tq("rm", "org/tiny")
        self.assertFalse(self.folder().exists())


class Trouble(PullCase):
    def setUp(self):
        super().setUp()
        self.repository = Repository(gguf_files())
        self.serve({"org/tiny": self.repository})

    def check_pulled(self):
        self.check_snapshot(self.repository, ["Tiny-Q4_K_M.gguf"])

    def assert_nothing(self):
        self.assertEqual(self.seen(), [])
        self.assertFalse((self.folder() / "refs/main").exists())

    def test_wrong_bytes(self):
        self.hub.wrong_bytes = 100
        done = self.tq("pull", "org/tiny", code=4)
        self.assertIn("nothing of it was kept", done.stderr)
        self.assert_nothing()
        self.assertEqual(self.blobs(), [])
        self.hub.wrong_bytes = 1
        self.assertIn("fetching it once more", self.tq("pull", "org/tiny").stderr)
        self.check_pulled()

    def test_small_files_are_checked_too(self):
        small = Repository({"Tiny-Q4_K_M.gguf": b"GGUF small"})
        self.hub.repositories["org/tiny"] = small
        entry = small.sibling("Tiny-Q4_K_M.gguf") | {"blobId": git_sha1(b"GGUF other")}
        self.hub.api_text = json.dumps({"sha": small.commit, "siblings": [entry]}).encode()
        self.assertIn(git_sha1(b"GGUF small"), self.tq("pull", "org/tiny", code=4).stderr)
        self.assert_nothing()

    def test_busy_servers(self):
        self.hub.fail = [(429, {"Retry-After": "1"}), 503]
        self.hub.fail_api = [(429, {"Retry-After": "0"}), 502]
        begin = time.monotonic()
        done = self.tq("pull", "org/tiny")
        self.assertGreater(time.monotonic() - begin, 1)
        self.assertIn("answers 429; going on in 1 s", done.stderr)
        self.check_pulled()

    def test_servers_that_stay_busy(self):
        self.hub.fail = [(503, {"Retry-After": "0"})] * 20
        self.assertIn("answers 503", self.tq("pull", "org/tiny", code=6).stderr)
        self.hub.fail = [(429, {"Retry-After": "86400"})]
        self.assertIn("come back in 86400 seconds", self.tq("pull", "org/tiny", code=6).stderr)
        self.hub.fail_api = [(429, {"Retry-After": "0"})] * 20
        self.assertIn("answers 429", self.tq("pull", "org/tiny", code=6).stderr)
        self.assert_nothing()

    def test_links_that_expire(self):
        self.hub.links_expire = 1
        self.tq("pull", "org/tiny")
        self.check_pulled()

    def test_redirects(self):
        self.hub.redirect = "loop"
        self.assertIn("redirected more than 10 times", self.tq("pull", "org/tiny", code=6).stderr)
        self.hub.redirect = "ftp"
        self.assertIn("no address of the web", self.tq("pull", "org/tiny", code=6).stderr)
        self.assert_nothing()
        self.hub.redirect = None
        self.tq("pull", "org/tiny")
        self.check_pulled()

    def test_no_hub(self):
        self.assertIn("no answer from", self.tq("pull", "org/tiny", code=6, HF_ENDPOINT="http://127.0.0.1:9").stderr)
        self.assertIn("HF_ENDPOINT", self.tq("pull", "org/tiny", code=2, HF_ENDPOINT="file:///x").stderr)
        self.assertIn("HF_ENDPOINT", self.tq("pull", "org/tiny", code=2, HF_ENDPOINT="http://user:pw@h").stderr)

    def test_hostile_listings(self):
        sibling = self.repository.sibling("Tiny-Q4_K_M.gguf")
        commit = self.repository.commit

        def listing(*siblings, sha=commit):
            return json.dumps({"sha": sha, "siblings": list(siblings)})

        for text, part in [
                ("<html>", "parse error"), ("", ""), ("[]", "not a hub's"), ("{}", "not a hub's"),
                (listing(sibling, sha="../../x"), "not a hub's"), (listing(sibling, sha=commit.upper()), "not a hub's"),
                ('{"sha":"%s","siblings":{}}' % commit, "not a hub's"), ("[" * 100_000, ""),
                (listing(sibling, sibling), "twice"), (listing(sibling | {"lfs": {"sha256": "../x", "size": 1}}), "no hash"),
                (listing(sibling | {"lfs": {"sha256": "a" * 64, "size": -1}}), "no size"),
                (listing(sibling | {"lfs": {"sha256": "a" * 64, "size": 1e30}}), "no size"),
                (listing({"rfilename": "Tiny-Q4_K_M.gguf"}), "no size or no hash"),
                (listing(*[sibling | {"rfilename": f"{i}.gguf"} for i in range(100_001)]), "more than 100000"),
                (" " * (33 << 20), "longer than"),
                *[(listing(sibling | {"rfilename": name}), "no path inside")
                  for name in ("../x.gguf", "/x.gguf", "a//x.gguf", "a/../x.gguf", "./x.gguf", "x\n.gguf", "a\\x.gguf", "",
                               "x\x1b[2J.gguf", "x\u009b2J.gguf", "x\0.gguf", "y" * 300 + ".gguf", "a/" * 600 + "x", ".")]]:
            with self.subTest(text=text[:200]):
                self.hub.api_text = text.encode()
                done = self.tq("pull", "org/tiny", code=4)
                self.assertIn(part, done.stderr)
                self.assertFalse(set(done.stderr) & set(map(chr, range(9))) or "\x1b" in done.stderr)
        self.assertEqual(self.hub.requests("hub", "resolve"), [])
        self.assertFalse(self.folder().exists())

    def test_a_file_where_a_folder_is_needed(self):
        files = {"a.gguf": b"GGUF", "a.gguf/b.gguf": b"GGUF2"}
        self.hub.repositories["org/tiny"] = Repository(files)
        self.tq("pull", "org/tiny", "--include", "*", code=6)
        self.assertEqual((self.folder() / "blobs" / git_sha1(b"GGUF")).read_bytes(), b"GGUF")

    def test_disk_space_is_looked_at_first(self):
        sibling = self.repository.sibling("Tiny-Q4_K_M.gguf") | {"lfs": {"sha256": "a" * 64, "size": 10 ** 16}}
        self.hub.api_text = json.dumps({"sha": self.repository.commit, "siblings": [sibling]}).encode()
        done = self.tq("pull", "org/tiny", code=7)
        self.assertIn("has room for", done.stderr)
        self.assertEqual(self.hub.requests("hub", "resolve"), [])

    def test_locks_of_other_programs(self):
        lock = self.cache / ".locks/models--org--tiny" / (self.repository.hash("Tiny-Q4_K_M.gguf")[0] + ".lock")
        lock.parent.mkdir(parents=True)
        with open(lock, "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            pull = self.start("pull", "org/tiny:Q4_K_M")
            self.assertIn("waiting for another program", pull.stderr.readline())
            self.assertEqual(self.hub.requests("hub", "resolve"), [])
        self.assertEqual(pull.wait(timeout=60), 0)
        self.check_pulled()

    def test_proxies(self):
        other = {"HF_ENDPOINT": "http://hub.invalid", "NO_PROXY": None}
        self.hub.redirect = None
        for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY"):
            self.tq("pull", "org/tiny", **other, **{name: self.hub.url})
            self.assertEqual(self.hub.log[-1][2]["host"], "hub.invalid")
            self.check_pulled()
            self.tq("rm", "org/tiny")
        for name in ("no_proxy", "NO_PROXY"):
            self.tq("pull", "org/tiny", **{"NO_PROXY": None, "HTTP_PROXY": "http://127.0.0.1:9", name: "127.0.0.1"})
            self.tq("rm", "org/tiny")

    def test_places_of_the_cache(self):
        for env in ({"HF_HUB_CACHE": str(self.dir / "c")}, {"HUGGINGFACE_HUB_CACHE": str(self.dir / "c")},
                    {"HF_HOME": None, "XDG_CACHE_HOME": str(self.dir / "x")}, {"HF_HOME": None}, {"HF_HOME": "~/y"}):
            path = pathlib.Path(self.json("pull", "org/tiny", **env)["path"])
            top = {"HF_HUB_CACHE": "c", "HUGGINGFACE_HUB_CACHE": "c", "XDG_CACHE_HOME": "x/huggingface/hub"}
            expected = next((top[name] for name in env if name in top), ".cache/huggingface/hub")
            if env.get("HF_HOME"):
                expected = "y/hub"
            self.assertTrue(path.is_relative_to(self.dir / expected), (path, env))


if __name__ == "__main__":
    unittest.main()
