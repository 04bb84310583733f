"""Masks texts, documents and streams under one policy in one direction. Reusable and thread-safe."""

from __future__ import annotations

from collections.abc import Collection

from .detectors import normalise_key
from .jsonpath import step_matches
from .jsontext import Json
from .policy import Policy
from .scanner import Event
from .spans import UNLIMITED, Fields, Span
from .stream import Channel, StreamMasker, encoded
from .types import Direction, MaskedDocument, MaskedString, MaskedText, Path
from .walk import mask_document
from .whole import are_plain, spans_of, written

__all__ = ["MaskedDocument", "MaskedString", "Masker", "Path", "StreamMasker"]


class Masker:
    """The configuration that outlives the calls: one per policy and direction."""

    def __init__(self, policy: Policy, direction: Direction) -> None:
        self.policy = policy
        self.direction = direction
        self.schema = policy.schema
        self.plans = policy.plans(direction)
        self._apart = policy.keeps_apart(direction)

    def text(self, text: str, path: str) -> MaskedString:
        """Mask one whole text."""
        return self.resolved(text, path, self.schema.scan(encoded(text)))

    def stream(self, path: str) -> StreamMasker:
        """Mask one text that arrives in pieces."""
        return StreamMasker(self.schema, self.plans, path, apart=self._apart)

    def resolved(self, text: str, path: str, events: list[Event], fields: Fields = ()) -> MaskedString:
        """Mask a text whose events are known; `fields` are (class, detector) that claim all of it."""
        if not events and not fields:
            clean = MaskedText(text)
            return MaskedString(clean, clean)
        spans = spans_of(self.schema.patterns, text, events, fields)
        if spans is not None and are_plain(spans, self.plans):
            return written(spans, self.plans, text, path)
        channel = Channel(self.schema, self.plans, path, apart=self._apart)
        if spans is None:
            channel.cover([Span(0, len(text), index, detector, text) for index, detector in fields if text])
        else:
            channel.cover(spans)
            events = []
        return channel.push(text, events, UNLIMITED, final=True)

    def claims(self, path: Path) -> bool:
        """Whether a field rule covers the value at a path, or something that it lies in."""
        names = (part for part in path if isinstance(part, str))
        if any(normalise_key(name) in self.schema.keys for name in names):
            return True
        return any(
            len(steps) <= len(path) and all(map(step_matches, steps, path)) for steps, _ in self.schema.paths
        )

    def document(self, tree: Json, *, embedded: Collection[Path] = ()) -> MaskedDocument:
        """Mask a JSON tree: keys, strings, numbers, booleans. `embedded`: strings that hold JSON."""
        return mask_document(self.schema, self.plans, self.resolved, tree, embedded)
