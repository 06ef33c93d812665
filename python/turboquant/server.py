"""The server of ``tq serve`` in this process."""

from __future__ import annotations

import atexit
import os
import time
import weakref
from typing import Any

from . import _core, _errors
from .llm import Progress, to_json

_open_servers: "weakref.WeakSet[Server]" = weakref.WeakSet()


@atexit.register
def _close_servers() -> None:
    for server in list(_open_servers):
        server.close()


class Server:
    """Serves a model to the clients of OpenAI's and Anthropic's APIs, with a chat page, as ``tq serve`` does: it listens
    and answers once it is there, until ``close()`` or the end of a ``with`` block.

    ``options`` are those of ``tq serve`` with ``_`` for ``-``: ``host``, ``port`` (8000; 0: a free one), ``api_key``,
    ``served_model_name``, ``max_num_seqs``, ``max_queue``, ``tls_cert``, ..., and those on models.
    """

    def __init__(self, model: str | os.PathLike[str], *, progress: Progress | None = None, **options: Any):
        self._core = _core.Server(os.fspath(model), to_json(options), progress)
        _open_servers.add(self)

    @property
    def url(self) -> str:
        """"http://127.0.0.1:8000"."""
        return self._core.url()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return self._core.port()

    @property
    def n_open(self) -> int:
        """Answers that were promised and are not complete."""
        return self._core.n_open()

    def check(self) -> None:
        """Raises DeviceError when the engine has failed and must be started anew."""
        if fault := self._core.fault():
            raise _errors.DeviceError(f"the engine failed: {fault}")

    def drain(self, timeout: float | None = None) -> bool:
        """Takes no more requests, and waits until those under way are answered, or for ``timeout`` seconds (without it
        ``drain_timeout`` of the options). Whether all are."""
        until = time.monotonic() + (self._core.drain_seconds() if timeout is None else timeout)
        self._core.drain()
        while self.n_open > 0 and time.monotonic() < until:
            time.sleep(0.02)
        return self.n_open == 0

    def close(self) -> None:
        """Ends it at once: what is under way is cancelled, and its clients are told so."""
        self._core.close()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def serve(model: str | os.PathLike[str], *, progress: Progress | None = None, **options: Any) -> None:
    """Serves a model until Ctrl-C, and then lets what is under way be completed (a second Ctrl-C ends it)."""
    with Server(model, progress=progress, **options) as server:
        try:
            print(f"listening on {server.url}", flush=True)  # who reads it may stop it at once
            while True:
                server.check()
                time.sleep(0.2)
        except KeyboardInterrupt:
            server.drain()
