#!/usr/bin/env python3
"""Tries to make tq lose, hang or crash, again and again:

  kills      tq convert is killed, at a random time or at a random system call, up to three times;
             the same command run again must give the bytes of a run that nobody disturbed
  faults     a random system call of tq convert fails; it must end with an error or with these bytes,
             and the same command run again must give them
  flips      one bit of a converted checkpoint changes; tq verify must say so
  mutations  files of a source, native, turboquant-vllm or GGUF model are cut, overwritten, swapped or
             removed; every command must end soon, with a result or an error that says why

In turn for SECONDS, or so many of each as are asked for. Needs strace, and a folder for temporary
files (TMPDIR). The binary is TQ_BINARY. A finding is printed with its seed and kept. Ctrl-C ends it
with the summary."""

import argparse
import collections
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests/cli"))
from checkpoints import TQ, tokenizer_text, tree_hash, write_model  # noqa: E402
from gguf_files import gguf_bytes, gguf_name  # noqa: E402

CODES = {0, 2, 3, 4, 5, 6, 7, 8, 130}
LIMIT_SECONDS = 20  # of CPU time
LIMIT_WAIT = 1200  # of the clock: machines that soak are busy
LIMIT_BYTES = 16 << 30
WRITES = ("ENOSPC", "EIO", "EDQUOT")
# What may fail, and how.
ERRORS = {
    "openat": ("EIO", "EMFILE", "EACCES", "EINTR"), "read": ("EIO", "EINTR"),
    "pread64": ("EIO", "EINTR"), "write": WRITES, "pwrite64": (*WRITES, "EINTR"),
    "fsync": ("EIO", "ENOSPC", "EINTR"), "fdatasync": ("EIO", "ENOSPC", "EINTR"),
    "ftruncate": ("EIO", "EFBIG", "EINTR"), "fallocate": ("ENOSPC", "EOPNOTSUPP", "EINTR"),
    "rename": ("EIO", "ENOSPC"), "renameat": ("EIO", "ENOSPC"), "renameat2": ("EIO", "ENOSPC"),
    "unlink": ("EIO", "EBUSY"), "unlinkat": ("EIO", "EBUSY"), "rmdir": ("EIO", "EBUSY"),
    "mkdir": ("EIO", "ENOSPC", "EACCES"), "mkdirat": ("EIO", "ENOSPC", "EACCES"),
    "newfstatat": ("EIO", "EACCES"), "getdents64": ("EIO",), "mmap": ("ENOMEM",),
    "flock": ("EINTR", "ENOLCK"), "clone3": ("EAGAIN",), "statfs": ("EIO",),
}


class Finding(Exception):
    pass


def limit():
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT_BYTES, LIMIT_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (LIMIT_SECONDS, LIMIT_SECONDS))


def run(command):
    """Ends in time, by no signal, with a code of docs/cli.md and, if it fails, one error."""
    command = [str(part) for part in command]
    try:
        done = subprocess.run(command, capture_output=True, timeout=LIMIT_WAIT,
                              stdin=subprocess.DEVNULL, preexec_fn=limit, check=False)
    except subprocess.TimeoutExpired:
        raise Finding(f"took more than {LIMIT_WAIT} s: {' '.join(command)}") from None
    errors = done.stderr.decode(errors="replace")
    nan = done.returncode == 70 and re.search("(?i)nan|finite", errors)  # mutated weights
    if done.returncode not in CODES and not nan:
        raise Finding(f"code {done.returncode}: {' '.join(command)}: {errors[-2000:]}")
    if done.returncode != 0 and "tq: error: " not in errors:
        raise Finding(f"code {done.returncode} without a word: {' '.join(command)}: {errors[-500:]}")
    return done.returncode, errors


