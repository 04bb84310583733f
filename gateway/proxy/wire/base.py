"""What the exchange asks of an API: where is the model's name, the text, the part nobody can read?

Pure. A wire knows one operation of one API and nothing of policy. Text is found by walking the whole
document; a wire only says what is special in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple, Protocol

from policies.engine.jsontext import JsonError, loads
from policies.engine.types import Opaque

Json = Any
Path = tuple[str | int, ...]

_WORD: Final = re.compile(r"[a-z_]{1,40}")


def word_of(value: Json) -> str:
    """A word of the API's own: it is kept as it is, so nothing else may pass for one."""
    return value if isinstance(value, str) and _WORD.fullmatch(value) else ""


def count_of(value: Json) -> int | None:
    """A number of tokens, as a service reports it."""
    return value if type(value) is int and 0 <= value < 2**31 else None


def dotted(path: Path) -> str:
    """`("messages", 0, "content")` as `messages[0].content`."""
    text = "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return text.removeprefix(".")


def documents(content: Json, path: Path) -> Iterator[Path]:
    """The texts of a tool's result that are whole JSON documents, as tools return them: fields have names.

    Text that only begins like one is text.
    """
    texts: list[tuple[Path, Json]] = [(path, content)]
    for at, part in enumerate(content if isinstance(content, list) else ()):
        texts.append(((*path, at, "text"), part.get("text") if isinstance(part, dict) else None))
    for where, text in texts:
        if isinstance(text, str) and text.lstrip()[:1] in ("{", "[") and _is_document(text):
            yield where


def _is_document(text: str) -> bool:
    try:
        loads(text.encode())
    except (JsonError, UnicodeEncodeError):
        return False
    return True


class OpaquePart(NamedTuple):
    """Content that cannot be read here: what it is and where it sits."""

    kind: str  # image, audio, video, file, base64, hosted-tool, unknown
    path: Path

    def finding(self) -> Opaque:
        return Opaque(self.kind, dotted(self.path))


class ShapeError(ValueError):
    """The document is JSON but not what this operation takes. The text names a place, never a value."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RequestShape(NamedTuple):
    """What a request is, beside its text."""

    model: str = ""
    streaming: bool = False
    embedded: tuple[Path, ...] = ()  # strings that hold JSON: arguments and results of tools
    opaque: tuple[OpaquePart, ...] = ()
    opening: Sequence[str] = ()  # how the conversation began: calls that share it belong together

    def __repr__(self) -> str:
        return f"RequestShape(streaming={self.streaming})"


class ResponseShape(NamedTuple):
    """What a complete response is, beside its text."""

    embedded: tuple[Path, ...] = ()
    opaque: tuple[OpaquePart, ...] = ()
    finish_reason: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None


class Slot(NamedTuple):
    """A piece of streamed text: `parent[key]`, belonging to a channel that spans many events.

    A held slot's text is kept until the channel ends, since it is JSON in fragments.
    """

    parent: dict[str, Json]
    key: str
    channel: Path
    held: bool = False

    def __repr__(self) -> str:
        return f"Slot({dotted(self.channel)})"


class ChunkShape(NamedTuple):
    """What one streamed event is. `ended` are choices (or blocks) whose channels end with this event."""

    slots: tuple[Slot, ...] = ()
    ended: tuple[int, ...] = ()
    opaque: tuple[OpaquePart, ...] = ()
    last: bool = False  # the API's own end of the stream
    bare: bool = False  # nothing in it but the slots' text: not worth sending when they are empty
    finish_reason: str = ""
    input_tokens: int | None = None
    output_tokens: int | None = None


class Wire(Protocol):
    """One operation of one API."""

    api: str
    fixed_path: bool  # the path is ours to know; else the caller wrote it and it is inspected
    done: str | None  # what ends a stream and is no JSON

    def request(self, tree: Json) -> RequestShape: ...

    def structured(self, tree: Json) -> Sequence[Path]:
        """Where a request holds fields rather than conversation: places that field rules reach."""
        ...

    def response(self, tree: Json) -> ResponseShape:
        """Read a complete response; take out of `tree` what repeats the text (log probabilities)."""
        ...

    def chunk(self, tree: Json) -> ChunkShape:
        """Read one streamed event; take out of `tree` what repeats the text."""
        ...

    def event(self, tree: Json) -> str:
        """The name that a streamed event goes by; empty where the API names none."""
        ...

    def place(self, channel: Path) -> Path:
        """Where in a whole answer the text of a channel would sit. A channel begins with its choice."""
        ...

    def tail(self, template: Json, channel: Path, text: str) -> Json:
        """An event like `template` that carries nothing but `text` for `channel`."""
        ...
