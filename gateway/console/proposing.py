"""Pages for changes that take two people: what is proposed, by whom, and who may decide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.dateparse import parse_datetime
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from gateway.console.original_asking import KINDS
from gateway.models import User
from policies import proposals
from policies.models import Proposal, ProposalState
from policies.publishing import PolicyServiceError
from policies.reach import seen
from policies.store import scrubbers

SHOWN: Final = 100
"""Decided proposals on the page; open ones are all shown."""

FIRST: Final = 3
"""Changed fields of an open proposal in the list; its own page has them all."""

FROM_HERE: Final = frozenset(
    {
        "schema.publish",
        "schema.rollback",
        "policy.publish",
        "policy.rollback",
        "access_rule.delete",
        "issuer.delete",
        "retention.delete",
        "hold.lift",
    }
)
"""What is proposed on a page of ours. Everything else starts in the form that edits it."""

MAY_VIEW: Final = "policies.view_proposal"
may_view = permission_required(MAY_VIEW, raise_exception=True)


@dataclass(frozen=True, slots=True)
class Line:
    """One proposal in the list. `who` may confirm it; empty once it is decided or has run out."""

    proposal: Proposal
    title: str
    yours: bool
    may_decide: bool
    ran_out: bool
    runs_out: datetime
    who: str
    first: list[proposals.Row]
    more: int


@require_safe
@never_cache
@may_view
def proposal_list(request: HttpRequest) -> HttpResponse:
    person = _person(request)
    found = _seen(request)
    decidable = set(found.filter(proposals.waiting_for(person)).values_list("pk", flat=True))
    is_open = [_line(each, person, decidable) for each in found.filter(state=ProposalState.OPEN)]
    decided = found.exclude(state=ProposalState.OPEN).order_by("-decided_at")[:SHOWN]
    context = {
        "waiting": [line for line in is_open if not line.ran_out],
        "ran_out": [line for line in is_open if line.ran_out],
        "decided": [_line(each, person, decidable) for each in decided],
    }
    return render(request, "console/proposals.html", context)


@require_safe
@never_cache
@may_view
def proposal_page(request: HttpRequest, proposal_id: UUID) -> HttpResponse:
    return _shown(request, _found(request, proposal_id))


@require_POST
@may_view
def proposal_confirm(request: HttpRequest, proposal_id: UUID) -> HttpResponse:
    comment, seen = request.POST.get("comment", ""), request.POST.get("seen", "")
    return _decided(
        request,
        proposal_id,
        lambda proposal, by: proposals.confirm(proposal=proposal, by=by, seen=seen, comment=comment),
        "Confirmed. The change is in force.",
    )


@require_POST
@may_view
def proposal_reject(request: HttpRequest, proposal_id: UUID) -> HttpResponse:
    comment = request.POST.get("comment", "")
    return _decided(
        request,
        proposal_id,
        lambda proposal, by: proposals.reject(proposal=proposal, by=by, comment=comment),
        "Turned down. Nothing was changed.",
    )


@require_POST
@may_view
def proposal_withdraw(request: HttpRequest, proposal_id: UUID) -> HttpResponse:
    return _decided(
        request,
        proposal_id,
        lambda proposal, by: proposals.withdraw(proposal=proposal, by=by),
        "Withdrawn. Nothing was changed.",
    )


@require_http_methods(["GET", "HEAD", "POST"])
@never_cache
@may_view
def proposal_new(request: HttpRequest, kind: str, target_id: UUID) -> HttpResponse:
    """Say why, after having seen what would change."""
    known = proposals.KINDS.get(kind)
    if known is None or kind not in FROM_HERE:
        raise Http404
    context: dict[str, Any] = {"kind": known, "reason": request.POST.get("reason", ""), "problems": ()}
    try:
        payload = _payload(request, kind)
        context["sight"] = sight = known.look(target_id, {}, False)
        _require_sight(_person(request), known, sight)
        if request.method == "POST":
            scrubbers()  # compiled before the transaction
            made = proposals.propose(
                kind=kind,
                target_id=target_id,
                payload=payload,
                by=_person(request),
                reason=request.POST.get("reason", ""),
            )
            messages.success(request, f"Proposed. {who_confirms(made)}")
            return redirect("proposal", made.pk)
    except proposals.Gone as refusal:
        raise Http404 from refusal
    except PolicyServiceError as refusal:
        context["problems"] = getattr(refusal, "problems", None) or (str(refusal),)
    return render(request, "console/proposal_new.html", context, status=400 if context["problems"] else 200)


def _require_sight(person: User, known: proposals.Kind, sight: proposals.Sight) -> None:
    """404 behind a wall, 403 where this person sees what it is about and may not propose it."""
    if any(person.areas_with(perm).covers(sight.area_id) for perm in known.propose):
        return
    if person.areas_with(MAY_VIEW).covers(sight.area_id):
        raise PermissionDenied
    raise Http404


def _payload(request: HttpRequest, kind: str) -> dict[str, Any]:
    text = request.POST.get("effective_at", "").strip()
    if not text or not kind.endswith(".publish"):
        return {}
    moment = _moment(text)
    if moment is None:
        raise proposals.CannotApply(["Write the time as 2030-01-31 08:00, in UTC."])
    return {"effective_at": moment}


def _moment(text: str) -> str | None:
    try:
        found = parse_datetime(text if len(text) > 16 else f"{text.replace(' ', 'T')}:00")
    except ValueError:
        return None
    if found is None:
        return None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC).isoformat()


def _decided(
    request: HttpRequest, proposal_id: UUID, step: Callable[[Proposal, User], Proposal], done: str
) -> HttpResponse:
    """One step of a person who saw the page; a refusal is told there and nothing has happened."""
    proposal = _found(request, proposal_id)
    scrubbers()  # compiled before the transaction
    try:
        step(proposal, _person(request))
    except PolicyServiceError as refusal:
        for problem in getattr(refusal, "problems", None) or (str(refusal),):
            messages.error(request, problem)
    else:
        messages.success(request, done)
    return redirect("proposal", proposal_id)


def _shown(request: HttpRequest, proposal: Proposal) -> HttpResponse:
    person, is_open = _person(request), proposal.state == ProposalState.OPEN
    context = {
        "proposal": proposal,
        "title": _title(proposal),
        "is_open": is_open,
        "ran_out": proposals.has_run_out(proposal),
        "runs_out": proposals.runs_out(proposal),
        "is_mine": proposal.proposed_by_id == person.pk,
        "hindrance": proposals.hindrance(proposal, person) if is_open else "",
        "moved": is_open and proposals.has_moved(proposal),
        "who": who_confirms(proposal) if is_open else "",
        "tries_originals": proposal.kind in KINDS.values(),
    }
    return render(request, "console/proposal.html", context)


def who_confirms(proposal: Proposal) -> str:
    """In words, for whoever proposed it."""
    names = [each.get_username() for each in proposals.confirmers(proposal)]
    if not names:
        return "Nobody else may confirm it yet: give a second person a role that can."
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return f"It can be confirmed by {', '.join(names[:5])}{more}."


def _line(proposal: Proposal, person: User, decidable: set[UUID]) -> Line:
    waits = proposal.state == ProposalState.OPEN and not proposals.has_run_out(proposal)
    return Line(
        proposal=proposal,
        title=_title(proposal),
        yours=proposal.proposed_by_id == person.pk,
        may_decide=proposal.pk in decidable,
        ran_out=proposals.has_run_out(proposal),
        runs_out=proposals.runs_out(proposal),
        who=who_confirms(proposal) if waits else "",
        first=proposal.shown[:FIRST],
        more=max(0, len(proposal.shown) - FIRST),
    )


def _title(proposal: Proposal) -> str:
    known = proposals.KINDS.get(proposal.kind)
    return known.title if known else proposal.kind


def _seen(request: HttpRequest) -> QuerySet[Proposal]:
    rows = Proposal.objects.select_related("area", "proposed_by", "decided_by")
    return seen(_person(request), rows, [MAY_VIEW])


def _found(request: HttpRequest, proposal_id: UUID) -> Proposal:
    return get_object_or_404(_seen(request), pk=proposal_id)


def _person(request: HttpRequest) -> User:
    return cast(User, request.user)
