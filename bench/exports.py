#!/usr/bin/env python3
"""What the layouts awq and compressed-tensors cost a model, beside plain rounding between the smallest and the
largest weight of a group with the same settings: the tables of docs/exports.md.

  bench/exports.py SRC TEXT TOKENS     SRC: anything that tq convert reads; TQ=build/release/tq, WORK=a folder

Needs torch, safetensors and compressed-tensors (PYTHONPATH may name a folder that has them). SRC becomes a Hugging
Face folder of bf16 first, which is what is exported and compared with. For each setting:
- "ours": tq convert --layout, decompressed by compressed-tensors' own code (awq: by the formula that AutoAWQ and
  vLLM share), written as a plain Hugging Face folder of bf16 or f16;
- "minmax": the same tensors, rounded by compressed-tensors' calculate_qparams() and fake_quantize(), as
  llm-compressor's minmax observer does (awq: by AutoAWQ's pseudo-quantisation, no search), written the same way.
Both are scored by tq eval kld against the source. Ends with 1 if tq reads other values of an export than were
decompressed, or if ours is worse than minmax: in squared error, or in KLD by more than its standard error."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

import torch
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationConfig, QuantizationScheme
from compressed_tensors.quantization.lifecycle.forward import fake_quantize
from compressed_tensors.quantization.utils import calculate_qparams
from safetensors.torch import load_file, save_file

TQ = os.environ.get("TQ", "build/release/tq")
REVERSE_AWQ = [0, 4, 1, 5, 2, 6, 3, 7]
SETTINGS = [("awq", ["--layout", "awq"])] + [
    (f"compressed-tensors, {bits} bits, {'asymmetric' if extra else 'symmetric'}",
     ["--layout", "compressed-tensors", "--bits", str(bits), *extra])
    for bits in (3, 4, 8) for extra in ([], ["--asymmetric"])]


def tq(*args):
    result = subprocess.run([TQ, "--json", *map(str, args)], capture_output=True, text=True)
    if result.returncode != 0:
        sys.exit(f"tq {' '.join(map(str, args))}: {result.stderr}")
    return json.loads(result.stdout)


def plain_folder(tensors, like, folder):
    """A Hugging Face folder of these tensors with the small files of another."""
    folder.mkdir()
    for file in like.iterdir():
        if file.suffix == ".json" and file.name not in ("tq_config.json", "config.json",
                                                        "model.safetensors.index.json"):
            shutil.copy(file, folder)
    config = json.loads((like / "config.json").read_text())
    config.pop("quantization_config", None)
    (folder / "config.json").write_text(json.dumps(config))
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()},
              folder / "model.safetensors", metadata={"format": "pt"})


def read_folder(folder):
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(file)
    return tensors


def unpack_awq(words):
    shifts = torch.arange(0, 32, 4)
    codes = (words.unsqueeze(-1) >> shifts) & 15
    return codes[:, :, REVERSE_AWQ].reshape(words.shape[0], -1)


def decompress(folder):
    """Tensors of an export as engines decompress them, and the scheme of each that was one of integers."""
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    tensors = read_folder(folder)
    out, schemes = {}, {}
    if config["quant_method"] == "awq":
        for name in [name for name in tensors if name.endswith(".qweight")]:
            module = name.removesuffix(".qweight")
            codes = unpack_awq(tensors.pop(name))
            zeros = unpack_awq(tensors.pop(module + ".qzeros"))
            scales = tensors.pop(module + ".scales")
            group = codes.shape[0] // scales.shape[0]
            repeat = lambda x: x.repeat_interleave(group, 0)
            out[module + ".weight"] = ((codes - repeat(zeros)).half() * repeat(scales)).T.contiguous()
            schemes[module + ".weight"] = group
        return out | tensors, schemes
    parsed = QuantizationConfig.model_validate(config)
    for name in [name for name in tensors if name.endswith(".weight_packed")]:
        module = name.removesuffix(".weight_packed")
        state = {key: tensors.pop(f"{module}.{key}")
                 for key in ("weight_packed", "weight_scale", "weight_shape", "weight_zero_point")
                 if f"{module}.{key}" in tensors}
        group = int(state["weight_shape"][1]) // state["weight_scale"].shape[1]
        [scheme] = [s for s in parsed.config_groups.values() if s.weights.group_size == group]
        out[module + ".weight"] = PackedQuantizationCompressor.decompress(state, scheme)["weight"]
        schemes[module + ".weight"] = scheme
    return out | tensors, schemes


def minmax(weight, scheme):
    """The weight rounded without a search."""
    if isinstance(scheme, int):  # AutoAWQ's pseudo_quantize_tensor with zero points
        groups = weight.reshape(-1, scheme).float()
        low, high = groups.amin(1, keepdim=True), groups.amax(1, keepdim=True)
        scales = ((high - low).clamp(min=1e-5) / 15).half().float()
        zeros = (-(low / scales).round()).clamp(0, 15)
        codes = ((groups / scales).round() + zeros).clamp(0, 15)
        return ((codes - zeros).half() * scales.half()).reshape(weight.shape)
    args = scheme.weights
    groups = weight.reshape(weight.shape[0], -1, args.group_size)
    scale, zero = calculate_qparams(groups.amin(-1), groups.amax(-1), args)
    return fake_quantize(weight, scale, zero, args)


def error(weights, source, names):
    wrong = sum((weights[n].double() - source[n].double()).square().sum() for n in names)
    return float(wrong / sum(source[n].double().square().sum() for n in names))


def main():
    src, text, tokens = sys.argv[1], sys.argv[2], sys.argv[3]
    work = pathlib.Path(tempfile.mkdtemp(prefix="exports.", dir=os.environ.get("WORK", "/tmp")))
    failed = False
    try:
        rules = {kind: work / f"{kind}.json" for kind in ("bf16", "f32")}
        for kind, file in rules.items():
            file.write_text(json.dumps([{"match": "*", "format": kind}]))
        tq("convert", src, work / "as_bf16", "--rules", rules["bf16"])
        source = read_folder(work / "as_bf16")
        plain_folder(source, work / "as_bf16", work / "source")
        tq("eval", "kld", work / "source", "--save-reference", work / "reference", "--text", text,
           "--max-tokens", tokens, "--ctx", tokens)

        def kld(folder):
            return tq("eval", "kld", folder, "--reference-logits", work / "reference", "--ctx", tokens)

        print("| layout | groups | size | relative squared error, minmax | ours | KLD, minmax | ours |\n"
              "|---|---|---|---|---|---|---|", flush=True)
        for name, options in SETTINGS:
            report = tq("convert", work / "source", work / "export", *options)
            values, schemes = decompress(work / "export")
            tq("convert", work / "export", work / "read", "--rules", rules["f32"])
            read = read_folder(work / "read")
            if not all(torch.equal(read[n], values[n].float()) for n in values):
                print(f"{name}: tq reads other values than were decompressed", file=sys.stderr)
                failed = True
            plain_folder(values, work / "as_bf16", work / "ours")
            rounded = dict(source) | {n: minmax(source[n], scheme) for n, scheme in schemes.items()}
            plain_folder(rounded, work / "as_bf16", work / "minmax")
            errors = [error(w, source, schemes) for w in (rounded, values)]
            scores = [kld(work / folder) for folder in ("minmax", "ours")]
            divergence, se = [s["kld"] for s in scores], [s["kld_se"] for s in scores]
            groups = sorted({s if isinstance(s, int) else s.weights.group_size for s in schemes.values()})
            print(f"| {name} | {', '.join(map(str, groups))} | {report['bytes'] / 1e6:.1f} MB "
                  f"| {errors[0]:.3g} | {errors[1]:.3g} "
                  f"| {divergence[0]:.4f} ± {se[0]:.4f} | {divergence[1]:.4f} ± {se[1]:.4f} |", flush=True)
            failed = failed or errors[1] > errors[0] or divergence[1] > divergence[0] + max(se)
            for folder in ("export", "read", "ours", "minmax"):
                shutil.rmtree(work / folder)
    finally:
        shutil.rmtree(work)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
