"""Whether an admin's expression can be tried on what a token says, by Python's `re`, without running away.

`re` tries one way after another: `(a+)+b` on thirty letters takes minutes. So an expression is accepted only
if the ways that there are on the longest value are few, counted from how it is written, not by trying it.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final

from policies.engine.alphabet import parsed

LONGEST_TRIED: Final = 400
"""Characters of a value on which an expression is tried; a longer one matches none."""

MOST_WAYS: Final = 200_000
MOST_STEPS: Final = 2_000_000
"""Of one expression on one value. A step takes 1 to 30 ns, most often less than 10."""

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
        ways, steps = _cost(tree, LONGEST_TRIED)
    except _Refused as refusal:
        return str(refusal)
    if ways > MOST_WAYS or steps > MOST_STEPS:
        return "This has too many repeats that can be read in several ways."
    return ""


def _where(text: str) -> str:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            re.compile(text)
    except (re.error, RecursionError, OverflowError) as error:
        return f": {getattr(error, 'msg', 'too deep')}"
    return " that is read in one way only"


@lru_cache(maxsize=4096)
def steps_of(text: str, longest: int) -> int | None:
    """How many steps trying this expression on a value of at most so many characters takes at worst; None
    for one that would not be accepted, whatever has let it into the store."""
    tree = parsed(text)
    if tree is None:
        return None
    try:
        ways, steps = _cost(tree, longest)
    except _Refused:
        return None
    return steps if ways <= MOST_WAYS and steps <= MOST_STEPS else None


def _cost(items: Iterable[tuple[Any, Any]], longest: int) -> tuple[int, int]:
    """(ways, steps): each way through the items before one is followed by a try of that one."""
    ways, steps = 1, 0
    for op, value in items:
        more, each = _item(str(op), value, longest)
        steps = min(steps + ways * each, MOST_STEPS + 1)
        ways = min(ways * more, MOST_WAYS + 1)
    return ways, steps


def _item(op: str, value: Any, longest: int) -> tuple[int, int]:
    if op in _LOOKING:
        raise _Refused("Looking ahead or back, and repeating what a group found, are not accepted.")
    match op:
        case "MAX_REPEAT" | "MIN_REPEAT" | "POSSESSIVE_REPEAT":
            low, high, within = value
            return _repeat(low, high, within, longest)
        case "SUBPATTERN":
            return _cost(value[3], longest)
        case "ATOMIC_GROUP":
            return _cost(value, longest)
        case "BRANCH":
            costs = [_cost(branch, longest) for branch in value[1]]
            return sum(ways for ways, _ in costs), sum(steps for _, steps in costs)
    return 1, 1


def _repeat(low: Any, high: Any, items: Any, longest: int) -> tuple[int, int]:
    """One character repeated, or a fixed number of times: few ways. Anything else within is refused."""
    most = longest if str(high) == _ANY_TIMES else min(int(high), longest)
    span = most - min(int(low), most) + 1
    inner, steps = _cost(items, longest)
    if most <= 1:
        return span * inner, max(steps, 1)
    if not (len(items) == 1 and str(items[0][0]) in _ONE) and inner > 1:
        raise _Refused("A repeat within a repeat, or a choice within one, is not accepted.")
    return span, most * max(steps, 1)
