"""The search of the audit console. What is asked travels in the body of a POST, never in an address.

What was asked is an event before anything is shown (P16). Words pass the engine first: what it finds in them
is masked in the record too, so no word would find it, and the event must not hold it.

What the matches add up to takes longer than a page of them, so a browser asks for it by itself, and shows the
matches meanwhile. Without scripts the form asks for both at once.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast
from uuid import UUID

from django.contrib.auth.decorators import permission_required
from django.core import signing
from django.core.exceptions import BadRequest
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.crypto import salted_hmac
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from audit import deriving, ids
from audit.events import event
from audit.exporting.chosen import public
from audit.judgement import GATES, LEVELS
from audit.listing import call_rows
from audit.pages import ACTIONS
from audit.records import Recordable, Who
from audit.search.facets import Bar, Summary, summary
from audit.search.finding import found
from audit.search.selection import Selection, SelectionError, selection_of
from audit.walls import PERMISSION, Areas, audited_by
from gateway.models import User
from policies.journal import who
from policies.services import scrub
from policies.store import scrubbers

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

ADDED_UP_WITHIN: Final = 600
"""Seconds after a search in which its sums may be asked for without another event."""

TOLD: Final = frozenset({"confidential", "restricted"})
may_view = permission_required(PERMISSION, raise_exception=True)


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the form."""

    name: str
    label: str
    kind: str  # text | date | choice
    value: str
    choices: Sequence[str] = ()


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@may_view
def search(request: HttpRequest) -> HttpResponse:
    if request.method != "POST":
        return render(request, "audit/search.html", {"fields": _fields({}), "asked": None})
    asked = _asked(request)
    try:
        selection, words = _selection(asked)
    except SelectionError as error:
        context = {"fields": _fields(asked), "asked": None, "problem": str(error)}
        return render(request, "audit/search.html", context, status=400)
    return _answer(request, asked, selection, words)


def _answer(
    request: HttpRequest, asked: Mapping[str, str], selection: Selection, words: Recordable | None
) -> HttpResponse:
    before = _before(request)
    areas = audited_by(request.user)
    if request.POST.get("part") == "sums":
        if not _is_noted(request, selection):
            _note(request, areas, selection, words)
        return render(request, "audit/search_sums.html", _added_up(selection, areas))
    deriving.derive(seconds=CATCH_UP)
    _note(request, areas, selection, words, before)
    page = found(selection, areas, before=before)
    at_once = before is None and "sums" in request.POST
    context = _added_up(selection, areas) if at_once else {}
    context |= {
        "fields": _fields(asked),
        "rare_in_use": any(asked.get(name) for name in RARE),
        "asked": asked,
        "said": json.dumps(selection.said()),
        "page": page,
        "rows": call_rows(page.calls),
        "older_than": before,
        "noted": "" if at_once or before or not page.calls else _noted(request, selection),
    }
    return render(request, "audit/search.html", context)


def _added_up(selection: Selection, areas: Areas) -> dict[str, Any]:
    sums = summary(selection, areas)
    return {"sums": sums, "chart": columns(sums)}


def _noted(request: HttpRequest, selection: Selection) -> str:
    """What shows that this person's search is on record. It holds nothing of what was asked."""
    return signing.dumps([str(request.user.pk), _digest(selection)], salt=__name__)


def _is_noted(request: HttpRequest, selection: Selection) -> bool:
    try:
        noted = signing.loads(request.POST.get("noted", ""), salt=__name__, max_age=ADDED_UP_WITHIN)
    except signing.BadSignature:
        return False
    return bool(noted == [str(request.user.pk), _digest(selection)])


def _digest(selection: Selection) -> str:
    """Keyed, as a search for one word could be guessed."""
    said = json.dumps(selection.said(), sort_keys=True)
    return salted_hmac(__name__, said, algorithm="sha256").hexdigest()


def _note(
    request: HttpRequest,
    areas: Areas,
    selection: Selection,
    words: Recordable | None,
    before: UUID | None = None,
) -> None:
    by = who(cast(User, request.user))
    search_note(by=by, areas=areas, selection=selection, words=words, before=before)


def search_note(
    *, by: Who, areas: Areas, selection: Selection, words: Recordable | None, before: UUID | None = None
) -> None:
    """That somebody searched is durable when this returns."""
    facts = {name: value for name, value in public(selection).items() if name != "words"}
    detail = {**facts, "areas": "all" if areas is None else sorted(areas), "before": before or ""}
    area = next(iter(areas)) if areas is not None and len(areas) == 1 else ""
    with transaction.atomic(durable=True):
        event("calls.searched", by=by, area=area, about="calls", detail=detail, note=words)


def checked_words(text: str) -> Recordable | None:
    """The words as they may be stored. Raises SelectionError for what the record masks."""
    if not text:
        return None
    scrubbers()
    words = scrub(text)
    hidden = sorted({mark["class"] for mark in json.loads(words.marks) if mark["level"] in TOLD})
    if hidden:
        raise SelectionError(
            f"Your words hold what the record masks ({', '.join(hidden)}), so no call is found by them. "
            "To find where a value passed, trace it."
        )
    return words


def _selection(asked: Mapping[str, str]) -> tuple[Selection, Recordable | None]:
    return selection_of(asked), checked_words(asked.get("words", ""))


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
