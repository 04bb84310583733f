"""Looking at a sealed original: one auditor asks, another confirms, and it shows for a quarter of an hour."""

from __future__ import annotations

from codecs import BOM_UTF8
from dataclasses import dataclass, replace
from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.contrib.auth.decorators import permission_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from audit import ids, originals, replay
from audit.hybrid import RESPONSE
from audit.judgement import answered
from audit.models import Call, Reveal
from audit.originals import Opened
from audit.records import Who
from audit.replay import Payload
from audit.walls import PERMISSION, audited_by, within
from gateway.console.proposing import who_confirms
from gateway.models import User
from gateway.reveal_kinds import KIND, check_not_own
from policies import proposals
from policies.journal import who
from policies.models import Proposal, ProposalState
from policies.publishing import PolicyServiceError
from policies.store import scrubbers

may_view = permission_required(PERMISSION, raise_exception=True)


@dataclass(frozen=True, slots=True)
class Shown:
    """One original on the page, as inert text."""

    of: str
    view: Payload | None
    problem: str = ""
    partial: bool = False


@require_safe
@never_cache
@may_view
def page(request: HttpRequest, call_id: UUID) -> HttpResponse:
    """For whoever asked; for everybody else there is nothing here. Each look is an event of its own."""
    call, person, now = _call(request, call_id), _person(request), timezone.now()
    reveal = originals.reveal_of(call.id, person.pk)
    if reveal is not None and reveal.until > now:
        return _shown(request, call, reveal)
    asked = Proposal.objects.filter(kind=KIND, target_id=call.id, proposed_by=person)
    last = asked.order_by("-proposed_at").first()
    if last is None:
        raise Http404
    context = {"proposal": last, "reveal": reveal, "waits": _waits(last), "who": ""}
    if context["waits"]:
        context["who"] = who_confirms(last)
    return _rendered(request, call, context)


@require_POST
@never_cache
@may_view
def ask(request: HttpRequest, call_id: UUID) -> HttpResponse:
    call, person = _call(request, call_id), _person(request)
    reason = request.POST.get("reason", "")
    scrubbers()  # compiled before the transaction
    try:
        check_not_own(call, person, "ask")
        proposals.propose(kind=KIND, target_id=call.id, payload={}, by=person, reason=reason)
    except PolicyServiceError as refusal:
        problems = getattr(refusal, "problems", None) or (str(refusal),)
        return _rendered(request, call, {"problems": problems, "reason": reason[: proposals.LONGEST]}, 400)
    messages.success(request, "Asked. You may look once somebody else has confirmed it.")
    return redirect("original", call.id)


def _shown(request: HttpRequest, call: Call, reveal: Reveal) -> HttpResponse:
    try:
        found = originals.originals_open(call, reveal, _who(request), timezone.now())
    except PermissionError:  # it was over a moment ago
        return redirect("original", call.id)
    shown = [_view(each, streamed=bool(call.streaming)) for each in found]
    return _rendered(request, call, {"reveal": reveal, "shown": shown, "left": answered(call.extra).left})


def _view(each: Opened, *, streamed: bool) -> Shown:
    if each.problem:
        return Shown(each.of, None, each.problem)
    if each.of != RESPONSE:
        return Shown(each.of, replay.request(each.data, b"[]"))
    data = _in_lines(each.data) if streamed else each.data
    view = replay.response([(data, b"[]")], streamed=streamed, cut=each.partial)
    return Shown(each.of, view, partial=each.partial)


def _in_lines(data: bytes) -> bytes:
    """A stream as it came may end its lines in three ways; the record's end in one."""
    return data.removeprefix(BOM_UTF8).replace(b"\r\n", b"\n").replace(b"\r", b"\n")


def _rendered(request: HttpRequest, call: Call, context: dict[str, Any], status: int = 200) -> HttpResponse:
    response = render(request, "audit/original.html", {"call": call, **context}, status=status)
    response["Referrer-Policy"] = "no-referrer"
    return response


def _waits(proposal: Proposal) -> bool:
    return proposal.state == ProposalState.OPEN and not proposals.has_run_out(proposal)


def _call(request: HttpRequest, call_id: UUID) -> Call:
    """A call that this person audits and whose originals were kept."""
    try:
        rows = within(Call.objects.all(), audited_by(request.user))
        call = rows.get(id=call_id, started_at=ids.time_of(call_id))
    except (Call.DoesNotExist, ValueError, OverflowError):  # the latter two: an id that holds no time
        raise Http404 from None
    if not originals.has_originals(call):
        raise Http404
    return call


def _who(request: HttpRequest) -> Who:
    return replace(who(_person(request)), network=request.META.get("REMOTE_ADDR", ""))


def _person(request: HttpRequest) -> User:
    return cast(User, request.user)
