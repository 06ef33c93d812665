"""What a model answers: whole, and in the pieces of a stream."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Iterator


@dataclasses.dataclass(frozen=True)
class ToolCall:
    """A call of a tool that the model wants to be made."""

    id: str
    name: str
    arguments: str  # JSON, as the model wrote it

    def parsed(self) -> Any:
        """The arguments as Python values."""
        return json.loads(self.arguments)


@dataclasses.dataclass(frozen=True)
class TokenLogprob:
    """A token of an answer with its log probability, and the most probable ones in its place."""

    token: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclasses.dataclass(frozen=True)
class Choice:
    """One answer to a request."""

    index: int
    text: str
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish_reason: str = ""  # "stop", "length" or "tool_calls"
    logprobs: tuple[TokenLogprob, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Usage:
    """Tokens of a request: those of the prompt that were known already are ``cached_tokens``."""

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0


@dataclasses.dataclass(frozen=True)
class Answer:
    """All answers to one request: with ``n=1`` one, whose fields are this object's, too."""

    choices: tuple[Choice, ...]
    usage: Usage

    @property
    def text(self) -> str:
        """The first choice's text."""
        return self.choices[0].text

    @property
    def reasoning(self) -> str:
        """What the model thought before it answered; empty if it marks no reasoning."""
        return self.choices[0].reasoning

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The first choice's calls of tools."""
        return self.choices[0].tool_calls

    @property
    def finish_reason(self) -> str:
        """Why the first choice ended: "stop", "length" or "tool_calls"."""
        return self.choices[0].finish_reason

    @property
    def logprobs(self) -> tuple[TokenLogprob, ...] | None:
        """The first choice's tokens with their log probabilities, where they were asked for."""
        return self.choices[0].logprobs


@dataclasses.dataclass(frozen=True)
class Piece:
    """A piece of a streamed answer. ``kind``: "text", "reasoning", "call", "end" (of a choice: with its
    ``finish_reason``) or "usage" (the last)."""

    kind: str
    choice: int = 0
    text: str = ""
    tool_call: ToolCall | None = None
    finish_reason: str | None = None
    logprobs: tuple[TokenLogprob, ...] | None = None
    usage: Usage | None = None


def _call(call: dict) -> ToolCall:
    return ToolCall(call["id"], call["function"]["name"], call["function"]["arguments"])


def _logprobs(given: dict | None) -> tuple[TokenLogprob, ...] | None:
    if given is None:
        return None
    if "content" in given:  # of a chat
        return tuple(TokenLogprob(one["token"], one["logprob"],
                                  tuple((top["token"], top["logprob"]) for top in one["top_logprobs"]))
                     for one in given["content"])
    return tuple(TokenLogprob(token, logprob, tuple(sorted(top.items(), key=lambda pair: -pair[1])))
                 for token, logprob, top in zip(given["tokens"], given["token_logprobs"], given["top_logprobs"]))


def _usage(given: dict) -> Usage:
    return Usage(given["prompt_tokens"], given["completion_tokens"], given["prompt_tokens_details"]["cached_tokens"])


def read_answer(data: bytes) -> Answer:
    """The answer of a route of tq serve."""
    given = json.loads(data)
    choices = []
    for one in given["choices"]:
        message = one.get("message", {})
        text = one["text"] if "text" in one else message.get("content")
        choices.append(Choice(one["index"], text or "", message.get("reasoning_content") or "",
                              tuple(map(_call, message.get("tool_calls", ()))), one["finish_reason"] or "",
                              _logprobs(one["logprobs"])))
    return Answer(tuple(choices), _usage(given["usage"]))


def read_pieces(data: bytes) -> Iterator[Piece]:
    """The pieces of a chunk of a stream."""
    chunk = json.loads(data)
    for one in chunk["choices"]:
        index, delta, logprobs = one["index"], one.get("delta", {}), _logprobs(one["logprobs"])
        text = one["text"] if "text" in one else delta.get("content")
        if text or logprobs:
            yield Piece("text", index, text or "", logprobs=logprobs)
        if delta.get("reasoning_content"):
            yield Piece("reasoning", index, delta["reasoning_content"])
        for call in delta.get("tool_calls", ()):
            yield Piece("call", index, tool_call=_call(call))
        if one["finish_reason"] is not None:
            yield Piece("end", index, finish_reason=one["finish_reason"])
    if chunk.get("usage"):
        yield Piece("usage", usage=_usage(chunk["usage"]))
