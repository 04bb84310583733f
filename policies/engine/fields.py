"""Structured fields that no data class claims: where they are and what their values look like, never a value.

A value is claimed when a data class names its path or a key on the way to it, or when findings cover all of
it: a note that mentions an e-mail address is still a note that nobody classified. Keys that are data
themselves (ids, addresses, dates, the entries of a table) are shown as `*`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Final

from .detectors import normalise_key
from .jsonpath import step_matches
from .jsontext import Json, JsonError, Number, loads
from .masker import Masker
from .patch import scalar_text
from .stream import encoded
from .types import FieldSeen, Path
from .walk import at, scan_texts

MAX_FIELDS: Final = 400
"""Paths of one call that are told apart; one more stands for all others."""

MORE: Final = FieldSeen("…", "more fields")
"""Lies in every path, so that a rule about one of the others applies too."""

MAX_PATH: Final = 300  # characters
ANY: Final = "*"

_TABLE: Final = 64  # an object with more keys than this is a table: its keys are entries
_LONG: Final = 7  # digits from which a number is more than a count
_SHAPED: Final = 64  # characters; what is longer is text
_DIGITS_IN_NAME: Final = 4
_LONGEST_NAME: Final = 40

_LETTERS: Final = r"[^\W\d_]+\d{0,3}"
_NAME: Final = re.compile(rf"[@$]?_*{_LETTERS}(?:[_:-]+(?:{_LETTERS}|\d{{1,2}}))*_*")
_DATE: Final = r"\d{4}-\d\d-\d\d(?:[T ][\d:.,+Z -]*)?|\d{1,2}[./-]\d{1,2}[./-](?:\d{4}|\d\d)"
_SHAPES: Final = (
    ("uuid", re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.I | re.A)),
    ("date", re.compile(_DATE, re.A)),
    ("email-like", re.compile(r"[^\s@]+@[^\s@]+")),
    ("digits", re.compile(rf"\d{{1,{_LONG - 1}}}")),
    ("long digits", re.compile(r"[+(]?\d[\d ()./-]*")),
    ("word", re.compile(r"[^\W\d_]+")),
    ("code", re.compile(r"[^\s]+")),
)
SHAPES: Final = frozenset(
    {"empty", "boolean", "number", "long number", "sentence", "long text", *(name for name, _ in _SHAPES)}
)


def unclassified(masker: Masker, tree: Json, roots: Iterable[Path]) -> tuple[FieldSeen, ...]:
    """The fields below `roots` that nothing claims, in the document's order.

    A root is a place in `tree`; a string there may hold JSON. Raises `MaskError` where the masker would.
    """
    parts = [_part(tree, root) for root in roots]
    walk = _Walk(masker)
    names: set[str] = set()
    for path, node in parts:
        names.update(step for step in path if isinstance(step, str))
        names.update(_names(node))
    walk.learn(names)
    for path, node in parts:
        if not masker.claims(path):
            walk.node(node, path, tuple(map(walk.step, path)))
    return walk.fields()


def shape_of(value: Json) -> str:
    """What a value looks like, coarsely: one of `SHAPES`."""
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float | Number):
        digits = scalar_text(value).removeprefix("-")
        return "long number" if digits.isdigit() and len(digits) >= _LONG else "number"
    text = value.strip() if isinstance(value, str) else ""
    if not text:
        return "empty"
    if len(text) > _SHAPED:
        return "long text"
    return next((name for name, shape in _SHAPES if shape.fullmatch(text)), "sentence")


def is_name(key: str) -> bool:
    """Whether a key looks like something a programmer chose rather than something a program filled in."""
    if len(key) > _LONGEST_NAME or not _NAME.fullmatch(key):
        return False
    return sum(map(str.isdigit, key)) <= _DIGITS_IN_NAME


def _part(tree: Json, root: Path) -> tuple[Path, Json]:
    """A root as the walk through a document sees it: what a string holds lies one step below."""
    node = at(tree, root)
    if not isinstance(node, str) or not node.lstrip().startswith(("{", "[")):
        return root, node
    try:
        return (*root, ""), loads(encoded(node))
    except JsonError:
        return root, node


def _names(node: Json) -> Iterator[str]:
    if isinstance(node, dict):
        yield from node
        for value in node.values():
            yield from _names(value)
    elif isinstance(node, list):
        for item in node:
            yield from _names(item)


class _Walk:
    """One look at one document."""

    def __init__(self, masker: Masker) -> None:
        self._masker = masker
        self._schema = masker.schema
        self._steps: dict[str, str] = {}  # key -> how a path shows it
        self._claimed: set[str] = set()
        self._found: dict[tuple[tuple[str | int, ...], str], set[str]] = {}  # place and shape -> values

    def learn(self, names: set[str]) -> None:
        """Find out which keys are data and which are claimed."""
        keys = self._schema.keys
        self._claimed = {name for name in names if normalise_key(name) in keys}
        shown = {name for name in names if is_name(name)}
        events = scan_texts(self._schema, {name for name in shown if len(name) >= self._schema.shortest})
        data = {name for name in events if self._masker.resolved(name, "", events[name]).findings}
        self._steps = {name: name for name in shown - data}

    def step(self, part: str | int) -> str | int:
        """One part of a path as it is shown; every index is the same one."""
        return 0 if isinstance(part, int) else self._steps.get(part, ANY)

    def node(self, node: Json, path: Path, shown: tuple[str | int, ...]) -> None:
        """Depth is bounded by the parser."""
        if self._is_claimed(path):
            return
        if isinstance(node, dict):
            table = _is_table(node)
            for key, value in node.items():
                if key not in self._claimed:
                    self.node(value, (*path, key), (*shown, ANY if table else self.step(key)))
        elif isinstance(node, list):
            below = (*shown, 0)
            for number, item in enumerate(node):
                self.node(item, (*path, number), below)
        else:
            text = node if isinstance(node, str) else "" if node is None else scalar_text(node)
            self._found.setdefault((shown, shape_of(node)), set()).add(text)

    def fields(self) -> tuple[FieldSeen, ...]:
        """What is left once the values that are findings are taken out."""
        texts: set[str] = set().union(*self._found.values())
        events = scan_texts(self._schema, {text for text in texts if len(text) >= self._schema.shortest})
        covered = {text for text in events if self._is_covered(text, events[text])}
        seen = dict.fromkeys(
            FieldSeen(_text(place), shape)
            for (place, shape), values in self._found.items()
            if not values <= covered
        )
        if len(seen) <= MAX_FIELDS:
            return tuple(seen)
        return (*list(seen)[:MAX_FIELDS], MORE)

    def _is_claimed(self, path: Path) -> bool:
        return any(
            len(steps) == len(path) and all(map(step_matches, steps, path)) for steps, _ in self._schema.paths
        )

    def _is_covered(self, text: str, events: list[tuple[int, int, int]]) -> bool:
        """Whether nothing but punctuation is left between the findings."""
        masked = self._masker.resolved(text, "", events)
        position, left = 0, ""
        for start, length in sorted((each.start, each.length) for each in masked.findings):
            left += masked.recorded[position:start]
            position = max(position, start + length)
        left += masked.recorded[position:]
        return bool(masked.findings) and not any(map(str.isalnum, left))


def _is_table(node: dict[str, Json]) -> bool:
    """Whether keys are entries: very many of them, or several that hold objects of the same form."""
    if len(node) > _TABLE:
        return True
    rows = iter(node.values())
    first = next(rows, None)
    if len(node) < 2 or not isinstance(first, dict) or not first:
        return False
    return all(isinstance(row, dict) and row.keys() == first.keys() for row in rows)


def _text(place: tuple[str | int, ...]) -> str:
    """`customer.orders[*].note`: a JSON path without its `$`. One too long ends in `*`."""
    out = ""
    for step in place:
        more = "[*]" if isinstance(step, int) else f".{step}" if out else step
        if len(out) + len(more) > MAX_PATH - 2:
            return f"{out}.{ANY}"
        out += more
    return out
