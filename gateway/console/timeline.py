"""One timeline of the configuration: what was added, changed or deleted, by whom, why, and what was before.

Read from the history rows that are written with each change (`policies.history`) and from the membership
changes. Newest first, by keyset: their ids are UUIDv7. Reads only.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.contrib.auth.decorators import permission_required
from django.core.exceptions import BadRequest, ObjectDoesNotExist, ValidationError
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from gateway.models import MembershipChange, User
from gateway.models.history import KEPT as GATEWAY
from policies.content import NOTHING, plain, value_text
from policies.history import ADDED, CHANGED, COPIED, DELETED, history_of
from policies.models.history import KEPT as POLICIES

PAGE: Final = 50
MEMBERSHIP: Final = "membership"
WORDS: Final = {ADDED: "added", CHANGED: "changed", DELETED: "deleted"}
BADGES: Final = {ADDED: "published", CHANGED: "draft", DELETED: "revoked"}
UNSHOWN: Final = frozenset({"id", "created_at", "updated_at"})
_KEPT: Final[tuple[type[models.Model], ...]] = (*POLICIES, *GATEWAY)
KINDS: Final = {str(model._meta.model_name): model for model in _KEPT}
"""Models with a history, by their name in a URL."""

may_view = permission_required("gateway.view_history", raise_exception=True)


@dataclass(frozen=True, slots=True)
class Filters:
    """What the timeline is narrowed to."""

    kind: str = ""
    target: str = ""  # the object's key, together with its kind
    person: UUID | None = None
    until: datetime | None = None
    before: UUID | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One change. `rows`: (field, before, after) for people."""

    id: UUID
    at: datetime
    kind: str
    word: str
    badge: str
    name: str
    url: str
    by: str
    reason: str
    rows: tuple[tuple[str, str, str], ...]


@require_safe
@never_cache
@may_view
def history(request: HttpRequest) -> HttpResponse:
    asked = _filters(request)
    lines = timeline(asked)
    older = lines[PAGE - 1].id if len(lines) > PAGE else None
    context = {
        "lines": lines[:PAGE],
        "older": older,
        "asked": asked,
        "kinds": [(name, _title(name)) for name in (*KINDS, MEMBERSHIP)],
        "people": User.objects.filter(is_staff=True).order_by("username")[:200],
        "until": request.GET.get("until", ""),
        "narrowed": bool(asked.kind or asked.person or asked.until),
        "query": _query(request),
    }
    return render(request, "console/history.html", context)


def timeline(asked: Filters) -> list[Line]:
    """The newest lines, one more than a page if there are older ones."""
    found: list[tuple[UUID, Any]] = []
    for name, model in KINDS.items():
        if asked.kind in ("", name):
            found += [(row.history_id, row) for row in _rows(model, asked)]
    if asked.kind in ("", MEMBERSHIP):
        found += [(row.pk, row) for row in _memberships(asked)]
    newest = [row for _, row in heapq.nlargest(PAGE + 1, found, key=lambda pair: pair[0])]
    names = _names(newest)
    return [
        _membership_line(row, names) if isinstance(row, MembershipChange) else _line(row, names)
        for row in newest
    ]


def _rows(model: type[models.Model], asked: Filters) -> Iterable[Any]:
    rows = history_of(model).exclude(history_change_reason=COPIED)
    if asked.target:
        rows = rows.filter(**{str(model._meta.pk and model._meta.pk.name): asked.target})
    if asked.person:
        rows = rows.filter(history_user_id=asked.person)
    if asked.until:
        rows = rows.filter(history_date__lt=asked.until)
    if asked.before:
        rows = rows.filter(history_id__lt=asked.before)
    return list(rows.order_by("-history_id")[: PAGE + 1])


def _memberships(asked: Filters) -> Iterable[MembershipChange]:
    rows = MembershipChange.objects.all()
    if asked.target:
        rows = rows.filter(member_id=asked.target)
    if asked.person:
        rows = rows.filter(changed_by_id=asked.person)
    if asked.until:
        rows = rows.filter(at__lt=asked.until)
    if asked.before:
        rows = rows.filter(pk__lt=asked.before)
    return list(rows.order_by("-pk")[: PAGE + 1])


def _names(rows: Iterable[Any]) -> dict[UUID, str]:
    wanted = {getattr(row, "history_user_id", None) or getattr(row, "changed_by_id", None) for row in rows}
    return {user.pk: user.get_username() for user in User.objects.filter(pk__in=wanted - {None})}


