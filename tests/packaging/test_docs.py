"""The documentation as readers meet it: pictures are made of their data, numbers stand in the tables, links lead somewhere."""

import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import unittest

SOURCE = pathlib.Path(os.environ["TQ_SOURCE_DIR"])
PAGES = [*SOURCE.glob("*.md"), *SOURCE.glob("docs/*.md")]


class DocsTest(unittest.TestCase):
    def test_pictures_are_made_of_their_data(self):
        for script, name in (("bench/peers/proof.py", "proof"), ("bench/gpu/plot.py", "gpu-speed")):
            with tempfile.NamedTemporaryFile() as out:
                subprocess.run([sys.executable, SOURCE / script, SOURCE / f"docs/{name}.json", out.name], check=True)
                self.assertEqual(pathlib.Path(out.name).read_text(), (SOURCE / f"docs/{name}.svg").read_text(),
                                 f"run {script} docs/{name}.json docs/{name}.svg")

    def test_numbers_of_the_first_picture_are_in_the_tables(self):
        tables = (SOURCE / "docs/performance.md").read_text().replace(",", "")
        curves = (SOURCE / "docs/gpu-speed.json").read_text()
        proof = json.loads((SOURCE / "docs/proof.json").read_text())
        values = [p[side][1] for panel in proof["bars"] for p in panel["pairs"] for side in ("ours", "theirs")]
        for panel in proof["scatters"]:
            values += [panel["source"], *(v for side in ("ours", "theirs") for point in panel[side] for v in point[1:])]
        self.assertGreater(len(values), 20)
        for value in values:
            number = re.compile(rf"(?<![\d.]){re.escape(f'{value:g}')}(?:\.0+)?(?!\.?\d)")
            self.assertTrue(number.search(tables) or number.search(curves), f"{value} is in no table")

    def test_links_lead_to_files(self):
        self.assertGreater(len(PAGES), 10)
        for page in PAGES:
            for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
                if "://" not in target and " " not in target:
                    self.assertTrue((page.parent / target).exists(), f"{page.name}: {target}")


if __name__ == "__main__":
    unittest.main()
