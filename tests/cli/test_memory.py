#!/usr/bin/env python3
"""Sizes on the command line, memory plans, contexts that fit."""

import json
import resource
import subprocess
import tempfile
import unittest
from pathlib import Path

from cli_support import TQ, make_model, tq, tq_json, write_ids

GEMMA = "synth:gemma-4-26B-A4B"
OUT_OF_MEMORY = 8
GIB = 1 << 30


def tq_within(address_space, *args):
    """Runs tq with that many bytes of address space at most."""
    return subprocess.run(
        [TQ, *map(str, args)], capture_output=True, text=True, timeout=300, check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (address_space,) * 2))


class MemoryTest(unittest.TestCase):
    """A tiny model of 512 tokens, self.model, in a folder of the test's own."""

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.dir = Path(folder.name)
        self.model = make_model(self.dir / "model")
        self.ids = write_ids(self.dir / "ids.json", [5, 6, 7])


class Sizes(MemoryTest):
    def run_with(self, *options):
        return tq("run", self.model, "--device", "cpu", "--tokens", self.ids, "-n", 2, *options)

    def test_tokens_may_have_a_unit(self):
        done = self.run_with("--ctx", "0.25k")
        self.assertEqual(done.returncode, 0, done)
        too_long = self.run_with("--ctx", "1K")
        self.assertEqual(too_long.returncode, 2, too_long)
        self.assertIn("1024", too_long.stderr)

    def test_what_is_no_size_is_a_usage_error(self):
        for option, value in (("--ctx", "4kb"), ("--ctx", "-1"), ("--ctx", "1.5"),
                              ("--ctx", "32M"), ("--gpu-memory", "12Q"), ("--gpu-memory", "-1GB"),
                              ("--gpu-memory", "9999999999GB")):
            done = self.run_with(option, value)
            self.assertEqual(done.returncode, 2, done)
            self.assertIn(option, done.stderr)
            self.assertIn(value, done.stderr)
        done = tq("convert", self.model, self.dir / "out", "--shard-size", "4 potatoes")
        self.assertEqual(done.returncode, 2, done)
        self.assertIn("4 potatoes is no size", done.stderr)


class Plans(MemoryTest):
    def test_the_plan_is_printed_on_the_cpu(self):
        done = tq("run", self.model, "--device", "cpu", "--tokens", self.ids, "-n", 2)
        self.assertEqual(done.returncode, 0, done)
        self.assertRegex(done.stderr, r"memory: weights .* mapped\), buffers .*, KV cache .* of ")
        # auto, the default: all that the model was trained for.
        self.assertIn("(1 x 512 tokens)", done.stderr)
        shorter = tq("run", self.model, "--device", "cpu", "--tokens", self.ids, "-n", 2,
                     "--ctx", 100)
        self.assertIn("(1 x 100 tokens)", shorter.stderr)
        self.assertEqual(done.stdout, shorter.stdout)

    def test_what_cannot_fit_is_refused_before_weights_are_read(self):
        weights = tq_within(4 * GIB, "run", GEMMA, "hello", "--device", "cpu", "--threads", 1)
        self.assertEqual(weights.returncode, OUT_OF_MEMORY, weights)
        self.assertIn("weights alone are too large", weights.stderr)
        cache = tq_within(16 * GIB, "run", GEMMA, "hello", "--device", "cpu", "--threads", 1,
                          "--ctx", "256k", "--kv-dtype", "f32")
        self.assertEqual(cache.returncode, OUT_OF_MEMORY, cache)
        self.assertIn("KV cache 11.4 GB (1 x 262144 tokens)", cache.stderr)
        self.assertRegex(cache.stderr, r"it would fit with --ctx \d+")

    def test_mapped_weights_that_do_not_fit_are_a_warning(self):
        big = self.dir / "big"
        done = tq("synth", "smollm2-135m", big)
        self.assertEqual(done.returncode, 0, done)
        # 269 MB are mapped before the plan is made; what is left holds the rest, but not them again.
        done = tq_within(460 << 20, "run", big, "hello", "--device", "cpu", "--threads", 1,
                         "-n", 1, "--ctx", 256)
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("the weights are mapped from files", done.stderr)

    def test_options_that_the_device_ignores_are_named(self):
        def warnings(*options):
            done = tq("run", self.model, "--device", "cpu", "--tokens", self.ids, "-n", 1, *options)
            self.assertEqual(done.returncode, 0, done)
            return [line for line in done.stderr.splitlines() if "no effect" in line]
        self.assertEqual(warnings("--threads", 1), [])
        for option in (("--gpu-memory", "12GiB"), ("--kernels", "fused"), ("--batch-invariant",)):
            lines = warnings(*option)
            self.assertEqual(len(lines), 1, lines)
            self.assertIn(option[0] + " has no effect on the CPU", lines[0])


