"""LLM: a model in this process that answers any number of requests at a time."""

from __future__ import annotations

import atexit
import collections
import functools
import json
import numbers
import os
import queue
import threading
import weakref
from typing import Any, Callable, Iterator, Mapping, Sequence, Union

from . import _core, _errors
from .answers import Answer, Piece, read_answer, read_pieces

Prompt = Union[str, Sequence[int]]
Messages = Sequence[Mapping[str, Any]]
Progress = Callable[[int, int], Any]

_open_models: "weakref.WeakSet[LLM]" = weakref.WeakSet()


@atexit.register
def _close_models() -> None:  # their threads call Python, which is about to go
    for model in list(_open_models):
        model.close()


class Pending:
    """An answer on its way: ``result()`` waits for it, ``cancel()`` ends it."""

    def __init__(self, model: "LLM", request: str, on_done: Callable[[], Any] = lambda: None):
        self._done = threading.Event()
        self._told: list[tuple[str, bytes, str]] = []
        events, done = self._told, self._done  # not this object: what is forgotten is cancelled, not kept

        def told(kind: str, data: bytes, code: str) -> None:
            events.append((kind, data, code))
            done.set()
            on_done()

        self._ask = model._core.ask(request, False, told)
        self._model = model  # which is kept as long as this is, and closed when the program ends

    def done(self) -> bool:
        """Whether there is a result, or an error."""
        return self._done.is_set()

    def result(self, timeout: float | None = None) -> Answer:
        """The answer. Raises what went wrong, and TimeoutError when it is not there after that many seconds (it
        stays on its way). Ctrl-C cancels it."""
        try:
            if not self._done.wait(timeout):
                raise TimeoutError(f"no answer after {timeout} s")
        except KeyboardInterrupt:
            self.cancel()
            raise
        kind, data, code = self._told[0]
        if kind == "error":
            raise _errors.make(code, data.decode())
        return read_answer(data)

    def cancel(self) -> None:
        """Ends it at once: ``result()`` then raises CancelledError, unless the answer was there."""
        self._ask.cancel()

    def __del__(self) -> None:
        if hasattr(self, "_ask"):
            self._ask.cancel()


class Stream(Iterator[Piece]):
    """The pieces of an answer as they come. Leaving a loop over it early, ``close()``, Ctrl-C or forgetting it cancels
    what is left."""

    def __init__(self, model: "LLM", request: str):
        self._events: queue.SimpleQueue = queue.SimpleQueue()
        self._pieces: collections.deque[Piece] = collections.deque()
        self._ended = False
        events = self._events
        self._ask = model._core.ask(request, True, lambda kind, data, code: events.put((kind, data, code)))
        self._model = model  # which is kept as long as this is, and closed when the program ends

    def __iter__(self) -> "Stream":
        return self

    def __next__(self) -> Piece:
        while not self._pieces:
            if self._ended:
                raise StopIteration
            try:
                kind, data, code = self._events.get()
            except KeyboardInterrupt:
                self.close()
                raise
            if kind == "chunk":
                self._pieces.extend(read_pieces(data))
                continue
            self._ended = True
            self._events.put(("end", b"", ""))  # for other threads that wait
            if kind == "error":
                raise _errors.make(code, data.decode())
        return self._pieces.popleft()

    def text(self) -> Iterator[str]:
        """Only the answer's text."""
        return (piece.text for piece in self if piece.kind == "text")

    def cancel(self) -> None:
        """Ends it at once, from any thread: the next piece is then a CancelledError."""
        self._ask.cancel()

    def close(self) -> None:
        """Ends it quietly."""
        self._ended = True
        self._pieces.clear()
        self._events.put(("end", b"", ""))  # for threads that wait
        self._ask.cancel()

    def __enter__(self) -> "Stream":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if hasattr(self, "_ask"):
            self._ask.cancel()


def plain(value: Any) -> Any:
    """What JSON has for NumPy's numbers and for paths."""
    if hasattr(value, "item"):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise TypeError(f"{value!r} is no value of a request")


def to_json(value: Any) -> str:
    """The JSON of a request or of options. Raises ValueError for numbers that JSON does not have."""
    return json.dumps(value, allow_nan=False, default=plain)


def is_batch(prompts: Any) -> bool:
    """Whether these are several prompts, and not one of token ids."""
    if isinstance(prompts, (bytes, bytearray, Mapping)) or not hasattr(prompts, "__getitem__"):
        raise TypeError(f"a prompt is a str or a sequence of token ids, and no {type(prompts).__name__}")
    return not isinstance(prompts, str) and not (len(prompts) > 0 and isinstance(prompts[0], numbers.Integral))


def is_chat_batch(messages: Any) -> bool:
    """Whether these are several conversations."""
    return isinstance(messages, Sequence) and bool(messages) and isinstance(messages[0], (list, tuple))


