#!/usr/bin/env python3
"""tq started with standard descriptors closed: nothing that it prints lands in its files."""

import itertools
import os
import subprocess
import unittest

from checkpoints import IO, TQ, TqTest, run_tq, tree_hash, write_model


class ClosedDescriptors(TqTest):
    def run_without(self, closed, *args):
        """The exit code of tq with some of its standard descriptors closed; the others are null."""
        def close():
            for descriptor in closed:
                os.close(descriptor)
        return subprocess.run([TQ, *map(str, args)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              preexec_fn=close, timeout=300, check=False).returncode

    def test_convert_writes_what_it_always_writes(self):
        source = write_model(self.dir / "source")
        options = ["--effort", "fast", "--progress", "plain", "--shard-size", "100kB"]
        self.assert_ok(run_tq("convert", source, self.dir / "right", *options))
        expected = tree_hash(self.dir / "right")
        self.assertGreater(len(expected), 4)
        for n in (1, 2, 3):
            for closed in itertools.combinations((0, 1, 2), n):
                result = self.dir / ("result" + "".join(map(str, closed)))
                code = self.run_without(closed, "convert", source, result, *options)
                # A report that cannot be printed is an error; the checkpoint is whole all the same.
                self.assertEqual(code, IO if 1 in closed else 0, closed)
                self.assertEqual(tree_hash(result), expected, closed)

    def test_results_that_go_nowhere_are_an_error(self):
        self.assertEqual(self.run_without((1,), "version"), IO)
        self.assertEqual(self.run_without((0, 2), "version"), 0)


if __name__ == "__main__":
    unittest.main()
