"""Options from the environment and from a config file."""

import json
import os
import unittest

from checkpoints import USAGE, NOT_FOUND, TqTest, run_tq

MODEL = "synth:smollm2-135m"


class StandingOptions(TqTest):
    def setUp(self):
        super().setUp()
        self.config = self.dir / "config"

    def plan(self, *args, code=0, **variables):
        """tq plan with these variables and the config file."""
        environment = {**os.environ, "TQ_CONFIG": str(self.config) if self.config.exists() else ""}
        result = run_tq("plan", MODEL, *args, env={**environment, **variables})
        self.assertEqual(result.returncode, code, result.stderr)
        return result

    def ctx(self, *args, **variables):
        """The context that tq plan was asked for."""
        return json.loads(self.plan("--json", *args, **variables).stdout)["context"]

    def test_ranks(self):
        self.assertEqual(self.ctx(TQ_CTX="1k"), 1024)
        self.config.write_text("# mine\nctx = 2k\n\n[plan]\nctx = '3k'\n[run]\nctx = 4k\ntemp = 1\n")
        self.assertEqual(self.ctx(), 3072)
        self.assertEqual(self.ctx(TQ_CTX="1k"), 1024)
        self.assertEqual(self.ctx("--ctx", "512", TQ_CTX="1k"), 512)
        self.assertEqual(self.ctx("--ctx=512", TQ_CTX="1k"), 512)
        self.assertEqual(self.ctx(TQ_CTX=""), 3072)
        self.config.write_text("ctx = 2k\n[run]\nctx = 4k\n")
        self.assertEqual(self.ctx(), 2048)

    def test_where_the_file_is(self):
        self.config.write_text("ctx = 2k\n")
        other = self.dir / "other"
        other.write_text("ctx = 5k\n")
        self.assertEqual(self.ctx("--config", other), 5120)
        self.assertEqual(self.ctx(f"--config={other}"), 5120)
        home = self.dir / "home"
        (home / "tq").mkdir(parents=True)
        (home / "tq" / "config").write_text("ctx = 6k\n")
        environment = {k: v for k, v in os.environ.items() if k != "TQ_CONFIG"}
        result = run_tq("plan", MODEL, "--json", env={**environment, "XDG_CONFIG_HOME": str(home)})
        self.assertEqual(json.loads(result.stdout)["context"], 6144)
        missing = self.plan("--config", self.dir / "none", code=NOT_FOUND)
        self.assertIn("none", missing.stderr)

    def test_flags(self):
        for on in ("1", "on", "true", "yes"):
            self.assertTrue(self.plan(TQ_JSON=on).stdout.startswith("{"))
        for off in ("0", "off", "false", "no", ""):
            self.assertFalse(self.plan(TQ_JSON=off).stdout.startswith("{"))
        self.config.write_text("json = on\n")
        self.assertTrue(self.plan().stdout.startswith("{"))
        wrong = self.plan(code=USAGE, TQ_QUIET="maybe")
        self.assertIn("TQ_QUIET: quiet is on or off", wrong.stderr)

    def test_mistakes(self):
        for text, parts in (("ctx = 1k\nctxt = 5\n", (":2:", "--ctxt", "--ctx")),
                            ("\nctx\n", (":2:", "name = value")),
                            ("[plam]\n", (":1:", "plam", "plan")),
                            ("[plan\n", (":1:", "]")),
                            ("[plan]\ntemp = 3\n", (":2:", "tq plan has no option --temp")),
                            ("help = on\n", (":1:", "--help"))):
            self.config.write_text(text)
            result = self.plan(code=USAGE)
            for part in (str(self.config), *parts):
                self.assertIn(part, result.stderr)
        self.config.write_text("ctx = banana\n")
        self.assertIn("banana", self.plan(code=USAGE).stderr)
        # A section of another command is checked too, and does nothing.
        self.config.write_text("[run]\ntemp = 3\n")
        self.plan()

    def test_an_option_that_excludes_another(self):
        self.config.write_text("format = tq4\n")
        help_text = run_tq("run", "nowhere", "--preset", "12gb", env={**os.environ, "TQ_CONFIG": str(self.config)})
        self.assertEqual(help_text.returncode, NOT_FOUND, help_text.stderr)
        self.assertNotIn("excludes", help_text.stderr)


if __name__ == "__main__":
    unittest.main()
