"""The plain way through a JSON tree: gather its texts, then put masked ones where they belong.

Only the containers on the way to a masked string are copied; the given tree is never changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from .errors import MaskError
from .jsontext import Json, Number, dumps
from .keycontext import KeyContext
from .scanner import Event
from .schema import LONGEST_COMMON, Schema
from .spans import Fields
from .sweep import MAX_FINDINGS
from .types import Finding, MaskedBytes, MaskedDocument, MaskedString, Path

Resolve = Callable[[str, str, list[Event], Fields], MaskedString]
_Container = dict[str, Json] | list[Json]
_Place = tuple[_Container, str | int]

_NAME_SHOWN: Final = 80  # characters of a key that a path shows


class Leaves:
    """The texts of trees that could hold a finding, each with its place; the names and numbers apart."""

    def __init__(self, schema: Schema, *trees: Json) -> None:
        self.strings: list[tuple[_Container, str | int, str]] = []
        self.names: set[str] = set()
        self.scalars: set[str] = set()
        self.holders: dict[int, _Place] = {}  # id of a container -> where it lies
        self.root: list[Json] = list(trees)
        self._shortest = schema.shortest
        self._common = schema.common
        self._gather(self.root)
        self.names -= self._common

    def texts(self) -> set[str]:
        """Everything that is worth a scan."""
        found = {text for _, _, text in self.strings}
        if self.scalars:
            found |= self.scalars
        if self.names:
            found.update([name for name in self.names if len(name) >= self._shortest])
        return found

    def _gather(self, node: _Container) -> None:
        """In the document's order. Depth is bounded by the parser."""
        if isinstance(node, dict):
            self.names.update(node)
            items: Iterable[tuple[str | int, Json]] = node.items()
        else:
            items = enumerate(node)
        for key, value in items:
            if isinstance(value, str):
                self._string(node, key, value)
            elif isinstance(value, (dict, list)):
                self.holders[id(value)] = node, key
                self._gather(value)
            elif value is not None:
                text = scalar_text(value)
                if len(text) >= self._shortest:
                    self.scalars.add(text)

    def _string(self, node: _Container, key: str | int, text: str) -> None:
        size = len(text)
        if size >= self._shortest and (size > LONGEST_COMMON or text not in self._common):
            self.strings.append((node, key, text))

    def path(self, node: _Container, key: str | int) -> Path:
        """The place of a value, without the root's."""
        path = [key]
        place = self.holders.get(id(node))
        while place is not None:
            node, key = place
            path.append(key)
            place = self.holders.get(id(node))
        return tuple(path[-2::-1])


def scalar_text(value: bool | int | float | Number) -> str:
    """A number or boolean as it is written in JSON."""
    if isinstance(value, Number):
        return value.text
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, int) else dumps(value).decode()


def patched(
    tree: Json,
    leaves: Leaves,
    resolve: Resolve,
    events: Mapping[str, list[Event]],
    context: KeyContext | None = None,
) -> MaskedDocument:
    """The tree with every string masked that has events."""
    findings: list[Finding] = []
    fingerprints: list[tuple[str, str]] = []
    hits: list[tuple[_Container, str | int, MaskedString]] = []
    for node, key, text in leaves.strings:
        if (found := events.get(text)) is not None:
            path = leaves.path(node, key)
            if context is not None:
                found = context.added(found, path)
            masked = resolve(text, path_text(path), found, ())
            hits.append((node, key, masked))
            findings += masked.findings
            fingerprints += masked.fingerprints
            if len(findings) > MAX_FINDINGS:
                raise MaskError("too_many_findings")
    sent = _Copy(leaves)
    for node, key, masked in hits:
        sent.put(node, key, masked.sent)
    if all(masked.recorded is masked.sent for _, _, masked in hits):
        return document_of(sent.tree(), sent.tree(), findings, fingerprints)
    recorded = _Copy(leaves)
    for node, key, masked in hits:
        recorded.put(node, key, masked.recorded)
    return document_of(sent.tree(), recorded.tree(), findings, fingerprints)


class _Copy:
    """A tree with other values in some places; what is not on the way to them is shared."""

    def __init__(self, leaves: Leaves) -> None:
        self._holders = leaves.holders
        self._root = leaves.root.copy()
        self._copies: dict[int, _Container] = {id(leaves.root): self._root}

    def tree(self) -> Json:
        return self._root[0]

    def put(self, node: _Container, key: str | int, value: Json) -> None:
        self._own(node)[key] = value  # type: ignore[index]  # a list's key is its index

    def _own(self, node: _Container) -> _Container:
        copy = self._copies.get(id(node))
        if copy is None:
            copy = self._copies[id(node)] = node.copy()
            holder, key = self._holders[id(node)]
            self.put(holder, key, copy)
        return copy


def document_of(
    sent: Json, recorded: Json, findings: Sequence[Finding], fingerprints: Sequence[tuple[str, str]]
) -> MaskedDocument:
    """Both renderings serialised, once where they are equal."""
    raw = MaskedBytes(dumps(sent))
    kept = raw if recorded is sent else MaskedBytes(dumps(recorded))
    return MaskedDocument(raw, raw if kept == raw else kept, tuple(findings), tuple(fingerprints))


def path_text(path: Path) -> str:
    """How a finding names a place."""
    out = ""
    for part in path:
        if isinstance(part, int):
            out += f"[{part}]"
        elif part:
            name = part if len(part) <= _NAME_SHOWN else part[:_NAME_SHOWN] + "…"
            out += f".{name}" if out else name
    return out
