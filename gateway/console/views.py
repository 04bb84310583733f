"""The front page: what needs this person now. Reads only; every number comes from rows that exist."""

from __future__ import annotations

from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_safe

from audit.listing import call_rows
from audit.models import Call
from audit.walls import PERMISSION, Areas, audited_by, within
from gateway.console.doors import Door, doors_of, keys_of
from gateway.console.needs import needs_of, recorder_state
from gateway.console.overview import hours_of, rows_since, today_of
from gateway.models import User
from gateway.site import may_enter

RECENT = 8


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    user, now = cast(User, request.user), timezone.now()  # LoginRequiredMiddleware lets nobody else in
    site = request.build_absolute_uri("/").rstrip("/")
    doors = doors_of(user, now, site)
    context: dict[str, Any] = {
        "doors": doors,
        "first_door": _to_try(doors),
        "keys": keys_of(user, now),
        "base_url": site,
        "needs": None,
    }
    audits = user.has_perm(PERMISSION)
    if audits or may_enter(user):
        areas = audited_by(user)
        recorder = recorder_state(now)
        rows = rows_since(now, areas) if audits else None
        today = today_of(rows, now, areas) if rows is not None else None
        context |= {"recorder": recorder, "today": today, "needs": needs_of(user, now, today, recorder)}
        if rows is not None:
            context |= {"hours": hours_of(rows, now), "recent": call_rows(_recent(areas))}
    return render(request, "console/home.html", context)


def _to_try(doors: list[Door]) -> Door | None:
    """The door of the first snippet: a chat if there is one, since its path is known."""
    return min(doors, key=lambda door: not door.base_url.endswith("/v1"), default=None)


def _recent(areas: Areas) -> list[Call]:
    return list(within(Call.objects.order_by("-id"), areas)[:RECENT])
