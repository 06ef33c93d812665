#!/usr/bin/env bash
# Builds a preset (default: release) into build/<preset>; the program is build/release/tq.
#   scripts/build.sh [--configure] [preset] [target...]     --configure: no more than that
set -euo pipefail
cd "$(dirname "$0")/.."

configure_only=0
[ "${1:-}" = --configure ] && configure_only=1 && shift
preset=${1:-release}
[ $# -gt 0 ] && shift
launcher=()
# Asked once in the life of a build folder: another launcher would build everything anew.
[ -f "build/$preset/CMakeCache.txt" ] || ! command -v ccache >/dev/null || launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
export CCACHE_SLOPPINESS=pch_defines,time_macros  # or it keeps nothing that precompiled headers are part of
cmake --preset "$preset" "${launcher[@]}" | sed -n 's/^-- \(CUDA .*\|Without .*\)/\1/p'
[ $configure_only = 1 ] && exit 0
targets=()
for target in "$@"; do targets+=(--target "$target"); done
cmake --build --preset "$preset" "${targets[@]}"
