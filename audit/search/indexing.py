"""The rows by which calls are found, made when they are closed and when people act on them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final
from uuid import UUID

from django.conf import settings

from audit import ids, metas
from audit.models import Brief, Entry, Fact, Word
from audit.reader import Part, records_read
from audit.records import NOT_KEPT
from audit.retention.standing import standing
from audit.search import terms
from audit.search.briefs import brief_of
from audit.search.dayskeys import key_of_day
from audit.search.terms import Term
from audit.search.writing import Terms, terms_write
from audit.streamed import turns_of
from audit.tree import Number, parse

if TYPE_CHECKING:
    from audit.deriving import New

READ: Final = ("admission", "release", "segment")
NOT_SAID: Final = frozenset(
    {"role", "type", "object", "model", "id", "tool_call_id", "finish_reason", "stop_reason"}
)
"""Members whose text belongs to the API, not to anybody's words."""

ROWS: Final = 2_000
"""Rows of one statement."""


def terms_derive(new: New) -> Callable[[], None]:
    """The rows of what is new; a call that has them already keeps them."""
    records = records_read(new.closed, READ)
    briefs = [brief_of(call) for call in new.closed]
    words: list[Terms] = []
    facts: list[Terms] = []
    for call in new.closed:
        parts = records.get(call.id, [])
        words.append(words_of(call.id, parts))
        facts.append(_facts(call.id, {*terms.facts_of(call), *_approvals(parts)}))
    for entry in new.events:
        if entry.call_id is not None:
            facts.append(_facts(entry.call_id, set(_acts(entry))))

    def write() -> None:
        there = standing(found.call_id for found in facts)
        terms_write(Word, [found for found in words if there.get(found.call_id)])
        terms_write(Fact, [found for found in facts if found.call_id in there])
        Brief.objects.bulk_create(
            [row for row in briefs if row.call_id in there], batch_size=ROWS, ignore_conflicts=True
        )

    return write


def words_of(call_id: UUID, parts: Sequence[Part]) -> Terms:
    """None where the key of the call's day was destroyed."""
    key = key_of_day(ids.time_of(call_id))
    if key is None:
        return Terms(call_id, ())
    words, _ = terms.some_words(texts_of(parts), settings.AUDIT_WORDS_PER_CALL)
    return Terms(call_id, sorted({terms.word_digest(key, word) for word in words}))


def _facts(call_id: UUID, found: Iterable[Term]) -> Terms:
    return Terms(call_id, sorted({terms.fact_digest(term) for term in found}))


def _approvals(parts: Sequence[Part]) -> Iterator[Term]:
    for part in parts:
        decision = part.meta.get("decision")
        if isinstance(decision, dict) and (approval := decision.get("approval")):
            yield "approval", str(approval)


def texts_of(parts: Sequence[Part]) -> Iterator[str]:
    """The texts of a record: strings of documents, without their keys, and what a stream grew to."""
    response = b""
    for part in parts:
        if part.payload is None or part.payload.data == NOT_KEPT:
            continue
        if part.kind == "segment":
            response += part.payload.data
        else:
            yield from _texts(part.payload.data)
    if response.lstrip().startswith((b"data:", b"event:")):
        events = response.decode("utf-8", "replace").split("\n\n")
        for turn in turns_of((event, None) for event in events):
            yield from ("".join(piece for piece, _ in pieces) for _, pieces in turn.texts.values())
    elif response:
        yield from _texts(response)


def _texts(data: bytes) -> Iterator[str]:
    tree = parse(data)
    if tree is None:
        yield data.decode("utf-8", "replace")
        return
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, str) and not isinstance(node, Number):
            yield node
        elif isinstance(node, dict):
            waiting.extend(value for key, value in reversed(node.items()) if key not in NOT_SAID)
        elif isinstance(node, list):
            waiting.extend(reversed(node))


def _acts(entry: Entry) -> Iterator[Term]:
    """What an event adds to its call: who decided about it, when it was granted, under which approval."""
    meta = metas.said(bytes(entry.meta))
    name, about = str(meta.get("event", "")), str(meta.get("about", ""))
    if not name.startswith("approval."):
        return
    yield "approval", about.removeprefix("approval ")
    by = meta.get("by")
    if name in _DECIDED and isinstance(by, dict):
        for column in ("subject", "name"):
            if said := str(by.get(column) or ""):
                yield "reviewer", terms.fact("reviewer", said)
    if name == "approval.approved":
        yield "granted", entry.at.date().isoformat()


_DECIDED: Final = frozenset({"approval.voted", "approval.approved", "approval.denied", "approval.revoked"})
