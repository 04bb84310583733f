"""The exposure trace: a value is pasted, and every call in which it was found is shown. It is kept nowhere.

What is looked for are keyed digests, as the data path makes them of everything that it finds: of the pasted
text as a whole, and of each value that the shipped schemas and those in force find in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, cast
from uuid import UUID

from django.conf import settings
from django.contrib.auth.decorators import permission_required
from django.core import signing
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from audit import ids
from audit.acts import acts
from audit.events import event
from audit.indexing import index_pending
from audit.keys import KeyDirectory, KeysUnavailable
from audit.listing import CallRow, call_rows
from audit.models import Call
from audit.search.finding import calls_of
from audit.search.sightings import AT_ONCE, sighted
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

_SALT: Final = "postern.trace"
LONGEST: Final = 10_000
SHORTEST: Final = 4
SHOWN: Final = 200
"""Calls that a page lists, newest first."""

SUMMED: Final = 1_000
"""Calls that its sums are over: those it lists, and the next ones."""

LOOKED_AT: Final = 5_000
"""Calls that are looked at for one page: they may all lie behind a wall."""

GOES_ON: Final = 3600
"""Seconds in which a trace can be gone on with."""

may_trace = permission_required((PERMISSION, TRACES), raise_exception=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Traced:
    """Where a value passed, within the areas of whoever asked, from some call on backwards.

    `whole`: there are no more calls than these. `older`: the call to go on before; `back_to`: no further was
    looked. `digests`: what was looked for.
    """

    calls: int
    whole: bool
    older: UUID | None
    back_to: datetime | None
    digests: Sequence[bytes]
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
        return _page(request)
    if request.POST.get("further"):
        return _further(request)
    person, text = cast(User, request.user), request.POST.get("value", "").strip()
    if problem := _problem(text):
        return _page(request, 400, problem=problem)
    if _asked_lately(person) >= PER_HOUR:
        problem = (
            f"You have traced {PER_HOUR} values within an hour. Wait, or ask somebody else to trace this one."
        )
        return _page(request, 429, problem=problem)
    values = values_in(text)
    if len(values) > MOST_VALUES:
        problem = f"This text holds {len(values)} values; paste {MOST_VALUES} at most."
        return _page(request, 400, problem=problem)
    index_pending()
    return _answer(request, lambda: digests_of(values), None)


def _further(request: HttpRequest) -> HttpResponse:
    """What lies before the last page. The value was kept nowhere: the page holds its keyed digests, signed,
    so that nobody goes on with what they did not trace."""
    person = cast(User, request.user)
    try:
        said = signing.loads(request.POST["further"], salt=_SALT, max_age=GOES_ON)
    except signing.BadSignature:
        said = {}
    if said.get("person") != str(person.pk):
        return _page(request, 400, problem="This trace cannot be gone on with. Paste the value again.")
    digests = [bytes.fromhex(digest) for digest in said["digests"]]
    return _answer(request, lambda: digests, UUID(said["before"]))


def _answer(
    request: HttpRequest, digests: Callable[[], Sequence[bytes]], before: UUID | None
) -> HttpResponse:
    person = cast(User, request.user)
    areas = audited_by(person)
    try:
        found = traced(digests(), areas, before=before)
    except KeysUnavailable:
        problem = "Nothing can be traced: the keys of the record are not where AUDIT_KEY_DIR says."
        return _page(request, 503, problem=problem)
    trace_note(by=person, areas=areas, found=found, before=before)
    return _page(request, traced=found, shown=SHOWN, older_than=before, further=_signed(person, found))


def _page(request: HttpRequest, status: int = 200, **context: Any) -> HttpResponse:
    return render(request, "audit/trace.html", {**context, "per_hour": PER_HOUR}, status=status)


def _signed(person: User, found: Traced) -> str:
    if found.older is None:
        return ""
    digests = [digest.hex() for digest in found.digests]
    said = {"person": str(person.pk), "before": str(found.older), "digests": digests}
    return signing.dumps(said, salt=_SALT)


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


def digests_of(values: Iterable[str]) -> list[bytes]:
    """As the data path notes them. Raises KeysUnavailable."""
    key = _keys().lasting("fingerprints")
    return [keyed(key, value.encode())[:16] for value in sorted(values)]


def _keys() -> KeyDirectory:
    return KeyDirectory(settings.AUDIT_KEY_DIR)


def traced(digests: Sequence[bytes], areas: Areas, *, before: UUID | None = None) -> Traced:
    """The newest calls in which one of these values was found."""
    keys, place, ended = _keys(), before, False
    calls: list[Call] = []
    classes: dict[UUID, str] = {}
    while len(calls) <= SUMMED and len(classes) < LOOKED_AT and not ended:
        some = sighted(keys, digests, before=place, most=AT_ONCE)
        ended = len(some) < AT_ONCE
        place = next(reversed(some), place)
        calls += calls_of(list(some), areas)
        classes.update(some)
    older = calls[SHOWN - 1].id if len(calls) > SHOWN else None if ended else place
    summed = calls[:SUMMED]
    return Traced(
        calls=len(summed),
        whole=ended and len(calls) <= SUMMED,
        older=older,
        back_to=None if ended or len(calls) > SHOWN or place is None else ids.time_of(place),
        digests=digests,
        first=summed[-1].started_at if summed else None,
        last=summed[0].started_at if summed else None,
        rows=call_rows(summed[:SHOWN]),
        ids=[call.id for call in summed],
        people=_most(call.name or "unknown" for call in summed),
        models=_most(call.model or "–" for call in summed),
        endpoints=_most(call.endpoint or "–" for call in summed),
        versions=_most(call.policy or "–" for call in summed),
        classes=_most(classes[call.id] for call in summed),
    )


def _most(values: Iterable[str]) -> list[tuple[str, int]]:
    return Counter(values).most_common()


def trace_note(*, by: User, areas: Areas, found: Traced, before: UUID | None = None) -> None:
    """That somebody traced, and how much they were shown, is durable when this returns. Not the value.

    Going on is an event of another name: it is no further guess.
    """
    detail = {
        "values": len(found.digests),
        "calls": found.calls,
        "classes": dict(found.classes),
        "areas": "all" if areas is None else sorted(areas),
        "before": before or "",
    }
    area = next(iter(areas)) if areas is not None and len(areas) == 1 else ""
    name = "value.traced" if before is None else "value.followed"
    with transaction.atomic(durable=True):
        event(name, by=who(by), area=area, about="a value", detail=detail)
