"""A 16-bit GGUF file from a quantised one: its weights, with uniform noise of one grid step added.

Without the noise a quantiser that has the source's grid finds it again almost without loss, which says nothing of
how it treats real weights. Linears are dithered, everything else is kept (tables as f16).

A draw other than 0 is the same function with other signs: columns of a matrix are negated together with what makes
their inputs (a norm's weight, the rows of up_proj or v_proj). Sums of products stay the same to the bit, but what
rounds columns together (a rotation with fixed signs, a block with a minimum) makes other errors: draws are how their
share of a result is averaged out.
"""

import re

import gguf
import numpy as np

LINEARS = ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down")
ARCHITECTURES = ("llama", "qwen2", "qwen3", "gemma3")
# Bytes of a block that hold the low bits of its codes: the difference between all 1 and all 0 is the grid step.
CODES = {
    "Q4_0": (2, 18, 0x11), "Q4_1": (4, 20, 0x11), "Q5_0": (6, 22, 0x11), "Q5_1": (8, 24, 0x11),
    "Q8_0": (2, 34, 0x01), "Q4_K": (16, 144, 0x11), "Q5_K": (48, 176, 0x11), "Q6_K": (0, 128, 0x11),
}  # fmt: skip
PLAIN = ("F32", "F16", "BF16")


def values(tensor):
    """float32, [rows, in] or [n]."""
    return gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)


def steps(tensor):
    """The distance of neighbours on the grid of each weight."""
    name = tensor.tensor_type.name
    if name in PLAIN:
        return np.zeros(1, np.float32)
    begin, end, ones = CODES[name]
    block_bytes = gguf.GGML_QUANT_SIZES[tensor.tensor_type][1]

    def with_codes(code):
        blocks = tensor.data.copy().reshape(-1, block_bytes)
        blocks[:, begin:end] = code
        return gguf.dequantize(blocks.reshape(tensor.data.shape), tensor.tensor_type)

    return np.abs(with_codes(ones) - with_codes(0))


def number(reader, key, default=None):
    field = reader.fields.get(key)
    if field is None and default is None:
        raise SystemExit(f"{key} is missing")
    return default if field is None else int(field.contents())


class Signs:
    """+-1 for the columns of each linear; what makes them is negated alike."""

    def __init__(self, reader, arch, draw):
        self.draw = draw
        self.n_heads = number(reader, f"{arch}.attention.head_count")
        self.n_kv_heads = number(reader, f"{arch}.attention.head_count_kv", self.n_heads)

    def random(self, layer, what, n):
        if self.draw == 0:
            return np.ones(n, np.float32)
        key = [self.draw, layer, sum(what.encode())]
        return np.random.default_rng(key).choice(np.float32([-1, 1]), n)

    def columns(self, layer, name, n):
        if name == "attn_output":
            head_dim = n // self.n_heads
            of_kv = self.random(layer, "attn_v", self.n_kv_heads * head_dim)
            shared = self.n_heads // self.n_kv_heads
            return np.repeat(of_kv.reshape(self.n_kv_heads, head_dim), shared, axis=0).ravel()
        return self.random(layer, "ffn_up" if name == "ffn_down" else name.split("_")[0] + "_norm", n)

    def rows(self, layer, name, n):
        """Of tensors that make the inputs of others."""
        if name in ("attn_norm", "ffn_norm", "attn_v", "ffn_up"):
            return self.random(layer, name, n)
        return np.ones(n, np.float32)


def write(source, out, draw, seed):
    """Writes the source, dithered by `seed`, with the signs of `draw`."""
    reader = gguf.GGUFReader(source)
    arch = reader.fields["general.architecture"].contents()
    if arch not in ARCHITECTURES or any("_exps" in tensor.name for tensor in reader.tensors):
        raise SystemExit(f"{source}: {arch}: only {', '.join(ARCHITECTURES)} are known here, without experts")
    writer = gguf.GGUFWriter(out, arch)
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        kind = field.types[0]
        sub = field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None
        value = int(gguf.LlamaFileType.MOSTLY_F16) if field.name == "general.file_type" else field.contents()
        writer.add_key_value(field.name, value, kind, sub_type=sub)
    signs = Signs(reader, arch, draw)
    tensors = []
    for tensor in reader.tensors:
        dtype = np.float16 if len(tensor.shape) > 1 else np.float32
        shape = tuple(int(n) for n in reversed(tensor.shape))
        writer.add_tensor_info(tensor.name, shape, np.dtype(dtype), int(np.prod(shape)) * np.dtype(dtype).itemsize)
        tensors.append((tensor, dtype))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for index, (tensor, dtype) in enumerate(tensors):
        data = values(tensor)
        match = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", tensor.name)
        if match:
            layer, name = int(match[1]), match[2]
            if name in LINEARS and match[3] == "weight":
                noise = np.random.default_rng([seed, index]).random(data.shape, np.float32) - np.float32(0.5)
                data = (data + noise * steps(tensor)).astype(np.float16).astype(np.float32)
                data *= signs.columns(layer, name, data.shape[-1])
            rows = signs.rows(layer, name, data.shape[0])
            data *= rows if data.ndim == 1 else rows[:, None]
        writer.write_tensor_data(data.astype(dtype))
    writer.close()


def linear_bits(path):
    """Bits stored for a weight of the linears of a GGUF file."""
    n_bytes = n_weights = 0
    for tensor in gguf.GGUFReader(path).tensors:
        match = re.fullmatch(r"blk\.\d+\.(\w+)\.weight", tensor.name)
        if match and match[1] in LINEARS:
            n_bytes += int(tensor.n_bytes)
            n_weights += int(tensor.n_elements)
    return 8 * n_bytes / n_weights
