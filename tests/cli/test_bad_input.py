"""Broken, lying and alien files: a clear message, the documented exit code, nothing half-written."""

import json
import os
import struct
import unittest

from checkpoints import (CORRUPT, IO, NOT_FOUND, UNSUPPORTED, USAGE, TqTest, bf16_noise,
                         model_bytes, run_tq, safetensors_bytes, tiny_tensors, write_model)

LINEAR = "model.layers.0.mlp.up_proj.weight"


class BadFiles(TqTest):
    def refused(self, content, code, *parts, name="model.safetensors"):
        """Every command that reads the file refuses it alike, and convert leaves nothing."""
        source = self.dir / "source"
        source.mkdir(exist_ok=True)
        path = source / name
        path.write_bytes(content)
        for model in (source, path):
            result = self.dir / "result"
            for command in (["convert", model, result], ["inspect", model], ["verify", model]):
                self.assert_fails(run_tq(*command), code, *parts)
            self.assertFalse(result.exists())
        path.unlink()

    def one_tensor(self, **changes):
        """A file with one tensor of 4 x 64 bf16 whose header entry is changed."""
        entry = {"dtype": "BF16", "shape": [4, 64], "data_offsets": [0, 512]}
        entry.update(changes)
        return safetensors_bytes({LINEAR: entry}, bytes(512))

    def test_truncated(self):
        whole = model_bytes(tiny_tensors())
        for size in (0, 5, 8, 100, len(whole) // 2, len(whole) - 1):
            self.refused(whole[:size], CORRUPT, "model.safetensors")

    def test_trailing_bytes(self):
        self.refused(model_bytes(tiny_tensors()) + b"x", CORRUPT, "model.safetensors")

    def test_header_length_lies(self):
        for length in (1 << 40, (1 << 64) - 1, (100 << 20) + 1):
            self.refused(struct.pack("<Q", length) + b"{}" + bytes(100), CORRUPT,
                         "model.safetensors")

    def test_header_is_no_json(self):
        self.refused(safetensors_bytes(b'{"a": ', b""), CORRUPT, "model.safetensors")
        self.refused(safetensors_bytes(b"[1, 2, 3]", b""), CORRUPT, "model.safetensors")
        self.refused(safetensors_bytes(b"{" * 5000, b""), CORRUPT, "model.safetensors")

    def test_duplicate_names(self):
        entry = '"a": {"dtype": "U8", "shape": [4], "data_offsets": [%d, %d]}'
        header = "{" + entry % (0, 4) + ", " + entry % (4, 8) + "}"
        self.refused(safetensors_bytes(header.encode(), bytes(8)), CORRUPT, "a")

    def test_overlapping_tensors(self):
        header = {"a": {"dtype": "U8", "shape": [8], "data_offsets": [0, 8]},
                  "b": {"dtype": "U8", "shape": [8], "data_offsets": [4, 12]}}
        self.refused(safetensors_bytes(header, bytes(12)), CORRUPT, "model.safetensors")

    def test_hole_between_tensors(self):
        header = {"a": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]},
                  "b": {"dtype": "U8", "shape": [4], "data_offsets": [8, 12]}}
        self.refused(safetensors_bytes(header, bytes(12)), CORRUPT, "model.safetensors")

    def test_sizes_that_lie(self):
        self.refused(self.one_tensor(shape=[4, 65]), CORRUPT, LINEAR)
        self.refused(self.one_tensor(shape=[1 << 32, 1 << 32]), CORRUPT, LINEAR)
        self.refused(self.one_tensor(shape=[-4, -64]), CORRUPT, "model.safetensors")
        self.refused(self.one_tensor(data_offsets=[0, 1 << 50]), CORRUPT, LINEAR)
        self.refused(self.one_tensor(data_offsets=[512, 0]), CORRUPT, LINEAR)
        self.refused(self.one_tensor(dtype="Q7"), UNSUPPORTED, "Q7")

    def test_alien_file(self):
        alien = b"\x7fELF" + bytes(1000)
        path = self.dir / "alien.bin"
        path.write_bytes(alien)
        self.assert_fails(run_tq("inspect", path), UNSUPPORTED, "neither GGUF nor safetensors")
        self.refused(alien, CORRUPT, "model.safetensors")

    def test_truncated_gguf(self):
        path = self.dir / "model.gguf"
        for content in (b"GGUF", b"GGUF" + struct.pack("<IQQ", 3, 1 << 60, 1 << 60),
                        b"GGUF" + struct.pack("<IQQ", 3, 1, 0)):
            path.write_bytes(content)
            self.assert_fails(run_tq("convert", path, self.dir / "result"), CORRUPT, "model.gguf")
            self.assertFalse((self.dir / "result").exists())
        path.write_bytes(b"GGUF" + struct.pack("<IQQ", 99, 0, 0))
        self.assert_fails(run_tq("inspect", path), UNSUPPORTED, "model.gguf", "99")

    def test_nothing_there(self):
        self.assert_fails(run_tq("inspect", self.dir / "gone"), NOT_FOUND, "gone")
        (self.dir / "empty").mkdir()
        self.assert_fails(run_tq("convert", self.dir / "empty", self.dir / "result"), NOT_FOUND,
                          "no checkpoint here")

    def test_missing_shard(self):
        source = self.dir / "source"
        source.mkdir()
        name = "model-00001-of-00002.safetensors"
        (source / name).write_bytes(model_bytes({"a": [4]}))
        (source / "model.safetensors.index.json").write_text(json.dumps(
            {"weight_map": {"a": name, "b": "model-00002-of-00002.safetensors"}}))
        self.assert_fails(run_tq("convert", source, self.dir / "result"), NOT_FOUND,
                          "model-00002-of-00002.safetensors")
        self.assertFalse((self.dir / "result").exists())

    def test_index_that_leaves_the_folder(self):
        source = self.dir / "source"
        source.mkdir()
        (self.dir / "secret.safetensors").write_bytes(model_bytes({"a": [4]}))
        (source / "model.safetensors.index.json").write_text(json.dumps(
            {"weight_map": {"a": "../secret.safetensors"}}))
        self.assert_fails(run_tq("inspect", source), CORRUPT, "secret")

    def test_broken_config(self):
        source = write_model(self.dir / "source")
        for text in ("{", "[1]", '{"a": 1, "a": 2}'):
            (source / "config.json").write_text(text)
            self.assert_fails(run_tq("convert", source, self.dir / "result"), CORRUPT,
                              "config.json")
        self.assertFalse((self.dir / "result").exists())

    def test_other_quantisation(self):
        source = write_model(self.dir / "source")
        (source / "config.json").write_text('{"quantization_config": {"quant_method": "gptq"}}')
        self.assert_fails(run_tq("convert", source, self.dir / "result"), UNSUPPORTED, "gptq")
        self.assertFalse((self.dir / "result").exists())


