"""Which characters an expression can match at all, and how many: what bounds a stream's hold-back.

A conservative reading of the expression: what is not understood counts as "any character, any length".
Nothing is ever matched with Python's `re` here; an admin's expression only runs in the scanner.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

_ASCII = frozenset(map(chr, range(128)))
_DIGITS = frozenset("0123456789")
_SPACES = frozenset(" \t\n\r\f\v")
_WORD = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_")
_CATEGORIES = {
    "CATEGORY_DIGIT": _DIGITS,
    "CATEGORY_SPACE": _SPACES,
    "CATEGORY_WORD": _WORD,
    "CATEGORY_NOT_DIGIT": _ASCII - _DIGITS,
    "CATEGORY_NOT_SPACE": _ASCII - _SPACES,
    "CATEGORY_NOT_WORD": _ASCII - _WORD,
}
_FOLDS = {"k": "\u212a", "s": "\u017f"}  # characters beyond ASCII that fold to an ASCII letter
_UNLIKE = re.compile(r"\\v|\{,|\[\^?\[|\[[:.=][^\]]*[:.=]\]")  # read differently by Python and by the scanner
_RANGE_LIMIT = 1024


@dataclass(frozen=True, slots=True)
class Alphabet:
    """`wide`: also characters beyond `chars`. `max_len` None: unbounded. `known` False: not understood."""

    chars: frozenset[str]
    wide: bool
    min_len: int
    max_len: int | None
    anchored: bool = False
    known: bool = True


UNKNOWN = Alphabet(_ASCII, True, 1, None, True, False)


def alphabet_of(expression: str, ignore_case: bool = False) -> Alphabet:
    """Superset of what `expression` can match."""
    if _UNLIKE.search(expression):
        return UNKNOWN
    tree = parsed(expression, re.IGNORECASE if ignore_case else 0)
    if tree is None:
        return UNKNOWN
    found = _Walk()
    found.sequence(tree)
    if not found.known:
        return UNKNOWN
    if tree.state.flags & re.IGNORECASE:
        found.ignore_case = True
    low, high = tree.getwidth()
    chars = frozenset(_folded(found.chars)) if found.ignore_case else frozenset(found.chars)
    wide = found.wide or (found.ignore_case and any(not c.isascii() for c in found.chars))
    return Alphabet(chars, wide, low, high if high < _UNBOUNDED else None, found.anchored)


_UNBOUNDED = 1_000_000


def needed_by(expression: str, ignore_case: bool = False) -> str:
    """The longest text that every match of `expression` contains, by a reading as conservative as above."""
    if ignore_case or _UNLIKE.search(expression):
        return ""
    tree = parsed(expression, 0)
    if tree is None or tree.state.flags & re.IGNORECASE:
        return ""
    return max(_literals(tree), key=len, default="")


def _literals(items: Iterable[tuple[Any, Any]]) -> list[str]:
    """Runs of characters that follow one another in every match. Anything but a character ends a run."""
    runs = [""]
    for op, value in items:
        if str(op) == "LITERAL":
            runs[-1] += chr(value)
        elif str(op) != "AT":
            runs.append("")
    return runs


def parsed(expression: str, flags: int = 0) -> Any:
    """The expression as Python reads it, or None; never to be matched with."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return vars(re)["_parser"].parse(expression, flags)  # the only way, and not a public one
    except (re.error, Warning, RecursionError, OverflowError):
        return None


class _Walk:
    """Collects the characters of a parsed expression."""

    def __init__(self) -> None:
        self.chars: set[str] = set()
        self.wide = self.anchored = self.ignore_case = False
        self.known = True

    def sequence(self, items: Iterable[tuple[Any, Any]]) -> None:
        for op, value in items:
            self.item(str(op), value)

    def item(self, op: str, value: Any) -> None:
        match op:
            case "LITERAL":
                self.chars.add(chr(value))
            case "NOT_LITERAL" | "ANY":
                self._all()
            case "IN":
                self.members(value)
            case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
                self.sequence(value[2])
            case "SUBPATTERN":
                self.ignore_case |= bool(value[1] & re.IGNORECASE)
                self.sequence(value[3])
            case "BRANCH":
                for branch in value[1]:
                    self.sequence(branch)
            case "ATOMIC_GROUP":
                self.sequence(value)
            case "AT":
                self.anchored |= "BOUNDARY" not in str(value)
            case _:
                self.known = False

    def members(self, items: list[tuple[Any, Any]]) -> None:
        if str(items[0][0]) == "NEGATE":
            self._all()
            return
        for op, value in items:
            if str(op) == "CATEGORY":
                self.chars |= _CATEGORIES[str(value)]
                self.wide |= "NOT" in str(value)
            elif str(op) == "RANGE":
                self._range(*value)
            else:
                self.item(str(op), value)

    def _range(self, low: int, high: int) -> None:
        self.wide |= high - low > _RANGE_LIMIT
        self.chars.update(map(chr, range(low, min(high, low + _RANGE_LIMIT) + 1)))

    def _all(self) -> None:
        """A negated class matches nearly everything; its exceptions are not worth the exactness."""
        self.chars |= _ASCII
        self.wide = True


def _folded(chars: Iterable[str]) -> Iterator[str]:
    for char in chars:
        yield from (char, *char.lower(), *char.upper())
        if char.lower() in _FOLDS:
            yield _FOLDS[char.lower()]
