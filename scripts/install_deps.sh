#!/usr/bin/env bash
# Installs the Debian packages that a purpose needs. Does nothing when all are there, so it works offline
# the second time.
#   scripts/install_deps.sh [build] [test] [python] [package] [extended]     default: build, test and python
set -euo pipefail
cd "$(dirname "$0")/.."

build=( # compiler and build tools, the engine's libraries, the command line program's
  g++ cmake ninja-build pkg-config git python3 ca-certificates
  libfmt-dev nlohmann-json3-dev libsimdjson-dev libpcre2-dev libutf8proc-dev libxxhash-dev
  libcli11-dev libedit-dev libboost-dev libssl-dev libcurl4-openssl-dev
  python3-pip # fetches models and the CUDA compiler
)
tests=( # tests, sanitizers and fuzzers, formatting, benchmarks, packages that are made and looked at
  ccache libgtest-dev libgmock-dev librapidcheck-dev clang-14 libclang-rt-14-dev clang-format-14 libbenchmark-dev
  dpkg-dev groff-base strace
)
python=( # the Python package, with what pip installs below
  python3-dev python3-venv
)
pip_packages=('nanobind>=2.4,<4' 'scikit-build-core>=0.10,<2' 'numpy>=1.24')
package=( # .deb (the libraries that it depends on), the portable tarball (static libraries, sources of others)
  dpkg-dev groff-base xz-utils binutils libncurses-dev libbsd-dev libmd-dev
)
extended=( # scripts/test.sh --extended: the chat page's tests in a browser, load
  chromium
  wrk
)

[ $# -gt 0 ] || set -- build test python
packages=()
with_python=0
for group in "$@"; do
  case $group in
    build) packages+=("${build[@]}") ;;
    test) packages+=("${tests[@]}") ;;
    python) packages+=("${python[@]}") with_python=1 ;;
    package) packages+=("${package[@]}") ;;
    extended) packages+=("${extended[@]}") ;;
    *)
      echo "usage: scripts/install_deps.sh [build] [test] [python] [package] [extended]" >&2
      exit 2
      ;;
  esac
done

# build/pyenv: a Python with what builds the Python package and runs its tests.
make_pyenv() {
  [ $with_python = 1 ] || return 0
  [ -f build/pyenv/installed ] && [ "$(cat build/pyenv/installed)" = "${pip_packages[*]}" ] && return 0
  python3 -m venv --clear build/pyenv
  build/pyenv/bin/python -m pip install -q --disable-pip-version-check "${pip_packages[@]}"
  echo "${pip_packages[*]}" >build/pyenv/installed
}

missing=()
for package in "${packages[@]}"; do
  status=$(dpkg-query -W -f='${Status}' "$package" 2>/dev/null || true)
  [ "$status" = "install ok installed" ] || missing+=("$package")
done
if [ ${#missing[@]} -eq 0 ]; then
  make_pyenv
  exit 0
fi

if ! command -v apt-get >/dev/null; then
  echo "install_deps.sh: needs Debian or Ubuntu (apt-get); elsewhere install: ${missing[*]}" >&2
  exit 1
fi
sudo=()
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || {
    echo "install_deps.sh: run as root, or install sudo; missing: ${missing[*]}" >&2
    exit 1
  }
  sudo=(sudo)
fi
echo "installing: ${missing[*]}"
"${sudo[@]}" apt-get update -qq
"${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
  "${missing[@]}" >/dev/null
make_pyenv
