"""Checkpoints on disk: convert, look at, verify."""

from __future__ import annotations

import json
import os
from typing import Any, Mapping, Sequence

from . import _core
from .llm import LLM, Progress, to_json

Path = "str | os.PathLike[str]"


def convert(source: Path, destination: Path, *, progress: Progress | None = None, **options: Any) -> dict[str, Any]:
    """Compresses a checkpoint into a folder, as ``tq convert`` does, and returns what it reports.

    ``options`` are those of ``tq convert`` with ``_`` for ``-``: ``format``, ``preset``, ``plan``, ``fit``, ``bpw``,
    ``rules``, ``effort``, ``layout``, ``bits``, ``group_size``, ``shard_size``, ``threads``, ``overwrite``,
    ``resume``, ... ``progress(done, total)`` is told bytes of the source; what it raises ends the conversion, as Ctrl-C
    does, and the same call goes on where that left off.
    """
    return json.loads(_core.convert(os.fspath(source), os.fspath(destination), to_json(options), progress))


def inspect(model: Path, *, tensors: bool = False, ignore_config: Sequence[str] = ()) -> dict[str, Any]:
    """What a checkpoint is and what running it takes, as ``tq inspect --json`` prints it; ``tensors``: with a list of
    all tensors. Reads no weights."""
    return json.loads(_core.inspect(os.fspath(model), tensors, list(ignore_config)))


def verify(model: Path, *, threads: int = 0, progress: Progress | None = None) -> dict[str, Any]:
    """Whether a checkpoint is as ``tq convert`` wrote it: re-hashes all of it. ``sound`` says whether; ``faults`` are
    tensors and files that differ, ``edited`` small files, ``extra`` what else lies in the folder."""
    return json.loads(_core.verify(os.fspath(model), threads, progress))


def save_tq3_checkpoint(model: Path, out: Path, bits: int = 3, *, progress: Progress | None = None) -> dict[str, Any]:
    """Compresses a Hugging Face checkpoint to the files that turboquant-vllm's function of this name writes
    (``tq3_native``), streaming: ``convert`` with ``layout="turboquant-vllm"``."""
    return convert(model, out, progress=progress, layout="turboquant-vllm", format=f"tq{bits}")


class Tokenizer:
    """A loaded model's tokenizer and chat template."""

    def __init__(self, llm: LLM):
        self._llm = llm

    def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
        """Token ids of a text."""
        return self._llm.tokenize(text, add_special_tokens)

    def decode(self, ids: Sequence[int], skip_special_tokens: bool = False) -> str:
        """The text of token ids."""
        return self._llm.detokenize(ids, skip_special_tokens)

    def __call__(self, text: str, add_special_tokens: bool = True) -> dict[str, list[int]]:
        ids = self.encode(text, add_special_tokens)
        return {"input_ids": ids, "attention_mask": [1] * len(ids)}

    def apply_chat_template(self, messages: Sequence[Mapping[str, Any]], tokenize: bool = True,
                            add_generation_prompt: bool = False) -> str | list[int]:
        """The conversation as the chat template writes it: as token ids, or as a text."""
        text = self._llm.apply_chat_template(messages, add_generation_prompt=add_generation_prompt)
        return self._llm.tokenize(text, False) if tokenize else text


def load_tq3_model(path: Path, device: str = "auto", **options: Any) -> tuple[LLM, Tokenizer]:
    """A compressed checkpoint (``tq3_native``, or any other that the engine reads) as a model that generates, and its
    tokenizer. Weights stay compressed. ``options`` are those of LLM."""
    llm = LLM(os.fspath(path), device=device, **options)
    return llm, Tokenizer(llm)
