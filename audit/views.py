"""The auditors' pages: lists, one session, one call. Reading a call's payload is itself an event (P16)."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

from django.contrib.auth.decorators import permission_required
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from audit import ids, pages
from audit.acts import acts
from audit.askers import asker
from audit.conversation import CALLS, exchanges
from audit.evidence import evidence
from audit.integrity import integrity
from audit.listing import took, waterfall
from audit.models import Call, Reveal, Session
from audit.originals import reveal_of
from audit.reader import call_open, calls_open
from audit.walls import PERMISSION, audited_by, within

SPEEDS = ("0.5", "1", "2", "4", "16")

may_view = permission_required(PERMISSION, raise_exception=True)


@require_safe
@never_cache
@may_view
def sessions(request: HttpRequest) -> HttpResponse:
    before = _id(request, "before")
    context = {"page": pages.sessions_page(before, audited_by(request.user)), "older_than": before}
    return render(request, "audit/sessions.html", context | _site(request))


@require_safe
@never_cache
@may_view
def session(request: HttpRequest, session_id: UUID) -> HttpResponse:
    areas = audited_by(request.user)
    found = get_object_or_404(within(Session.objects.all(), areas), pk=session_id)
    after = _id(request, "after")
    context = {
        "session": pages.session_row(found, areas),
        "page": pages.calls_of_session(found, after, areas),
        "after": after,
    }
    return render(request, "audit/session.html", context)


@require_safe
@never_cache
@may_view
def conversation(request: HttpRequest, session_id: UUID) -> HttpResponse:
    """The calls of a session as one conversation. Each of them is opened, and so is the one before the page,
    which the first is compared with."""
    areas = audited_by(request.user)
    found = get_object_or_404(within(Session.objects.all(), areas), pk=session_id)
    after = _id(request, "after")
    page = pages.made_in(found, after, areas, at_most=CALLS)
    before = pages.made_before(found, after, areas) if page.rows else None
    opened = [*([before] if before else []), *page.rows]
    records = calls_open(calls=opened, by=asker(request), detail={"session": str(found.pk)})
    context = {
        "session": pages.session_row(found, areas),
        "exchanges": exchanges(records)[1 if before else 0 :],
        "older": page.older,
        "after": after,
    }
    return render(request, "audit/conversation.html", context)


@require_safe
@never_cache
@may_view
def calls(request: HttpRequest) -> HttpResponse:
    action, before = request.GET.get("action", ""), _id(request, "before")
    if action and action not in pages.ACTIONS:
        raise BadRequest("no such action")
    context = {
        "page": pages.calls_page(before, action, timezone.now(), audited_by(request.user)),
        "older_than": before,
        "action": action,
        "actions": pages.ACTIONS,
    }
    return render(request, "audit/calls.html", context | _site(request))


@require_safe
@never_cache
@may_view
def call(request: HttpRequest, call_id: UUID) -> HttpResponse:
    areas = audited_by(request.user)
    try:
        record = call_open(call_id=call_id, by=asker(request), areas=areas)
    except (Call.DoesNotExist, ValueError, OverflowError):  # the latter two: an id that holds no time
        raise Http404 from None
    found = record.call
    previous, following = pages.neighbours(found, areas)
    context = {
        "call": found,
        "took": took(found.timings),
        "waterfall": waterfall(found.timings),
        "previous": previous,
        "next": following,
        "speeds": SPEEDS,
        "sent_digest": bytes(found.sent_digest).hex(),
        "originals": [part for part in record.parts if part.kind == "original"],
        "reveal": _reveal(found.id, request),
    }
    return render(request, "audit/call.html", context | evidence(record))


def _reveal(call_id: UUID, request: HttpRequest) -> Reveal | None:
    """While this person may look at the call's originals."""
    person = request.user.pk
    found = reveal_of(call_id, person) if person is not None else None
    return found if found is not None and found.until > timezone.now() else None


@require_safe
@never_cache
@may_view
def integrity_page(request: HttpRequest) -> HttpResponse:
    """Numbers and digests only, so every auditor sees it."""
    state = integrity()
    rows = [
        {"number": row.number, "at": row.at, "size": row.size, "digest": bytes(row.digest).hex()[:16]}
        for row in state.recent
    ]
    return render(request, "audit/integrity.html", {"state": state, "rows": rows})


@require_safe
@never_cache
@may_view
def acts_page(request: HttpRequest) -> HttpResponse:
    """Whoever audits sees the acts of their areas, and their own wherever those are."""
    reader, name = asker(request), request.GET.get("name", "")
    mine, before = request.GET.get("who") == "me", request.GET.get("before", "")
    if (name and name not in dict(ACTS)) or not re.fullmatch("[0-9]{0,19}", before):
        raise BadRequest("no such act")
    context = {
        "page": acts(
            audited_by(request.user),
            own=reader.subject,
            by=reader.subject if mine else "",
            name=name,
            before=int(before) if before else None,
        ),
        "names": ACTS,
        "name": name,
        "mine": mine,
        "older_than": before,
        "query": urlencode({"name": name, "who": "me" if mine else ""}) if name or mine else "",
    }
    return render(request, "audit/acts.html", context)


ACTS = (
    ("calls.searched", "Searches"),
    ("call.opened", "Calls opened"),
    ("value.", "Traces"),
    ("export.", "Exports"),
    ("original.", "Originals revealed"),
    ("evidence.", "Retention and erasure"),
    ("approval.", "Approvals"),
    ("schema", "Schemas"),
    ("policy", "Policies"),
    ("record.", "The record"),
)
"""By how an event's name begins."""


def _id(request: HttpRequest, name: str) -> UUID | None:
    """The keyset's place from the address; nonsense is a bad request, not a server error."""
    text = request.GET.get(name)
    try:
        found = UUID(text) if text else None
        if found is not None:
            ids.time_of(found)
        return found
    except (ValueError, OverflowError):
        raise BadRequest(f"{name} is no id") from None


def _site(request: HttpRequest) -> dict[str, Any]:
    return {"base_url": request.build_absolute_uri("/").rstrip("/")}
