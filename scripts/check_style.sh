#!/usr/bin/env bash
# Formatting (clang-format 14), layers, and file sizes: at most 600 lines a source file, 8 MB any file.
set -euo pipefail
cd "$(dirname "$0")/.."

mapfile -t sources < <(git ls-files --cached --others --exclude-standard \
  '*.h' '*.cpp' '*.cu' '*.cuh' | while read -r f; do [ -f "$f" ] && echo "$f"; done)
clang-format-14 --dry-run -Werror "${sources[@]}"
echo "format: ok (${#sources[@]} files)"
python3 scripts/check_layers.py
git ls-files --cached --others --exclude-standard | python3 -c '
import os, sys
faults = []
for path in sys.stdin.read().splitlines():
    if not os.path.isfile(path):
        continue
    if os.path.getsize(path) > 8_000_000:
        faults.append(f"{path}: {os.path.getsize(path)} bytes, more than 8,000,000")
    if path.endswith((".h", ".cpp", ".cu", ".cuh", ".py")):
        with open(path) as f:
            lines = sum(1 for _ in f)
        if lines > 600:
            faults.append(f"{path}: {lines} lines, more than 600")
print("\n".join(faults) or "sizes: ok")
sys.exit(bool(faults))'
