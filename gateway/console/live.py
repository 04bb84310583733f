"""`/live/`: the calls under way, which locks are in force, and the buttons that end and stop them."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import BadRequest, PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_POST, require_safe

from gateway import services
from gateway.console.living import CUT, LOCK, live_calls, may_look
from gateway.models import Lock, User
from gateway.models.lock import lock_in_force

LONGEST = 300
NO_REASON = "From the live page, without a reason"
LIFT = "gateway.change_lock"


@require_safe
@never_cache
def page(request: HttpRequest) -> HttpResponse:
    user = _user(request)
    _require(may_look(user) or bool(user.areas_with("gateway.view_lock")))
    now = timezone.now()
    locks = services.locks_seen(user).filter(lock_in_force(now)).order_by("-created_at")
    context: dict[str, Any] = {
        "live": live_calls(holder=user, now=now),
        "may_look": may_look(user),
        "locks": [(lock, _may_lift(user, lock)) for lock in locks],
        "all_stopped": any(lock.everything for lock in locks),
        "may_stop_all": services.may_lock(user, None),
    }
    return render(request, "console/live.html", context)


@require_POST
def cut(request: HttpRequest, call_id: UUID) -> HttpResponse:
    user = _user(request)
    _require(bool(user.areas_with(CUT)))
    try:
        if not user.areas_with(CUT).covers_slug(services.call_named(call_id).area):
            raise services.UnknownCall
        made = services.call_cut(call_id=call_id, by=user, reason=_reason(request))
    except services.UnknownCall:
        raise Http404 from None
    except services.CallEnded as ended:
        messages.info(request, str(ended))
    else:
        words = "The call is being ended." if made else "This call was being ended already."
        messages.success(request, words)
    return redirect("live")


@require_POST
def lock(request: HttpRequest) -> HttpResponse:
    user = _user(request)
    _require(bool(user.areas_with(LOCK)))
    try:
        target = services.lockable(user, request.POST.get("target", ""))
    except services.NoTarget as unknown:
        messages.error(request, str(unknown))
        return redirect("live")
    made = services.lock_set(by=user, reason=_reason(request), **target)
    if made.everything:
        messages.warning(request, "All calls are stopped. What runs ends within seconds.")
    else:
        messages.success(request, f"{made.target_name} is locked. What runs ends within seconds.")
    return redirect("live")


@require_POST
def lift(request: HttpRequest, lock_id: UUID) -> HttpResponse:
    user = _user(request)
    found = get_object_or_404(services.locks_seen(user), pk=lock_id)
    _require(_may_lift(user, found))
    if services.lock_lift(lock=found, by=user):
        messages.success(request, f"The lock on {found.target_name} is lifted.")
    else:
        messages.info(request, "This lock had been lifted before.")
    return redirect("live")


def _may_lift(user: User, lock: Lock) -> bool:
    return services.may_lock(user, services.locked_row(lock), LIFT)


def _reason(request: HttpRequest) -> str:
    """Whole: half of a value is found by no detector."""
    reason = request.POST.get("reason", "").strip()
    if len(reason) > LONGEST:
        raise BadRequest(f"Say it in {LONGEST} characters.")
    return reason or NO_REASON


def _user(request: HttpRequest) -> User:
    return cast(User, request.user)  # LoginRequiredMiddleware lets nobody else in


def _require(allowed: bool) -> None:
    if not allowed:
        raise PermissionDenied
