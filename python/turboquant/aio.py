"""AsyncLLM: LLM for asyncio."""

from __future__ import annotations

import asyncio
from typing import Any, AsyncIterator, Callable, Mapping, Sequence

from . import _core, _errors
from .answers import Answer, Piece, read_answer, read_pieces
from .llm import LLM, Messages, Progress, Prompt, chat_request, is_batch, is_chat_batch, text_request


class AsyncLLM:
    """An LLM whose methods are awaited; a task that is cancelled cancels its answer.

    ``AsyncLLM(...)`` loads the model at once, ``await AsyncLLM.open(...)`` on another thread. Options and requests are
    those of LLM.
    """

    def __init__(self, model: str | LLM, *, progress: Progress | None = None, **options: Any):
        self.llm = model if isinstance(model, LLM) else LLM(model, progress=progress, **options)

    @classmethod
    async def open(cls, model: str, *, progress: Progress | None = None, **options: Any) -> "AsyncLLM":
        """Loads a model without keeping the event loop waiting. ``progress`` is called on another thread."""
        return cls(await asyncio.to_thread(LLM, model, progress=progress, **options))

    async def generate(self, prompts: Prompt | Sequence[Prompt], **request: Any) -> Any:
        """As LLM.generate."""
        return await self._answer(prompts, is_batch(prompts), text_request, request)

    async def chat(self, messages: Messages | Sequence[Messages], **request: Any) -> Any:
        """As LLM.chat."""
        return await self._answer(messages, is_chat_batch(messages), chat_request, request)

    def stream(self, prompt: Prompt, **request: Any) -> AsyncIterator[Piece]:
        """As LLM.stream: ``async for piece in llm.stream(...)``."""
        return self._pieces(text_request(prompt, request))

    def stream_chat(self, messages: Messages, **request: Any) -> AsyncIterator[Piece]:
        """As LLM.stream_chat."""
        return self._pieces(chat_request(messages, request))

    async def close(self) -> None:
        """Frees the model; answers on their way end with CancelledError."""
        await asyncio.to_thread(self.llm.close)

    async def __aenter__(self) -> "AsyncLLM":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _ask(self, request: str, stream: bool) -> tuple[_core.Ask, asyncio.Queue]:
        loop, events = asyncio.get_running_loop(), asyncio.Queue()

        def told(kind: str, data: bytes, code: str) -> None:
            try:
                loop.call_soon_threadsafe(events.put_nowait, (kind, data, code))
            except RuntimeError:  # the loop was closed, so nobody waits
                pass

        return self.llm._core.ask(request, stream, told), events  # noqa: SLF001

    async def _one(self, request: str) -> Answer:
        ask, events = self._ask(request, False)
        try:
            kind, data, code = await events.get()
        except BaseException:
            ask.cancel()
            raise
        if kind == "error":
            raise _errors.make(code, data.decode())
        return read_answer(data)

    async def _answer(self, asked: Any, several: bool, make: Callable[..., str], request: Mapping[str, Any]) -> Any:
        requests = [make(one, request) for one in (asked if several else [asked])]
        tasks = [asyncio.ensure_future(self._one(one)) for one in requests]
        try:
            answers = await asyncio.gather(*tasks)
        except BaseException:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise
        return answers if several else answers[0]

    async def _pieces(self, request: str) -> AsyncIterator[Piece]:
        ask, events = self._ask(request, True)
        try:
            while True:
                kind, data, code = await events.get()
                if kind == "error":
                    raise _errors.make(code, data.decode())
                if kind == "end":
                    return
                for piece in read_pieces(data):
                    yield piece
        finally:
            ask.cancel()
