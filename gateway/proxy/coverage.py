"""What of a payload was looked at and what could not be read, counted while that is done. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from audit.records import Looked
from gateway.proxy.wire.base import Json, OpaquePart
from policies.engine import jsontext
from policies.engine.patch import Leaves
from policies.engine.schema import Schema
from policies.engine.types import MaskedDocument
from policies.engine.walk import at


class Coverage:
    """Of one payload; grows while it is read. Holds numbers and kinds, nothing of the payload."""

    # Class attributes: making one costs nothing, and few calls set them all.
    texts = 0
    size = 0
    unread: tuple[tuple[str, int], ...] = ()
    stopped = ""

    def __bool__(self) -> bool:
        return bool(self.texts or self.unread or self.stopped)

    def take(self, masked: MaskedDocument) -> None:
        """A document that was scanned."""
        self.texts += masked.texts
        self.size += masked.size

    def leave_out(self, schema: Schema, tree: Json, parts: Sequence[OpaquePart]) -> None:
        """Parts that no recogniser can read, though their encoded form went by the scanner as well."""
        for part in parts:
            value = at(tree, part.path)
            passed = Leaves(schema, value).texts()
            self.texts = max(self.texts - len(passed), 0)
            self.size = max(self.size - sum(len(text.encode()) for text in passed), 0)
            self.unread = (*self.unread, (part.kind, len(jsontext.dumps(value))))

    def told(self, schema: Schema) -> Looked:
        """In the record's words."""
        return Looked(
            texts=self.texts,
            size=self.size,
            recognisers=schema.recognisers,
            recogniser_set=schema.recogniser_set,
            unread=_by_kind(self.unread) if self.unread else (),
            stopped=self.stopped,
        )


def _by_kind(parts: Sequence[tuple[str, int]]) -> tuple[tuple[str, int, int], ...]:
    number, size = Counter[str](), Counter[str]()
    for kind, length in parts:
        number[kind] += 1
        size[kind] += length
    return tuple((kind, number[kind], size[kind]) for kind in sorted(number))
