"""The words of calls whose day gets a new key: found by it from then on, and by the old one no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from uuid import UUID

from django.conf import settings

from audit import ids
from audit.models import Call, Word
from audit.reader import records_read
from audit.retention.standing import standing
from audit.search import terms
from audit.search.dayskeys import derived
from audit.search.indexing import READ, ROWS, texts_of


def words_move(calls: Sequence[UUID], old: Sequence[bytes], new: bytes) -> Callable[[], None]:
    """Reads the words again, as their digests tell nothing; what is returned writes. Can be repeated.

    A call that is not closed yet has none: they are written when it is, under the new key.
    """
    when = [ids.time_of(call) for call in calls]
    rows = Call.objects.filter(id__in=calls, started_at__gte=min(when), started_at__lte=max(when))
    closed = list(rows.filter(closed_at__isnull=False))
    records = records_read(closed, READ)
    words = {
        call.id: terms.some_words(texts_of(records.get(call.id, [])), settings.AUDIT_WORDS_PER_CALL)[0]
        for call in closed
    }
    found = [row for call in closed for row in _rows(call.id, words[call.id], derived(new))]

    def write() -> None:
        there = standing(call.id for call in closed)
        for call in closed:
            gone = {terms.word_digest(derived(key), word) for key in old for word in words[call.id]}
            Word.objects.filter(started_at=call.started_at, call_id=call.id, digest__in=gone).delete()
        kept = [row for row in found if there.get(row.call_id)]
        Word.objects.bulk_create(kept, batch_size=ROWS, ignore_conflicts=True)

    return write


def _rows(call: UUID, words: set[str], key: bytes) -> Iterator[Word]:
    when = ids.time_of(call)
    for digest in sorted({terms.word_digest(key, word) for word in words}):
        yield Word(digest=digest, started_at=when, call_id=call)
