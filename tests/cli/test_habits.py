#!/usr/bin/env python3
"""Names of other programs, what may have been meant, help and its examples."""

import json
import os
import shlex
import subprocess
import tempfile
import unittest

from cli_support import TQ, make_model, tq, tq_json

NAMES = tq_json("help", "names")
COMMANDS = ["run", "chat", "serve", "eval ppl", "eval kld", "eval logits", "bench", "bench serve",
            "convert", "inspect",
            "verify", "synth", "tokenize", "devices", "version", "completion", "plan", "template"]
# What a command needs besides, so that only the row under test decides.
REST = {"run": ["hello"], "convert": ["/nowhere/dst"], "eval ppl": ["--text", "/nowhere/t"],
        "eval kld": ["--text", "/nowhere/t", "--reference", "/nowhere/r"],
        "eval logits": ["--tokens", "/nowhere/t", "--out", "/nowhere/o"],
        "tokenize": ["text"], "synth": ["/nowhere/dst"], "completion": []}
NO_SERVER = "nowhere.invalid:1"
FIRST = {"bench serve": [NO_SERVER], "synth": ["nothing"], "devices": [], "version": [], "completion": ["bash"]}
# A value that the option itself accepts, where "1" is none.
VALUES = {"--device": "cpu", "--kv-format": "f16", "--format": "tq4", "--reasoning": "hide",
          "--shard-size": "1GB", "--progress": "off", "--think": "on", "--pg": "8,4"}
MANY = {"--stop", "--served-model-name", "--cors-origins", "--logit-bias", "--prefill", "--decode", "--concurrency", "--depth", "--pg",
        "--percentiles"}


def commands_of(row):
    return row["commands"].split("|") if row["commands"] else COMMANDS


def usual_value(row):
    """A value for a row that takes any."""
    option = row["tq"].split("=")[0]
    if row["answer"] == "works":
        return "4" if "{}" in row["tq"] else VALUES.get(option, "1")
    return "2"


def typed(row):
    """What is typed for the row."""
    if row["value"] in ("", "on|off"):
        return [row["name"]]
    return [row["name"], usual_value(row) if row["value"] == "*" else row["value"]]


def call(command, *more):
    """tq with the command's arguments and more; the model does not exist."""
    return tq(*command.split(), *FIRST.get(command, ["/nowhere/model"]), *REST.get(command, []),
              *more)


class Rows(unittest.TestCase):
    """Every row of the tables does what it says, tried with the first command it is for."""

    def rows(self, answer):
        for row in NAMES["options"]:
            if row["answer"] == answer:
                command = commands_of(row)[0]
                with self.subTest(command=command, row=row):
                    yield command, row

    def test_options_that_work(self):
        for command, row in self.rows("works"):
            if row["tq"].startswith("-"):  # the others: test_arguments_by_name
                self.check_works(command, row)

    def check_works(self, command, row):
        ours = row["tq"]
        name = ours.split("=")[0]
        if "=" not in ours and row["value"] != "*":
            return self.assertEqual(call(command, *typed(row)).returncode, 3)
        # Given twice is an error that names our option: that is what theirs has become.
        value = ours.split("=")[1].replace("{}", "4") if "=" in ours else usual_value(row)
        done = call(command, *typed(row), f"{name}={value}")
        if name in MANY:
            self.assertEqual(done.returncode, 3, done)
        else:
            self.assertEqual(done.returncode, 2, done)
            self.assertRegex(done.stderr, f"{name}: .* received [23]|{name} excludes|excludes {name}")
        return None

    def test_commands_have_what_works(self):
        helps = {command: tq("help", *command.split()).stdout for command in COMMANDS}
        for row in NAMES["options"]:
            for command in row["commands"].split("|") if row["commands"] else []:
                if row["answer"] == "works":
                    self.assertIn(row["tq"].split("=")[0], helps[command], f"{command}: {row}")
                # A row for any value does nothing where the command has an option of that name.
                if row["value"] in ("", "*", "on|off"):
                    for line in helps[command].splitlines():
                        names = line.strip().split(" ")[0].split(",")
                        self.assertNotIn(row["name"], names, f"{command}: {row}")

    def test_options_that_are_ignored(self):
        without = {command: call(command).returncode for command in COMMANDS}
        for command, row in self.rows("ignored"):
            done = call(command, *typed(row))
            self.assertIn(f"{' '.join(typed(row))} is ignored: {row['why']}", done.stderr)
            self.assertEqual(done.returncode, without[command])
        self.assertNotIn("ignored", call("run", "--mlock", "--quiet").stderr)

    def test_options_that_are_refused(self):
        for command, row in self.rows("refused"):
            done = call(command, *typed(row))
            self.assertEqual(done.returncode, 2, done)
            self.assertEqual(done.stdout, "")
            self.assertIn(f"{' '.join(typed(row))}: {row['why']}", done.stderr)

    def test_underscores(self):
        for name in ("--top_p", "--n_predict", "--repetition_penalty", "--max_model_len"):
            done = call("run", name, "1", name, "1")
            self.assertEqual(done.returncode, 2, done)
            self.assertIn("received 2", done.stderr)
        self.assertIn("is ignored", call("run", "--no_mmap").stderr)
        self.assertIn("--device", call("run", "--tensor_parallel_size=2").stderr)

    def test_commands(self):
        for row in NAMES["commands"]:
            with self.subTest(row=row):
                if row["answer"] == "works":
                    ours = tq(*row["tq"].split(), "--help").stdout
                    self.assertTrue(ours)
                    self.assertEqual(tq(row["name"], "--help").stdout, ours)
                else:
                    done = tq(row["name"], "x")
                    self.assertEqual(done.returncode, 2)
                    self.assertIn(row["why"], done.stderr)

    def test_formats(self):
        for row in NAMES["formats"]:
            with self.subTest(row=row):
                done = call("run", "--format", row["name"])
                self.assertEqual(done.returncode, 2)
                self.assertIn(row["tq"] or row["why"], done.stderr)
        done = call("convert", "--format", "Q4_K_M")
        self.assertEqual(done.returncode, 2)
        self.assertIn("nearest is tq4", done.stderr)


