"""Locks and cuts: what stops callers, endpoints and calls at once. Nothing here is reachable from the hot
path, which sees the rows within a second.

NoTarget            a lock cannot be set on this: there is nothing of that name
CutRefused
├── UnknownCall     no call of this id is on record
└── CallEnded       it had come to its end before
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

from django.contrib.auth.models import Group
from django.core.exceptions import PermissionDenied
from django.db import models, transaction
from django.utils import timezone

from approvals.counting import votes_set_aside_soon
from audit import ids
from audit.events import NOBODY, event
from audit.models import Call
from gateway.callers import caller_named, endpoint_named
from gateway.identity.reach import Reach
from gateway.models import ApiKey, Area, Cut, Endpoint, Lock, ServiceAccount, User
from policies.history import attributed, record
from policies.journal import note, who
from policies.services import scrub

INSIDE = ("area", "endpoint__area", "service_account__area", "api_key__service_account__area")
"""The ways from a lock to the area that it lies in. One on a person, a group or everything lies in none."""


_FIELDS = {
    "user": "user",
    "service": "service_account",
    "key": "api_key",
    "group": "group",
    "endpoint": "endpoint",
    "area": "area",
}


NOTHING: Final = (
    "There is nothing of that name that you may lock: write user:…, group:…, endpoint:… or everything."
)


class NoTarget(LookupError):
    pass


class CutRefused(Exception):
    pass


class UnknownCall(CutRefused):
    def __init__(self) -> None:
        super().__init__("There is no such call.")


class CallEnded(CutRefused):
    def __init__(self) -> None:
        super().__init__("This call had ended before.")


class Holder(Protocol):
    """A person or a program."""

    def areas_with(self, permission: str) -> Reach: ...


def lock_target(text: str) -> dict[str, Any]:
    """What somebody names as `lock_set` takes it: `user:…`, `service:…`, `key:pst_…`, `group:…`,
    `endpoint:…`, `area:…` by name or short name, or `everything`. Raises `NoTarget`."""
    kind, _, name = text.strip().partition(":")
    if text.strip() == "everything":
        return {"everything": True}
    try:
        match kind:
            case "user" | "service" | "key":
                found: models.Model | None = caller_named(text)
            case "endpoint":
                found = endpoint_named(name)
            case "group" | "area" if name.isprintable():
                found = _named(kind, name)
            case _:
                found = None
    except LookupError:
        found = None
    if found is None:
        raise NoTarget(NOTHING)
    return {_FIELDS[kind]: found}


def _named(kind: str, name: str) -> models.Model | None:
    if kind == "group":
        return Group.objects.filter(name=name).first()
    return Area.objects.filter(slug=name).first()


@attributed
def lock_set(
    *,
    by: User | None,
    reason: str,
    user: User | None = None,
    service_account: ServiceAccount | None = None,
    api_key: ApiKey | None = None,
    group: Group | None = None,
    endpoint: Endpoint | None = None,
    area: Area | None = None,
    everything: bool = False,
    expires_at: datetime | None = None,
) -> Lock:
    """Stop one person, service account, key, group, endpoint or area, or every call; what runs is cut.

    The reason is kept as scrubbed. Raises `IntegrityError` unless it is exactly one target.
    """
    words = scrub(reason)
    with transaction.atomic():
        lock = Lock.objects.create(
            user=user,
            service_account=service_account,
            api_key=api_key,
            group=group,
            endpoint=endpoint,
            area=area,
            everything=everything,
            reason=words.data.decode()[:300],
            created_by=by,
            expires_at=expires_at,
        )
        note(action="lock.set", by=by, target=lock, facts={"on": lock.target_name}, words=words)
        if user is not None or group is not None:
            votes_set_aside_soon()
    return lock


@attributed
def lock_lift(*, lock: Lock, by: User | None) -> bool:
    """End a lock; False when it had been lifted before."""
    with transaction.atomic():
        updated = Lock.objects.filter(pk=lock.pk, lifted_at=None).update(
            lifted_at=timezone.now(), lifted_by=by
        )
        if updated:
            record(Lock.objects.filter(pk=lock.pk))
            note(action="lock.lifted", by=by, target=lock, facts={"on": lock.target_name})
    return bool(updated)


def may_lock(holder: Holder, target: models.Model | None, permission: str = "gateway.add_lock") -> bool:
    """Whether somebody may stop this. None: everything, which takes a role that is held everywhere, as
    persons and groups do."""
    reach = holder.areas_with(permission)
    if isinstance(target, ApiKey):  # one of a person lies nowhere
        target = target.service_account
    return reach.everywhere if target is None else reach.covers_row(target)


def lockable(holder: Holder, text: str) -> dict[str, Any]:
    """What `lock_target` finds, if they may stop it. What they may not stop is no different from what is not
    there: `NoTarget`. That everything can be stopped is no secret: `PermissionDenied`."""
    target = lock_target(text)
    everything = "everything" in target
    if not may_lock(holder, None if everything else next(iter(target.values()))):
        raise PermissionDenied if everything else NoTarget(NOTHING)
    return target


def locked_row(lock: Lock) -> models.Model | None:
    """What a lock is on, as `may_lock` takes it."""
    found = (lock.user, lock.service_account, lock.api_key, lock.group, lock.endpoint, lock.area)
    return next((row for row in found if row is not None), None)


def locks_seen(holder: Holder) -> models.QuerySet[Lock]:
    """The locks that somebody may see, with what they are on. One on everything is nobody's secret."""
    reach = holder.areas_with("gateway.view_lock")
    reached = models.Q(everything=True) if reach else models.Q(pk__in=[])
    for path in INSIDE:
        reached |= reach.q(path)
    if reach.everywhere:
        reached = models.Q()
    named = ("user", "service_account__area", "api_key__service_account__area", "api_key__user", "group")
    return Lock.objects.filter(reached).select_related(*named, "endpoint__area", "area", "created_by")


@attributed
def call_cut(*, call_id: UUID, by: User | None, reason: str) -> bool:
    """End one live call; its process does so within seconds. False when it was being cut already.

    Raises `UnknownCall` and `CallEnded`.
    """
    call = call_named(call_id)
    words = scrub(reason)
    if call.closed_at is not None:
        raise CallEnded
    area = Area.objects.filter(slug=call.area).first()
    with transaction.atomic():
        _, made = Cut.objects.get_or_create(
            call_id=call_id,
            defaults={"area": area, "reason": words.data.decode()[:300], "created_by": by},
        )
        if made:
            detail: dict[str, Any] = {"caller": call.subject, "endpoint": call.endpoint}
            about = f"call {call_id}"
            actor = who(by) if by else NOBODY
            event(
                "call.cut",
                by=actor,
                area=call.area,
                about=about,
                call_id=call_id,
                detail=detail,
                note=words,
            )
    return made


def call_named(call_id: UUID) -> Call:
    """Raises `UnknownCall`, also for an id that holds no time."""
    try:
        return Call.objects.get(id=call_id, started_at=ids.time_of(call_id))
    except (Call.DoesNotExist, ValueError, OverflowError):
        raise UnknownCall from None
