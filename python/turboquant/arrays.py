"""NumPy in and out: storage formats, the rotation, logits, KL divergence."""

from __future__ import annotations

import dataclasses
import os
from typing import Any, Sequence

import numpy as np

from . import _core
from .llm import Progress, to_json


@dataclasses.dataclass(frozen=True)
class Encoded:
    """A matrix in a storage format. docs/formats.md says what the bytes mean."""

    format: str
    shape: tuple[int, int]  # rows, inputs
    codes: np.ndarray  # uint8 [rows, bytes]
    gains: np.ndarray  # float16 [rows, groups]
    rel_mse: float | None = None  # squared error / squared norm, if it was encoded here

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("the weights are computed: there is nothing to share")
        return decode(self).astype(dtype or np.float32, copy=False)


def formats() -> list[str]:
    """The names of the storage formats."""
    return _core.formats()


def encode(weights: Any, format: str = "tq3", effort: str = "default") -> Encoded:
    """A matrix [rows, inputs] in a storage format. ``effort``: "fast", "default", "best" or "reference"."""
    weights = _matrix(weights)
    codes, gains, rel_mse = _core.encode(weights, format, effort)
    return Encoded(format, weights.shape, codes, gains.view(np.float16), rel_mse)


def decode(encoded: Encoded) -> np.ndarray:
    """The matrix as float32."""
    codes = np.ascontiguousarray(encoded.codes, dtype=np.uint8)
    gains = np.ascontiguousarray(encoded.gains, dtype=np.float16).view(np.uint16)
    out = _core.decode(codes, gains, encoded.format, encoded.shape[1])
    if out.shape != tuple(encoded.shape):
        raise ValueError(f"the codes are of {out.shape[0]} rows, not {encoded.shape[0]}")
    return out


def hadamard(x: Any, group: int = 128, inverse: bool = False) -> np.ndarray:
    """The rotation of docs/formats.md (random signs, Walsh-Hadamard, random signs) of each group of numbers along the
    last axis, as float32; ``inverse`` takes it back."""
    x = np.asarray(x, dtype=np.float32)
    if x.ndim == 0:
        raise ValueError("a number is no group")
    rows = np.ascontiguousarray(x.reshape(-1, x.shape[-1]))
    return _core.hadamard(rows, group, inverse).reshape(x.shape)


class LogitModel:
    """A model that is asked for logits, for measuring. ``options``: those of ``tq eval`` on models (``ctx``, ``device``,
    ``exact``, ``kv_format``, ...)."""

    def __init__(self, model: str | os.PathLike[str], *, progress: Progress | None = None, **options: Any):
        self._core = _core.LogitModel(os.fspath(model), to_json(options), progress)

    @property
    def context(self) -> int:
        """Tokens of one call at most."""
        return self._core.context

    @property
    def vocab(self) -> int:
        """Logits of a token."""
        return self._core.vocab

    def tokenize(self, text: str) -> list[int]:
        """The text's token ids, with what the tokenizer puts around texts."""
        return self._core.encode(text)

    def logits(self, tokens: str | Sequence[int]) -> np.ndarray:
        """Of each token of a text, or of token ids, what is predicted to follow it: float32 [tokens, vocab]."""
        ids = self.tokenize(tokens) if isinstance(tokens, str) else [int(i) for i in tokens]
        return self._core.logits(ids)


def kld(logits: Any, reference: Any) -> np.ndarray:
    """KL(reference || logits) of each row of two arrays of logits [rows, vocab], in nats, as float64 [rows]."""
    return _core.kld(_matrix(logits), _matrix(reference))


def _matrix(values: Any) -> np.ndarray:
    values = np.ascontiguousarray(values, dtype=np.float32)
    if values.ndim != 2:
        raise ValueError(f"a matrix has two dimensions, not {values.ndim}")
    return values
