"""Writes ints/ints.json: integers in groups as the compressed-tensors package packs and decompresses them,
and as AWQ orders them (src/format/int_groups.h). Needs torch and compressed-tensors (made with 2.15.0 and
0.20.1):  python3 tests/golden/make_int_goldens.py

Each case has the tensors that the package makes of random weights with its own minmax rule (bytes in
hexadecimal), and every VALUE_STRIDE-th row of the weights that its decompress() gives. AWQ's
words are put together here from the order that AutoAWQ documents (nibble i of a word holds column
[0, 2, 4, 6, 1, 3, 5, 7][i]) and taken apart again by the order that vLLM's loader uses
([0, 4, 1, 5, 2, 6, 3, 7]); its values are (code - zero) * scale in f16."""

import json
import pathlib

import torch
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from compressed_tensors.quantization.utils import calculate_qparams

ROWS, IN, VALUE_STRIDE = 32, 128, 5
AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]
VLLM_REVERSE = [0, 4, 1, 5, 2, 6, 3, 7]


def to_hex(tensor):
    return tensor.contiguous().view(torch.uint8).numpy().tobytes().hex()


def weights_of(dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(ROWS, IN, generator=generator) * 0.05
    weights[3, :32] = 0  # a group of zeros, if groups are of 32
    weights[5] += 0.02
    return weights.to(dtype)


def compressed_case(bits, symmetric, group, dtype, seed):
    weights = weights_of(dtype, seed)
    args = QuantizationArgs(num_bits=bits, symmetric=symmetric, strategy="group", group_size=group)
    scheme = QuantizationScheme(targets=["Linear"], weights=args)
    groups = weights.reshape(ROWS, IN // group, group)
    scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), args)
    packed = PackedQuantizationCompressor.compress(
        {"weight": weights, "weight_scale": scale, "weight_zero_point": zero.to(torch.int8)}, scheme)
    values = PackedQuantizationCompressor.decompress(dict(packed), scheme)["weight"]
    assert values.dtype == dtype
    case = {"layout": "compressed-tensors", "bits": bits, "symmetric": symmetric, "group": group,
            "scale": str(dtype).removeprefix("torch."), "rows": ROWS, "in": IN,
            "value_stride": VALUE_STRIDE, "weight_packed": to_hex(packed["weight_packed"]),
            "packed_shape": list(packed["weight_packed"].shape),
            "weight_scale": to_hex(packed["weight_scale"]), "values": to_hex(values[::VALUE_STRIDE])}
    if not symmetric:
        case["weight_zero_point"] = to_hex(packed["weight_zero_point"])
        case["zero_shape"] = list(packed["weight_zero_point"].shape)
    return case


def awq_words(codes):
    """[K, N] codes to [K, N / 8] words."""
    eights = codes.reshape(codes.shape[0], -1, 8)
    words = torch.zeros(eights.shape[:2], dtype=torch.int64)
    for nibble, column in enumerate(AWQ_ORDER):
        words |= eights[:, :, column].long() << (4 * nibble)
    # vLLM's way back must give the same codes.
    shifts = torch.arange(0, 32, 4)
    back = ((words.unsqueeze(-1) >> shifts) & 15)[:, :, VLLM_REVERSE].reshape(codes.shape)
    assert torch.equal(back, codes.long())
    return torch.where(words >= 2**31, words - 2**32, words).to(torch.int32)


def awq_case(group, seed):
    weights = weights_of(torch.float16, seed)
    groups = weights.float().reshape(ROWS, IN // group, group)
    low, high = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
    scale = ((high - low) / 15).half()
    scale[scale == 0] = 1
    zero = (-low / scale.float()).round().clamp(0, 15)
    codes = ((groups / scale.float().unsqueeze(-1)).round() + zero.unsqueeze(-1)).clamp(0, 15)
    values = ((codes - zero.unsqueeze(-1)).half() * scale.unsqueeze(-1)).reshape(ROWS, IN)
    return {"layout": "awq", "bits": 4, "symmetric": False, "group": group, "scale": "float16",
            "rows": ROWS, "in": IN, "value_stride": VALUE_STRIDE,
            "qweight": to_hex(awq_words(codes.reshape(ROWS, IN).T.contiguous())),
            "qzeros": to_hex(awq_words(zero.T.contiguous())),
            "scales": to_hex(scale.T.contiguous()), "values": to_hex(values[::VALUE_STRIDE])}


def main():
    cases = []
    for seed, (bits, symmetric, group, dtype) in enumerate([
            (4, True, 128, torch.bfloat16), (4, True, 32, torch.float16),
            (4, False, 64, torch.bfloat16), (4, False, 32, torch.float16),
            (8, True, 128, torch.bfloat16), (8, False, 64, torch.float16),
            (3, True, 32, torch.bfloat16), (3, False, 64, torch.bfloat16)]):
        cases.append(compressed_case(bits, symmetric, group, dtype, seed))
    cases.append(awq_case(64, 20))
    cases.append(awq_case(128, 21))
    path = pathlib.Path(__file__).parent / "ints" / "ints.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(cases, indent=0) + "\n")


if __name__ == "__main__":
    main()
