"""The README's two scripts in one clone, in both orders, with and without a toolkit and a GPU: each ends with a
build folder that is configured for the right GPUs. Nothing is compiled, but for CMake's own look at compilers."""

import os
import pathlib
import re
import shutil
import stat
import subprocess
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ["TQ_SOURCE_DIR"])
NVCC_PLACES = ["/usr/local/cuda", SOURCE / "build/cuda-toolkit"]


def toolkit():
    """The folder of a CUDA toolkit of this machine, or None."""
    nvcc = shutil.which("nvcc")
    places = [os.environ.get("CUDA_HOME"), *NVCC_PLACES, nvcc and pathlib.Path(nvcc).resolve().parents[1]]
    return next((str(p) for p in places if p and (pathlib.Path(p) / "bin/nvcc").exists()), None)


class Clone:
    """A copy of the sources in a folder of its own, with a GPU of `capability` or none."""

    def __init__(self, folder, capability=None):
        self.folder = pathlib.Path(folder)
        files = subprocess.run(
            ["git", "-c", f"safe.directory={SOURCE}", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=SOURCE, check=True, capture_output=True, text=True).stdout.split("\0")
        for name in filter(None, files):
            if not (SOURCE / name).is_file() or name.startswith("tests/golden/"):
                continue
            target = self.folder / "clone" / name
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(SOURCE / name, target)
        self.set_gpu(capability)

    def set_gpu(self, capability):
        """A GPU is what nvidia-smi says it is; without one it fails, as it does with no driver."""
        smi = self.folder / "bin/nvidia-smi"
        smi.parent.mkdir(exist_ok=True)
        smi.write_text(f"#!/bin/sh\necho {capability}\n" if capability else "#!/bin/sh\nexit 9\n")
        smi.chmod(smi.stat().st_mode | stat.S_IXUSR)

    def configure(self, script, **variables):
        """Runs demo or test as far as the configuration; returns the build folder's architectures, None without CUDA."""
        env = {**os.environ, "PATH": f"{self.folder}/bin:{os.environ['PATH']}", **variables}
        if "CUDAARCHS" not in variables:
            env.pop("CUDAARCHS", None)
        env.setdefault("CUDA_HOME", toolkit() or "")
        done = subprocess.run([f"scripts/{script}.sh", "--configure"], cwd=self.folder / "clone", env=env,
                              capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(f"{script}.sh: exit {done.returncode}\n{done.stdout}\n{done.stderr}")
        ninja = (self.folder / "clone/build/release/build.ninja").read_text()
        flags = re.findall(r"--generate-code=arch=[^\s]*code=\[?([\w,]+)", ninja)
        return sorted(set(",".join(flags).split(","))) if flags else None


class ConfigureTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def need_toolkit(self):
        if toolkit() is None:
            self.skipTest("no CUDA toolkit here; scripts/test.sh fetches one on x86-64")

    def test_demo_then_test_without_a_gpu(self):
        self.need_toolkit()
        clone = Clone(self.folder.name, capability="7.5")  # which is none: no kernel runs before Ampere
        self.assertIsNone(clone.configure("demo"))
        clone.set_gpu(None)
        self.assertEqual(clone.configure("test"), ["sm_90a"])
        self.assertEqual(clone.configure("demo"), ["sm_90a"])  # kept: nothing is built twice
        # Who names GPUs gets them, in a folder of any age.
        self.assertEqual(clone.configure("demo", CUDAARCHS="80-virtual"), ["compute_80"])
        self.assertEqual(clone.configure("test"), ["compute_80"])

    def test_test_then_demo_with_a_gpu(self):
        self.need_toolkit()
        clone = Clone(self.folder.name, capability="8.9")
        self.assertEqual(clone.configure("test"), ["sm_89"])
        clone.set_gpu(None)  # a laptop whose GPU sleeps, a container without it
        self.assertEqual(clone.configure("demo"), ["sm_89"])
        self.assertEqual(clone.configure("test"), ["sm_89"])

    def test_without_a_toolkit(self):
        clone = Clone(self.folder.name)
        script = clone.folder / "clone/cmake/TqCuda.cmake"
        text = script.read_text()
        self.assertIn("find_program(TQ_NVCC nvcc ", text)
        script.write_text(text.replace("find_program(TQ_NVCC nvcc ", "find_program(TQ_NVCC absent-nvcc "))
        (clone.folder / "clone/scripts/install_cuda.sh").write_text("#!/bin/sh\n")  # as on other than x86-64
        for name in ("demo", "test"):
            self.assertIsNone(clone.configure(name))

    def test_packages_are_for_every_gpu(self):
        self.need_toolkit()
        clone = Clone(self.folder.name, capability="9.0")
        self.assertEqual(clone.configure("demo"), ["sm_90a"])  # not 90, which lacks Hopper's products
        subprocess.run(["cmake", "--preset", "release", "-DTQ_CUDA_PACKAGE=ON"], cwd=clone.folder / "clone", check=True,
                       env={**os.environ, "CUDA_HOME": toolkit()}, capture_output=True)
        kinds = clone.configure("test")
        self.assertTrue({"sm_80", "sm_89", "sm_90a"} <= set(kinds), kinds)
        self.assertTrue(any(kind.startswith("compute_") for kind in kinds))  # for GPUs of later years

class DemoTest(unittest.TestCase):
    """The demo with an installed program: it builds nothing, and all its steps use that program."""

    PROGRAM = """#!/bin/sh
echo "$*" >> "$TQ_LOG"
case $1 in
  version) echo "tq 9.9.9 ($TQ_NAME)" ;;
  convert) mkdir -p "$3" && echo weights > "$3/model.safetensors" ;;
esac
"""

    def run_demo(self, name):
        """Runs the demo where a program of that name is installed; returns its calls, and whether it was to build."""
        with tempfile.TemporaryDirectory() as folder:
            clone = Clone(folder)
            for path, text in (("bin/tq", self.PROGRAM), ("clone/scripts/build.sh", "#!/bin/sh\necho built >> $TQ_LOG\nexit 7\n"),
                               ("clone/scripts/fetch_model.sh", "#!/bin/sh\nmkdir -p models && echo x > models/m && echo models/m\n")):
                (clone.folder / path).write_text(text)
                (clone.folder / path).chmod(0o755)
            log = clone.folder / "log"
            env = {**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}", "TQ_LOG": str(log), "TQ_NAME": name}
            done = subprocess.run(["scripts/demo.sh", "why?"], cwd=clone.folder / "clone", env=env, capture_output=True,
                                  text=True, check=False)
            return done, log.read_text().splitlines()

    def test_installed_program_is_used(self):
        done, calls = self.run_demo("turboquant.cpp")
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertNotIn("built", calls)
        self.assertEqual([c.split()[0] for c in calls if c != "version"],
                         ["inspect", "convert", "eval", "eval", "bench", "run"])
        self.assertIn("why?", calls[-1])

    def test_another_program_of_that_name_is_not(self):
        done, calls = self.run_demo("queries TOML")
        self.assertEqual((done.returncode, calls[-1]), (7, "built"))


if __name__ == "__main__":
    unittest.main()
