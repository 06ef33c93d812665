#!/usr/bin/env python3
"""The frame of the command line: help, errors, exit codes, global options, completion."""

import csv
import json
import os
import subprocess
import tempfile
import unittest

from cli_support import MODELS, TQ, tq, tq_json


def commands():
    """Names of all commands, from the completion of the first word."""
    return complete("tq", "").split()


def complete(*words):
    """What bash offers for the last of the words."""
    script = tq("completion", "bash").stdout
    script += f"COMP_WORDS=({' '.join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}\n"
    script += '_tq; printf "%s\\n" "${COMPREPLY[@]}"\n'
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert not done.stderr, done.stderr
    return done.stdout.strip()


class Frame(unittest.TestCase):
    def check_error(self, done, code, *parts):
        self.assertEqual(done.returncode, code, done)
        self.assertTrue(done.stderr.startswith("tq: error: "), done.stderr)
        self.assertEqual(done.stdout, "")
        for part in parts:
            self.assertIn(part, done.stderr)

    def test_no_command_prints_help_on_stderr(self):
        done = tq()
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stdout, "")
        self.assertIn("Usage: tq", done.stderr)

    def test_help_lists_commands_and_exit_codes(self):
        done = tq("--help")
        self.assertEqual(done.returncode, 0)
        self.assertEqual(done.stderr, "")
        for word in ("run", "chat", "eval", "bench", "devices", "completion", "version", "130"):
            self.assertIn(word, done.stdout)

    def test_every_command_has_help_with_the_global_options(self):
        for name in commands():
            if name.startswith("-"):
                continue
            done = tq(name, "--help")
            self.assertEqual(done.returncode, 0, name)
            self.assertIn("--json", done.stdout)
            self.assertIn("--progress", done.stdout)

    def test_usage_errors(self):
        self.check_error(tq("frobnicate"), 2, "unknown command", "frobnicate", "tq --help")
        self.check_error(tq("version", "--frobnicate"), 2, "--frobnicate", "tq version --help")
        self.check_error(tq("run"), 2, "MODEL is required", "tq run --help")
        self.check_error(tq("eval"), 2, "tq eval --help")
        self.check_error(tq("run", "m", "--threads", "many"), 2, "--threads")
        self.check_error(tq("run", "m", "--format", "tq9"), 2, "tq9", "tq3")
        self.check_error(tq("version", "--progress", "loud"), 2, "loud")

    def test_errors_as_json(self):
        for args in (["run", "/nowhere", "hi", "--json"], ["--json", "run", "/nowhere", "hi"]):
            done = tq(*args)
            self.assertEqual(done.returncode, 3)
            error = json.loads(done.stderr)["error"]
            self.assertEqual(error["code"], "not_found")
            self.assertIn("/nowhere", error["message"])
        done = tq("run", "--json")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(json.loads(done.stderr)["error"]["code"], "invalid_argument")

    def test_json_means_quiet_and_says_what_it_is(self):
        model = MODELS / "llama"
        with tempfile.TemporaryDirectory() as folder:
            ids = os.path.join(folder, "ids.json")
            with open(ids, "w", encoding="utf-8") as file:
                json.dump([1, 2, 3, 4], file)
            out = os.path.join(folder, "out")
            for command, args in {
                    "run": [model, "--tokens", ids, "-n", "2"],
                    "eval ppl": [model, "--tokens", ids], "inspect": [model], "verify": [model],
                    "eval kld": [model, "--tokens", ids, "--reference", model],
                    "eval logits": [model, "--tokens", ids, "--out", out + ".npy"],
                    "bench": [model, "-p", "4", "-n", "2", "-r", "1"], "devices": [],
                    "convert": [model, out], "synth": ["--list"], "version": [],
                    "help": ["names"]}.items():
                for flag in ("--json", "--jsonl"):
                    if flag == "--jsonl" and command in ("convert", "bench", "run"):
                        continue
                    done = tq(*command.split(), *args, flag, "--progress", "plain")
                    self.assertEqual(done.returncode, 0, done)
                    self.assertEqual(done.stderr, "", command)
                    result = json.loads(done.stdout)
                    self.assertEqual(result["schema"], 1, command)
                    self.assertEqual(result["command"], command)
                    self.assertEqual(result["versions"]["tq"], tq_json("version")["version"])
                    if command in ("run", "bench") or command.startswith("eval"):
                        self.assertEqual(result["model"], str(model))
                        self.assertEqual(result["device"]["name"], "cpu")
                        self.assertGreaterEqual(result["settings"]["threads"], 1)

    def test_exit_codes_of_bad_models(self):
        self.check_error(tq("run", "/nowhere", "hi"), 3, "/nowhere")
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "junk.gguf")
            with open(path, "wb") as file:
                file.write(b"GGUF" + bytes(20))
            done = tq("run", path, "hi")
            self.assertIn(done.returncode, (4, 5), done)
            self.assertIn("junk.gguf", done.stderr)
            with open(os.path.join(folder, "config.json"), "w", encoding="utf-8") as file:
                json.dump({"model_type": "mamba"}, file)
            os.symlink(MODELS / "llama/model.safetensors",
                       os.path.join(folder, "model.safetensors"))
            self.check_error(tq("run", folder, "hi"), 5, "mamba")

    def test_full_disk_behind_stdout(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([TQ, "version"], stdout=full, stderr=subprocess.PIPE, text=True,
                                  check=False)
        self.assertEqual(done.returncode, 7)
        self.assertIn("stdout", done.stderr)

    def test_version(self):
        version = tq_json("version")
        self.assertLess({"version", "commit", "compiler", "build_type", "isa", "cuda"}, set(version))
        self.assertRegex(version["commit"], r"^([0-9a-f]{12}(-dirty)?|unknown)$")
        self.assertTrue(tq("--version").stdout.startswith("tq " + version["version"]))
        self.assertIn(version["compiler"], tq("version").stdout)

    def test_devices(self):
        (cpu,) = tq_json("devices")["devices"]
        self.assertEqual(cpu["name"], "cpu")
        self.assertGreaterEqual(cpu["cpus"], 1)
        self.assertGreater(cpu["memory_bytes"], 1 << 20)
        self.assertIn("cpu", tq("devices").stdout)

    def test_devices_lists_kernels(self):
        listed = tq_json("devices", "--kernels")
        text = tq("devices", "--kernels")
        self.assertEqual(text.returncode, 0, text)
        if listed["no_cuda"]:  # the build has none
            self.assertEqual(listed["kernels"], [])
            self.assertIn(listed["no_cuda"], text.stdout)
            return
        tiers = {"fused", "dequant", "reference", "any"}
        for row in listed["kernels"]:
            self.assertEqual(set(row), {"op", "format", "group", "kernels"})
            self.assertGreater(len(row["kernels"]), 0, row)
            self.assertIn(row["op"], text.stdout)
            self.assertIn(row["format"], text.stdout)
            # Each number of tokens has one kernel.
            taken = sorted((k["auto_from"], k["auto_to"] or float("inf"))
                           for k in row["kernels"] if k["auto_from"] is not None)
            self.assertEqual(taken[0][0], 1, row)
            self.assertEqual(taken[-1][1], float("inf"), row)
            for before, after in zip(taken, taken[1:]):
                self.assertEqual(before[1] + 1, after[0], row)
            for kernel in row["kernels"]:
                self.assertIn(kernel["tier"], tiers)
                self.assertIn(kernel["kernel"], text.stdout)
        ops = {(row["op"], row["format"]) for row in listed["kernels"]}
        for op in ("matmul", "matmul_experts", "matmul_heads"):
            for name in ("f32", "f16", "bf16", "tq2", "tq3", "tq4", "tq5", "tq6", "tq8"):
                self.assertIn((op, name), ops)

    def test_unknown_kernels_are_refused(self):
        done = tq("bench", MODELS / "llama", "--kernels", "fastest", "-p", "8", "-n", "0")
        self.assertEqual(done.returncode, 2, done)
        self.assertIn("dequant", done.stderr)

    def test_no_escape_codes_when_piped(self):
        done = tq("bench", MODELS / "llama", "-p", "8", "-n", "4", "-r", "1")
        self.assertEqual(done.returncode, 0, done)
        self.assertNotIn("\x1b", done.stdout + done.stderr)
        self.assertRegex(done.stderr, r"\Amemory: [^\n]*\n\Z")
        plain = tq("bench", MODELS / "llama", "-p", "8", "-n", "4", "-r", "1", "--progress", "plain")
        self.assertIn("bench: 100%", plain.stderr)
        self.assertNotIn("\x1b", plain.stderr)
        quiet = tq("bench", MODELS / "llama", "-p", "8", "-n", "4", "-r", "1", "--progress", "plain",
                   "--quiet")
        self.assertEqual(quiet.stderr, "")


class Completion(unittest.TestCase):
    def test_scripts_name_every_command(self):
        names = [name for name in commands() if not name.startswith("-")]
        self.assertIn("run", names)
        for shell in ("bash", "zsh", "fish"):
            script = tq("completion", shell).stdout
            for name in names:
                self.assertIn(name, script, shell)

    def test_bash(self):
        self.assertEqual(complete("tq", "comp"), "completion")
        self.assertEqual(complete("tq", "eval", "k"), "kld")
        self.assertEqual(complete("tq", "eval", "kld", "--save"), "--save-reference")
        self.assertEqual(complete("tq", "run", "--progress", "p"), "plain")
        self.assertIn("tq3", complete("tq", "run", "m", "--format", "").split())
        # The value of an option is no option: bash falls back to file names.
        self.assertEqual(complete("tq", "run", "--file", ""), "")

    def test_unknown_shell(self):
        done = tq("completion", "tcsh")
        self.assertEqual(done.returncode, 2)
        self.assertIn("bash", done.stderr)


class Bench(unittest.TestCase):
    def test_json(self):
        result = tq_json("bench", MODELS / "llama", "-p", "8,16", "-n", "4", "-c", "1,2", "-r", "2")
        self.assertEqual(result["seed"], 1)
        self.assertEqual(result["settings"]["sequences"], 2)
        self.assertEqual(result["settings"]["kv_dtype"], "f16")
        self.assertEqual(result["settings"]["ctx"], 17)  # what the longest test needs
        tests = [(r["test"], r["tokens"], r["sequences"]) for r in result["results"]]
        self.assertEqual(tests, [("prefill", 8, 1), ("prefill", 16, 1), ("decode", 4, 1),
                                 ("prefill", 8, 2), ("prefill", 16, 2), ("decode", 4, 2)])
        for r in result["results"]:
            self.assertGreater(r["tokens_per_s"], 0)
            self.assertEqual(r["weight_gb_per_s"] > 0, r["test"] == "decode")
        self.assertGreater(result["parameters"], 1000)

    def test_depth_and_both(self):
        result = tq_json("bench", MODELS / "llama", "-p", "8", "-n", "4", "--pg", "16,3", "-d",
                         "0,100", "-c", "1,3", "-r", "2")
        rows = [(r["test"], r["prefill"], r["decode"], r["depth"], r["sequences"])
                for r in result["results"]]
        expected = [(test, prefill, decode, depth, sequences)
                    for sequences in (1, 3) for depth in (0, 100)
                    for test, prefill, decode in (("prefill", 8, 0), ("decode", 0, 4),
                                                  ("prefill+decode", 16, 3))]
        self.assertEqual(rows, expected)
        self.assertEqual(result["settings"]["ctx"], 100 + 16 + 4)
        for r in result["results"]:
            self.assertEqual(len(r["samples"]), 2)
            self.assertAlmostEqual(sum(r["samples"]) / 2, r["tokens_per_s"],
                                   delta=1e-6 * r["tokens_per_s"])
            self.assertEqual(r["tokens"], r["prefill"] + r["decode"])

    def test_depth_of_a_model_with_windows(self):
        result = tq_json("bench", MODELS / "gemma4_dense", "-p", "4", "-n", "3", "-d", "40", "-r", "2")
        self.assertEqual([r["depth"] for r in result["results"]], [40, 40])

    def test_other_outputs(self):
        args = ["bench", MODELS / "llama", "-p", "8", "-n", "4", "-r", "1", "-d", "16"]
        lines = tq(*args, "-o", "md").stdout.splitlines()
        self.assertEqual(lines[0].count("|"), lines[1].count("|"))
        self.assertIn("prefill 8 at 16", lines[2])
        self.assertIn("decode 4 at 16", lines[3])
        rows = list(csv.DictReader(tq(*args, "-o", "csv").stdout.splitlines()))
        self.assertEqual([(row["test"], row["depth"]) for row in rows],
                         [("prefill", "16"), ("decode", "16")])
        for row in rows:
            self.assertGreater(float(row["tokens_per_s"]), 0)
            self.assertEqual(row["model"], str(MODELS / "llama"))
            self.assertEqual(row["settings_kv_dtype"], "f16")
            self.assertTrue(row["device_description"])
        self.assertEqual(json.loads(tq(*args, "-o", "json").stdout)["command"], "bench")
        for flag in (["-o", "jsonl"], ["--jsonl"]):
            start, *results = map(json.loads, tq(*args, *flag).stdout.splitlines())
            self.assertEqual(start["type"], "start")
            self.assertEqual(start["settings"]["ctx"], 16 + 9)
            self.assertNotIn("results", start)
            self.assertEqual([(r["type"], r["test"]) for r in results],
                             [("result", "prefill"), ("result", "decode")])

    def test_table(self):
        done = tq("bench", MODELS / "llama", "-p", "8", "-n", "0", "-r", "1")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("prefill", done.stdout)
        self.assertNotIn("decode", done.stdout)

    def test_errors(self):
        self.assertEqual(tq("bench", MODELS / "llama", "-p", "0", "-n", "0").returncode, 2)
        for text in ("16", "16,", "16,x", "0,4", "16,4,4"):
            done = tq("bench", MODELS / "llama", "--pg", text)
            self.assertEqual(done.returncode, 2)
            self.assertIn("PREFILL,DECODE", done.stderr)
        done = tq("bench", MODELS / "llama", "-p", "600", "-n", "0")
        self.assertEqual(done.returncode, 2)
        self.assertIn("600", done.stderr)
        self.assertIn("512", done.stderr)


if __name__ == "__main__":
    unittest.main()
