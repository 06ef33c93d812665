"""What `cmake --install` and `cpack -G DEB` make of the build: files, a program that runs, pages that render."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import tempfile
import unittest

BUILD = os.environ["TQ_BUILD_DIR"]
COMMANDS = {"run", "chat", "convert", "eval", "inspect"}


def run(*command, **options):
    return subprocess.run([str(c) for c in command], capture_output=True, text=True, check=True, **options)


class InstallTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.addClassCleanup(cls.folder.cleanup)
        cls.prefix = pathlib.Path(cls.folder.name) / "prefix with space"
        run("cmake", "--install", BUILD, "--prefix", cls.prefix)

    def test_installed_program_runs(self):
        tq = self.prefix / "bin/tq"
        built = run(os.environ["TQ_BINARY"], "version").stdout
        self.assertEqual(run(tq, "version", cwd="/").stdout, built)
        self.assertIn("turboquant.cpp", built)  # what demo.sh knows the program by

    def test_nothing_is_forgotten_and_nothing_else_is_installed(self):
        files = {str(p.relative_to(self.prefix)) for p in self.prefix.rglob("*") if p.is_file()}
        needed = {"bin/tq", "share/bash-completion/completions/tq", "share/fish/vendor_completions.d/tq.fish",
                  "share/man/man1/tq.1", "share/man/man1/tq-eval-ppl.1", "share/doc/turboquant/copyright",
                  "share/doc/turboquant/README.md", "share/doc/turboquant/CHANGELOG.md",
                  "share/doc/turboquant/docs/cli.md", "include/turboquant/turboquant.h"}
        self.assertEqual(needed - files, set())
        self.assertTrue(any(f.startswith("share/zsh/") and f.endswith("/_tq") for f in files))
        self.assertEqual({f for f in files if not f.startswith(("bin/tq", "share/"))},
                         {f for f in files if re.search(r"^include/turboquant/turboquant\.h$|/libturboquant\.so[.0-9]*$|"
                                                        r"/pkgconfig/turboquant\.pc$", f)})

    def test_library_is_found_and_links(self):
        (pc,) = self.prefix.rglob("turboquant.pc")
        environment = {**os.environ, "PKG_CONFIG_PATH": str(pc.parent)}
        flags = run("pkg-config", "--cflags", "--libs", "turboquant", env=environment).stdout
        source = pathlib.Path(self.folder.name) / "program.c"
        source.write_text("#include <stdio.h>\n#include <turboquant/turboquant.h>\n"
                          "int main(void) { puts(tq_version()); return tq_abi_version() != TQ_ABI_VERSION; }\n")
        program = source.with_suffix("")
        run("cc", "-std=c99", source, *shlex.split(flags), "-o", program)
        done = run(program, env={**os.environ, "LD_LIBRARY_PATH": str(pc.parent.parent)})
        self.assertEqual(run(os.environ["TQ_BINARY"], "--version").stdout, "tq " + done.stdout)

    def test_manual_pages_render_without_warnings(self):
        if shutil.which("groff") is None:
            self.skipTest("no groff; scripts/install_deps.sh installs it")
        pages = sorted((self.prefix / "share/man/man1").glob("*.1"))
        self.assertTrue(COMMANDS <= {p.stem.removeprefix("tq-") for p in pages})
        for page in pages:
            done = run("groff", "-man", "-k", "-Tutf8", "-ww", "-rLL=100n", "-P-cbou", page)
            self.assertEqual(done.stderr, "", page)
            self.assertIn("turboquant.cpp", done.stdout)
        text = run("groff", "-man", "-k", "-Tutf8", "-P-cbou", self.prefix / "share/man/man1/tq-run.1").stdout
        for expected in ("tq run [options]", "--temp", "MODEL"):
            self.assertIn(expected, text)
        self.assertNotIn("\\", text.split("OPTIONS")[0])

    def test_completions_are_scripts(self):
        run("bash", "-n", self.prefix / "share/bash-completion/completions/tq")

    def test_deb(self):
        if shutil.which("dpkg-shlibdeps") is None:
            self.skipTest("no dpkg-dev; scripts/install_deps.sh installs it")
        with tempfile.TemporaryDirectory() as out:
            run("cpack", "--config", f"{BUILD}/CPackConfig.cmake", "-G", "DEB", "-B", out, cwd=out)
            (deb,) = pathlib.Path(out).glob("*.deb")
            fields = run("dpkg-deb", "-f", deb).stdout
            self.assertIn("Package: turboquant\n", fields)
            depends = next(line for line in fields.splitlines() if line.startswith("Depends: "))
            for library in ("libc6", "libfmt", "libsimdjson", "libpcre2-8", "libutf8proc", "libxxhash", "libedit2", "libssl3", "libcurl4"):
                self.assertIn(library, depends)
            run("dpkg-deb", "-x", deb, f"{out}/root")
            self.assertIn("turboquant.cpp", run(f"{out}/root/usr/bin/tq", "version").stdout)
            self.assertTrue(os.path.exists(f"{out}/root/usr/share/man/man1/tq.1"))
            self.assertTrue(os.path.exists(f"{out}/root/usr/share/doc/turboquant/copyright"))


if __name__ == "__main__":
    unittest.main()
