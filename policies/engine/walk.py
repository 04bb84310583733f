"""Masks a JSON tree: collects every text in it, scans them in one go, then rewrites only what was hit.

Joining the texts with NUL costs one scan per document instead of one per string. A match that could span
the joint is scanned again alone, so the result is that of scanning each text by itself. Where only strings
were hit, the tree is patched (`patch.py`); where keys, numbers, field rules or JSON in strings have a say, it
is rewritten here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Mapping
from itertools import accumulate
from typing import Final

from .detectors import normalise_key
from .errors import MaskError
from .jsonpath import step_matches
from .jsontext import Json, JsonError, Number, dumps, loads
from .keycontext import KeyContext
from .patch import Leaves, Resolve, document_of, patched, path_text, scalar_text
from .policy import ClassPlan
from .scanner import Event
from .schema import Schema
from .spans import Fields
from .stream import encoded
from .sweep import MAX_FINDINGS
from .types import Finding, MaskedBytes, MaskedDocument, MaskedString, Path, Style

_FEW = 3  # texts that are not worth joining
_ALONE = 256  # characters from which a scan of its own costs less than telling a joint scan's events apart


class _Dropped:
    """What a removed field leaves behind until its parent is rewritten."""


_DROPPED: Final = _Dropped()
_Node = Json | _Dropped
_Pair = tuple[_Node, _Node]  # as sent, as recorded; the same object when equal


def mask_document(
    schema: Schema, plans: tuple[ClassPlan, ...], resolve: Resolve, tree: Json, embedded: Collection[Path]
) -> MaskedDocument:
    """Mask one tree. `resolve` masks one text whose events are known."""
    inner = _parsed(schema, tree, embedded)
    leaves = Leaves(schema, tree, *inner.values())
    texts = leaves.texts()
    events, size = scan_counted(schema, texts)
    claimed = _claimed(schema, leaves.names)
    # Events are candidates only: a timestamp looks like a telephone number until it is validated.
    others = [text for text in events if text in leaves.names or text in leaves.scalars]
    context = KeyContext(schema) if schema.by_key and events else None
    if (
        inner
        or schema.paths
        or claimed
        or any(resolve(text, "", events[text], ()).findings for text in others)
        or (context and any(index in schema.by_key for text in others for index, _, _ in events[text]))
    ):
        masked = _Rewrite(schema, plans, resolve, events, inner, claimed, context).document(tree)
    elif not events:
        sent = MaskedBytes(dumps(tree))
        return MaskedDocument(sent, sent, (), (), len(texts), size)
    else:
        masked = patched(tree, leaves, resolve, events, context)
    return MaskedDocument(*masked[:4], len(texts), size)


def scan_texts(schema: Schema, texts: Collection[str]) -> dict[str, list[Event]]:
    """The events of each text that has any, in byte offsets of that text."""
    return scan_counted(schema, texts)[0]


def scan_counted(schema: Schema, texts: Collection[str]) -> tuple[dict[str, list[Event]], int]:
    """The same, and how many bytes the texts have."""
    found: dict[str, list[Event]] = {}
    short = [text for text in texts if len(text) < _ALONE] if len(texts) > _FEW else []
    alone, size = set(texts), 0
    again: Collection[str] = ()
    if schema.joinable and len(short) > _FEW:
        alone.difference_update(short)
        again, size = _scan_joined(schema, short, found)
    for text in alone:
        raw = encoded(text)
        size += len(raw)
        if events := schema.scan(raw):
            found[text] = events
    for text in again:
        found.pop(text, None)
        if events := schema.scan(encoded(text)):
            found[text] = events
    return found, size


def _scan_joined(schema: Schema, texts: list[str], found: dict[str, list[Event]]) -> tuple[set[str], int]:
    """Fill `found`; return the texts whose events have to be made sure of alone, and the bytes of all."""
    raw = [encoded(text) for text in texts]
    starts = [0, *accumulate(len(one) + 1 for one in raw)]
    patterns = schema.patterns
    labels: list[tuple[str, Event]] = []
    again: set[str] = set()
    for index, start, end in schema.scan(b"\0".join(raw)):
        last = bisect_right(starts, end - 1) - 1
        begin = starts[last]
        if index >= len(patterns):
            labels.append((texts[last], (index, start - begin, end - begin)))
        elif start < begin or patterns[index].crosses:
            again.update(texts[bisect_right(starts, start) - 1 : last + 1])
        else:
            found.setdefault(texts[last], []).append((index, start - begin, end - begin))
    for text, event in labels:
        if text in found:
            found[text].append(event)
    return again, starts[-1] - len(texts)


def _parsed(schema: Schema, tree: Json, embedded: Collection[Path]) -> dict[Path, Json]:
    """The strings that hold JSON, parsed; what is not JSON stays text.

    Half of a document (an answer that was cut) is refused where a field rule or an escape may have a say.
    """
    inner: dict[Path, Json] = {}
    for path in embedded:
        text = at(tree, path)
        if isinstance(text, str):
            try:
                inner[path] = loads(encoded(text))
            except JsonError:
                if text.lstrip()[:1] in ("{", "[", '"') and (schema.keys or schema.paths or "\\" in text):
                    raise MaskError("broken_arguments") from None
    return inner


def at(tree: Json, path: Path) -> Json:
    """What lies at a path, or None."""
    node = tree
    for part in path:
        if isinstance(node, dict) and isinstance(part, str):
            node = node.get(part)
        elif isinstance(node, list) and isinstance(part, int) and 0 <= part < len(node):
            node = node[part]
        else:
            return None
    return node


def _claimed(schema: Schema, names: set[str]) -> dict[str, Fields]:
    """The key names that a field rule claims, and by which classes."""
    if not (schema.keys and names):
        return {}
    found = ((name, schema.keys.get(normalise_key(name))) for name in names)
    return {name: fields for name, fields in found if fields}


class _Rewrite:
    """The second pass over one tree."""

    def __init__(
        self,
        schema: Schema,
        plans: tuple[ClassPlan, ...],
        resolve: Resolve,
        events: Mapping[str, list[Event]],
        inner: Mapping[Path, Json],
        claimed: Mapping[str, Fields],
        context: KeyContext | None = None,
    ) -> None:
        self._schema = schema
        self._plans = plans
        self._resolve = resolve
        self._events = events
        self._inner = inner
        self._claimed = claimed
        self._context = context
        self._placed = bool(schema.paths or inner)  # what happens to a value may depend on where it is
        self._known: dict[str, Fields] = {}  # key names looked up already
        self._shown: dict[str, str] = {}  # raw key -> masked key, for paths
        self._findings: list[Finding] = []
        self._fingerprints: list[tuple[str, str]] = []

    def document(self, tree: Json) -> MaskedDocument:
        sent, recorded = (_kept(node) for node in self._node(tree, (), ()))
        return document_of(sent, recorded, self._findings, self._fingerprints)

    def _node(self, node: Json, path: Path, fields: Fields) -> _Pair:
        if self._schema.paths:
            fields += self._path_fields(path)
        if isinstance(node, str):
            pair: _Pair = self._string(node, path, fields)
        elif isinstance(node, dict):
            pair = self._object(node, path, fields)
        elif isinstance(node, list):
            pair = self._array(node, path, fields)
        elif node is None:
            pair = None, None
        else:
            pair = self._scalar(node, path, fields)
        if fields and any(self._plans[index].style is Style.REMOVE for index, _ in fields):
            return _DROPPED, _DROPPED
        return pair

    def _path_fields(self, path: Path) -> Fields:
        return tuple(
            (index, "path")
            for steps, index in self._schema.paths
            if len(steps) == len(path) and all(map(step_matches, steps, path))
        )

    def _string(self, text: str, path: Path, fields: Fields) -> _Pair:
        if path in self._inner:
            sent, recorded = self._node(self._inner[path], (*path, ""), fields)
            return dumps(_kept(sent)).decode(), dumps(_kept(recorded)).decode()
        masked = self._mask(text, path, fields)
        return (text, text) if masked is None else (masked.sent, masked.recorded)

    def _scalar(self, value: bool | int | float | Number, path: Path, fields: Fields) -> _Pair:
        text = scalar_text(value)
        masked = self._mask(text, path, fields)
        if masked is None:
            return value, value
        return _scalar_after(value, text, masked.sent), _scalar_after(value, text, masked.recorded)

    def _array(self, items: list[Json], path: Path, fields: Fields) -> _Pair:
        pairs = [
            (item, item) if self._untouched(item, fields) else self._node(item, (*path, number), fields)
            for number, item in enumerate(items)
        ]
        sent: list[Json] = [one for one, _ in pairs if not isinstance(one, _Dropped)]
        if all(one is other for one, other in pairs):
            return sent, sent
        return sent, [other for _, other in pairs if not isinstance(other, _Dropped)]

    def _object(self, items: dict[str, Json], path: Path, fields: Fields) -> _Pair:
        sent: dict[str, Json] = {}
        recorded = sent
        for name, value in items.items():
            key, kept = self._key(name, path) if name in self._events else (name, name)
            claims = self._claimed.get(name, ())
            if not claims and self._untouched(value, fields):
                one: _Node = value
                other = one
            else:
                one, other = self._node(value, (*path, name), fields + claims)
            if recorded is sent and (one is not other or key is not kept):
                recorded = dict(sent)
            _put(sent, key, one)
            if recorded is not sent:
                _put(recorded, kept, other)
        return sent, recorded

    def _untouched(self, value: Json, fields: Fields) -> bool:
        """Whether nothing was found in a value and nothing can claim it: most values, so asked first."""
        if fields or self._placed or isinstance(value, dict | list):
            return False
        if isinstance(value, str):
            return value not in self._events
        return value is None or scalar_text(value) not in self._events

    def _key(self, name: str, path: Path) -> tuple[str, str]:
        masked = self._resolve(name, "", self._events[name], ())
        self._shown[name] = masked.recorded
        self._mask(name, (*path, name), ())
        return masked.sent, masked.recorded

    def _mask(self, text: str, path: Path, fields: Fields) -> MaskedString | None:
        events = self._events.get(text, [])
        if not events and not fields:
            return None
        if self._context is not None and events:
            events = self._context.added(events, path)
        masked = self._resolve(text, self._place(path), events, fields)
        self._findings.extend(masked.findings)
        self._fingerprints.extend(masked.fingerprints)
        if len(self._findings) > MAX_FINDINGS:
            raise MaskError("too_many_findings")
        return masked

    def _place(self, path: Path) -> str:
        """`messages[0].content`, from masked keys."""
        return path_text(
            tuple(self._shown.get(part, part) if isinstance(part, str) else part for part in path)
        )


def _scalar_after(value: Json, text: str, masked: str) -> _Node:
    if masked == text:
        return value
    return masked or _DROPPED


def _put(into: dict[str, Json], key: str, value: _Node) -> None:
    if isinstance(value, _Dropped):
        return
    if key in into:
        raise MaskError("key_collision")
    into[key] = value


def _kept(node: _Node) -> Json:
    return None if isinstance(node, _Dropped) else node
