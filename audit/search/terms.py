"""By which terms a call is found: words of its masked text, and facts such as its model. Pure.

A term is a kind and a value; what an index keeps of it is a digest, of words one that is keyed by the key of
the call's day. Words are compared without case, accents and width. Scripts that put no spaces between words
are cut into pairs of characters, of text and question alike.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator
from hashlib import sha256
from hmac import digest as hmac_digest
from typing import Any, Final

Term = tuple[str, str]

KINDS: Final = (
    "person",
    "caller",
    "key",
    "group",
    "area",
    "endpoint",
    "model",
    "api",
    "class",
    "level",
    "gate",
    "action",
    "rule",
    "policy",
    "schema",
    "status",
    "code",
    "approval",
    "reviewer",
    "granted",
)
SHORTEST: Final = 2
LONGEST: Final = 64
"""Characters of a word. A longer one is cut: it is found by its beginning, written out so far."""

_WORD: Final = re.compile(r"[^\W_]+")
_UNSPACED: Final = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
    "|[^\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]+"
)
_FIRST_UNSPACED: Final = 0x0E00
_APART: Final = 256
"""Characters that are taken apart at once."""


def words_of(text: str) -> Iterator[str]:
    """The words of a text as the index knows them, in order, with repetitions."""
    for match in _WORD.finditer(folded(text)):
        word = match[0]
        if word.isascii():
            if len(word) >= SHORTEST:
                yield word[:LONGEST]
        else:
            yield from _pieces(word)


def folded(text: str) -> str:
    """Without case, accents and width."""
    if text.isascii():
        return text.lower()
    cased = text.casefold()
    return "".join(_bare(cased[at : at + _APART]) for at in range(0, len(cased), _APART))


def _bare(text: str) -> str:
    """Bringing the marks behind one letter into their order takes the square of their number. Each character
    comes apart by itself, and the marks are dropped, so a short piece at a time gives the same."""
    apart = unicodedata.normalize("NFKD", text)
    return "".join(character for character in apart if not unicodedata.combining(character))


def _pieces(word: str) -> Iterator[str]:
    for run in _UNSPACED.findall(word):
        if ord(run[0]) < _FIRST_UNSPACED or not _unspaced(run[0]):
            if len(run) >= SHORTEST:
                yield run[:LONGEST]
        elif len(run) == 1:
            yield run
        else:
            yield from (run[at : at + 2] for at in range(len(run) - 1))


def _unspaced(character: str) -> bool:
    code = ord(character)
    return (
        0x0E00 <= code <= 0x0EFF
        or 0x1000 <= code <= 0x109F
        or 0x1780 <= code <= 0x17FF
        or 0x3040 <= code <= 0x30FF
        or 0x3400 <= code <= 0x4DBF
        or 0x4E00 <= code <= 0x9FFF
        or 0xF900 <= code <= 0xFAFF
    )


def some_words(texts: Iterable[str], most: int) -> tuple[set[str], bool]:
    """Up to `most` different words, and whether those are all."""
    found: set[str] = set()
    for text in texts:
        for word in words_of(text):
            if word not in found:
                if len(found) >= most:
                    return found, False
                found.add(word)
    return found, True


def facts_of(call: Any) -> Iterator[Term]:
    """The terms of a call's facts; `call` has the attributes of its row."""
    for kind, column in _PLAIN:
        if value := getattr(call, column):
            yield kind, fact(kind, str(value))
    if call.status:
        yield "status", f"{call.status // 100}xx"
    yield from (("group", fact("group", str(group))) for group in call.groups or ())
    for counts in (call.counts, call.response_counts):
        yield from (("class", fact("class", str(name))) for name in counts or ())
    yield from (("rule", fact("rule", str(rule))) for rule in call.rules or ())


def fact(kind: str, value: str) -> str:
    """A fact's value as it is compared."""
    return folded(value.strip()) if kind not in _EXACT else value.strip()


_PLAIN: Final = (
    ("person", "person_id"),
    ("caller", "subject"),
    ("caller", "name"),
    ("key", "key_prefix"),
    ("area", "area"),
    ("endpoint", "endpoint"),
    ("model", "model"),
    ("api", "api"),
    ("level", "highest"),
    ("gate", "gate"),
    ("action", "action"),
    ("policy", "policy"),
    ("schema", "schema"),
    ("status", "status"),
    ("code", "code"),
)
_EXACT: Final = frozenset({"person", "approval", "key", "area"})
"""Areas are walls: the short names of two may differ in case alone."""


def word_digest(key: bytes, word: str) -> int:
    """Eight bytes of HMAC-SHA256 under the key of a day, as the signed number that the index keeps."""
    return _number(hmac_digest(key, word.encode("utf-8", "replace"), sha256))


def fact_digest(term: Term) -> int:
    """Eight bytes of SHA-256: a short form of what the record says in clear."""
    return _number(sha256("\x1f".join(term).encode("utf-8", "replace")).digest())


def _number(digest: bytes) -> int:
    return int.from_bytes(digest[:8], "big", signed=True)
