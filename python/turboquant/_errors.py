"""Exceptions: one for each kind of error that the engine tells apart."""

from __future__ import annotations


class Error(Exception):
    """What went wrong: ``code`` is a word for programs, ``message`` says what, where and what to do."""

    code = "internal"

    def __init__(self, message: str, code: str | None = None):
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class InvalidArgumentError(Error, ValueError):
    """A wrong option, prompt or request."""

    code = "invalid_argument"


class NotFoundError(Error, LookupError):
    """A file or model that must exist does not."""

    code = "not_found"


class CorruptError(Error):
    """A file that contradicts itself or its format's rules."""

    code = "corrupt"


class UnsupportedError(Error):
    """Valid, but nothing that this build computes correctly."""

    code = "unsupported"


class IoError(Error, OSError):
    """The system refused to read or write."""

    code = "io"


class NoSpaceError(IoError):
    """The disk is full, or would be."""

    code = "no_space"


class OutOfMemoryError(Error, MemoryError):
    """The model, the context or the request does not fit in memory."""

    code = "out_of_memory"


class DeviceError(Error):
    """A GPU failed."""

    code = "device"


class CancelledError(Error):
    """Stopped: by ``cancel()``, or because the model was closed."""

    code = "cancelled"


_KINDS = {kind.code: kind for kind in (InvalidArgumentError, NotFoundError, CorruptError, UnsupportedError, IoError,
                                       NoSpaceError, OutOfMemoryError, DeviceError, CancelledError)}


def make(code: str, message: str) -> Error:
    """The exception for an error of the engine."""
    kind = _KINDS.get(code)
    return kind(message) if kind else Error(message, code)
