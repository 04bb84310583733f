"""Takes an endpoint's secret out of what its model answers: some services repeat what they were sent. Pure.

Exact matches only, of the secret and of its usual spellings (percent, base64, hexadecimal, escaped in JSON);
a secret of fewer than `LEAST` characters is not looked for, since it would be found in any text. To an answer
without it that costs one search per spelling.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from gateway.credentials.placing import Placed
from gateway.credentials.secret import Secret
from policies.engine import jsontext
from policies.engine.jsontext import Json, JsonError, Number

LEAST: Final = 8
MASK: Final = "***"
HIDING: Final = ("\\u", "\\/")
"""Escapes that spell characters in another way, so that only reading tells."""

HIDING_BYTES: Final = tuple(escape.encode() for escape in HIDING)


class Needles:
    """How a secret may be written. Nothing of it prints."""

    __slots__ = ("firsts", "longest", "raw", "spelled", "texts")

    def __init__(self, texts: Iterable[str]) -> None:
        found = sorted({text for text in texts if len(text) >= LEAST}, key=lambda text: -len(text))
        self.texts: tuple[str, ...] = tuple(found)
        self.spelled = tuple({text for each in found for text in (each, json.dumps(each)[1:-1])})
        self.raw = tuple(text.encode() for text in self.spelled)  # as in the bytes of a document
        self.longest = max(map(len, found), default=0)
        self.firsts = "".join({text[0] for text in found})

    def __repr__(self) -> str:
        return "Needles(**********)"


NO_NEEDLES: Final = Needles(())


class Echo:
    """What one answer may not repeat; `found` says whether it did."""

    __slots__ = ("_needles", "found")

    def __init__(self, needles: Needles) -> None:
        self._needles = needles
        self.found = False

    def __bool__(self) -> bool:
        return bool(self._needles.texts)

    def is_in(self, *parts: bytes) -> bool:
        hit = any(needle in part or needle.lower() in part for needle in self._needles.raw for part in parts)
        self.found |= hit
        return hit

    def text(self, text: str) -> str:
        """The text with the secret masked."""
        for needle in self._needles.texts:
            if needle in text:
                self.found = True
                text = text.replace(needle, MASK)
        return text

    def masked(self, body: bytes) -> bytes:
        """The same of a JSON document; what is none stays as it is, since nobody passes it on."""
        if not self._suspects(body):
            return body
        try:
            tree = jsontext.loads(body)
        except JsonError:
            return body
        cleaned = _mapped(tree, self.text)
        return body if cleaned == tree else jsontext.dumps(cleaned)

    def data(self, data: str) -> str:
        """The same of one streamed event."""
        hidden = any(escape in data for escape in HIDING)
        if not hidden and not any(needle in data for needle in self._needles.spelled):
            return data
        return self.masked(data.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def _suspects(self, body: bytes) -> bool:
        hidden = any(escape in body for escape in HIDING_BYTES)
        return hidden or any(needle in body for needle in self._needles.raw)

    def channel(self) -> Channel:
        return Channel(self)

    def held_back(self, text: str) -> int:
        """How many characters at the end may be the beginning of the secret."""
        begin = max(0, len(text) - self._needles.longest + 1)
        firsts = self._needles.firsts
        for at in range(begin, len(text)):
            if text[at] in firsts and any(needle.startswith(text[at:]) for needle in self._needles.texts):
                return len(text) - at
        return 0


class Channel:
    """Growing text, in which the secret may be cut anywhere. decode(), …, flush()"""

    __slots__ = ("_echo", "_rest")

    def __init__(self, echo: Echo) -> None:
        self._echo = echo
        self._rest = ""

    def decode(self, text: str) -> str:
        text = self._echo.text(self._rest + text)
        held = self._echo.held_back(text)
        cut = len(text) - held
        self._rest = text[cut:]
        return text[:cut]

    def flush(self) -> str:
        rest, self._rest = self._rest, ""
        return rest


NO_ECHO: Final = Echo(NO_NEEDLES)


def echo_of(placed: Placed | None) -> Echo:
    """What an answer to a request that carried this may not repeat."""
    if placed is None:
        return NO_ECHO
    needles = _needles(placed)
    return Echo(needles) if needles.texts else NO_ECHO


@lru_cache(maxsize=256)
def _needles(placed: Placed) -> Needles:
    long = [secret for secret in placed.told if len(secret.reveal()) >= LEAST]
    return Needles(spelling for secret in long for spelling in spellings(secret))


def spellings(secret: Secret) -> Iterable[str]:
    """The ways in which services write what they were sent."""
    plain = secret.reveal()
    yield plain
    yield json.dumps(plain)[1:-1]
    yield quote(plain, safe="")
    yield quote(plain)
    encoded = plain.encode()
    for text in (base64.b64encode(encoded).decode().rstrip("="), *_inside(encoded)):
        yield text
        yield text.replace("+", "-").replace("/", "_")
    yield encoded.hex()
    yield encoded.hex().upper()


def _inside(encoded: bytes) -> Iterable[str]:
    """What base64 makes of it in the midst of other bytes, as far as that is the same whatever they are."""
    for shift in range(3):  # how far it is from the beginning of a group of three bytes
        whole = base64.b64encode(bytes(shift) + encoded).decode()
        yield whole[(0, 2, 3)[shift] :][: (None, -3, -2)[(shift + len(encoded)) % 3]]


def _mapped(tree: Json, mask: Callable[[str], str]) -> Json:
    """The document with every text masked, names and numbers too."""
    if isinstance(tree, str):
        return mask(tree)
    if isinstance(tree, dict):
        return {mask(name): _mapped(value, mask) for name, value in tree.items()}
    if isinstance(tree, list):
        return [_mapped(each, mask) for each in tree]
    if isinstance(tree, bool) or tree is None:
        return tree
    text = tree.text if isinstance(tree, Number) else repr(tree)
    return tree if mask(text) == text else MASK