class BadWeights(TqTest):
    def source_with(self, value):
        """A model of one linear with bf16 `value` at row 2, column 9, and a norm."""
        data = bytearray(bf16_noise(4 * 64, 1))
        data[2 * (2 * 64 + 9):2 * (2 * 64 + 9) + 2] = struct.pack("<H", value)
        header = {LINEAR: {"dtype": "BF16", "shape": [4, 64], "data_offsets": [0, 512]}}
        source = self.dir / "source"
        source.mkdir()
        (source / "model.safetensors").write_bytes(safetensors_bytes(header, bytes(data)))
        return source

    def test_nan(self):
        source = self.source_with(0x7fc0)
        result = self.dir / "result"
        self.assert_fails(run_tq("convert", source, result, "--anyway"), CORRUPT, LINEAR,
                          "row 2, column 9", "nan", "--allow-nan")
        self.assertFalse(result.exists())
        allowed = run_tq("convert", source, result, "--anyway", "--allow-nan")
        self.assert_ok(allowed)
        self.assertIn("1 weights were not finite", allowed.stdout)

    def test_infinity(self):
        self.assert_fails(run_tq("convert", self.source_with(0xff80), self.dir / "result",
                                 "--anyway"), CORRUPT, LINEAR, "-inf")

    def test_too_large_for_the_format(self):
        source = self.source_with(0x7e00)  # about 4e37
        self.assert_fails(run_tq("convert", source, self.dir / "result", "--anyway"), UNSUPPORTED,
                          LINEAR, "65504")
        self.assertFalse((self.dir / "result").exists())


class BadDestinations(TqTest):
    def setUp(self):
        super().setUp()
        self.source = write_model(self.dir / "source")

    def test_file_in_the_way(self):
        path = self.dir / "file"
        path.write_text("precious")
        self.assert_fails(run_tq("convert", self.source, path), USAGE, "not a folder")
        self.assert_fails(run_tq("convert", self.source, path / "below"), IO, "Not a directory")
        self.assertEqual(path.read_text(), "precious")

    def test_foreign_folder(self):
        folder = self.dir / "folder"
        folder.mkdir()
        (folder / "thesis.txt").write_text("precious")
        for option in ([], ["--overwrite"], ["--no-resume"]):
            self.assert_fails(run_tq("convert", self.source, folder, *option), USAGE,
                              "choose an empty or a new folder")
        self.assertEqual(os.listdir(folder), ["thesis.txt"])

    @unittest.skipIf(os.geteuid() == 0, "root may write anywhere")
    def test_read_only_folder(self):
        folder = self.dir / "folder"
        folder.mkdir(mode=0o555)
        self.assert_fails(run_tq("convert", self.source, folder / "result"), IO,
                          "Permission denied")

    def test_links_are_not_followed(self):
        precious = self.dir / "precious"
        precious.mkdir()
        (precious / "thesis.txt").write_text("precious")
        result = self.dir / "result"
        result.mkdir()
        (result / ".tq-convert").symlink_to(precious)
        for option in ([], ["--overwrite"], ["--no-resume"]):
            self.assert_fails(run_tq("convert", self.source, result, *option), USAGE, "a link")
        (result / ".tq-convert").unlink()
        (self.source / "LICENSE").symlink_to("/etc/passwd")
        self.assert_fails(run_tq("convert", self.source, result), USAGE, "LICENSE", "/etc/passwd")
        self.assertEqual(os.listdir(result), [])
        self.assertEqual((precious / "thesis.txt").read_text(), "precious")

    def test_bad_rules(self):
        rules = self.dir / "rules.json"
        for text, code, part in (('{"*": "tq3"}', USAGE, "rules are a list"),
                                 ('[{"match": "*", "format": "tq7"}]', USAGE, "tq7"),
                                 ('[{"match": "*"', CORRUPT, "not valid JSON")):
            rules.write_text(text)
            self.assert_fails(run_tq("convert", self.source, self.dir / "result", "--rules", rules),
                              code, "rules.json", part)
        self.assert_fails(run_tq("convert", self.source, self.dir / "result", "--rules",
                                 self.dir / "none.json"), NOT_FOUND, "none.json")
        self.assertFalse((self.dir / "result").exists())


if __name__ == "__main__":
    unittest.main()
