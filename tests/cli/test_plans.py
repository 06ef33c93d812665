"""tq eval plans and tq convert --plan measured: measurements, what is chosen by them, resuming."""

import json
import unittest

from checkpoints import CORRUPT, NOT_FOUND, USAGE, TqTest, run_tq, tree_hash, write_model


class Plans(TqTest):
    def setUp(self):
        super().setUp()
        self.source = write_model(self.dir / "source", layers=3)
        self.file = self.dir / "measured.json"

    def measure(self, *args):
        return run_tq("eval", "plans", self.source, "--measured", self.file, "--measure-tokens", 32,
                      "--measure-parts", 2, "--device", "cpu", *args)

    def measured(self, *args):
        result = self.measure("--json", *args)
        self.assert_ok(result)
        return json.loads(result.stdout)

    def plan(self, name, most, **other):
        path = self.dir / name
        formats = dict.fromkeys(
            ("experts", "mlp", "attention", "output", "keys_values", "head", "embed"), most)
        path.write_text(json.dumps({"tq_plan": 1, "formats": {**formats, **other}}))
        return path

    def convert(self, name, *args):
        return run_tq("convert", self.source, self.dir / name, "--plan", "measured", "--measured",
                      self.file, "--measure-tokens", 32, "--measure-parts", 2, "--effort", "fast",
                      *args)

    def test_groups_and_plans(self):
        result = self.measured()
        groups = [(group["class"], group["first"], group["last"]) for group in result["groups"]]
        self.assertEqual(groups, [(name, *layers) for name in
                                  ("mlp", "attention", "output", "keys_values")
                                  for layers in ((0, 0), (1, 2))] + [("embed", -1, -1)])
        for group in result["groups"]:
            self.assertGreater(group["kld"], 0, group)
            self.assertGreater(group["kld_se"], 0, group)
        self.assertEqual(json.loads(self.file.read_text())["groups"], result["groups"])
        klds = {plan["plan"]: plan["kld"] for plan in result["plans"]}
        self.assertEqual(len(klds), 5)
        uniform = [kld for name, kld in klds.items() if "," not in name]
        self.assertLess(uniform[1], uniform[0])  # four bits, three bits
        self.assertEqual(len(result["plans"][0]["worst"]), 3)

    def test_plans_of_files(self):
        plans = (self.plan("none.json", "keep"), self.plan("eight.json", "tq8"),
                 self.plan("two.json", "tq2"))
        result = self.measured("--plans", ",".join(map(str, plans)))
        klds = [plan["kld"] for plan in result["plans"]]
        self.assertEqual(klds[0], 0)  # the source itself
        self.assertEqual(result["plans"][0]["same_top1"], 1)
        self.assertGreater(klds[1], 0)
        self.assertGreater(klds[2], 100 * klds[1])
        text = self.measure("--plans", plans[1])
        self.assert_ok(text)
        for part in ("keys and values 1-2", "eight.json", "32 random tokens"):
            self.assertIn(part, text.stdout)
        rules = self.dir / "rules.json"
        rules.write_text(json.dumps({**json.loads(plans[0].read_text()),
                                     "rules": [{"match": "*", "format": "tq2"}]}))
        self.assert_fails(self.measure("--plans", rules), USAGE, "rules.json", "not measured")

    def test_goes_on_where_it_was_stopped(self):
        whole = self.measured()["groups"]
        part = json.loads(self.file.read_text())
        part["groups"] = [dict(whole[3], kld=77.0), whole[0]]  # in whatever order; believed
        self.file.write_text(json.dumps(part))
        again = self.measured()["groups"]
        self.assertEqual(again[3]["kld"], 77)
        self.assertEqual(again[:3] + again[4:], whole[:3] + whole[4:])

    def test_converts_by_measurements(self):
        result = self.convert("one", "--bpw", "4.5")
        self.assert_ok(result)
        self.assertIn("predicted KLD", result.stderr)
        before = self.file.read_text()
        self.assertEqual(len(json.loads(before)["groups"]), 9)
        plan = self.dir / "plan.json"
        written = run_tq("convert", self.source, "--write-plan", plan, "--plan", "measured", "--bpw",
                         "4.5", "--measured", self.file, "--measure-tokens", 32, "--measure-parts",
                         2, "--json")
        self.assert_ok(written)
        self.assertLessEqual(json.loads(written.stdout)["bits_per_weight"], 4.5)
        self.assert_ok(run_tq("convert", self.source, self.dir / "two", "--plan", plan, "--effort",
                              "fast"))
        self.assertEqual(tree_hash(self.dir / "one"), tree_hash(self.dir / "two"))
        self.assertEqual(self.file.read_text(), before)  # nothing was measured again

    def test_what_is_refused(self):
        self.assert_fails(self.convert("one"), USAGE, "--bpw or --fit")
        self.assertFalse(self.file.exists())
        self.assert_ok(self.convert("one", "--bpw", "5"))
        other = write_model(self.dir / "other", layers=2)
        result = run_tq("eval", "plans", other, "--measured", self.file, "--measure-tokens", 32)
        self.assert_fails(result, USAGE, "measured.json", "another source")
        self.assert_fails(self.measure("--measure-seed", "2"), USAGE, "measured.json", "seed 1")
        self.assert_fails(self.measure("--measure-format", "tq2"), USAGE, "measured.json", "format")
        self.assert_fails(self.convert("two", "--bpw", "0.5"), USAGE, "cannot be met: the least is")
        self.file.write_text("{}")
        self.assert_fails(self.measure(), USAGE, "measured.json", "no file of measurements")
        self.file.write_text("{")
        self.assert_fails(self.measure(), CORRUPT, "measured.json")
        self.assert_fails(run_tq("eval", "plans", self.dir / "none", "--measured", self.file),
                          NOT_FOUND, "none")


if __name__ == "__main__":
    unittest.main()
