"""What the name of a JSON key says about the value under it: `{"patient_id": …}` stands near “patient”.

Looked at only for values in which something waits for a context word that its data class asks for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from .scanner import Event
from .schema import Schema
from .types import Path

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_LONGEST = 200  # characters of a key name that are looked at


class KeyContext:
    """For one document."""

    __slots__ = ("_known", "_schema")

    def __init__(self, schema: Schema) -> None:
        self._schema = schema
        self._known: dict[str, frozenset[int]] = {}  # key name -> the label expressions that it contains

    def added(self, events: list[Event], path: Path) -> list[Event]:
        """The events of a value, with a label before each candidate that its key name speaks for."""
        by_key, patterns = self._schema.by_key, self._schema.patterns
        waiting = [event for event in events if event[0] in by_key]
        said = self._said(path) if waiting else frozenset()
        if not said:
            return events
        first = len(patterns)
        return events + [
            (first + patterns[index].need, start, start)
            for index, start, _ in waiting
            if patterns[index].need in said
        ]

    def _said(self, path: Path) -> frozenset[int]:
        name = _nearest_name(path)
        found = self._known.get(name)
        if found is None:
            found = self._known[name] = self._labels(name)
        return found

    def _labels(self, name: str) -> frozenset[int]:
        words = _HUMP.sub(" ", name[:_LONGEST]).replace("_", " ").replace("-", " ")
        first = len(self._schema.patterns)
        events = self._schema.scanner.scan(words.encode(errors="replace"))
        return frozenset(index - first for index, _, _ in events if index >= first)


def _nearest_name(path: Sequence[str | int]) -> str:
    """The key that a value stands under, through arrays and through JSON in strings."""
    return next((part for part in reversed(path) if isinstance(part, str) and part), "")
