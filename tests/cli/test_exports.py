"""tq convert --layout awq and compressed-tensors from the outside: names, types and values, which are decoded here
again from the formats' descriptions; errors; and, where the package is installed, by compressed-tensors itself."""

import array
import json
import struct
import sys
import unittest

from checkpoints import CORRUPT, TqTest, UNSUPPORTED, USAGE, run_tq, write_model

AWQ_NIBBLE = [0, 4, 1, 5, 2, 6, 3, 7]  # where a column's code lies in a word
SETTINGS = [("awq",), ("compressed-tensors",), ("compressed-tensors", "--asymmetric"),
            ("compressed-tensors", "--bits", "8"),
            ("compressed-tensors", "--bits", "8", "--asymmetric"),
            ("compressed-tensors", "--bits", "3"),
            ("compressed-tensors", "--bits", "3", "--asymmetric")]


class Tensors:
    """The tensors of a safetensors file: name -> dtype, shape; bytes by name."""

    def __init__(self, path):
        data = path.read_bytes()
        [length] = struct.unpack("<Q", data[:8])
        self.header = json.loads(data[8:8 + length])
        self.header.pop("__metadata__", None)
        self.data = data[8 + length:]

    def bytes_of(self, name):
        begin, end = self.header[name]["data_offsets"]
        return self.data[begin:end]

    def words(self, name):
        return array.array("I", self.bytes_of(name))

    def floats(self, name):
        """As Python floats, whatever of f32, f16 and bf16 it is."""
        kind, raw = self.header[name]["dtype"], self.bytes_of(name)
        if kind == "F32":
            return array.array("f", raw)
        if kind == "F16":
            return [value for value, in struct.iter_unpack("<e", raw)]
        return array.array("f", b"".join(b"\0\0" + raw[i:i + 2] for i in range(0, len(raw), 2)))


def to_bf16(value):
    [bits] = struct.unpack("<I", struct.pack("<f", value))
    return struct.unpack("<f", struct.pack("<I", (bits + 0x7fff + ((bits >> 16) & 1)) & 0xffff0000))[0]


def to_f16(value):
    return struct.unpack("<e", struct.pack("<e", value))[0]


def code_at(words, index, bits):
    """Code `index` of a stream of bits."""
    word, bit = divmod(index * bits, 32)
    both = words[word] | (words[word + 1] << 32 if bit + bits > 32 else 0)
    return (both >> bit) & ((1 << bits) - 1)


def decode_awq(tensors, module):
    inputs, n_words = tensors.header[module + ".qweight"]["shape"]
    groups, outputs = tensors.header[module + ".scales"]["shape"]
    codes, zeros = tensors.words(module + ".qweight"), tensors.words(module + ".qzeros")
    scales = tensors.floats(module + ".scales")
    group = inputs // groups
    values = []
    for row in range(outputs):
        word, shift = row // 8, 4 * AWQ_NIBBLE[row % 8]
        for k in range(inputs):
            g = k // group
            code = (codes[k * n_words + word] >> shift) & 15
            zero = (zeros[g * n_words + word] >> shift) & 15
            values.append(to_f16((code - zero) * scales[g * outputs + row]))
    return values


def decode_compressed(tensors, module, bits):
    outputs, inputs = struct.unpack("<qq", tensors.bytes_of(module + ".weight_shape"))
    n_words = tensors.header[module + ".weight_packed"]["shape"][1]
    groups = tensors.header[module + ".weight_scale"]["shape"][1]
    packed, scales = tensors.words(module + ".weight_packed"), tensors.floats(module + ".weight_scale")
    columns = None
    if module + ".weight_zero_point" in tensors.header:
        words = tensors.words(module + ".weight_zero_point")
        columns = [words[g::groups] for g in range(groups)]
    values = []
    for row in range(outputs):
        line = packed[row * n_words:(row + 1) * n_words]
        for k in range(inputs):
            g = k * groups // inputs
            zero = 1 << (bits - 1) if columns is None else code_at(columns[g], row, bits)
            values.append(to_bf16((code_at(line, k, bits) - zero) * scales[row * groups + g]))
    return values


