"""The search of the audit console. What is asked travels in the body of a POST, never in an address.

What was asked is an event before anything is shown (P16). Words pass the engine first: what it finds in them
is masked in the record too, so no word would find it, and the event must not hold it (`audit.search.typed`).

A page is there at once, whatever is asked: it shows what it found so far, and goes on by itself. What the
matches add up to takes longer than a page of them, so that is fetched likewise, in parts. Without scripts the
form asks for all of it at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

from django.contrib.auth.decorators import permission_required
from django.core.exceptions import BadRequest
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from audit import deriving, ids
from audit.events import event
from audit.exporting.chosen import public
from audit.judgement import GATES, LEVELS
from audit.listing import call_rows
from audit.pages import ACTIONS
from audit.records import Who
from audit.search.facets import PART, SHORT, Bar, Summary, Sums, summary, summary_of
from audit.search.finding import BRIEFLY, PAGE, PATIENCE, Found, found
from audit.search.selection import Selection, SelectionError
from audit.search.typed import Typed, typed
from audit.walls import PERMISSION, Areas, audited_by
from gateway.console import search_parts
from gateway.models import User
from policies.journal import who

CRITERIA: Final = (
    "words", "since", "until", "caller", "endpoint", "model", "class", "level", "action",
    "group", "area", "gate", "rule", "policy", "schema", "status", "code", "key", "approval", "reviewer",
    "granted_since", "granted_until", "api", "call",
)  # fmt: skip
RARE: Final = frozenset(CRITERIA[CRITERIA.index("group") :])
"""Those that a form shows when it is asked for more, or when they are in use."""

CHOICES: Final[Mapping[str, Sequence[str]]] = {"action": ACTIONS, "level": LEVELS, "gate": GATES}
CATCH_UP: Final = 0.3
"""Seconds that a search spends on indexing what has just been recorded."""

may_view = permission_required(PERMISSION, raise_exception=True)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the form."""

    name: str
    label: str
    kind: str  # text | date | choice
    value: str
    choices: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Lacks:
    """What a page does not have yet. `sums`: not begun; `paged`: it is not the one of the newest matches."""

    calls: int = PAGE
    sums: bool = True
    paged: bool = False


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@may_view
def search(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return render(request, "audit/search.html", {"fields": _fields({}), "asked": None})
    asked, areas = _asked(request), audited_by(request.user)
    try:
        question = typed(asked, areas)
    except SelectionError as error:
        context = {"fields": _fields(asked), "asked": None, "problem": str(error)}
        return render(request, "audit/search.html", context, status=400)
    return _answer(request, areas, asked, question)


def _answer(request: HttpRequest, areas: Areas, asked: Mapping[str, str], question: Typed) -> HttpResponse:
    selection = question.selection
    match request.POST.get("part", ""):
        case "sums":
            return _part_of_sums(request, areas, question)
        case "matches":
            return _part_of_matches(request, areas, selection)
    before, at_once = _before(request), "sums" in request.POST
    deriving.derive(seconds=CATCH_UP)
    _note(request, areas, question, before)
    page = found(selection, areas, before=before, patience=PATIENCE if at_once else BRIEFLY)
    lacks = Lacks(sums=before is None, paged=before is not None)
    context = _with_matches(selection, page, lacks) | {
        "fields": _fields(asked),
        "rare_in_use": any(asked.get(name) for name in RARE),
        "asked": asked,
    }
    if not at_once:
        context |= _going_on(request, selection, page, lacks)
    elif lacks.sums:
        context |= _with_sums(summary(selection, areas))
    return render(request, "audit/search.html", context)


def _part_of_matches(request: HttpRequest, areas: Areas, selection: Selection) -> HttpResponse:
    """What a page still lacks, from where it had looked back to."""
    place = search_parts.place_of(request, selection, "matches")
    if place is None:
        raise BadRequest("this search cannot be gone on with")
    before, *rest = place
    lacks = Lacks(*rest)
    page = found(selection, areas, before=UUID(before), limit=lacks.calls, patience=BRIEFLY)
    context = _with_matches(selection, page, lacks) | _going_on(request, selection, page, lacks)
    return render(request, "audit/search_found.html", context)


def _part_of_sums(request: HttpRequest, areas: Areas, question: Typed) -> HttpResponse:
    """The sums so far and those of some more matches."""
    selection = question.selection
    state = search_parts.place_of(request, selection, "sums")
    if state is None:
        _note(request, areas, question)
    sums = Sums.of(state) if state else Sums()
    sums.add(selection, areas, most=PART, patience=SHORT)
    noted = search_parts.note(request, selection, "sums", sums.state()) if sums.growing else ""
    return render(request, "audit/search_sums.html", _with_sums(summary_of(sums)) | {"noted": noted})


def _going_on(request: HttpRequest, selection: Selection, page: Found, lacks: Lacks) -> dict[str, str]:
    """Notes for what a page fetches next: the matches that it still lacks, and what all add up to."""
    notes, missing, sums = {}, lacks.calls - len(page.calls), lacks.sums and bool(page.calls)
    if page.back_to is not None and missing:
        place = [str(page.older), missing, lacks.sums and not sums, lacks.paged]
        notes["further"] = search_parts.note(request, selection, "matches", place)
    if sums:
        notes["noted"] = search_parts.note(request, selection, "sums", [])
    return notes


def _with_matches(selection: Selection, page: Found, lacks: Lacks) -> dict[str, Any]:
    return {
        "page": page,
        "rows": call_rows(page.calls),
        "found_any": bool(page.calls) or lacks.calls < PAGE,
        "paged": lacks.paged,
        "said": json.dumps(selection.said()),
    }


def _with_sums(sums: Summary) -> dict[str, Any]:
    return {"sums": sums, "chart": columns(sums)}


def _note(request: HttpRequest, areas: Areas, question: Typed, before: UUID | None = None) -> None:
    search_note(by=who(cast(User, request.user)), areas=areas, question=question, before=before)


def search_note(*, by: Who, areas: Areas, question: Typed, before: UUID | None = None) -> None:
    """That somebody searched is durable when this returns."""
    facts = {name: value for name, value in public(question.selection).items() if name != "words"}
    detail = {**facts, "areas": "all" if areas is None else sorted(areas), "before": before or ""}
    area = next(iter(areas)) if areas is not None and len(areas) == 1 else ""
    with transaction.atomic(durable=True):
        event("calls.searched", by=by, area=area, about="calls", detail=detail, note=question.words)


def _asked(request: HttpRequest) -> dict[str, str]:
    """What the form says, with one criterion more or one less where such a button was pressed."""
    asked = {name: request.POST.get(name, "").strip() for name in CRITERIA}
    name, _, value = request.POST.get("also", "").partition("=")
    if name in asked:
        asked[name] = value
    return {name: value for name, value in asked.items() if value}


def _before(request: HttpRequest) -> UUID | None:
    text = request.POST.get("before", "")
    if not text or request.POST.get("also"):
        return None
    try:
        before = UUID(text)
        ids.time_of(before)
    except (ValueError, OverflowError):  # the latter: an id that holds no time
        raise BadRequest("before is no id") from None
    return before


def _fields(asked: Mapping[str, str]) -> list[Field]:
    return [_field(name, asked.get(name, "")) for name in CRITERIA]


_LABELS: Final = {
    "words": "Words of the masked text",
    "since": "From (UTC)",
    "until": "Until (UTC)",
    "class": "Data class",
    "policy": "Policy version",
    "schema": "Schema version",
    "key": "API key begins",
    "granted_since": "Granted from",
    "granted_until": "Granted until",
    "api": "Operation",
    "call": "Call or request id",
    "approval": "Approval id",
    "code": "Error code",
}


def _field(name: str, value: str) -> Field:
    kind = "choice" if name in CHOICES else "date" if name.startswith("granted_") else "text"
    return Field(name, _LABELS.get(name, name.capitalize()), kind, value, CHOICES.get(name, ()))


@dataclass(frozen=True, slots=True)
class Column:
    """A bar of the chart over time, in a field of 480 by 100; what was stopped stands at its foot."""

    x: int
    y: int
    height: int
    stopped_y: int
    stopped_height: int
    width: int
    title: str


def columns(sums: Summary) -> tuple[Column, ...]:
    most = max((bar.calls for bar in sums.bars), default=0)
    if not most:
        return ()
    width = 480 // len(sums.bars)
    return tuple(_column(bar, at, width, most) for at, bar in enumerate(sums.bars))


def _column(bar: Bar, at: int, width: int, most: int) -> Column:
    height, stopped = 100 * bar.calls // most, 100 * bar.stopped // most
    when = bar.since.strftime("%Y-%m-%d %H:%M UTC")
    title = f"{when}: {bar.calls} calls, {bar.masked} masked, {bar.held} held, {bar.stopped} stopped"
    return Column(
        x=at * width,
        y=100 - height,
        height=height,
        stopped_y=100 - stopped,
        stopped_height=stopped,
        width=max(1, width - 2),
        title=title,
    )
