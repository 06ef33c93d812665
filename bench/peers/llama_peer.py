"""One measurement of llama.cpp in a process of its own, through its C interface; prints one JSON object.

run.sh sets PYTHONPATH (the ctypes declarations of llama-cpp-python) and LLAMA_CPP_LIB_PATH (the build).
Times are of llama_decode() and llama_synchronize() alone: nothing is sampled, unlike in tq.
"""

import argparse
import ctypes
import json
import pathlib
import sys
import time

import numpy as np


def memory_kb(field):
    """A field of /proc/self/status, in KB: VmRSS is resident now, VmHWM the most so far."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1])
    raise KeyError(field)


python_kb = memory_kb("VmRSS")  # what Python and numpy take, before the library is there

import llama_cpp.llama_cpp as api  # noqa: E402

FTYPES = {
    name: getattr(api, f"LLAMA_FTYPE_MOSTLY_{name}")
    for name in ("F16", "Q3_K_S", "Q3_K_M", "Q4_0", "Q4_K_S", "Q4_K_M", "IQ4_XS")
}
TYPE_F16 = 1  # of tensors: ggml.h
N_BATCH = 512  # tokens of one forward pass at most: the default of both programs
N_WARM_UP = 16  # as tq bench
LOG_LEVEL_ERROR = 4  # ggml.h


class Peer:
    """A model and a context with all settings but threads and flash attention at llama.cpp's defaults."""

    def __init__(self, path, threads, flash, n_ctx):
        self.model = api.llama_model_load_from_file(path.encode(), api.llama_model_default_params())
        if not self.model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        params = api.llama_context_default_params()
        params.n_ctx = n_ctx
        params.n_batch = params.n_ubatch = N_BATCH
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = (
            api.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else api.LLAMA_FLASH_ATTN_TYPE_DISABLED
        )
        self.context = api.llama_init_from_model(self.model, params)
        if not self.context:
            raise SystemExit(f"llama.cpp cannot make a context of {n_ctx} tokens for {path}")
        self.vocab = api.llama_vocab_n_tokens(api.llama_model_get_vocab(self.model))

    def clear(self):
        api.llama_memory_clear(api.llama_get_memory(self.context), True)

    def decode(self, ids):
        """Appends ids to the sequence; logits of the last one only."""
        array = (ctypes.c_int32 * len(ids))(*ids)
        self._run(api.llama_batch_get_one(array, len(ids)))

    def logits(self, ids):
        """float32 [len(ids), vocab] of one pass from an empty context."""
        self.clear()
        batch = api.llama_batch_init(len(ids), 0, 1)
        batch.n_tokens = len(ids)
        for i, token in enumerate(ids):
            batch.token[i] = token
            batch.pos[i] = i
            batch.n_seq_id[i] = 1
            batch.seq_id[i][0] = 0
            batch.logits[i] = 1
        self._run(batch)
        rows = np.ctypeslib.as_array(api.llama_get_logits(self.context), shape=(len(ids), self.vocab))
        api.llama_batch_free(batch)
        return rows

    def _run(self, batch):
        status = api.llama_decode(self.context, batch)
        if status != 0:
            raise SystemExit(f"llama_decode: status {status}")
        api.llama_synchronize(self.context)


def speed(args):
    """What `tq bench -p PREFILL -n DECODE -r REPETITIONS` measures, in the same order."""
    start = time.perf_counter()
    peer = Peer(args.model, args.threads, args.flash == "on", max(args.prefill, args.decode) + 1)
    peer.decode([1])
    load_s = time.perf_counter() - start
    random = np.random.default_rng(1)

    def rate(chunks):
        rates = []
        for _ in range(args.repetitions):
            work = [random.integers(0, peer.vocab, n).tolist() for n in chunks]
            peer.clear()
            begin = time.perf_counter()
            for ids in work:
                peer.decode(ids)
            rates.append(sum(chunks) / (time.perf_counter() - begin))
        return sum(rates) / len(rates)

    peer.clear()
    peer.decode(random.integers(0, peer.vocab, N_WARM_UP).tolist())
    full, rest = divmod(args.prefill, N_BATCH)
    return {
        "weight_bytes": api.llama_model_size(peer.model),
        "load_s": load_s,
        "prefill": rate([N_BATCH] * full + [rest] * (rest > 0)),
        "decode": rate([1] * args.decode),
        "resident_mb": (memory_kb("VmHWM") - python_kb) * 1024 / 1e6,
    }


def ppl(args):
    """As `tq eval ppl --tokens`: windows of ctx ids side by side, the first id of each not scored."""
    ids = json.loads(pathlib.Path(args.tokens).read_text())
    peer = Peer(args.model, args.threads, args.flash == "on", args.ctx)
    losses = []
    for begin in range(0, len(ids) - 1, args.ctx):
        window = ids[begin : begin + args.ctx]
        if len(window) < 2:
            break
        for row, target in zip(peer.logits(window)[:-1], window[1:]):
            row = row.astype(np.float64)
            top = row.max()
            losses.append(top + np.log(np.exp(row - top).sum()) - row[target])
    nll = float(np.mean(losses))
    return {
        "ppl": float(np.exp(nll)),
        "ppl_se": float(np.exp(nll) * np.std(losses, ddof=1) / np.sqrt(len(losses))),
        "tokens": len(losses),
    }


def quantize(args):
    """llama.cpp's own quantiser at its defaults, allowed to start from a quantised file."""
    params = api.llama_model_quantize_default_params()
    params.nthread = args.threads
    params.ftype = FTYPES[args.type]
    params.allow_requantize = True
    if args.keep_tables:
        params.token_embedding_type = params.output_tensor_type = TYPE_F16
    status = api.llama_model_quantize(args.model.encode(), args.out.encode(), ctypes.byref(params))
    if status != 0:
        raise SystemExit(f"llama_model_quantize: status {status}")
    return {}


def info(args):
    return {"system": api.llama_print_system_info().decode().strip()}


def print_errors(level, text, _):
    if level == LOG_LEVEL_ERROR:
        sys.stderr.write(text.decode(errors="replace"))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def add(function, *names):
        command = commands.add_parser(function.__name__)
        command.set_defaults(function=function)
        for name in names:
            command.add_argument(name)
        command.add_argument("--threads", type=int, default=2)
        command.add_argument("--flash", choices=("on", "off"), default="on")
        return command

    command = add(speed, "model")
    command.add_argument("--prefill", type=int, default=512)
    command.add_argument("--decode", type=int, default=128)
    command.add_argument("--repetitions", type=int, default=2)
    command = add(ppl, "model", "tokens")
    command.add_argument("--ctx", type=int, default=512)
    command = add(quantize, "model", "out")
    command.add_argument("type", choices=FTYPES)
    command.add_argument("--keep-tables", action="store_true", help="embeddings and head stay f16")
    add(info)
    args = parser.parse_args()
    log = api.llama_log_callback(print_errors)
    api.llama_log_set(log, None)
    api.llama_backend_init()
    print(json.dumps(args.function(args)))


if __name__ == "__main__":
    main()
