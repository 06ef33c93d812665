#!/usr/bin/env python3
"""Makes the seeds in fuzz/corpus that are whole folders, GGUF tokenizers or journals.

    fuzz/make_seeds.py build/release/tq

Folders are written as fuzz/scratch_folder.h reads them; of a .safetensors file only the header,
to which the fuzzer adds data. Standard library only."""

import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
CORPUS = ROOT / "fuzz/corpus"
sys.path.insert(0, str(ROOT / "tests/cli"))

from checkpoints import write_model  # noqa: E402
from gguf_files import gguf_bytes    # noqa: E402

SIZES = {"hidden": 32, "ffn": 64, "layers": 1, "vocab": 64}
MAX_SEED = 64_000


def save(fuzzer, name, data):
    assert len(data) <= MAX_SEED, (name, len(data))
    folder = CORPUS / fuzzer
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def header_of(data):
    (size,) = struct.unpack("<Q", data[:8])
    return data[8:8 + size].rstrip()


def packed(folder, whole=False):
    """The folder as one seed."""
    parts = []
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        if path.suffix == ".safetensors" and not whole:
            data = header_of(data)
        parts.append(b"=== " + str(path.relative_to(folder)).encode() + b"\n" + data)
    return b"\n".join(parts)


def make_folders(tq, work):
    source = write_model(work / "source", **SIZES)
    (source / "generation_config.json").write_text(json.dumps({
        "do_sample": True, "temperature": 0.6, "top_k": 20, "top_p": 0.95, "eos_token_id": [1, 2]}))
    (source / "tokenizer_config.json").write_text(json.dumps({
        "bos_token": "a", "eos_token": {"content": "b"},
        "chat_template": "{% for m in messages %}{{ m.content }}{% endfor %}"}))
    save("folder", "hf", packed(source))
    native = ["--format", "tq3", "--effort", "fast"]
    for name, options in {"native": native, "native_shards": [*native, "--shard-size", "4000"],
                          "reference": ["--layout", "turboquant-vllm"],
                          "awq": ["--layout", "awq", "--effort", "fast"],
                          "compressed_tensors": ["--layout", "compressed-tensors", "--asymmetric",
                                                 "--effort", "fast"]}.items():
        subprocess.run([tq, "convert", source, work / name, "--threads", "1", *options],
                       check=True, capture_output=True)
        # The shapes that compressed-tensors reads are data.
        save("folder", name, packed(work / name, whole=name == "compressed_tensors"))
    save("folder", "native_whole", packed(work / "native", whole=True))
    golden = work / "golden"
    golden.mkdir()
    for name in ("config.json", "tq_config.json", "model.safetensors"):
        shutil.copy(ROOT / "tests/golden/reference" / name, golden)
    save("folder", "reference_golden", packed(golden))


def make_texts():
    for source in sorted((CORPUS / "tokenizer").glob("*.json")):
        tokenizer = source.read_bytes()
        if len(tokenizer) > 20_000:
            continue
        save("texts", source.stem, b"=== config.json\n" + json.dumps({
            "model_type": "gemma3_text" if "gemma" in source.stem else "llama", "eos_token_id": 2,
            "image_token_id": 5, "text_config": {"eos_token_id": [1]}}).encode() +
             b'\n=== generation_config.json\n{"do_sample": true, "temperature": 0.7, "top_k": 64, '
             b'"top_p": 0.9, "min_p": 0.01, "repetition_penalty": 1.1, "suppress_tokens": [3, -1], '
             b'"eos_token_id": [1, 106]}'
             b'\n=== tokenizer_config.json\n{"add_bos_token": true, "bos_token": "<s>", "eos_token": '
             b'{"content": "</s>"}, "extra_special_tokens": {"image_token": "<i>"}, "chat_template": '
             b'[{"name": "default", "template": "{{ bos_token }}{{ messages[0].content }}"}, '
             b'{"name": "tool_use", "template": "{{ tools | tojson }}"}]}'
             b'\n=== special_tokens_map.json\n{"unk_token": "<unk>"}'
             b'\n=== tokenizer.json\n' + tokenizer)
    save("texts", "templates", b"=== chat_template.jinja\n{{ messages }}\n=== "
         b"additional_chat_templates/rag.jinja\n{{ documents }}\n=== chat_template.json\n"
         b'{"chat_template": {"default": "x", "other": "{{ eos_token }}"}}\n')


