"""One timeline of the configuration: what was added, changed or deleted, by whom, why, and what was before.

Read from the history rows that are written with each change (`policies.history`), from the membership changes
and from the permission changes. Newest first, by keyset: their ids are UUIDv7. Reads only.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final, cast
from uuid import UUID

from django.contrib.auth.decorators import permission_required
from django.core.exceptions import BadRequest, ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from gateway.console.changes import EXTRA, KINDS, MEMBERSHIP, PERMISSIONS, Line, lines_of, title
from gateway.identity.reach import Reach
from gateway.models import HolderKind, MembershipChange, PermissionChange, User
from policies.history import COPIED, history_of

PAGE: Final = 50
_HOLDER: Final = {"group": HolderKind.GROUP, "user": HolderKind.PERSON}

MAY_VIEW: Final = "gateway.view_history"
may_view = permission_required(MAY_VIEW, raise_exception=True)


@dataclass(frozen=True, slots=True)
class Filters:
    """What the timeline is narrowed to. `target` is the key of an object and needs its `kind`."""

    kind: str = ""
    target: str = ""
    person: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: UUID | None = None


@require_safe
@never_cache
@may_view
def history(request: HttpRequest) -> HttpResponse:
    asked = _filters(request)
    among = cast(User, request.user).areas_with(MAY_VIEW)
    lines = timeline(asked, among)
    context = {
        "lines": lines[:PAGE],
        "older": lines[PAGE - 1].id if len(lines) > PAGE else None,
        "asked": asked,
        "kinds": sorted(((name, title(name)) for name in (*KINDS, *EXTRA)), key=lambda pair: pair[1]),
        "people": _people() if among.everywhere else (),
        "since": request.GET.get("since", ""),
        "until": request.GET.get("until", ""),
        "narrowed": bool(asked.kind or asked.person or asked.since or asked.until),
        "query": _query(request),
    }
    return render(request, "console/history.html", context)


def _people() -> Iterable[User]:
    """Who may have changed something: whoever holds a role."""
    holds = models.Q(groups__role_grants__isnull=False) | models.Q(is_superuser=True)
    return User.objects.filter(holds).distinct().order_by("username")[:200]


def timeline(asked: Filters, among: Reach) -> list[Line]:
    """The newest lines, one more than a page if there are older ones.

    In an area: what still lies in it. Memberships and permissions lie in none.
    """
    found: list[tuple[UUID, Any]] = []
    for name, model in KINDS.items():
        if asked.kind in ("", name):
            found += [(row.history_id, row) for row in _rows(model, asked, among)]
    if among.everywhere:
        found += [(row.pk, row) for row in (*_memberships(asked), *_permissions(asked))]
    newest = heapq.nlargest(PAGE + 1, found, key=lambda pair: pair[0])
    return lines_of(row for _, row in newest)


def _rows(model: type[models.Model], asked: Filters, among: Reach) -> Iterable[Any]:
    rows = history_of(model).exclude(history_change_reason=COPIED)
    if not among.everywhere:
        rows = rows.filter(among.q_history(model))
    if asked.target:
        rows = rows.filter(**{str(model._meta.pk and model._meta.pk.name): asked.target})
    if asked.person:
        rows = rows.filter(history_user_id=asked.person)
    return _page(rows, asked, key="history_id", at="history_date")


def _memberships(asked: Filters) -> Iterable[MembershipChange]:
    """All of them, or those of one member or one group, whose own timeline they belong to."""
    rows = MembershipChange.objects.all()
    if asked.kind == "group" and asked.target:
        rows = rows.filter(group_id=asked.target)
    elif asked.kind in ("user", "serviceaccount", MEMBERSHIP) and asked.target:
        rows = rows.filter(member_id=asked.target)
    elif asked.kind not in ("", MEMBERSHIP):
        return ()
    if asked.person:
        rows = rows.filter(changed_by_id=asked.person)
    return _page(rows, asked)


def _permissions(asked: Filters) -> Iterable[PermissionChange]:
    """All of them, or those of one group or one person."""
    rows = PermissionChange.objects.all()
    if asked.kind in ("group", "user") and asked.target:
        rows = rows.filter(holder_id=asked.target, holder_kind=_HOLDER[asked.kind])
    elif asked.kind not in ("", PERMISSIONS):
        return ()
    if asked.person:
        rows = rows.filter(changed_by_id=asked.person)
    return _page(rows, asked)


def _page(rows: Any, asked: Filters, *, key: str = "id", at: str = "at") -> list[Any]:
    bounds = {f"{at}__gte": asked.since, f"{at}__lt": asked.until, f"{key}__lt": asked.before}
    narrowed = rows.filter(**{name: value for name, value in bounds.items() if value})
    return list(narrowed.order_by(f"-{key}")[: PAGE + 1])


def _filters(request: HttpRequest) -> Filters:
    """Raises `BadRequest` for what no link of ours says."""
    kind, target = request.GET.get("kind", ""), request.GET.get("object", "")
    if kind and kind not in (*KINDS, *EXTRA):
        raise BadRequest("no such kind of object")
    if target and kind in ("", PERMISSIONS):
        raise BadRequest("an object without its kind")
    if target:
        target = _key(kind, target)
    until = _day(request, "until")
    return Filters(
        kind=kind,
        target=target,
        person=_uuid(request, "person"),
        since=_day(request, "since"),
        until=until + timedelta(days=1) if until else None,
        before=_uuid(request, "before"),
    )


def _key(kind: str, target: str) -> str:
    model = KINDS.get(kind)
    key: Any = models.UUIDField() if model is None else model._meta.pk
    try:
        return str(key.to_python(target))
    except (ValidationError, ValueError) as error:
        raise BadRequest("no such key") from error


def _uuid(request: HttpRequest, name: str) -> UUID | None:
    text = request.GET.get(name, "")
    try:
        return UUID(text) if text else None
    except ValueError:
        raise BadRequest(f"{name} is no id") from None


def _day(request: HttpRequest, name: str) -> datetime | None:
    """The beginning of a day, in UTC."""
    text = request.GET.get(name, "")
    if not text:
        return None
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        day = None
    if day is None or not 1970 <= day.year <= 9000:
        raise BadRequest("write the day as 2030-01-31")
    return day


def _query(request: HttpRequest) -> str:
    query = request.GET.copy()
    query.pop("before", None)
    return query.urlencode()
