"""Exact JSON: what cannot be read in one way only is refused, and numbers leave as they came.

Reading uses the standard library's C scanner because it has hooks for keys and numbers; writing uses orjson.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar, NoReturn

import orjson

from .errors import EngineError

_INT64 = 1 << 63
_DIGITS_OF_INT64 = 20
_BOM = b"\xef\xbb\xbf"
_PEEK = 120  # bytes; enough to see how a writer separates key and value


@dataclass(frozen=True, slots=True)
class Number:
    """A number that Python would change (beyond 64 bits, `1.10`, `1E400`, `-0`), kept as written."""

    text: str


Json = None | bool | int | float | str | Number | list["Json"] | dict[str, "Json"]


class JsonError(EngineError):
    """A body that is not exact JSON. `code` is stable; the message says what to change, not what was sent."""

    messages: ClassVar[dict[str, str]] = {
        "invalid_json": "The body is not valid JSON.",
        "duplicate_key": "A JSON object has the same key twice.",
        "not_finite": "NaN and Infinity are not JSON.",
        "lone_surrogate": "A JSON string holds half of a character pair (a lone surrogate).",
        "too_deep": "The JSON is nested too deeply.",
        "invalid_utf8": "The body is not valid UTF-8.",
    }

    def __init__(self, code: str) -> None:
        super().__init__(self.messages[code])
        self.code = code


def loads(body: bytes, *, max_depth: int = 100) -> Json:
    """Parse one JSON document. Raises `JsonError`; the exception keeps no reference to the body."""
    outcome = _canonical(body) or _parse(body)
    if isinstance(outcome, JsonError):
        raise outcome  # outside any handler: no chained exception that would hold the body
    tree = outcome[0]
    if body.count(b"[") + body.count(b"{") > max_depth and _deeper(tree, max_depth):
        raise JsonError("too_deep")
    if b"\\u" in body and not _encodable(tree):
        raise JsonError("lone_surrogate")
    return tree


def dumps(tree: Json) -> bytes:
    """A fresh compact UTF-8 serialisation of a tree."""
    try:
        return orjson.dumps(tree, default=_fragment, option=orjson.OPT_PASSTHROUGH_DATACLASS)
    except orjson.JSONEncodeError:
        pass
    raise JsonError("lone_surrogate")  # all that can be wrong with a tree; raised without the text


def _canonical(body: bytes) -> tuple[Json] | None:
    """A body that is its own fresh serialisation has no double keys and no number that changes: fast path."""
    if b'": ' in body[:_PEEK]:
        return None  # written with spaces: cannot be equal
    try:
        tree: Json = orjson.loads(body)
        return (tree,) if orjson.dumps(tree) == body else None
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):  # deeper than it writes: measured below
        return None


def _parse(body: bytes) -> tuple[Json] | JsonError:
    if body.startswith(_BOM):
        return JsonError("invalid_json")
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return JsonError("invalid_utf8")
    try:
        return (_DECODER.decode(text),)
    except JsonError as error:
        return JsonError(error.code)
    except RecursionError:
        return JsonError("too_deep")
    except ValueError:
        return JsonError("invalid_json")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise JsonError("duplicate_key")
    return made


def _int(source: str) -> int | Number:
    if len(source) <= _DIGITS_OF_INT64 and source != "-0":
        value = int(source)
        if -_INT64 <= value < 2 * _INT64:  # what orjson writes
            return value
    return Number(source)


def _float(source: str) -> float | Number:
    value = float(source)
    return value if repr(value) == source and "e" not in source else Number(source)


def _not_finite(_name: str) -> NoReturn:
    raise JsonError("not_finite")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_int=_int, parse_float=_float, parse_constant=_not_finite
)


def _deeper(tree: Json, limit: int) -> bool:
    level: list[Json] = [tree]
    depth = 0
    while level:
        below: list[Json] = []
        for node in level:
            if isinstance(node, dict):
                below.extend(node.values())
            elif isinstance(node, list):
                below.extend(node)
            else:
                continue
        containers = any(isinstance(node, (dict, list)) for node in level)
        depth += containers
        if depth > limit:
            return True
        level = below
    return False


def same(value: Json, wanted: Json) -> bool:
    """Equal as JSON: `true` is not 1."""
    if isinstance(value, dict) and isinstance(wanted, dict):
        return value.keys() == wanted.keys() and all(same(value[name], wanted[name]) for name in wanted)
    if isinstance(value, list) and isinstance(wanted, list):
        return len(value) == len(wanted) and all(map(same, value, wanted))
    return type(value) is type(wanted) and value == wanted


def _encodable(tree: Json) -> bool:
    try:
        dumps(tree)
    except JsonError:
        return False
    return True


def _fragment(value: object) -> orjson.Fragment:
    if isinstance(value, Number):
        return orjson.Fragment(value.text)
    raise TypeError
