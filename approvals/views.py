"""The reviewers' pages: the queue, one held call, how policies' holds are decided.

Opening a held call is an event (P16). Nothing here decides: see `approvals.acting`.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from django.contrib.auth.decorators import permission_required
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from approvals import moves, queue, walls
from approvals.digests import seen_digest
from approvals.models import Approval
from approvals.rates import rates
from approvals.reading import facts_of, history_of, standing_of
from audit.held import held_open
from audit.records import Who
from policies.journal import who

may_view = permission_required(walls.VIEWS, raise_exception=True)


@require_safe
@never_cache
@may_view
def queue_page(request: HttpRequest) -> HttpResponse:
    return render(request, "approvals/queue.html", _queue(request))


@require_safe
@never_cache
@may_view
def queue_rows(request: HttpRequest) -> HttpResponse:
    """The part of the queue that changes, for the page's script."""
    return render(request, "approvals/rows.html", _queue(request))


@require_safe
@never_cache
@may_view
def approval_page(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    return shown(request, visible(request, approval_id))


@require_safe
@never_cache
@may_view
def approval_standing(request: HttpRequest, approval_id: UUID) -> HttpResponse:
    """How it stands now, for the page's script: the record is not opened again."""
    approval = visible(request, approval_id)
    context = {**facts_of(approval), "standing": standing_of(request.user, approval, timezone.now())}
    return render(request, "approvals/standing.html", context)


@require_safe
@never_cache
@may_view
def policies_page(request: HttpRequest) -> HttpResponse:
    return render(request, "approvals/policies.html", {"rates": rates(request.user, timezone.now())})


def shown(request: HttpRequest, approval: Approval, *, error: str = "", typed: str = "") -> HttpResponse:
    """The page about one approval; with `error`, what was wrong with what they sent."""
    now = timezone.now()
    context = {
        **facts_of(approval),
        "standing": standing_of(request.user, approval, now),
        "history": history_of(request.user, approval.requester_id, now, but=approval.pk),
        "held": held_open(
            approval_id=approval.pk, call_id=approval.call_id, area=approval.area, by=reader(request)
        ),
        "seen": seen_digest(approval).hex(),
        "may_audit": bool(request.user.areas_with("audit.view_call").covers_slug(approval.area)),  # type: ignore[union-attr]
        "error": error,
        "typed": typed,
    }
    return render(request, "approvals/approval.html", context, status=400 if error else 200)


def visible(request: HttpRequest, approval_id: UUID) -> Approval:
    """One that this person may look at; 404 for all others, and for those of a store that is gone."""
    approval = moves.find(approval_id)
    if approval is None or not walls.may_see(request.user, approval):
        raise Http404
    return approval


def reader(request: HttpRequest) -> Who:
    user: Any = request.user  # the permission was checked
    return replace(who(user), network=request.META.get("REMOTE_ADDR", ""))


def _queue(request: HttpRequest) -> dict[str, Any]:
    user, now = request.user, timezone.now()
    wanted, after = queue.filters_of(request.GET), _id(request, "after")
    decides = walls.decides_somewhere(user)
    if not decides:
        wanted = replace(wanted, everyone=True)
    page = queue.queue_page(user, wanted, after, now)
    return {
        "page": page,
        "wanted": wanted,
        "query": wanted.query(),
        "after": after,
        "decides": decides,
        "waiting": _waiting(user, page, now) if decides else queue.Count(0),
        "emergencies": queue.emergencies(user, now) if decides else [],
        "areas": sorted(user.areas_with(walls.VIEWS).slugs),  # type: ignore[union-attr]
        "levels": queue.LEVELS,
        "statuses": STATUSES,
        "orders": ORDERS,
    }


def _waiting(user: Any, page: queue.Page, now: datetime) -> queue.Count:
    """The first page of what waits for them says it already."""
    return queue.waiting_for(user, now) if page.waiting is None else page.waiting


STATUSES = (("waiting", "Waiting"), ("unused", "Approved, not used yet"), ("today", "Decided today"))
ORDERS = (("deadline", "Deadline"), ("risk", "Risk"))


def _id(request: HttpRequest, name: str) -> UUID | None:
    text = request.GET.get(name)
    try:
        return UUID(text) if text else None
    except ValueError:
        raise BadRequest(f"{name} is no id") from None