def text_request(prompt: Prompt, options: Mapping[str, Any]) -> str:
    """The request for the continuation of a prompt."""
    if "prompt" in options or "messages" in options:
        raise TypeError("the prompt is the first argument")
    return to_json({"prompt": prompt if isinstance(prompt, str) else [int(i) for i in prompt], **options})


def chat_request(messages: Messages, options: Mapping[str, Any]) -> str:
    """The request for the answer in a conversation."""
    if "prompt" in options or "messages" in options:
        raise TypeError("the conversation is the first argument")
    if isinstance(messages, (str, Mapping)) or not all(isinstance(one, Mapping) for one in messages):
        raise TypeError('a conversation is a list of {"role": ..., "content": ...}')
    return to_json({"messages": [dict(message) for message in messages], **options})


class LLM:
    """A model that was loaded, for any number of requests and threads at a time.

    ``model`` is a folder or file (native, Hugging Face, GGUF), ``ORG/NAME`` of the Hugging Face hub or ``synth:NAME``.
    ``options`` are those of ``tq serve`` on models with ``_`` for ``-``: ``device``, ``threads``, ``ctx``,
    ``kv_format``, ``format`` (compress at load), ``max_num_seqs`` (answers that are computed at a time),
    ``chat_template``, ... ``progress(done, total)`` is told bytes of weights while they are loaded; what it raises ends
    the loading, as Ctrl-C does.

    ``request`` keywords of the methods are the fields that ``tq serve`` takes (``max_tokens``, ``temperature``,
    ``top_p``, ``seed``, ``stop``, ``n``, ``logprobs``, ``json_schema``, ``regex``, ``grammar``, ``tools``,
    ``tool_choice``, ...), with the names of tq's sampling options as well (``temp``, ``repeat_penalty``).
    Unknown ones are refused.
    """

    def __init__(self, model: str | os.PathLike[str], *, progress: Progress | None = None, **options: Any):
        self._core = _core.Llm(os.fspath(model), to_json(options), progress)
        self._about = json.loads(self._core.describe())
        _open_models.add(self)

    @property
    def about(self) -> dict[str, Any]:
        """Path, architecture, device, context, vocabulary, seconds to load."""
        return dict(self._about)

    @property
    def context(self) -> int:
        """Tokens of prompt and answer at most."""
        return self._about["context"]

    def generate(self, prompts: Prompt | Sequence[Prompt], **request: Any) -> Any:
        """The Answer that continues a text or token ids; of a list of these a list of Answers, which are computed
        together. Without ``max_tokens`` an answer has at most 512 tokens."""
        return self._answer(prompts, is_batch(prompts), text_request, request)

    def chat(self, messages: Messages | Sequence[Messages], **request: Any) -> Any:
        """The Answer to a conversation: a list of ``{"role": ..., "content": ...}``; of a list of conversations a list
        of Answers, which are computed together."""
        return self._answer(messages, is_chat_batch(messages), chat_request, request)

    def submit(self, prompt: Prompt, **request: Any) -> Pending:
        """As ``generate`` of one prompt, at once: the answer is on its way."""
        return Pending(self, text_request(prompt, request))

    def submit_chat(self, messages: Messages, **request: Any) -> Pending:
        """As ``chat`` of one conversation, at once: the answer is on its way."""
        return Pending(self, chat_request(messages, request))

    def stream(self, prompt: Prompt, **request: Any) -> Stream:
        """As ``generate`` of one prompt, piece by piece."""
        return Stream(self, text_request(prompt, request))

    def stream_chat(self, messages: Messages, **request: Any) -> Stream:
        """As ``chat`` of one conversation, piece by piece."""
        return Stream(self, chat_request(messages, request))

    def tokenize(self, text: str, add_special: bool = True) -> list[int]:
        """The text's token ids; ``add_special``: with what the tokenizer puts around texts."""
        return self._core.encode(text, add_special)

    def detokenize(self, ids: Sequence[int], skip_special: bool = True) -> str:
        """The text of token ids."""
        return self._core.decode([int(i) for i in ids], skip_special)

    def apply_chat_template(self, messages: Messages, **request: Any) -> str:
        """The text that the chat template makes of a conversation."""
        return self._core.render(chat_request(messages, request))

    def close(self) -> None:
        """Frees the model; answers on their way end with CancelledError. Also the end of a ``with`` block."""
        self._core.close()

    def __enter__(self) -> "LLM":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _answer(self, asked: Any, several: bool, make: Callable[..., str], request: Mapping[str, Any]) -> Any:
        requests = [make(one, request) for one in (asked if several else [asked])]
        done: queue.SimpleQueue = queue.SimpleQueue()  # as they are, so that what is wrong with one is told at once
        pending: list[Pending] = []
        answers: list[Any] = [None] * len(requests)
        try:
            for i, one in enumerate(requests):
                pending.append(Pending(self, one, functools.partial(done.put, i)))
            for _ in requests:
                i = done.get()
                answers[i] = pending[i].result()
        except BaseException:
            for one in pending:
                one.cancel()
            raise
        return answers if several else answers[0]
