#!/usr/bin/env python3
"""What stands in deploy/ and can be checked without systemd, Docker, Grafana and nginx: the dashboard's metrics are the
server's, options and files exist, and the files can be read."""

import json
import os
import pathlib
import re
import shutil
import subprocess
import unittest

TQ = os.environ["TQ_BINARY"]
SOURCE = pathlib.Path(os.environ["TQ_SOURCE_DIR"])
DEPLOY = SOURCE / "deploy"
FILES = sorted(path for path in DEPLOY.iterdir() if path.is_file())


def metric_names():
    """What src/server/metrics.cpp prints; of histograms also their parts."""
    source = (SOURCE / "src/server/metrics.cpp").read_text()
    names = set(re.findall(r"\b((?:vllm|tq):\w+)", source))
    for name in re.findall(r'\.write\("([\w:]+)"', source):
        names |= {f"{name}_bucket", f"{name}_sum", f"{name}_count"}
    return names


class DeployTest(unittest.TestCase):
    def test_the_dashboards_metrics_are_printed(self):
        dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
        expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        queries = [variable["query"] for variable in dashboard["templating"]["list"]]
        used = {name for text in expressions + queries for name in re.findall(r"\b(?:vllm|tq):\w+", text)}
        names = metric_names()
        self.assertGreater(len(used), 20)
        self.assertEqual(used - names, set())
        # And every metric that is printed is somewhere in the dashboard.
        shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in used}
        self.assertEqual({re.sub(r"_(bucket|sum|count)$", "", name) for name in names} - shown, set())
        for text in expressions:
            self.assertEqual([text.count(a) for a in "({["], [text.count(b) for b in ")}]"], text)
        places = [tuple(panel["gridPos"].values()) for panel in dashboard["panels"]]
        self.assertEqual(len(places), len(set(places)))
        self.assertEqual(len({panel["id"] for panel in dashboard["panels"]}), len(places))

    def test_options_exist(self):
        known = set(re.findall(r"--[a-z][\w-]+", subprocess.run(
            [TQ, "serve", "--help"], capture_output=True, text=True, check=True).stdout))
        for file in FILES:
            text = file.read_text()
            for line in text.splitlines():
                if not re.search(r"\btq\b.*\bserve\b|\"serve\"|turboquant.* serve ", line):
                    continue
                line = re.sub(r"^.*?(?=\bserve\b)", "", line, count=1)  # of docker run and the like before it
                for option in re.findall(r"(?<![\w-])--[a-z][\w-]+", line):
                    self.assertIn(option, known, file)
            for name in re.findall(r"\bTQ_[A-Z_]+(?==)", text):
                if name in ("TQ_TESTS", "TQ_CUDA", "TQ_CUDA_PACKAGE", "TQ_SERVER", "TQ_TLS", "TQ_HUB"):  # of CMake
                    self.assertIn(name, (SOURCE / "CMakeLists.txt").read_text() +
                                  (SOURCE / "cmake/TqCuda.cmake").read_text())
                elif name != "TQ_MODEL":  # the unit's own
                    self.assertIn("--" + name[3:].lower().replace("_", "-"), known, file)

    def test_files_that_are_named_exist(self):
        readme = (DEPLOY / "README.md").read_text()
        for name in re.findall(r"\]\(([^)#]+)\)", readme):
            self.assertTrue((DEPLOY / name).exists(), name)
        for file in FILES:
            if file.suffix not in (".dockerignore",) and not file.name.startswith(("README", "grafana-p", "grafana-datas")):
                self.assertIn(file.name, readme)
        for name in re.findall(r"\./([\w.-]+):", (DEPLOY / "compose.yaml").read_text()):
            self.assertTrue((DEPLOY / name).is_file(), name)
        dockerfile = (DEPLOY / "Dockerfile").read_text()
        for name in re.findall(r"scripts/[\w.]+", dockerfile):
            self.assertTrue((SOURCE / name).is_file(), name)
        self.assertIn("\nUSER 10001\n", dockerfile)

    def test_files_can_be_read(self):
        try:
            import yaml
        except ImportError:
            self.skipTest("there is no yaml")
        compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
        self.assertEqual(set(compose["services"]), {"tq", "prometheus", "grafana"})
        self.assertTrue(all(port.startswith("127.0.0.1:") for service in compose["services"].values()
                            for port in service.get("ports", [])))
        scrape = yaml.safe_load((DEPLOY / "prometheus.yml").read_text())["scrape_configs"][0]
        self.assertEqual((scrape["metrics_path"], scrape["static_configs"][0]["targets"]), ("/metrics", ["tq:8000"]))
        for file in FILES:
            if file.suffix in (".yaml", ".yml"):
                yaml.safe_load(file.read_text())

    def test_the_unit(self):
        text = (DEPLOY / "tq-serve.service").read_text()
        settings = re.findall(r"^(\w+)=(.*)$", text, re.M)
        self.assertIn(("NoNewPrivileges", "yes"), settings)
        self.assertIn(("CapabilityBoundingSet", ""), settings)
        if not shutil.which("systemd-analyze"):
            self.skipTest("there is no systemd-analyze")
        done = subprocess.run(["systemd-analyze", "verify", "--man=no", DEPLOY / "tq-serve.service"],
                              capture_output=True, text=True, check=False, env={**os.environ, "SYSTEMD_LOG_LEVEL": "warning"})
        faults = [line for line in done.stderr.splitlines()
                  if "tq-serve.service" in line and "/usr/bin/tq is not executable" not in line]
        self.assertEqual(faults, [])


if __name__ == "__main__":
    unittest.main()
