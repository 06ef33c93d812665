"""turboquant: compresses large language models to about three bits a weight, and runs them.

``LLM`` answers (``generate``, ``chat``, ``stream``), ``AsyncLLM`` does so for asyncio; ``convert`` compresses;
``inspect`` and ``verify`` look at checkpoints; ``serve`` answers over HTTP; ``encode``, ``decode``, ``hadamard``, ``LogitModel`` and ``kld`` work on
NumPy arrays. docs/python.md has examples.
"""

import atexit as _atexit
import logging as _logging

from . import _core
from ._errors import (CancelledError, CorruptError, DeviceError, Error, InvalidArgumentError, IoError, NoSpaceError,
                      NotFoundError, OutOfMemoryError, UnsupportedError)
from .aio import AsyncLLM
from .answers import Answer, Choice, Piece, TokenLogprob, ToolCall, Usage
from .arrays import Encoded, LogitModel, decode, encode, formats, hadamard, kld
from .files import Tokenizer, convert, inspect, load_tq3_model, save_tq3_checkpoint, verify
from .llm import LLM, Pending, Stream
from .server import Server, serve

__version__ = _core.version
__all__ = [
    "LLM", "AsyncLLM", "Pending", "Stream", "Answer", "Choice", "Piece", "TokenLogprob", "ToolCall", "Usage", "convert",
    "inspect", "verify", "save_tq3_checkpoint", "load_tq3_model", "Tokenizer", "Encoded", "formats", "encode", "decode",
    "hadamard", "LogitModel", "kld", "Server", "serve", "Error", "InvalidArgumentError", "NotFoundError", "CorruptError",
    "UnsupportedError", "IoError", "NoSpaceError", "OutOfMemoryError", "DeviceError", "CancelledError"]

_log = _logging.getLogger("turboquant")


def _tell(is_warning: bool, message: str) -> None:
    _log.log(_logging.WARNING if is_warning else _logging.INFO, "%s", message)


_core.set_log(_tell)
_atexit.register(_core.set_log, None)