class Arguments(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = folder.name
        self.model = make_model(os.path.join(self.folder, "model"))

    def ids(self, *args):
        return tq_json(*args)["ids"]

    def test_arguments_by_name(self):
        expected = self.ids("run", self.model, "hello world", "-n", 5)
        for args in (["-m", self.model, "-p", "hello world"], ["-p", "hello world", "-m", self.model],
                     ["--model", self.model, "hello world"], [self.model, "--prompt=hello world"],
                     ["-p", "hello world", self.model]):
            self.assertEqual(self.ids("run", *args, "-n", 5), expected, args)
        self.assertEqual(self.ids("run", "-m", self.model, "-p", "-5 degrees", "-n", 5),
                         self.ids("run", self.model, "-n", 5, "--", "-5 degrees"))
        self.assertEqual(tq_json("tokenize", "-m", self.model, "-p", "abc")["ids"],
                         tq_json("tokenize", self.model, "abc")["ids"])
        done = tq("run", "-p", "hello")
        self.assertEqual(done.returncode, 2)
        self.assertIn("MODEL is required", done.stderr)
        done = tq("run", "-m", self.model, "-m", self.model)
        self.assertEqual(done.returncode, 2)
        self.assertIn("MODEL is given twice", done.stderr)
        self.assertEqual(tq("run", "-p", "x", "--help").returncode, 0)
        self.assertEqual(tq("run", "-m").returncode, 2)

    def test_source_and_destination_by_name(self):
        out = os.path.join(self.folder, "out")
        done = tq("convert", "-o", out, "-i", self.model, "--bits", "4", "--quiet")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("tq4", tq("inspect", "-m", out).stdout)

    def test_a_whole_line_of_llama_cli(self):
        theirs = self.ids("run", "-m", self.model, "-p", "hello", "-n", "6", "-c", "128", "-t", "1",
                          "-ngl", "0", "-s", "7", "--temperature", "0.8", "--top_k", "20",
                          "--top_p=0.9", "--min_p", "0.01", "--repeat_penalty", "1.1", "--jinja",
                          "-fa", "on", "--no-mmap", "--mlock", "-b", "64")
        ours = self.ids("run", self.model, "hello", "-n", "6", "--ctx", "128", "--threads", "1",
                        "--device", "cpu", "--seed", "7", "--temp", "0.8", "--top-k", "20",
                        "--top-p", "0.9", "--min-p", "0.01", "--repeat-penalty", "1.1", "--batch",
                        "64")
        self.assertEqual(theirs, ours)
        self.assertEqual(self.ids("run", self.model, "hello", "-n6", "-t1", "-s7", "--temp", 1),
                         self.ids("run", self.model, "hello", "-n", 6, "--seed", 7, "--temp", 1))

    def test_a_switch_takes_no_prompt(self):
        expected = self.ids("run", self.model, "hello", "-n", 5)
        self.assertEqual(self.ids("run", self.model, "-fa", "hello", "-n", 5), expected)
        self.assertEqual(self.ids("run", self.model, "-fa", "off", "hello", "-n", 5), expected)

    def test_values_are_no_options(self):
        """What looks like an option but is a value stays as it is."""
        a = tq_json("run", self.model, "hello", "-n", 5, "--stop", "--top_k")
        self.assertEqual(a["generated_tokens"], 5)
        self.assertEqual(self.ids("run", self.model, "-n", 5, "--", "--top_k"),
                         self.ids("run", self.model, "-n", 5, "-p", "--top_k"))


class Meant(unittest.TestCase):
    """Did you mean ...?"""

    def refused(self, args, *parts):
        done = tq(*args)
        self.assertEqual(done.returncode, 2, done)
        self.assertEqual(done.stdout, "")
        for part in parts:
            self.assertIn(part, done.stderr)

    def test_commands(self):
        self.refused(["rnu"], "unknown command rnu; did you mean run?", "tq --help")
        self.refused(["cmd"], "unknown command cmd\n")
        self.refused(["eval", "ppx"], "did you mean ppl?", "tq eval --help")
        self.refused(["./model.gguf"], "tq run ./model.gguf")
        self.refused(["help", "chta"], "did you mean chat?")

    def test_options(self):
        self.refused(["run", "m", "--tempp", "1"], "unknown option --tempp; did you mean --temp",
                     "tq run --help")
        self.refused(["run", "m", "--max-tokns", "1"], "did you mean --max-tokens?")
        self.refused(["run", "m", "-temp", "1"], "did you mean --temp")
        self.refused(["run", "m", "--prefill", "1"], "tq bench has it")
        self.refused(["run", "m", "-5 degrees"], "goes after --")
        self.refused(["--temp", "1"], "a command comes first")
        self.refused(["run", "m", "hello", "world"], "unexpected argument world", "quotes")
        self.refused(["convert", "a", "b", "q4_k_m"], "unexpected argument q4_k_m", "--format")

    def test_values(self):
        self.refused(["run", "m", "--format", "tq33"], "tq33 is none of", "did you mean tq3")
        self.refused(["run", "m", "--kv-dtype", "f61"], "did you mean f16")
        self.refused(["bench", "m", "--kernels", "fusd"], "did you mean fused?")
        self.refused(["version", "--progress", "plian"], "did you mean plain?")

    def test_files(self):
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "model-Q4_K_M.gguf")
            with open(path, "w", encoding="utf-8") as file:
                file.write("GGUF")
            for command in (["run", path.replace("K_M", "K_S"), "x"], ["inspect", path[:-5]]):
                done = tq(*command)
                self.assertEqual(done.returncode, 3, done)
                self.assertIn(f"did you mean {path}?", done.stderr)
        for args in (["Qwen/Qwen3-8B"], ["-hf", "Qwen/Qwen3-8B:Q4_K_M"]):
            done = tq("run", *args, "hello", env={"HF_HUB_CACHE": "/nowhere", "HF_HUB_OFFLINE": "1"})
            self.assertEqual(done.returncode, 3, done)
            self.assertIn(f"{args[-1]} is not there in /nowhere", done.stderr)

    def test_errors_are_json_too(self):
        done = tq("run", "--json", "m", "--tempp", "1")
        self.assertEqual(done.returncode, 2)
        error = json.loads(done.stderr)["error"]
        self.assertEqual(error["code"], "invalid_argument")
        self.assertIn("--temp", error["message"])


