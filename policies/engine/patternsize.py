"""How big a pattern grows when its repeats are written out, told before the scanner compiles it.

The scanner bounds what it builds, but not how long it takes to find out: `.{1,4096}x.{1,4096}` is refused
after 18 seconds, `(?:a?){2000}a{2000}` after minutes, and whoever saves a form waits for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

from .alphabet import parsed

MAX_SIZE: Final = 300
"""Places of a pattern written out; the largest of the library has 62. The slowest of this size, a chain of
optional ones, takes half a second to compile.
"""

_RUN: Final = 4  # a repeated character costs the scanner less than a repeated group
_ONE: Final = frozenset(("LITERAL", "NOT_LITERAL", "ANY", "IN"))
_OWN: Final = re.compile(r"\\[pP](?:\{[^}]*\}|\w)|\\x\{[0-9a-fA-F]*\}|\\[hHvVRNXC]")  # Python lacks these
_POSIX: Final = re.compile(r"\[:\^?\w*:\]")
_COUNT: Final = re.compile(r"\{(\d*),?(\d*)\}")


def size_of(expression: str) -> int:
    """Places of the pattern with its repeats written out. Plain text outside of repeats is free."""
    tree = parsed(_POSIX.sub("a", _OWN.sub("[ab]", expression)))
    return _guess(expression) if tree is None else _of(tree, plain=0)


def _guess(expression: str) -> int:
    """For what Python cannot read: as if every repeat stood inside every other."""
    times = 1
    for low, high in _COUNT.findall(expression):
        times *= max(int(low[:6] or 1), int(high[:6] or 1), 1)
    return 1 if times == 1 else times * len(expression)


def _of(items: Iterable[tuple[Any, Any]], plain: int) -> int:
    """`plain`: what a character costs here."""
    return sum(_item(str(op), value, plain) for op, value in items)


def _item(op: str, value: Any, plain: int) -> int:
    match op:
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return _repeat(*value)
        case "SUBPATTERN":
            return _of(value[3], plain)
        case "BRANCH":
            return sum(_of(branch, plain) for branch in value[1])
        case "ATOMIC_GROUP":
            return _of(value, plain)
        case "LITERAL" | "AT":
            return plain
        case _:
            return 1


def _repeat(low: Any, high: Any, items: Any) -> int:
    times = int(low) + 1 if str(high) == "MAXREPEAT" else int(high)
    if len(items) == 1 and str(items[0][0]) in _ONE:
        return 1 + times // _RUN
    return times * _of(items, plain=1)