def make_gguf_tokenizers():
    letters = [chr(ord("a") + i) for i in range(26)] + ["\u0120", "\u010a"]
    bytes_ = [f"<0x{i:02X}>" for i in range(256)]
    for pre in ("llama-bpe", "qwen2", "gpt-2", "default", "tekken", "smollm", "glm4", "deepseek-llm"):
        tokens = letters + ["it", "\u0120it", "<s>", "</s>"]
        save("gguf_tokenizer", f"{pre}.gguf", gguf_bytes({
            "general.architecture": "llama", "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": pre, "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": [1] * 30 + [3, 3],
            "tokenizer.ggml.merges": ["i t", "\u0120 it"], "tokenizer.ggml.bos_token_id": 30,
            "tokenizer.ggml.eos_token_id": 31, "tokenizer.ggml.add_bos_token": True}, {}))
    tokens = ["<unk>", "<s>", "</s>"] + bytes_ + ["\u2581", "a", "t", "i", "it", "\u2581it"]
    for prefix in (True, False):
        save("gguf_tokenizer", f"sentencepiece_{prefix}.gguf".lower(), gguf_bytes({
            "general.architecture": "llama", "tokenizer.ggml.model": "llama",
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.scores": [0.0] * 259 + [-1.0, -2.0, -3.0, -4.0, -5.0, -6.0],
            "tokenizer.ggml.token_type": [2, 3, 3] + [6] * 256 + [1] * 6,
            "tokenizer.ggml.bos_token_id": 1, "tokenizer.ggml.eos_token_id": 2,
            "tokenizer.ggml.unknown_token_id": 0, "tokenizer.ggml.add_space_prefix": prefix}, {}))


def make_journals():
    lines = [{"source": {"model.safetensors": {"bytes": 9, "hash": "00"}, "config.json": "11"},
              "option": {"layout": "native", "format": "tq3", "effort": "fast", "allow_nan": False,
                         "shard_size": 30000}, "plan": {"version": "0.1.0", "tensors": "22"}},
             {"tensor": 0, "squared_error": 0.5, "squared_norm": 2.5e3, "non_finite": 0,
              "hashes": ["0011", "2233"]},
             {"tensor": 1, "squared_error": 0, "squared_norm": 0, "non_finite": 3, "hashes": []},
             {"commit": {"remove": ["old.safetensors"],
                         "place": ["model.safetensors", "a/b.jinja", "tq_config.json"]}}]
    texts = [json.dumps(line, separators=(",", ":")) for line in lines]
    for n in range(len(texts) + 1):
        save("journal", f"lines{n}", "".join(text + "\n" for text in texts[:n]).encode())
    save("journal", "torn", b"0123456789abcdef {\"sour\0\0\0\0")
    save("journal", "mixed", (texts[0] + "\n" + texts[3] + "\n" + texts[1] + "\n[]\n").encode())


def make_hub():
    lfs = {"sha256": "2" * 64, "size": 70, "pointerSize": 134}
    for name, paths in {"gguf": ["x-Q4_K_M.gguf", "x-UD-Q8_0.gguf", "mmproj-F16.gguf", "README.md"],
                        "parts": ["BF16/x-00001-of-00002.gguf", "BF16/x-00002-of-00002.gguf"],
                        "safetensors": ["config.json", "model-00001-of-00001.safetensors", "tokenizer.json",
                                        "model.safetensors.index.json", "pytorch_model.bin"],
                        "hostile": ["../x.gguf"], "adapter": ["adapter_config.json"]}.items():
        siblings = [{"rfilename": path, "size": 7, "blobId": "1" * 40} for path in paths]
        siblings[0]["lfs"] = lfs
        save("hub", name, json.dumps({"id": "a/b", "sha": "c" * 40, "siblings": siblings}).encode())
    for name, text in {"name": "org/name:refs/pr/1:UD-Q4_K_XL", "page": "https://huggingface.co/a/b/blob/main/x.gguf",
                       "range": "bytes 5-9/20", "date": "Wed, 21 Oct 2015 07:28:00 GMT",
                       "origin": "https://user@Host:8080/x"}.items():
        save("hub", name, text.encode())


def main():
    tq = str(pathlib.Path(sys.argv[1]).resolve())
    with tempfile.TemporaryDirectory() as work:
        make_folders(tq, pathlib.Path(work))
    make_texts()
    make_gguf_tokenizers()
    make_journals()
    make_hub()


if __name__ == "__main__":
    main()
