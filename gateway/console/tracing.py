"""The exposure trace: a value is pasted, and every call in which it was found is shown. It is kept nowhere.

What is looked for are keyed digests, as the data path makes them of everything that it finds: of the pasted
text as a whole, and of each value that the shipped schemas and those in force find in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, cast
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import permission_required
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from audit import ids
from audit.acts import acts
from audit.events import event
from audit.indexing import fingerprints_of, index_pending
from audit.keys import KeyDirectory, KeysUnavailable
from audit.listing import CallRow, call_rows
from audit.models import Call, Fingerprint
from audit.search.finding import calls_of, earliest
from audit.walls import PERMISSION, Areas, audited_by
from gateway.models import User
from gateway.proxy.digests import keyed
from policies.engine import types
from policies.engine.masker import Masker
from policies.engine.sweep import normalised
from policies.journal import who
from policies.store import scrubbers

TRACES: Final = "audit.trace_fingerprint"
"""The permission. Whoever has it can ask whether a value was seen, so it is more than looking at calls."""

PER_HOUR: Final = 30
"""Traces of one person: more would be guessing."""

MOST_VALUES: Final = 10
"""Values of one trace, the pasted text as a whole being one: a list of guesses is no leaked value."""

LONGEST: Final = 10_000
SHORTEST: Final = 4
SHOWN: Final = 200
"""Calls on the page, newest first. The sums are over all of them."""

may_trace = permission_required((PERMISSION, TRACES), raise_exception=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """Where a value passed, within the areas of whoever asked."""

    calls: int
    first: datetime | None
    last: datetime | None
    rows: Sequence[CallRow]
    ids: Sequence[UUID]
    people: Sequence[tuple[str, int]]
    models: Sequence[tuple[str, int]]
    endpoints: Sequence[tuple[str, int]]
    versions: Sequence[tuple[str, int]]
    classes: Sequence[tuple[str, int]]


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@may_trace
def trace(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return render(request, "audit/trace.html", {"per_hour": PER_HOUR})
    person, text = cast(User, request.user), request.POST.get("value", "").strip()
    if problem := _problem(text):
        return render(request, "audit/trace.html", {"problem": problem, "per_hour": PER_HOUR}, status=400)
    if _asked_lately(person) >= PER_HOUR:
        problem = (
            f"You have traced {PER_HOUR} values within an hour. Wait, or ask somebody else to trace this one."
        )
        return render(request, "audit/trace.html", {"problem": problem, "per_hour": PER_HOUR}, status=429)
    areas = audited_by(person)
    values = values_in(text)
    if len(values) > MOST_VALUES:
        problem = f"This text holds {len(values)} values; paste {MOST_VALUES} at most."
        return render(request, "audit/trace.html", {"problem": problem, "per_hour": PER_HOUR}, status=400)
    index_pending()
    try:
        found = traced(values, areas)
    except KeysUnavailable:
        problem = "Nothing can be traced: the keys of the record are not where AUDIT_KEY_DIR says."
        return render(request, "audit/trace.html", {"problem": problem, "per_hour": PER_HOUR}, status=503)
    trace_note(by=person, areas=areas, values=len(values), found=found)
    return render(request, "audit/trace.html", {"traced": found, "shown": SHOWN, "per_hour": PER_HOUR})


def _problem(text: str) -> str:
    if len(text) < SHORTEST:
        return f"Paste a value of {SHORTEST} characters at least."
    return f"Paste {LONGEST:,} characters at most." if len(text) > LONGEST else ""


def _asked_lately(person: User) -> int:
    """As the record has it, whichever process answered."""
    subject, hour = who(person).subject, timezone.now() - timedelta(hours=1)
    return len(acts(None, by=subject, name="value.traced", since=hour, limit=PER_HOUR).rows)


def values_in(text: str) -> frozenset[str]:
    """What may be on record of this text: itself, and every value found in it, each in its one spelling."""
    found = {normalised(text)}
    for policy in scrubbers():
        masked = Masker(policy, types.Direction.REQUEST).text(text, "text")
        found.update(value for _, value in masked.fingerprints)
    return frozenset(found)


def traced(values: Iterable[str], areas: Areas) -> Traced:
    """All calls in which one of these values was found."""
    keys = KeyDirectory(settings.AUDIT_KEY_DIR)
    key, since, until = keys.lasting("fingerprints"), earliest(), ids.now() + timedelta(minutes=1)
    rows: list[Fingerprint] = []
    for value in sorted(values):
        rows += fingerprints_of(keys, keyed(key, value.encode())[:16], since, until)
    numbers = sorted({row.call_id for row in rows}, reverse=True)
    calls = calls_of(numbers, areas)
    return _traced(calls, {row.call_id: row.data_class for row in rows})


def _traced(calls: Sequence[Call], classes: Mapping[UUID, str]) -> Traced:
    return Traced(
        calls=len(calls),
        first=calls[-1].started_at if calls else None,
        last=calls[0].started_at if calls else None,
        rows=call_rows(calls[:SHOWN]),
        ids=[call.id for call in calls],
        people=_most(call.name or "unknown" for call in calls),
        models=_most(call.model or "–" for call in calls),
        endpoints=_most(call.endpoint or "–" for call in calls),
        versions=_most(call.policy or "–" for call in calls),
        classes=_most(classes[call.id] for call in calls),
    )


def _most(values: Iterable[str]) -> list[tuple[str, int]]:
    return Counter(values).most_common()


def trace_note(*, by: User, areas: Areas, values: int, found: Traced) -> None:
    """That somebody traced, and how much they were shown, is durable when this returns. Not the value."""
    detail = {
        "values": values,
        "calls": found.calls,
        "classes": dict(found.classes),
        "areas": "all" if areas is None else sorted(areas),
    }
    area = next(iter(areas)) if areas is not None and len(areas) == 1 else ""
    with transaction.atomic(durable=True):
        event("value.traced", by=who(by), area=area, about="a value", detail=detail)
