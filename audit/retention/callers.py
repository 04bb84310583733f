"""Whom a hold or an erasure means: typed as calls name their callers, kept as the record's ids of them.

What somebody types may be anything, and a name may be a mail address. So the name finds the caller once and
is then kept masked, for people to read; what selects is the id, which stays when somebody is renamed.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from django.db.models import Q

from audit.models import Call
from audit.words import scrubbed


def callers_named(typed: str, areas: Collection[str] = ()) -> tuple[UUID, ...]:
    """The ids of those whose calls carry this name, such as `local:alice`, or this id. `areas`: only calls in
    these count; empty: all do. More than one where an account was made anew under the same name."""
    named = Q(subject=typed)
    if (number := number_of(typed)) is not None:
        named |= Q(person_id=number)
    rows = Call.objects.filter(area__in=list(areas)) if areas else Call.objects.all()
    found = rows.filter(named, person_id__isnull=False).values_list("person_id", flat=True)
    return tuple(sorted(filter(None, found.distinct())))


def number_of(typed: str) -> UUID | None:
    """The id that somebody typed, if it is one."""
    try:
        return UUID(typed)
    except ValueError:
        return None


def label_of(typed: str) -> str:
    """What may be kept of it."""
    return scrubbed(typed).data.decode("utf-8", "replace")[:200]
