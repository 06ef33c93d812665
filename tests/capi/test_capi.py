#!/usr/bin/env python3
"""The C interface: a program in C that uses it, what the library exports, and that it installs."""

import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ["TQ_SOURCE_DIR"])
sys.path.insert(0, str(SOURCE / "tests/cli"))
from cli_support import make_model, tq_json  # noqa: E402

LIBRARY = pathlib.Path(os.environ["TQ_LIBRARY"])


class CApi(unittest.TestCase):
    def test_program(self):
        with tempfile.TemporaryDirectory() as folder:
            model = make_model(pathlib.Path(folder) / "model", max_position=1 << 16)
            done = subprocess.run([os.environ["TQ_CAPI_TEST"], model, model.parent / "result"], capture_output=True, text=True,
                                  timeout=120, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            said = tq_json("run", model, "abc", "--raw", "--temp", "0", "-n", "12", "--exact", "--device", "cpu")
            self.assertEqual(done.stdout, said["text"] + "\n")
            self.assertNotEqual(said["text"], "")

    def test_example(self):
        """The program of docs/c-api.md answers."""
        code = (SOURCE / "docs/c-api.md").read_text().split("```c\n")[1].split("```")[0]
        with tempfile.TemporaryDirectory() as folder:
            make_model(pathlib.Path(folder) / "Qwen3-8B-tq", max_position=1 << 15)
            (pathlib.Path(folder) / "program.c").write_text(code)
            subprocess.run(["cc", "-std=c99", "-Wall", "-Wextra", "-Werror", "program.c", f"-I{SOURCE}/include", LIBRARY,
                            f"-Wl,-rpath,{LIBRARY.parent}", "-o", "program"], cwd=folder, check=True)
            done = subprocess.run(["./program"], cwd=folder, capture_output=True, text=True, timeout=120, check=False)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertNotEqual(done.stdout, "")

    def test_exports(self):
        listed = subprocess.run(["nm", "-D", "--defined-only", LIBRARY], capture_output=True, text=True, check=True)
        names = {line.split()[-1].split("@")[0] for line in listed.stdout.splitlines()}
        header = (SOURCE / "include/turboquant/turboquant.h").read_text()
        declared = {word.split("(")[0].lstrip("*") for line in header.splitlines() if line.startswith("TQ_API")
                    for word in line.split() if "(" in word}
        self.assertEqual(names, declared)
        self.assertGreater(len(names), 10)

    def test_soname(self):
        read = subprocess.run(["readelf", "-d", LIBRARY], capture_output=True, text=True, check=True)
        self.assertRegex(read.stdout, r"SONAME.*\[libturboquant\.so\.\d+\]")


if __name__ == "__main__":
    unittest.main()
