# Sourced by scripts that run llama.cpp: fetches the source distribution of llama-cpp-python from PyPI, builds
# llama.cpp from it for this CPU, and sets
#   cache     the folder that holds all this, TQ_PEERS_CACHE or build/peers; a second run reuses what is there
#   python    a Python with numpy that finds llama-cpp-python's ctypes declarations, gguf-py and the build
version=0.3.36
sha256=832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e
cache=${TQ_PEERS_CACHE:-build/peers}
mkdir -p "$cache"
cache=$(realpath "$cache")
venv=$cache/venv
source=$cache/llama_cpp_python-$version
built=$cache/llama.cpp-$version
python=$venv/bin/python

if [ ! -x "$python" ]; then
  python3 -m venv "$venv"
fi
# What the Python side of the bindings and gguf-py import.
"$venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 typing-extensions==4.16.0 diskcache==5.6.3 \
  jinja2==3.1.6 pyyaml==6.0.4 tqdm==4.70.1 requests==2.34.2

if [ ! -d "$source" ]; then
  "$venv/bin/pip" download --quiet --disable-pip-version-check --no-deps --no-binary llama-cpp-python \
    --dest "$cache/sdist" "llama-cpp-python==$version"
  archive=$cache/sdist/llama_cpp_python-$version.tar.gz
  echo "$sha256  $archive" | sha256sum --check --quiet
  tar -xzf "$archive" -C "$cache"
fi

# llama.cpp's own CMake at its defaults for a release, tuned to this CPU; only the library is needed.
build_llama_cpp() {
  [ ! -f "$built/complete" ] || return 0
  cmake -S "$source/vendor/llama.cpp" -B "$built" -G Ninja -DCMAKE_BUILD_TYPE=Release -DBUILD_SHARED_LIBS=ON \
    -DGGML_NATIVE=ON -DGGML_LLAMAFILE=ON -DLLAMA_BUILD_COMMON=OFF -DLLAMA_BUILD_TOOLS=OFF \
    -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_TESTS=OFF -DLLAMA_BUILD_SERVER=OFF -DLLAMA_BUILD_APP=OFF \
    -DLLAMA_OPENSSL=OFF
  nice cmake --build "$built" --target llama
  touch "$built/complete"
}

export PYTHONPATH=$source:$source/vendor/llama.cpp/gguf-py
export LLAMA_CPP_LIB_PATH=$built/bin
