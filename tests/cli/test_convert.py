"""tq convert, inspect and verify from the outside: results, kill -9 and resume, memory."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import time
import unittest

from checkpoints import (CANCELLED, CORRUPT, IO, NO_SPACE, NOT_FOUND, TQ, USAGE, TqTest, run_tq,
                         safetensors_bytes, tree_hash, write_model)


class Convert(TqTest):
    def setUp(self):
        super().setUp()
        self.source = write_model(self.dir / "source")
        self.result = self.dir / "result"

    def convert(self, *args, **kwargs):
        return run_tq("convert", self.source, self.result, "--effort", "fast", *args, **kwargs)

    def test_table_and_files(self):
        before = tree_hash(self.source)
        result = self.convert("--format", "tq3")
        self.assert_ok(result)
        for word in ("class", "relMSE", "attention", "mlp", "embed", "tq8", "tq3", "total",
                     "times smaller"):
            self.assertIn(word, result.stdout)
        self.assertEqual(result.stderr, "")  # no bar when piped
        self.assertEqual(sorted(os.listdir(self.result)),
                         ["config.json", "model.safetensors", "tokenizer.json", "tq_config.json"])
        self.assertEqual(tree_hash(self.source), before)

    def test_small_models_default_to_six_bits_and_say_so(self):
        said = run_tq("convert", self.source, self.dir / "said")
        self.assertIn("format auto: tq6", said.stderr)
        result = self.convert("--json")
        self.assert_ok(result)
        self.assertEqual(result.stderr, "")  # --json is quiet
        report = json.loads(result.stdout)
        self.assertEqual(report["format"], "tq6")
        formats = {row["class"]: row["format"] for row in report["classes"]}
        self.assertEqual(formats, {"embed": "tq8", "attention": "tq6", "mlp": "tq6",
                                   "norm": "bf16"})
        self.assertEqual(report["bytes"], sum(row["bytes"] for row in report["classes"]))

    def test_quiet_is_quiet(self):
        result = self.convert("--quiet")
        self.assert_ok(result)
        self.assertEqual(result.stderr, "")

    def test_plain_progress(self):
        result = self.convert("--progress", "plain")
        self.assert_ok(result)
        self.assertIn("converting", result.stderr)
        self.assertIn("100", result.stderr)

    def test_rules(self):
        rules = self.dir / "rules.json"
        rules.write_text(json.dumps([{"match": "*.down_proj.weight", "format": "tq5"},
                                     {"match": "*.q_proj.weight", "format": "keep"},
                                     {"match": "nothing.*", "format": "tq2"}]))
        result = self.convert("--format", "tq3", "--rules", rules)
        self.assert_ok(result)
        self.assertIn('rule 3 ("nothing.*")', result.stderr)
        listing = json.loads(run_tq("inspect", self.result, "--tensors", "--json").stdout)
        storage = {tensor["name"]: tensor["storage"] for tensor in listing["tensor_list"]}
        self.assertEqual(storage["model.layers.1.mlp.down_proj.weight"], "tq5")
        self.assertEqual(storage["model.layers.1.self_attn.q_proj.weight"], "bf16")
        self.assertEqual(storage["model.layers.1.mlp.up_proj.weight"], "tq3")

    def storage(self, folder):
        listing = json.loads(run_tq("inspect", folder, "--tensors", "--json").stdout)
        return {tensor["name"]: tensor["storage"] for tensor in listing["tensor_list"]}

    def test_a_plan_is_written_edited_and_used(self):
        plan = self.dir / "plan.json"
        written = run_tq("convert", self.source, "--write-plan", plan, "--bpw", "4.5", "--json")
        self.assert_ok(written)
        self.assertFalse(self.result.exists())
        self.assert_ok(self.convert("--plan", plan))
        by_plan = self.storage(self.result)
        other = run_tq("convert", self.source, self.dir / "other", "--effort", "fast", "--bpw", "4.5")
        self.assert_ok(other)
        self.assertEqual(self.storage(self.dir / "other"), by_plan)
        again = self.dir / "again.json"
        self.assert_ok(run_tq("convert", self.source, "--write-plan", again, "--plan", plan))
        self.assertEqual(json.loads(again.read_text()), json.loads(plan.read_text()))
        text = json.loads(plan.read_text())
        text["formats"]["attention"] = "tq8"
        text["layers"] = [{"class": "mlp", "first": 1, "last": 1, "format": "keep"}]
        text["rules"] = [{"match": "*.q_proj.weight", "format": "tq5"}]
        plan.write_text(json.dumps(text))
        rules = self.dir / "rules.json"  # come before those of the plan
        rules.write_text(json.dumps([{"match": "*.0.self_attn.q_proj.weight", "format": "tq2"}]))
        self.result = self.dir / "edited"
        self.assert_ok(self.convert("--plan", plan, "--rules", rules))
        storage = self.storage(self.result)
        self.assertEqual(storage["model.layers.1.mlp.up_proj.weight"], "bf16")
        self.assertEqual(storage["model.layers.0.self_attn.q_proj.weight"], "tq2")
        self.assertEqual(storage["model.layers.1.self_attn.q_proj.weight"], "tq5")

    def test_the_plan_of_auto_says_what_it_makes(self):
        plan = self.dir / "plan.json"
        result = run_tq("convert", self.source, "--write-plan", plan)
        self.assert_ok(result)
        self.assertIn("MLPs tq6, attention tq6", result.stdout)
        self.assertIn("format auto: tq6", result.stderr)
        self.assertEqual(json.loads(plan.read_text())["formats"]["mlp"], "tq6")

    def test_plans_that_cannot_be_used(self):
        plan = self.dir / "plan.json"
        self.assert_ok(run_tq("convert", self.source, "--write-plan", plan, "--format", "tq4"))
        good = plan.read_text()
        another = json.loads(good)
        another["layers"] = [{"class": "mlp", "first": 0, "last": 2, "format": "tq8"}]
        for text, code, part in (
                (good.replace('"tq4"', '"q4_k"'), USAGE, '"q4_k" is no format'),
                (good.replace('"tq_plan": 1', '"tq_plan": 7'), USAGE, "must be 1"),
                (json.dumps(another), USAGE, "layer 2, but"),
                ("[1, 2]", USAGE, "must be a JSON object"), ("{", CORRUPT, "plan.json"),
                ("[" * 100000, CORRUPT, "plan.json"), (good[:-3], CORRUPT, "plan.json")):
            plan.write_text(text)
            self.assert_fails(self.convert("--plan", plan), code, "plan.json", part)
        self.assert_fails(self.convert("--plan", self.dir / "none.json"), NOT_FOUND, "none.json")
        plan.write_text(good)
        for more in (("--format", "tq3"), ("--preset", "12gb"), ("--bpw", "4"), ("--fit", "8GiB"),
                     ("--layout", "turboquant-vllm"), ("--write-plan", self.dir / "p")):
            self.assert_fails(self.convert("--plan", plan, *more), USAGE)
        self.assert_fails(run_tq("convert", self.source), USAGE, "DST")
        self.assert_fails(run_tq("convert", self.source, "--write-plan", self.dir / "no" / "p"), IO)
        self.assertFalse(self.result.exists())

    def test_wrong_options(self):
        self.assert_fails(self.convert("--format", "tq9"), USAGE, "tq9", "tq2, tq3")
        self.assert_fails(self.convert("--effort", "most"), USAGE)
        self.assert_fails(self.convert("--layout", "other"), USAGE)
        self.assert_fails(self.convert("--shard-size", "0"), USAGE)
        self.assertFalse(self.result.exists())

    def test_thread_count_does_not_change_a_byte(self):
        self.assert_ok(self.convert("--threads", "1"))
        one = tree_hash(self.result)
        self.result = self.dir / "other"
        self.assert_ok(self.convert("--threads", "3"))
        self.assertEqual(tree_hash(self.result), one)

    def test_shards_and_index(self):
        self.assert_ok(self.convert("--shard-size", "20000"))
        index = json.loads((self.result / "model.safetensors.index.json").read_text())
        files = set(index["weight_map"].values())
        self.assertGreater(len(files), 2)
        for name in files:
            self.assertRegex(name, r"^model-\d{5}-of-%05d\.safetensors$" % len(files))
            self.assertTrue((self.result / name).is_file())

    def test_reference_layout(self):
        result = run_tq("convert", self.source, self.result, "--format", "tq3", "--layout",
                        "turboquant-vllm")
        self.assert_ok(result)
        listing = run_tq("inspect", self.result)
        self.assert_ok(listing)
        self.assertIn("turboquant-vllm checkpoint", listing.stdout)

    def test_inspect_source(self):
        result = run_tq("inspect", self.source)
        self.assert_ok(result)
        for word in ("Hugging Face checkpoint", "LlamaForCausalLM", "attention", "bf16",
                     "16.000", "model.safetensors"):
            self.assertIn(word, result.stdout)

    def test_verify(self):
        self.assert_ok(self.convert("--format", "tq3"))
        result = run_tq("verify", self.result)
        self.assert_ok(result)
        self.assertIn("content is as it was written", result.stdout)
        model = self.result / "model.safetensors"
        data = bytearray(model.read_bytes())
        data[-1] ^= 4
        model.write_bytes(data)
        self.assert_fails(run_tq("verify", self.result), CORRUPT, "tensor model.", "has changed")
        result = run_tq("verify", self.source)
        self.assert_ok(result)
        self.assertIn("cannot be checked", result.stdout)

    def test_edited_small_files(self):
        self.assert_ok(self.convert("--format", "tq3"))
        ids = self.dir / "ids.json"
        ids.write_text("[1, 2, 3]")
        run = ("run", self.result, "--tokens", ids, "-n", "1", "--device", "cpu")
        result = run_tq(*run)
        self.assert_ok(result)
        self.assertNotIn("since tq convert", result.stderr)
        config = self.result / "config.json"
        config.write_text(config.read_text().replace("10000.0", "20000.0"))
        (self.result / "notes.txt").write_text("mine")
        result = run_tq(*run)
        self.assertIn(f"{config}: has changed since tq convert wrote", result.stderr)
        result = run_tq("verify", self.result)
        self.assert_fails(result, CORRUPT, "config.json: has changed", "tq verify --update")
        report = json.loads(run_tq("verify", self.result, "--json").stdout)
        self.assertEqual((report["edited"], report["extra"], report["updated"]),
                         (["config.json: has changed"], ["notes.txt"], False))
        result = run_tq("verify", self.result, "--update")
        self.assert_ok(result)
        self.assertIn("config.json", result.stdout)
        result = run_tq("verify", self.result)
        self.assert_ok(result)
        self.assertIn("all small files", result.stdout)
        self.assertIn("notes.txt", result.stdout)
        self.assertNotIn("since tq convert", run_tq(*run).stderr)
        model = self.result / "model.safetensors"
        model.write_bytes(model.read_bytes()[:-1] + b"\0")
        before = tree_hash(self.result)
        self.assert_fails(run_tq("verify", self.result, "--update"), CORRUPT, "tensor model.")
        self.assertEqual(tree_hash(self.result), before)

    def test_the_source_may_go_once_files_are_put_in_place(self):
        self.assert_ok(self.convert("--format", "tq3"))
        whole = tree_hash(self.result)
        config = self.result / "config.json"
        self.assert_ok(self.convert("--format", "tq4", "--overwrite"))
        config.unlink()
        config.mkdir()  # stops the conversion below halfway
        self.assert_fails(self.convert("--format", "tq3", "--overwrite"), USAGE, "config.json",
                          "is a folder")
        self.assertFalse((self.result / "tq_config.json").exists())
        config.rmdir()
        shutil.rmtree(self.source)
        result = self.convert("--format", "tq3")
        self.assert_ok(result)
        self.assertIn("an earlier run had finished", result.stdout)
        self.assertEqual(tree_hash(self.result), whole)
        self.assert_fails(self.convert("--format", "tq3"), NOT_FOUND, "source")

    def test_complete_destination_is_kept(self):
        self.assert_ok(self.convert("--format", "tq3"))
        before = tree_hash(self.result)
        self.assert_fails(self.convert("--format", "tq4"), USAGE, "--overwrite")
        self.assertEqual(tree_hash(self.result), before)
        self.assert_ok(self.convert("--format", "tq4", "--overwrite"))
        self.assertNotEqual(tree_hash(self.result), before)

    def test_destination_must_not_be_the_source(self):
        before = tree_hash(self.source)
        for destination in (self.source, self.source / "inside", self.dir,
                            f"{self.source}/../source"):
            self.assert_fails(run_tq("convert", self.source, destination, "--overwrite"), USAGE,
                              "lies in the source")
        self.assertEqual(tree_hash(self.source), before)


class Interrupted(TqTest):
    """Large enough to be caught midway."""

    def setUp(self):
        super().setUp()
        self.source = write_model(self.dir / "source", hidden=256, ffn=1024, layers=4, vocab=2048)
        self.command = [TQ, "convert", str(self.source), str(self.dir / "result"), "--shard-size",
                        "400000", "--format", "tq3", "--effort", "default", "--threads", "1"]

    def finish(self):
        result = subprocess.run(self.command, capture_output=True, text=True, timeout=300)
        self.assertEqual(result.returncode, 0, result.stderr)
        return tree_hash(self.dir / "result")

    def test_kill_and_resume_is_byte_identical(self):
        start = time.monotonic()
        whole = self.finish()
        seconds = time.monotonic() - start
        moments = random.Random(7)
        interrupted = 0
        for _ in range(5):
            shutil.rmtree(self.dir / "result")
            for _ in range(2):
                process = subprocess.Popen(self.command, stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL)
                time.sleep(seconds * moments.uniform(0.1, 0.8))
                process.kill()
                interrupted += process.wait() == -signal.SIGKILL
                if (self.dir / "result" / "tq_config.json").exists():
                    break
            if not (self.dir / "result" / "tq_config.json").exists():
                self.assertEqual(self.finish(), whole)
        self.assertGreater(interrupted, 0)

    def test_interrupt_says_how_to_go_on(self):
        whole = self.finish()
        shutil.rmtree(self.dir / "result")
        process = subprocess.Popen(self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   text=True)
        journal = self.dir / "result" / ".tq-convert" / "journal"
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            if journal.exists() and journal.read_bytes().count(b"\n") > 1:  # something is finished
                process.send_signal(signal.SIGINT)
                break
            time.sleep(0.002)
        _, errors = process.communicate(timeout=60)
        self.assertEqual(process.returncode, CANCELLED, errors)
        self.assertIn("the same command resumes", errors)
        self.assertFalse((self.dir / "result" / "tq_config.json").exists())
        self.assertEqual(self.finish(), whole)

    def test_file_size_limit_is_a_full_disk(self):
        def limit():
            resource.setrlimit(resource.RLIMIT_FSIZE, (300000, 300000))
        result = subprocess.run(self.command, capture_output=True, text=True, timeout=300,
                                preexec_fn=limit)
        self.assertEqual(result.returncode, NO_SPACE, result.stderr)
        self.assertIn("model-00001", result.stderr)
        self.assertFalse((self.dir / "result").exists())
        self.finish()


class Memory(TqTest):
    def test_resident_set_is_bounded(self):
        # 700 MB of zeros in a sparse file: a stack that is packed and a matrix that is copied.
        source = self.dir / "source"
        source.mkdir()
        shapes = {"model.layers.0.mlp.experts.gate_up_proj": [48, 2048, 2048],
                  "model.vision_tower.patch_embed.weight": [16384, 9216]}
        header, end = {}, 0
        for name, (*rows, columns) in shapes.items():
            n_bytes = 2 * columns
            for dim in rows:
                n_bytes *= dim
            header[name] = {"dtype": "BF16", "shape": [*rows, columns],
                            "data_offsets": [end, end + n_bytes]}
            end += n_bytes
        with open(source / "model.safetensors", "wb") as file:
            file.write(safetensors_bytes(header, b""))
            file.truncate(file.tell() + end)
        (source / "config.json").write_text("{}")
        command = [TQ, "convert", str(source), str(self.dir / "result"), "--format", "tq2",
                   "--effort", "fast", "--anyway"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        self.assertEqual(process.returncode, 0)
        self.assertLess(usage.ru_maxrss * 1024, 200 << 20)


if __name__ == "__main__":
    unittest.main()