class Help(unittest.TestCase):
    def all_commands(self):
        names = subprocess.run(["bash", "-c", tq("completion", "bash").stdout +
                                'COMP_WORDS=(tq ""); COMP_CWORD=1; _tq; echo "${COMPREPLY[@]}"'],
                               capture_output=True, text=True, check=True).stdout.split()
        names = [name for name in names if not name.startswith("-")]
        self.assertIn("run", names)
        return [[name] for name in names] + [["eval", name] for name in ("ppl", "kld", "logits")]

    def test_help_of_a_command(self):
        for command in self.all_commands():
            by_help = tq("help", *command)
            self.assertEqual(by_help.returncode, 0, by_help)
            self.assertEqual(by_help.stdout, tq(*command, "--help").stdout)
        self.assertEqual(tq("help").stdout, tq("--help").stdout)

    def test_examples_are_understood(self):
        """Every command has examples, and tq understands each: what they name does not exist here,
        which is found after the arguments were read."""
        for command in self.all_commands():
            text = tq("help", *command).stdout
            self.assertIn("\nExamples:\n", text, command)
            examples = text.split("\nExamples:\n")[1].strip().splitlines()
            self.assertTrue(examples)
            for example in examples:
                with self.subTest(example=example), tempfile.TemporaryDirectory() as empty:
                    (call_of_tq,) = [part for part in example.strip().split(" | ")
                                     if part.startswith("tq ")]
                    words = shlex.split(call_of_tq.split(" > ")[0])
                    self.assertEqual(words[0], "tq")
                    if command[0] not in ("synth", "inspect"):
                        words = [word.replace("synth:", "/nowhere/") for word in words]
                    if words[1] == "bench":  # whatever listens there
                        words = [word.replace("localhost:8000", NO_SERVER) for word in words]
                    if "--synthetic" in words or words[1] == "synth" and "--list" not in words:
                        continue  # these would run; Rows and test_synth.py know their options
                    env = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_HOME": empty}
                    done = subprocess.run([TQ, *words[1:]], cwd=empty, capture_output=True, text=True,
                                          input="", timeout=60, check=False, env=env)
                    self.assertIn(done.returncode, (0, 3), done)

    def test_names(self):
        text = tq("help", "names").stdout
        for row in NAMES["options"] + NAMES["commands"]:
            self.assertIn(row["name"], text)


if __name__ == "__main__":
    unittest.main()
