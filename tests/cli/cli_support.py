"""What the command line tests share: running the real tq binary, tiny checkpoints, .npy files."""

import array
import ast
import json
import os
import pathlib
import shutil
import struct
import subprocess

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test but test_pull.py means a hub, and that has its own

TQ = os.environ["TQ_BINARY"]
MODELS = pathlib.Path(os.environ["TQ_SOURCE_DIR"]) / "tests/golden/models"

LETTERS = [chr(ord("a") + i) for i in range(26)]
BOS, EOS, USER, MODEL = 0, 1, 2, 3
# Ids of the tiny tokenizer: four special tokens, then letters, digits and the space ("Ġ").
TOKENS = ["<s>", "</s>", "<user>", "<model>"] + LETTERS + [str(i) for i in range(10)] + ["\u0120"]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'assistant' %}<model>{% else %}<user>{% endif %}{{ m.content }}"
    "{% endfor %}{% if add_generation_prompt %}<model>{% endif %}"
)


def tq(*args, stdin="", env=None):
    """Runs tq; returns the CompletedProcess with text output."""
    return subprocess.run([TQ, *map(str, args)], input=stdin, capture_output=True, text=True,
                          timeout=300, env={**os.environ, **(env or {})}, check=False)


def tq_json(*args, stdin=""):
    """Runs tq --json, which must succeed; returns the parsed object."""
    done = tq("--json", *args, stdin=stdin)
    assert done.returncode == 0, done
    return json.loads(done.stdout)


def tokenizer_json(more_special=()):
    """A byte-level BPE without merges that puts <s> before a text."""
    names = [*enumerate(TOKENS[:4]), *enumerate(more_special, len(TOKENS))]
    special = [{"id": i, "content": name, "single_word": False, "lstrip": False,
                "rstrip": False, "normalized": False, "special": True} for i, name in names]
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
                          "use_regex": True},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
                       {"Sequence": {"id": "A", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}},
                     {"Sequence": {"id": "B", "type_id": 1}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": [BOS], "tokens": ["<s>"]}},
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                    "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False,
                  "vocab": {token: i for i, token in enumerate(TOKENS)}, "merges": []},
    }


def make_model(folder, template=TEMPLATE, max_position=512, generation_config=None,
               more_special=()):
    """The golden llama with a tokenizer of 41 of its 128 ids, special tokens after them, and, if
    given, a chat template."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True)
    shutil.copy(MODELS / "llama/model.safetensors", folder)
    config = json.loads((MODELS / "llama/config.json").read_text())
    config["max_position_embeddings"] = max_position
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer_json(more_special)))
    tokenizer_config = {"bos_token": "<s>", "eos_token": "</s>"}
    if template:
        tokenizer_config["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    if generation_config:
        (folder / "generation_config.json").write_text(json.dumps(generation_config))
    return folder


def write_ids(path, ids):
    pathlib.Path(path).write_text(json.dumps(ids))
    return path


def read_npy(path):
    """(shape, flat values) of a C-ordered .npy of float32 or int32."""
    data = pathlib.Path(path).read_bytes()
    assert data[:6] == b"\x93NUMPY", path
    if data[6] == 1:
        (size,) = struct.unpack("<H", data[8:10])
        begin = 10
    else:
        (size,) = struct.unpack("<I", data[8:12])
        begin = 12
    header = ast.literal_eval(data[begin:begin + size].decode("latin1"))
    assert not header["fortran_order"]
    values = array.array({"<f4": "f", "<i4": "i"}[header["descr"]])
    values.frombytes(data[begin + size:])
    return header["shape"], values


def rows(path):
    """The rows of a two-dimensional .npy."""
    (n, width), values = read_npy(path)
    return [values[i * width:(i + 1) * width] for i in range(n)]


def argmax(row):
    return max(range(len(row)), key=lambda i: (row[i], -i))
