#!/usr/bin/env python3
"""Checks that every folder of src/ includes only itself and the folders it may use."""
import pathlib
import re
import sys

ALLOWED = {  # what a folder may include besides itself; docs/architecture.md draws it
    "base": "",
    "tensor": "base",
    "format": "base tensor",
    "kernels": "base tensor format",
    "backend": "base tensor format kernels",
    "kv": "base tensor format kernels backend",
    "io": "base tensor format",
    "hub": "base tensor format io",
    "text": "base",
    "grammar": "base text",
    "model": "base tensor format kernels backend kv io",
    "convert": "base tensor format kernels io model",
    "engine": "base tensor format kernels backend kv io model text grammar",
    "session": "base tensor format kernels backend kv io model text grammar engine convert",
    "server": "base tensor format kernels backend kv io model text grammar engine convert session net",
    "net": "base",
    "loadgen": "base text net",
    "eval": "base tensor format kernels backend kv io model text grammar engine convert session net loadgen",
    "embed": "base tensor format kernels backend kv io model text grammar engine convert session net server hub",
    "capi": "base tensor format kernels backend kv io model text grammar engine convert session net server hub embed",
    "cli": "base tensor format kernels backend kv io model text grammar engine convert session net server loadgen eval hub",
}

root = pathlib.Path(__file__).resolve().parent.parent / "src"
faults = []
for path in sorted(path for kind in ("h", "inc", "cpp", "cu", "cuh") for path in root.rglob(f"*.{kind}")):
    folder = path.relative_to(root).parts[0]
    if folder not in ALLOWED:
        faults.append(f"{path}: folder {folder} has no row in check_layers.py")
        continue
    allowed = {folder, *ALLOWED[folder].split()}
    for number, line in enumerate(path.read_text().splitlines(), 1):
        include = re.match(r'\s*#\s*include\s*"([^/"]+)/', line)
        if include and include[1] not in allowed | {"turboquant"}:
            faults.append(f"{path}:{number}: {folder} must not include {include[1]}")
        if re.match(r"\s*#\s*include\s*<cuda", line) and folder not in {"kernels", "backend"}:
            faults.append(f"{path}:{number}: CUDA header outside kernels and backend")
print("\n".join(faults) or "layers: ok")
sys.exit(bool(faults))
