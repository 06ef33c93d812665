"""What the tests of the Python package share: a tiny model, and tq to compare with."""

import os
import pathlib
import sys
import tempfile
import unittest

sys.path.insert(0, str(pathlib.Path(os.environ["TQ_SOURCE_DIR"]) / "tests/cli"))
os.environ.setdefault("TQ_CONFIG", "")
from cli_support import MODELS, make_model, tq, tq_json  # noqa: E402, F401

CPU = {"device": "cpu", "threads": 2, "exact": True}


class ModelTest(unittest.TestCase):
    """Tests of one model in self.folder / "model"; its context is long, so that answers can be."""

    @classmethod
    def setUpClass(cls):
        temporary = tempfile.TemporaryDirectory(prefix="tq-python-")
        cls.addClassCleanup(temporary.cleanup)
        cls.folder = pathlib.Path(temporary.name)
        cls.model = make_model(cls.folder / "model", max_position=1 << 16)
