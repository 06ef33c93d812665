#!/usr/bin/env bash
# Makes nvcc available where no CUDA toolkit is installed: the compiler and the runtime of PyPI's wheels (104 MB; no
# GPU and no driver needed), unpacked into build/cuda-toolkit, where CMake looks for it. Does nothing when
# there is an nvcc, or on another machine than x86-64, for which these wheels are not.
set -euo pipefail
cd "$(dirname "$0")/.."

target=build/cuda-toolkit
for nvcc in "$(command -v nvcc || true)" "${CUDA_HOME:+$CUDA_HOME/bin/nvcc}" /usr/local/cuda/bin/nvcc $target/bin/nvcc; do
  [ -n "$nvcc" ] && [ -x "$nvcc" ] && exit 0
done
[ "$(uname -m)" = x86_64 ] || exit 0

wheels=( # package==version SHA-256
  "nvidia-cuda-nvcc==13.0.88 56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03"
  "nvidia-nvvm==13.0.88 c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0"
  "nvidia-cuda-crt==13.0.88 2c8043c7c9e02492716426e9919fc78d2c5b3b2a7a768a88e952676b08aa55a4"
  "nvidia-cuda-runtime==13.0.96 7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548"
  "nvidia-cuda-cccl==13.0.85 e0da7ad981f3a8aff08241b5bfc1af868742a63e2762f53a5171c492ef242649"
)
echo "fetching the CUDA compiler into $target"
mkdir -p build
temporary=$(mktemp -d build/.cuda.XXXXXX)
trap 'rm -rf "$temporary"' EXIT
for wheel in "${wheels[@]}"; do
  read -r package sha256 <<<"$wheel"
  python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
    --dest "$temporary/wheel" "$package"
  file=$(ls "$temporary"/wheel/*.whl)
  echo "$sha256  $file" | sha256sum --check --quiet
  python3 -m zipfile -e "$file" "$temporary"
  rm -r "$temporary/wheel"
done
toolkit=$temporary/nvidia/cu13
chmod +x "$toolkit"/bin/* "$toolkit"/nvvm/bin/*
ln -s lib "$toolkit/lib64"  # the names that nvcc and CMake look for
ln -s libcudart.so.13 "$toolkit/lib/libcudart.so"
mv "$toolkit" $target
