"""What people do about rotation: plan it, begin it now, call it off, go back, enter spares.

RotationError      what these refuse, in words for the person who asked
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from gateway.credentials import versions
from gateway.credentials.secret import Secret
from gateway.credentials.services import HEADER_SAFE, master_keys, rotation_replace
from gateway.models import (
    Credential,
    CredentialState,
    CredentialVersion,
    Rotation,
    RotationCause,
    RotationPlan,
    User,
)
from gateway.models.rotation import under_way
from gateway.rotating import planning, schedule
from gateway.rotating.registry import named
from gateway.rotating.sweeping import open_rotation
from policies.content import changed
from policies.history import attributed
from policies.journal import note


class RotationError(Exception):
    """Refused; the text says why."""


@attributed
def plan_save(*, plan: RotationPlan, by: User | None) -> RotationPlan:
    """Store how a credential is rotated. The next rotation is due by the new schedule, counted from the
    secret in use. Raises `ValidationError`."""
    plan_check(plan)
    plan.full_clean()
    with transaction.atomic():
        credential = Credential.objects.select_for_update().get(pk=plan.credential_id)
        stored = RotationPlan.objects.filter(pk=plan.pk).first()
        fields = changed(stored, plan)
        if stored is not None and not fields:
            return plan
        current = credential.versions.filter(state=CredentialState.CURRENT).first()
        since = current.activated_at or current.created_at if current else timezone.now()
        plan.next_at = planning.next_due(plan, since)
        plan.save()
        facts = {"name": credential.name, "fields": fields, "rotator": plan.rotator}
        action = "rotation.plan_changed" if stored else "rotation.planned"
        note(action=action, by=by, target=credential, facts=facts)
    return plan


@attributed
def plan_pause(*, credential: Credential, paused: bool, by: User | None) -> RotationPlan:
    """Nothing begins by itself, or does again; all else stays as it is by then. Raises `RotationError` and
    `ValidationError`."""
    with transaction.atomic():
        locked = Credential.objects.select_for_update().get(pk=credential.pk)
        plan = RotationPlan.objects.filter(credential=locked).first()
        if plan is None:
            raise RotationError("It has no plan.")
        plan.paused = paused
        return plan_save(plan=plan, by=by)


def plan_check(plan: RotationPlan) -> None:
    """Raises `ValidationError` with what is wrong, by field."""
    wrong: dict[str, list[str]] = {}
    rotator = named(plan.rotator)
    if rotator is None:
        wrong["rotator"] = ["There is no such rotator."]
    else:
        wrong["options"] = list(rotator.complaints(plan.options))
        if rotator.needs_door and plan.admin_credential is None:
            wrong["admin_credential"] = ["This rotator needs a credential for the provider's admin API."]
    if plan.admin_credential is not None:
        wrong.setdefault("admin_credential", []).extend(_unfit_door(plan))
    for name, complaint in _unfit_schedule(plan):
        wrong.setdefault(name, []).append(complaint)
    if wrong := {name: said for name, said in wrong.items() if said}:
        raise ValidationError(wrong)


def _unfit_door(plan: RotationPlan) -> Sequence[str]:
    admin = plan.admin_credential
    assert admin is not None  # noqa: S101  asked above
    if admin.pk == plan.credential_id:
        return ["A credential does not open its own provider: use another one."]
    if admin.area_id != plan.credential.area_id:
        return ["The admin credential lies in another area."]
    return []


def _unfit_schedule(plan: RotationPlan) -> Sequence[tuple[str, str]]:
    found = []
    checks: dict[str, Callable[[], object]] = {
        "timezone": lambda: schedule.zone_of(plan.timezone),
        "windows": lambda: schedule.windows_of(plan.windows),
        "cron": lambda: schedule.cron_check(plan.cron) if plan.cron else None,
    }
    for name, check in checks.items():
        try:
            check()
        except schedule.ScheduleError as error:
            found.append((name, str(error)))
    if plan.every is not None and plan.cron:
        found.append(("cron", "Choose a time between rotations or cron, not both."))
    return found


@attributed
def plan_drop(*, plan: RotationPlan, by: User | None) -> None:
    """Rotate no longer. What is under way ends; keys that a provider still has are yours to take back."""
    with transaction.atomic():
        credential = Credential.objects.select_for_update().get(pk=plan.credential_id)
        rotation_replace(credential=credential, code="plan_dropped")
        note(action="rotation.plan_dropped", by=by, target=credential, facts={"name": credential.name})
        plan.delete()


@attributed
def rotate_now(*, credential: Credential, by: User | None, compromised: bool = False) -> Rotation:
    """Begin one at once, whatever the schedule and its windows say.

    `compromised`: with the switch the secrets before are taken back, without overlap. A rotation that is
    under way goes on as that. Raises `RotationError`.
    """
    cause = RotationCause.COMPROMISED if compromised else RotationCause.ASKED
    with transaction.atomic():
        locked = Credential.objects.select_for_update().get(pk=credential.pk)
        if not RotationPlan.objects.filter(credential=locked).exists():
            raise RotationError("It has no plan: say first who makes its secrets.")
        opened = open_rotation(locked, cause, asked_by=by)
        if opened is not None:
            return opened
        if not compromised:
            raise RotationError("A rotation is under way.")
        running = under_way(locked)
        assert running is not None  # noqa: S101  else one had been opened
        Rotation.objects.filter(pk=running.pk).update(cause=cause)
        facts = {"name": locked.name, "origin": locked.origin, "cause": str(cause)}
        note(action="rotation.hurried", by=by, target=locked, facts=facts)
        return running


@attributed
def secret_revoke_now(*, credential: Credential, by: User | None) -> int:
    """Stop sending every secret of it now, and have its provider take back what it made. Calls are refused
    until there is another. Returns how many went."""
    with transaction.atomic():
        locked = Credential.objects.select_for_update().get(pk=credential.pk)
        rotation_replace(credential=locked, code="revoked")
        gone = versions.retire(locked.versions.exclude(state=CredentialState.SPARE))
        note(action="credential.revoked", by=by, target=locked, facts={"name": locked.name, "versions": gone})
    return gone


@attributed
def rotation_cancel(*, credential: Credential, by: User | None) -> None:
    """Call off what is under way: the secret in use stays. Raises `RotationError`."""
    with transaction.atomic():
        locked = Credential.objects.select_for_update().get(pk=credential.pk)
        if rotation_replace(credential=locked, code="cancelled") is None:
            raise RotationError("No rotation is under way.")
        note(action="rotation.cancelled", by=by, target=locked, facts={"name": locked.name})


@attributed
def roll_back(*, version: CredentialVersion, by: User | None) -> None:
    """Use a version before again; the one in use becomes previous. Raises `RotationError`."""
    with transaction.atomic():
        credential = Credential.objects.select_for_update().get(pk=version.credential_id)
        row = credential.versions.filter(pk=version.pk, state=CredentialState.PREVIOUS).first()
        if row is None:
            raise RotationError("That version cannot be gone back to: it was taken back, or is in use.")
        plan = RotationPlan.objects.filter(credential=credential).first()
        versions.make_current(row, retire_at=timezone.now() + plan.overlap if plan else None)
        facts = {"name": credential.name, "number": row.number}
        note(action="credential.rolled_back", by=by, target=credential, facts=facts)


@attributed
def spares_add(*, credential: Credential, secrets: Sequence[Secret], by: User | None) -> int:
    """Seal secrets that a rotation from a list uses one after the other. Raises `RotationError`."""
    if any(not HEADER_SAFE.match(each.reveal()) for each in secrets):
        raise RotationError("A secret is 1 to 4096 visible ASCII characters without spaces.")
    if len({each.reveal() for each in secrets}) != len(secrets):
        raise RotationError("One of them is there twice.")
    with transaction.atomic():
        locked = Credential.objects.select_for_update().get(pk=credential.pk)
        for secret in secrets:
            versions.version_seal(
                keys=master_keys(), credential=locked, secret=secret, state=CredentialState.SPARE, by=by
            )
        facts = {"name": locked.name, "spares": len(secrets)}
        note(action="credential.spares_added", by=by, target=locked, facts=facts)
    return len(secrets)
