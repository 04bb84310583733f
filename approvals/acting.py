"""What reviewers do on their pages. Each is a POST about one approval; none is about several."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST

from approvals import services, walls
from approvals.models import Approval, Choice, Status
from approvals.services import ApprovalRefused, ReasonRefused
from approvals.views import may_view, shown, visible

Act = Callable[[HttpRequest, Approval], str]
UNSURE = "Tick that you decide alone, in an emergency."


def act(does: Act) -> Callable[..., HttpResponse]:
    """A view for an act on one approval: what it returns is said on the next page. A refusal is said as well;
    where only the words are missing the page comes back with what was typed."""

    @require_POST
    @may_view
    @wraps(does)
    def view(request: HttpRequest, approval_id: UUID) -> HttpResponse:
        approval = visible(request, approval_id)
        try:
            said = does(request, approval)
        except ReasonRefused as missing:
            return shown(request, approval, error=str(missing), typed=_reason(request))
        except ApprovalRefused as refused:
            messages.error(request, str(refused))
            return redirect("review:approval", approval_id)
        messages.success(request, said)
        if does.__name__ == "comment":
            return redirect("review:approval", approval_id)
        return redirect("review:queue")

    return view


@act
def decide(request: HttpRequest, approval: Approval) -> str:
    emergency = request.POST.get("emergency") == "1"
    _reviews(request, approval)
    if emergency and request.POST.get("sure") != "1":
        raise ReasonRefused(UNSURE)
    stands = services.approval_decide(
        approval_id=approval.pk,
        by=request.user,
        choice=_choice(request),
        reason=_reason(request),
        seen=_seen(request),
        emergency=emergency,
    )
    return _outcome(stands)


@act
def revoke(request: HttpRequest, approval: Approval) -> str:
    _reviews(request, approval)
    services.approval_revoke(approval_id=approval.pk, by=request.user, reason=_reason(request))
    return f"Taken back: {approval.requester_name} can use this approval no more."


@act
def look_at(request: HttpRequest, approval: Approval) -> str:
    if not walls.decides_in(request.user, approval.area):
        raise PermissionDenied
    services.emergency_look_at(approval_id=approval.pk, by=request.user, note=_reason(request))
    return "Noted: somebody else has looked at this emergency."


@act
def comment(request: HttpRequest, approval: Approval) -> str:
    services.approval_comment(approval_id=approval.pk, by=request.user, text=_reason(request))
    return "Your comment is there for the requester and everybody who reviews this."


def _reviews(request: HttpRequest, approval: Approval) -> None:
    """Whoever only looks is refused. Why somebody may not decide about this one, the services say."""
    user: Any = request.user
    if not (walls.decides_in(user, approval.area) or walls.breaks_glass_in(user, approval.area)):
        raise PermissionDenied


def _outcome(approval: Approval) -> str:
    name = approval.requester_name
    if approval.status == Status.DENIED:
        return f"Denied: the call of {name} is refused."
    if approval.status == Status.APPROVED:
        return f"Approved: the call of {name} may go on, once."
    return f"Your vote counts. The call of {name} waits for one more person."


def _choice(request: HttpRequest) -> Choice:
    try:
        return Choice(request.POST.get("choice", ""))
    except ValueError:
        raise ReasonRefused("Choose: approve or deny.") from None


def _reason(request: HttpRequest) -> str:
    return request.POST.get("reason", "")


def _seen(request: HttpRequest) -> bytes:
    """What the page had shown; nonsense is the digest of nothing."""
    try:
        return bytes.fromhex(request.POST.get("seen", ""))
    except ValueError:
        return b""