def _by(who: UUID | None, names: dict[UUID, str]) -> str:
    if who is None:
        return "Postern itself"
    return names.get(who, f"{who} (no longer there)")


def _line(row: Any, names: dict[UUID, str]) -> Line:
    model = row.instance_type
    name = str(model._meta.model_name)
    return Line(
        id=row.history_id,
        at=row.history_date,
        kind=_title(name),
        word=WORDS[row.history_type],
        badge=BADGES[row.history_type],
        name=_name(row),
        url=f"?kind={name}&object={row.instance.pk}",
        by=_by(row.history_user_id, names),
        reason=row.history_change_reason or "",
        rows=tuple(_changes(row)),
    )


def _membership_line(row: MembershipChange, names: dict[UUID, str]) -> Line:
    change = ("Group", NOTHING, row.group) if row.joined else ("Group", row.group, NOTHING)
    return Line(
        id=row.pk,
        at=row.at,
        kind=_title(MEMBERSHIP),
        word="joined" if row.joined else "left",
        badge="published" if row.joined else "revoked",
        name=row.member,
        url=f"?kind={MEMBERSHIP}&object={row.member_id}",
        by=_by(row.changed_by_id, names),
        reason=row.reason,
        rows=(change, ("Source", NOTHING, row.get_source_display())),
    )


def _changes(row: Any) -> Iterator[tuple[str, str, str]]:
    """Fields that differ from the row before; all that are set where there is none."""
    earlier = history_of(row.instance_type).filter(history_id__lt=row.history_id)
    key = row.instance_type._meta.pk.name
    before = earlier.filter(**{key: getattr(row, key)}).order_by("-history_id").first()
    gone = row.history_type == DELETED
    for field in row.tracked_fields:
        if field.name in UNSHOWN:
            continue
        old = _text(before, field.name) if before is not None else _text(row, field.name) if gone else NOTHING
        new = NOTHING if gone else _text(row, field.name)
        if old != new:
            yield str(field.verbose_name).capitalize(), old, new


def _text(row: Any, name: str) -> str:
    """A column for people. What it points at may be gone; then its key has to do."""
    field = row.instance_type._meta.get_field(name)
    if field.is_relation:
        key = getattr(row, field.attname)
        if key is None:
            return NOTHING
        target = field.related_model._default_manager.filter(pk=key).first()
        return f"{key} (no longer there)" if target is None else plain(str(target))
    return value_text(row.instance, name)


def _name(row: Any) -> str:
    try:
        return str(row.instance)
    except (ObjectDoesNotExist, AttributeError):  # it names what is gone by now
        for column in ("name", "slug", "value", "username"):
            if getattr(row, column, ""):
                return str(getattr(row, column))
        return str(row.instance.pk)


def _title(name: str) -> str:
    return "Group membership" if name == MEMBERSHIP else str(KINDS[name]._meta.verbose_name).capitalize()


def _filters(request: HttpRequest) -> Filters:
    """Raises `BadRequest` for what no link of ours says."""
    kind, target = request.GET.get("kind", ""), request.GET.get("object", "")
    if kind and kind not in (*KINDS, MEMBERSHIP):
        raise BadRequest("no such kind of object")
    if target and not kind:
        raise BadRequest("an object without its kind")
    if target:
        _check_key(kind, target)
    return Filters(
        kind, target, _uuid(request, "person"), _day(request.GET.get("until", "")), _uuid(request, "before")
    )


def _check_key(kind: str, target: str) -> None:
    model = KINDS.get(kind)
    key: Any = models.UUIDField() if model is None else model._meta.pk
    try:
        key.to_python(target)
    except (ValidationError, ValueError) as error:
        raise BadRequest("no such key") from error


def _uuid(request: HttpRequest, name: str) -> UUID | None:
    text = request.GET.get(name, "")
    try:
        return UUID(text) if text else None
    except ValueError:
        raise BadRequest(f"{name} is no id") from None


def _day(text: str) -> datetime | None:
    """The end of a day, in UTC."""
    if not text:
        return None
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC) + timedelta(days=1)
    except (ValueError, OverflowError):
        raise BadRequest("write the day as 2030-01-31") from None


def _query(request: HttpRequest) -> str:
    query = request.GET.copy()
    query.pop("before", None)
    return query.urlencode()