class Exports(TqTest):
    def setUp(self):
        super().setUp()
        self.source = write_model(self.dir / "source")

    def convert(self, folder, layout, *args):
        result = run_tq("convert", self.source, folder, "--layout", layout, *args, "--json")
        self.assert_ok(result)
        return json.loads(result.stdout)

    def as_numbers(self, export, folder):
        """What tq reads of an export."""
        rules = self.dir / "f32.json"
        rules.write_text('[{"match": "*", "format": "f32"}]')
        self.assert_ok(run_tq("convert", export, folder, "--rules", rules))
        return Tensors(folder / "model.safetensors")

    def test_values_are_what_the_formats_say(self):
        for i, setting in enumerate(SETTINGS):
            with self.subTest(" ".join(setting)):
                export = self.dir / f"export{i}"
                self.convert(export, *setting, "--effort", "fast")
                stored = Tensors(export / "model.safetensors")
                read = self.as_numbers(export, self.dir / f"read{i}")
                bits = int(setting[2]) if "--bits" in setting else 4
                for name in ("self_attn.o_proj", "mlp.down_proj"):  # groups of 128 and 64
                    module = "model.layers.1." + name
                    values = (decode_awq(stored, module) if setting[0] == "awq" else
                              decode_compressed(stored, module, bits))
                    self.assertEqual(values, list(read.floats(module + ".weight")))

    def test_the_search_beats_plain_rounding(self):
        def error(report):
            rows = [row for row in report["classes"] if "int" in row["format"]]
            return sum(row["rel_mse"] * row["parameters"] for row in rows)
        for i, setting in enumerate(SETTINGS):
            plain = self.convert(self.dir / f"plain{i}", *setting, "--effort", "reference")
            found = self.convert(self.dir / f"found{i}", *setting)
            self.assertLess(error(found), error(plain), setting)

    def test_awq_names_and_config(self):
        self.convert(self.dir / "awq", "awq", "--effort", "fast")
        header = Tensors(self.dir / "awq" / "model.safetensors").header
        names = {name: (entry["dtype"], entry["shape"]) for name, entry in header.items()}
        self.assertEqual(names["model.layers.0.mlp.down_proj.qweight"], ("I32", [192, 16]))
        self.assertEqual(names["model.layers.0.mlp.down_proj.qzeros"], ("I32", [3, 16]))
        self.assertEqual(names["model.layers.0.mlp.down_proj.scales"], ("F16", [3, 128]))
        self.assertEqual(names["model.embed_tokens.weight"][0], "BF16")
        self.assertEqual(names["model.layers.0.input_layernorm.weight"][0], "BF16")
        self.assertNotIn("model.layers.0.mlp.down_proj.weight", names)
        config = json.loads((self.dir / "awq" / "config.json").read_text())
        self.assertEqual(config["quantization_config"],
                         {"quant_method": "awq", "bits": 4, "group_size": 64, "zero_point": True,
                          "version": "gemm", "modules_to_not_convert": ["lm_head"]})
        self.assertEqual((self.dir / "awq" / "tokenizer.json").read_bytes(),
                         (self.source / "tokenizer.json").read_bytes())

    def test_inspect_and_verify(self):
        export = self.dir / "export"
        self.convert(export, "compressed-tensors", "--bits", "8", "--effort", "fast")
        seen = run_tq("inspect", export, "--tensors")
        self.assert_ok(seen)
        self.assertIn("compressed-tensors checkpoint", seen.stdout)
        self.assertIn("int8-g128", seen.stdout)
        self.assert_ok(run_tq("verify", export))
        file = export / "model.safetensors"
        data = bytearray(file.read_bytes())
        data[-1000] ^= 1
        file.write_bytes(data)
        result = run_tq("verify", export)
        self.assertEqual(result.returncode, CORRUPT)
        self.assertIn("content has changed", result.stderr)

    def test_an_export_is_no_source_without_a_word(self):
        self.convert(self.dir / "export", "awq", "--effort", "fast")
        again = run_tq("convert", self.dir / "export", self.dir / "again", "--layout",
                       "compressed-tensors", "--effort", "fast")
        self.assert_ok(again)
        self.assertIn("quantised already (uint4-g64)", again.stderr)

    def test_errors(self):
        for options, code, words in [
                (("--layout", "awq", "--bits", "8"), USAGE, "awq has 4 bits"),
                (("--layout", "compressed-tensors", "--bits", "5"), USAGE, "3, 4 or 8"),
                (("--layout", "awq", "--format", "tq3"), USAGE, "cannot be used with it"),
                (("--layout", "awq", "--group-size", "48"), USAGE, "32, 64 or 128"),
                (("--layout", "awq", "--group-size", "128"), UNSUPPORTED, "down_proj"),
                (("--layout", "awq", "--tp", "4"), USAGE, "--tp 3 can"),
                (("--bits", "8", "--format", "tq3"), USAGE, "layouts of integers"),
                (("--group-size", "64"), USAGE, "layouts of integers"),
                (("--layout", "gptq"), USAGE, "awq")]:
            with self.subTest(options):
                result = run_tq("convert", self.source, self.dir / "none", *options)
                self.assertEqual(result.returncode, code, result.stderr)
                self.assertIn(words, result.stderr)
                self.assertFalse((self.dir / "none").exists())

    def test_compressed_tensors_decompresses_to_what_tq_reads(self):
        try:
            import torch  # noqa: F401  (compressed_tensors needs it)
            from compressed_tensors.compressors.pack_quantized.base import (
                PackedQuantizationCompressor)
            from compressed_tensors.quantization import QuantizationConfig
            from safetensors.torch import load_file
        except ImportError as error:
            self.skipTest(f"the package compressed-tensors (0.20) is not installed: {error}")
        for i, setting in enumerate(SETTINGS[1:]):
            export = self.dir / f"export{i}"
            self.convert(export, *setting, "--effort", "fast")
            config = json.loads((export / "config.json").read_text())["quantization_config"]
            schemes = {s.weights.group_size: s
                       for s in QuantizationConfig.model_validate(config).config_groups.values()}
            stored = load_file(export / "model.safetensors")
            read = self.as_numbers(export, self.dir / f"read{i}")
            modules = [n.removesuffix("_packed") for n in stored if n.endswith(".weight_packed")]
            self.assertEqual(len(modules), 14)
            for module in modules:
                state = {"weight" + part: stored[module + part]
                         for part in ("_packed", "_scale", "_shape", "_zero_point")
                         if module + part in stored}
                group = int(state["weight_shape"][1]) // state["weight_scale"].shape[1]
                weight = PackedQuantizationCompressor.decompress(state, schemes[group])["weight"]
                self.assertEqual(weight.float().flatten().tolist(), list(read.floats(module)),
                                 f"{setting} {module}")


if __name__ == "__main__":
    sys.exit(unittest.main())