class Inspect(MemoryTest):
    def test_sliding_layers_count_as_they_are_kept(self):
        model = tq_json("inspect", GEMMA)["model"]
        self.assertEqual(model["kv_bytes_per_token"], 225280)
        kv = {row["tokens"]: row["bytes"] for row in model["kv"]}
        # 5 layers keep every token, 25 a window of 1,024 and a step of 512, wherever these begin in a page.
        self.assertEqual(kv[262144], 262144 * 20480 + 1552 * 204800)

    def test_contexts_that_fit_common_memories(self):
        fits = tq_json("inspect", GEMMA)["model"]["fits"]
        self.assertEqual([fit["memory_bytes"] for fit in fits],
                         [n * GIB for n in (8, 12, 16, 24, 48)])
        self.assertEqual([fit["longest_context"] for fit in fits[:4]], [0, 0, 0, 0])
        tiny = tq_json("inspect", self.model)["model"]["fits"]
        self.assertEqual({fit["longest_context"] for fit in tiny}, {512})
        text = tq("inspect", GEMMA).stdout
        self.assertRegex(text, r"\n24 GiB +does not fit\n")


class Plan(MemoryTest):
    def rows(self, *args):
        plan = tq_json("plan", *args)
        return {row["format"]: row for row in plan["rows"]}

    def test_formats_of_a_full_size_model(self):
        rows = self.rows(GEMMA, "--memory", "12GiB,24GiB", "--ctx", "32k")
        self.assertEqual(rows[None]["bits_per_weight"], 16)
        self.assertAlmostEqual(rows["12gb"]["stored_bytes"], 10.66e9, delta=0.05e9)
        sizes = [rows[f"tq{bits}"]["stored_bytes"] for bits in (2, 3, 4, 5, 6, 8)]
        self.assertEqual(sizes, sorted(sizes))
        for row in rows.values():
            contexts = [fit["longest_context"] for fit in row["fits"]]
            self.assertLessEqual(contexts[0], contexts[1])
            for fit in row["fits"]:  # the longest context and --ctx agree
                self.assertEqual(fit["longest_context"] >= 32768,
                                 row["needed_bytes"] <= fit["memory_bytes"], row)
            self.assertIsNone(row["quality"])  # nobody measured this model
        self.assertEqual(rows["tq8"]["fits"][0]["longest_context"], 0)
        self.assertGreaterEqual(rows["fit 12GiB"]["fits"][0]["longest_context"], 32768)
        self.assertGreater(rows["fit 24GiB"]["stored_bytes"], rows["fit 12GiB"]["stored_bytes"])
        self.assertIn("keys and values tq", rows["fit 12GiB"]["formats"])

    def test_the_table(self):
        done = tq("plan", self.model, "--memory", "1GB")
        self.assertEqual(done.returncode, 0, done)
        for text in ("--format tq3", "--preset 12gb", "(as stored)", "context in 1GB",
                     "not measured", "--fit 1GB: "):
            self.assertIn(text, done.stdout)

    def test_a_context_beyond_the_model_is_an_error(self):
        done = tq("plan", self.model, "--ctx", "1k")
        self.assertEqual(done.returncode, 2, done)
        self.assertIn("1024", done.stderr)


class Fit(MemoryTest):
    def convert(self, name, *options):
        return tq("convert", self.model, self.dir / name, "--effort", "fast", *options)

    def formats(self, name):
        return {row["name"]: row["storage"]
                for row in tq_json("inspect", self.dir / name, "--tensors")["tensor_list"]}

    def test_the_choice_is_said_and_runs(self):
        done = self.convert("big", "--fit", "2GiB")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("--fit 2GiB: MLPs tq8, attention tq8", done.stderr)
        self.assertEqual(self.formats("big")["model.layers.0.mlp.up_proj.weight"], "tq8")
        ran = tq("run", self.dir / "big", "--device", "cpu", "--tokens", self.ids, "-n", 2)
        self.assertEqual(ran.returncode, 0, ran)

    def test_bits_per_weight(self):
        done = tq("--json", "convert", self.model, self.dir / "bits", "--bpw", "6.5")
        self.assertEqual(done.returncode, 0, done)
        report = json.loads(done.stdout)
        weights = sum(row["parameters"] for row in report["classes"])
        bits = 8 * sum(row["bytes"] for row in report["classes"]) / weights
        self.assertLessEqual(bits, 6.5)
        formats = self.formats("bits")
        self.assertEqual(formats["model.layers.0.self_attn.k_proj.weight"], "tq6")
        plan = {row["format"]: row for row in tq_json("plan", self.model)["rows"]}
        self.assertGreater(bits, plan["tq2"]["bits_per_weight"])

    def test_what_cannot_be_met_says_the_least(self):
        for options, code in ((("--fit", "1MiB"), OUT_OF_MEMORY), (("--bpw", "1"), 2)):
            done = self.convert("none", *options)
            self.assertEqual(done.returncode, code, done)
            self.assertRegex(done.stderr, r"cannot be met: the least is \d.* \(MLPs tq2")
            self.assertFalse((self.dir / "none").exists())

    def test_other_choices_of_formats_are_excluded(self):
        for options in (("--fit", "2GiB", "--format", "tq3"), ("--bpw", "4", "--preset", "12gb"),
                        ("--fit", "2GiB", "--bpw", "4"), ("--ctx", "4k")):
            done = self.convert("none", *options)
            self.assertEqual(done.returncode, 2, done)


if __name__ == "__main__":
    unittest.main()
