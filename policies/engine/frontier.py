"""How far a stream is decided: up to where no expression could still begin a match.

An expression that began before the frontier would by now be longer than it may be, or would have to
contain a character that it cannot match. Expressions with like alphabets are watched together.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .alphabet import Alphabet

_LATE = 2  # an event may be reported one character late, and validators see one character to the right
_LOWER = frozenset("abcdefghijklmnopqrstuvwxyz")
_BLANK = frozenset(" \n")


@dataclass(frozen=True, slots=True)
class Group:
    """`chars`: what its expressions match; None: only blanks break it; `breaks` False: nothing does."""

    reach: int
    chars: str | None
    breaks: bool = True


def groups_of(patterns: Iterable[tuple[Alphabet, int]]) -> tuple[Group, ...]:
    """At most four groups: unspaced tokens, unspaced words of any script, figures, anything."""
    members: dict[str, list[tuple[Alphabet, int]]] = {}
    for alphabet, max_len in patterns:
        members.setdefault(_kind(alphabet), []).append((alphabet, max_len))
    return tuple(_group(kind, of_kind) for kind, of_kind in sorted(members.items()))


def _kind(alphabet: Alphabet) -> str:
    if not alphabet.known or alphabet.anchored:
        return "any"
    if not alphabet.chars & _BLANK:
        return "word" if alphabet.wide else "token"
    return "any" if alphabet.wide or alphabet.chars & _LOWER else "figure"


def _group(kind: str, members: list[tuple[Alphabet, int]]) -> Group:
    reach = max(max_len for _, max_len in members) + _LATE
    if kind in ("any", "word"):
        return Group(reach, None, breaks=kind == "word")
    chars = frozenset().union(*(alphabet.chars for alphabet, _ in members))
    return Group(reach, "".join(sorted(chars)))


class Frontier:
    """Watches one text as it grows."""

    __slots__ = ("_after", "_groups", "length")

    def __init__(self, groups: tuple[Group, ...]) -> None:
        self._groups = groups
        self._after = [0] * len(groups)  # per group: just after the last character it cannot match
        self.length = 0

    def advance(self, text: str) -> int:
        """Take the next piece and return the frontier: everything before it is decided."""
        before = self.length
        self.length = before + len(text)
        frontier = self.length
        for index, group in enumerate(self._groups):
            if group.breaks:
                rest = _break(text, group.chars)
                if rest:
                    self._after[index] = before + rest
            frontier = min(frontier, max(self.length - group.reach, self._after[index]))
        return max(frontier, 0)


def _break(text: str, chars: str | None) -> int:
    """Length of `text` up to and including its last breaking character; 0 when there is none."""
    if chars is not None:
        return len(text.rstrip(chars))
    return max(text.rfind(" "), text.rfind("\n")) + 1