class Soak:
    def __init__(self, work, seed):
        self.work = work
        self.random = random.Random(seed)
        self.counts = collections.Counter()
        self.make_models()

    def make_models(self):
        self.source = write_model(self.work / "source", hidden=128, ffn=256, layers=3, vocab=256)
        (self.source / "generation_config.json").write_text('{"temperature": 0.5}')
        self.result = self.work / "result"
        self.command = [TQ, "convert", self.source, self.result, "--format", "tq3", "--effort",
                        "fast", "--threads", "1", "--shard-size", "60000"]
        self.calls = self.trace()
        self.expected = tree_hash(self.result)
        self.source_hash = tree_hash(self.source)
        self.native = self.work / "native"
        self.result.rename(self.native)
        started = time.monotonic()
        run(self.command)
        self.seconds = time.monotonic() - started
        self.reset()
        reference = self.work / "reference"
        run([TQ, "convert", self.source, reference, "--layout", "turboquant-vllm"])
        self.models = [self.source, self.native, reference, self.gguf()]
        for model in self.models:
            for command in self.commands(model):
                code, errors = run(command)
                if code != 0 and not (command[1] == "convert" and model != self.source):
                    raise SystemExit(f"the models are no good: {command}: {errors}")
            shutil.rmtree(self.work / "out", ignore_errors=True)

    def commands(self, folder):
        """What is run on a model."""
        return [[TQ, "inspect", folder], [TQ, "verify", folder],
                [TQ, "convert", folder, self.work / "out", "--format", "tq3", "--effort", "fast",
                 "--threads", "1"],
                [TQ, "run", folder, "abc", "-n", "2", "--raw", "--ctx", "32", "--threads", "1"],
                [TQ, "tokenize", folder, "abc"]]

    def gguf(self):
        """A folder with one small GGUF file."""
        folder = self.work / "gguf"
        folder.mkdir()
        config = json.loads((self.source / "config.json").read_text())
        hidden, ffn = 32, config["intermediate_size"]
        layer = "model.layers.0."
        shapes = {"model.embed_tokens.weight": [32, hidden], "model.norm.weight": [hidden],
                  layer + "input_layernorm.weight": [hidden],
                  layer + "post_attention_layernorm.weight": [hidden]}
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            shapes[f"{layer}self_attn.{name}.weight"] = [hidden, hidden]
        for name in ("gate_proj", "up_proj"):
            shapes[f"{layer}mlp.{name}.weight"] = [ffn, hidden]
        shapes[layer + "mlp.down_proj.weight"] = [hidden, ffn]
        tensors = {}
        for name, shape in shapes.items():
            n = shape[0] * (shape[1] if len(shape) > 1 else 1)
            tensors[gguf_name(name)] = (shape, 0, bytes([1, 2, 3, 0x3c]) * n)
        vocab = json.loads(tokenizer_text(32))["model"]["vocab"]
        metadata = {
            "general.architecture": "llama", "llama.context_length": 128,
            "llama.embedding_length": hidden, "llama.block_count": 1,
            "llama.feed_forward_length": ffn, "llama.attention.head_count": 1,
            "llama.attention.head_count_kv": 1, "llama.attention.layer_norm_rms_epsilon": 1e-5,
            "llama.rope.freq_base": 10000.0, "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": "gpt-2", "tokenizer.ggml.tokens": list(vocab),
            "tokenizer.ggml.merges": ["a b"], "tokenizer.ggml.eos_token_id": 1}
        metadata["tokenizer.ggml.tokens"][31] = "ab"
        (folder / "model.gguf").write_bytes(gguf_bytes(metadata, tensors))
        run([TQ, "inspect", folder / "model.gguf"])
        return folder

    def trace(self):
        """Runs the command once and returns its system calls: (name, how many of it came before)."""
        log = self.work / "calls"
        names = ",".join(ERRORS)
        run(["strace", "-f", "-qq", "-o", log, "-e", f"trace={names}", "-e", "signal=none",
             *self.command])
        seen = collections.Counter()
        calls = []
        ours = False  # what the loader does before main() is not
        for line in log.read_text(errors="replace").splitlines():
            found = re.match(r"\d+ +(\w+)\(", line)
            if not found:
                continue
            seen[found[1]] += 1
            ours = ours or str(self.source) in line
            if ours:
                calls.append((found[1], seen[found[1]]))
        if not calls:
            raise SystemExit("strace shows no system calls of tq")
        return calls

    def reset(self):
        shutil.rmtree(self.result, ignore_errors=True)

    def some_call(self):
        """One of the system calls, every name as often as the others."""
        name = self.random.choice(sorted({name for name, _ in self.calls}))
        return self.random.choice([call for call in self.calls if call[0] == name])

    def inject(self, call, what):
        return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call[0]}", "-e",
                f"inject={call[0]}:{what}:when={call[1]}", *self.command]

    def finish(self):
        """The same command once more, if it is not complete."""
        # The work folder goes last: where it is empty, nothing is left to do.
        journal = self.result / ".tq-convert" / "journal"
        if not (self.result / "tq_config.json").exists() or journal.exists():
            code, errors = run(self.command)
            if code != 0:
                raise Finding(f"could not be finished: code {code}: {errors}")
        self.compare()
        self.reset()

    def compare(self):
        found = tree_hash(self.result)
        names = set(found) | set(self.expected)
        differ = sorted(n for n in names if found.get(n) != self.expected.get(n))
        if differ:
            raise Finding(f"not the bytes of an undisturbed run: {', '.join(differ)}")

    def kills(self):
        self.reset()
        for _ in range(self.random.randint(1, 3)):
            if self.random.random() < 0.5:
                process = subprocess.Popen([str(part) for part in self.command],
                                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                           stderr=subprocess.DEVNULL)
                time.sleep(self.random.uniform(0, 1.1 * self.seconds))
                process.kill()
                killed = process.wait() == -signal.SIGKILL
                self.counts["kills at random times"] += killed
            else:
                command = self.inject(self.some_call(), "signal=SIGKILL")
                killed = subprocess.run([str(part) for part in command], capture_output=True,
                                        stdin=subprocess.DEVNULL, timeout=LIMIT_WAIT,
                                        check=False).returncode == -signal.SIGKILL
                self.counts["kills at system calls"] += killed
            self.counts["kills"] += killed
            if not killed:  # it was done before
                break
        self.finish()

    def faults(self):
        self.reset()
        call = self.some_call()
        error = self.random.choice(ERRORS[call[0]])
        code, _ = run(self.inject(call, f"error={error}"))
        self.counts["faults"] += 1
        self.counts["faults that ended it with an error"] += code != 0
        try:
            if code == 0:
                self.compare()
            self.finish()
        except Finding as finding:
            raise Finding(f"{call[0]} {call[1]} fails with {error}: {finding}") from None

    def flips(self):
        name = self.random.choice(sorted(self.expected))
        path = self.native / name
        data = path.read_bytes()
        bit = self.random.randrange(8 * len(data))
        damaged = bytearray(data)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            code, _ = run([TQ, "verify", self.native])
        finally:
            path.write_bytes(data)
        self.counts["flips"] += 1
        if code == 0:
            raise Finding(f"tq verify sees nothing: {name}, bit {bit}")

    def mutate(self, data, other):
        at = self.random.randrange(len(data) + 1)
        # Most of what is to be found is at the beginning.
        at = self.random.choice([at, at % 4096, at % 64])
        n = self.random.choice([1, 2, 8, 64, 4096])
        noise = self.random.randbytes(n)
        numbers = [b"\xff" * 8, bytes(8), b"\x7f" * 8, b"9" * 20, b"-1", b"1e999", b"null", b"[" * 500]
        return self.random.choice([
            lambda: data[:at], lambda: data[:at] + noise + data[at + n:],
            lambda: data[:at] + noise + data[at:], lambda: data[:at] + data[at + n:],
            lambda: data[:at] + bytes(n) + data[at + n:], lambda: data[:at] + data[at // 2:],
            lambda: data[:at] + self.random.choice(numbers) + data[at + 8:],
            lambda: data[:at] + self.random.choice(numbers) + data[at:],
            lambda: data + noise, lambda: b"", lambda: other])()

    def mutations(self):
        original = self.random.choice(self.models)
        folder = self.work / "mutated"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(original, folder)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        contents = {path: path.read_bytes() for path in files}
        for _ in range(self.random.choice([1, 1, 1, 2, 5])):
            path = self.random.choice(files)
            if self.random.random() < 0.05:
                path.unlink(missing_ok=True)
                continue
            contents[path] = self.mutate(contents[path], contents[self.random.choice(files)])
            path.write_bytes(contents[path])
        self.counts["mutations"] += 1
        for command in self.commands(folder):
            code, _ = run(command)
            self.counts["commands on mutated files"] += 1
            self.counts["commands that refused them"] += code != 0
        shutil.rmtree(self.work / "out", ignore_errors=True)

    def once(self, kind):
        getattr(self, kind)()
        if tree_hash(self.source) != self.source_hash:
            raise Finding(f"{kind}: the source has changed")


KINDS = ("kills", "faults", "flips", "mutations")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", nargs="?", type=float, default=3600)
    for kind in KINDS:
        parser.add_argument(f"--{kind}", type=int, help="so many, whatever time that takes")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    asked = {kind: n for kind in KINDS if (n := getattr(options, kind)) is not None}

    work = pathlib.Path(tempfile.mkdtemp(prefix="tq-soak-"))
    started = time.monotonic()
    soak = Soak(work, options.seed)
    findings = 0
    rounds = 0

    def goes_on(kind):
        if asked:
            return soak.counts[kind] < asked.get(kind, 0)
        return time.monotonic() - started < options.seconds

    stopped = False
    while kinds := [kind for kind in KINDS if goes_on(kind) and not stopped]:
        for kind in kinds:
            try:
                soak.once(kind)
            except KeyboardInterrupt:
                stopped = True
                break
            except Finding as finding:
                findings += 1
                kept = f"{work}-finding-{findings}"
                shutil.copytree(work, kept, symlinks=True)
                print(f"FINDING (seed {options.seed}, round {rounds}, kept in {kept}): {kind}: {finding}",
                      flush=True)
                soak.reset()
                soak.counts[kind] += 1
                shutil.rmtree(work / "out", ignore_errors=True)
        rounds += 1
    shutil.rmtree(work)
    counts = ", ".join(f"{n} {name}" for name, n in soak.counts.items())
    print(f"soak: {time.monotonic() - started:.0f} s, seed {options.seed}: {counts}: "
          f"{findings} findings")
    sys.exit(findings > 0)


if __name__ == "__main__":
    main()
