#!/usr/bin/env python3
"""Sizes on the command line, memory plans, contexts that fit."""

import tempfile
import unittest
from pathlib import Path

from cli_support import make_model, tq, tq_json, write_ids


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


if __name__ == "__main__":
    unittest.main()
