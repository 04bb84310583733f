"""Whether an admin's expression can be tried on what a token says, by Python's `re`, without running away.

`re` tries one way after another: `(a+)+b` on thirty letters takes minutes. So an expression is accepted only
if the ways that there are on the longest value are few, counted from how it is written, not by trying it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from typing import Any, Final

from gateway.identity.mapping import LONGEST_TRIED
from policies.engine.alphabet import parsed

MOST_WAYS: Final = 200_000
"""About five milliseconds of trying."""

_ANY_TIMES: Final = "MAXREPEAT"
_LOOKING: Final = frozenset(("ASSERT", "ASSERT_NOT", "GROUPREF", "GROUPREF_EXISTS"))
_ONE: Final = frozenset(("LITERAL", "NOT_LITERAL", "ANY", "IN"))


class _Refused(Exception):
    pass


def expression_problem(text: str) -> str:
    """Why this expression is not accepted, in words; empty if it is."""
    tree = parsed(text)
    if tree is None:
        return f"This is no expression{_where(text)}."
    try:
        ways = _ways(tree)
    except _Refused as refusal:
        return str(refusal)
    return "" if ways <= MOST_WAYS else "This has too many repeats that can be read in several ways."


def _where(text: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        return f": {getattr(error, 'msg', 'too deep')}"
    return " that is read in one way only"


def _ways(items: Iterable[tuple[Any, Any]]) -> int:
    ways = 1
    for op, value in items:
        ways = min(ways * _item(str(op), value), MOST_WAYS + 1)
    return ways


def _item(op: str, value: Any) -> int:
    if op in _LOOKING:
        raise _Refused("Looking ahead or back, and repeating what a group found, are not accepted.")
    match op:
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            return _repeat(*value)
        case "SUBPATTERN":
            return _ways(value[3])
        case "ATOMIC_GROUP":
            return _ways(value)
        case "BRANCH":
            return sum(_ways(branch) for branch in value[1])
    return 1


def _repeat(low: Any, high: Any, items: Any) -> int:
    """One character repeated, or a fixed number of times: few ways. Anything else within is refused."""
    most = LONGEST_TRIED if str(high) == _ANY_TIMES else min(int(high), LONGEST_TRIED)
    span = most - min(int(low), most) + 1
    if most <= 1:
        return span * _ways(items)
    if len(items) == 1 and str(items[0][0]) in _ONE:
        return span
    inner = _ways(items)
    if inner > 1:
        raise _Refused("A repeat within a repeat, or a choice within one, is not accepted.")
    return span
