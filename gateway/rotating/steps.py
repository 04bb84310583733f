"""The steps of a rotation, each of which may be killed anywhere and done again.

    create ──► test ──► switch ──► done          previous versions ──► retired (retiring.py)
       │         │
       └─────────┴──► failed: what was made is taken back (`clear_up`); the secret in use stays

A key that was made but not recorded, by a worker that died in between, is found by its label and taken back
before another is made. Nothing is used that was not tried, nothing is taken back that is in use (P18).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Final

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from gateway.credentials import versions
from gateway.credentials.sealing import SealError
from gateway.credentials.services import (
    NoSecret,
    credential_reveal_for_origin,
    master_keys,
    secret_problem,
)
from gateway.models import (
    Credential,
    CredentialState,
    CredentialVersion,
    Rotation,
    RotationCause,
    RotationPlan,
    RotationStep,
)
from gateway.models.webhook import RECOVERED
from gateway.notifying.alerts import credential_alert, failure_alert
from gateway.rotating import planning
from gateway.rotating.contract import FromList, Made, Refused, Rotator, RotatorError, Settling, Waiting
from gateway.rotating.errands import errand_for, rotator_of
from gateway.rotating.leasing import Lost, advance, backoff, save
from gateway.rotating.probing import Outcome, Probe, probe
from gateway.rotating.tidying import tidy
from policies.history import acting
from policies.journal import note

log = logging.getLogger(__name__)

PATIENCE: Final = {
    "rejected": timedelta(minutes=2),  # until a new key is known everywhere at its provider
    "unreachable": timedelta(minutes=15),
    "untestable": timedelta(0),
}
SLOWLY: Final = timedelta(minutes=30)
"""The same where replicas start anew, one after the other, with a model to load."""

SETTLING: Final = "settling"
OFTEN: Final = timedelta(seconds=5)
CREATE_TRIES: Final = 5
WAIT: Final = timedelta(minutes=5)
ARRIVED: Final = timedelta(minutes=2)
"""After which no request to make a key is on its way any more."""

BECAUSE: Final = "Rotation"

Step = Callable[[Rotation, RotationPlan], None]


def work(rotation: Rotation) -> None:
    """Do the next step of a rotation that was taken. Whoever it was lost to goes on with it."""
    plan = RotationPlan.objects.select_related("credential", "admin_credential").filter(
        credential_id=rotation.credential_id
    )
    try:
        with acting(rotation.asked_by, BECAUSE):
            found = plan.first()
            if rotation.step == RotationStep.FAILED:
                clear_up(rotation, found)
            elif found is None:
                fail(rotation, None, "no_plan", "Its plan was taken away.")
            else:
                STEPS[RotationStep(rotation.step)](rotation, found)
    except Lost:
        log.info("a rotation went to somebody else")


# --- create -----------------------------------------------------------------------------------------


def create(rotation: Rotation, plan: RotationPlan) -> None:
    try:
        _create(rotation, plan, rotator_of(plan))
    except Waiting as waits:
        save(
            rotation,
            next_at=timezone.now() + WAIT,
            tries=0,
            error=waits.code,
            detail=str(waits)[:300],
        )
    except Refused as refused:
        fail(rotation, plan, refused.code, str(refused))
    except RotatorError as failed:
        _again(rotation, plan, failed.code, str(failed), gives_up=rotation.tries >= CREATE_TRIES)


def _create(rotation: Rotation, plan: RotationPlan, rotator: Rotator) -> None:
    if not settings.MASTER_KEYS:
        raise Refused("no_master_key", "There is no master key to seal a new secret with.")
    tidy(rotator, errand_for(plan, rotation.pk, rotation.attempt), plan.credential, ours=rotation)
    save(rotation, attempt=rotation.attempt + 1)  # on record before the provider hears of it
    errand = errand_for(plan, rotation.pk, rotation.attempt)
    made = rotator.create(errand)
    if isinstance(made, FromList):
        _take_spare(rotation, plan)
        return
    try:
        _keep(rotation, plan, made)
    except (Lost, Refused):
        rotator.revoke(errand, made.provider_id)
        raise


def _keep(rotation: Rotation, plan: RotationPlan, made: Made) -> None:
    """Seal what was made and go on to trying it, in one transaction. Raises `Lost` and `Refused`."""
    if problem := secret_problem(plan.credential.placement, made.secret):
        raise Refused("unfit", f"What the provider made cannot be sent. {problem}")
    try:
        with transaction.atomic():
            credential = Credential.objects.select_for_update().get(pk=plan.credential_id)
            version = versions.version_seal(
                keys=master_keys(),
                credential=credential,
                secret=made.secret,
                state=CredentialState.PENDING,
                by=rotation.asked_by,
                provider_id=made.provider_id,
            )
            advance(rotation, RotationStep.TEST, version=version)
            planning.ends(plan, made.good_for)
            _tell("rotation.created", rotation, number=version.number, provider_id=made.provider_id)
    except SealError:
        raise Refused("no_master_key", "The new secret could not be sealed.") from None


def _take_spare(rotation: Rotation, plan: RotationPlan) -> None:
    with transaction.atomic():
        credential = Credential.objects.select_for_update().get(pk=plan.credential_id)
        spares = credential.versions.filter(state=CredentialState.SPARE).order_by("number")
        spare = spares.first()
        if spare is None:
            raise Refused("no_spare", "The list of spare secrets is empty.")
        versions.move(spares.filter(pk=spare.pk), state=CredentialState.PENDING)
        advance(rotation, RotationStep.TEST, version=spare)
        _tell("rotation.created", rotation, number=spare.number, spares=spares.count())


# --- test -------------------------------------------------------------------------------------------


def test(rotation: Rotation, plan: RotationPlan) -> None:
    tried, settling = _tried(rotation, plan), _settling(plan)
    settle = settling.settles(plan.options) if settling else timedelta(0)
    if tried.outcome is Outcome.WORKS and settling:
        tried = _everywhere(rotation, plan, settling) or tried
    if tried.outcome is Outcome.WORKS:
        if not settle or _has_settled(rotation, settle):
            with transaction.atomic():
                advance(rotation, RotationStep.SWITCH)
                _tell("rotation.tested", rotation, where=tried.detail)
        return
    code = tried.outcome.value
    began, patience = rotation.step_since, PATIENCE[code]
    if settle and patience:
        began, patience = rotation.started_at, SLOWLY + settle
    _again(rotation, plan, code, tried.detail, gives_up=timezone.now() - began >= patience)


def _settling(plan: RotationPlan) -> Settling | None:
    try:
        rotator = rotator_of(plan)
    except Refused:  # taken away meanwhile; what it made is tried all the same
        return None
    return rotator if isinstance(rotator, Settling) else None


def _everywhere(rotation: Rotation, plan: RotationPlan, settling: Settling) -> Probe | None:
    """Why it is not used though it works: a replica may not know it yet. None: all do, or nobody can tell."""
    try:
        ready = settling.ready(errand_for(plan, rotation.pk, rotation.attempt))
    except RotatorError as failed:
        return Probe(Outcome.UNREACHABLE, str(failed)[:200])
    return None if ready else Probe(Outcome.UNREACHABLE, "It works, but not every replica has started anew.")


def _has_settled(rotation: Rotation, settle: timedelta) -> bool:
    """Whether it has worked for so long. If not, it is tried again in a moment."""
    now = timezone.now()
    since = rotation.step_since if rotation.error == SETTLING else now
    if now - since >= settle:
        return True
    again = min(now + OFTEN, since + settle)
    save(rotation, next_at=again, step_since=since, tries=0, error=SETTLING, detail="It works so far.")
    return False


def _tried(rotation: Rotation, plan: RotationPlan) -> Probe:
    version = rotation.version
    if version is None or version.state != CredentialState.PENDING:
        raise Lost
    try:
        secret = credential_reveal_for_origin(version=version, origin=plan.credential.origin)
    except NoSecret as error:
        return Probe(Outcome.UNTESTABLE, str(error)[:200])
    return probe(plan.credential, plan, secret)


# --- switch -----------------------------------------------------------------------------------------


def switch(rotation: Rotation, plan: RotationPlan) -> None:
    """From here on every process uses it, within two seconds; calls that run keep what they began with."""
    version = rotation.version
    if version is None:
        raise Lost
    with transaction.atomic():
        credential = Credential.objects.select_for_update().get(pk=plan.credential_id)
        now = timezone.now()
        finish(rotation, RotationStep.DONE)
        versions.make_current(version, retire_at=now + plan.overlap)
        if rotation.cause == RotationCause.COMPROMISED:
            versions.retire(credential.versions.filter(state=CredentialState.PREVIOUS))
        if credential.disabled_at is not None:
            credential.disabled_at = None
            credential.save(update_fields=("disabled_at",))
        if plan.failures:
            credential_alert(credential=credential, event=RECOVERED)
        planning.succeeded(plan)
        _tell("rotation.switched", rotation, number=version.number)


STEPS: Final[dict[RotationStep, Step]] = {
    RotationStep.CREATE: create,
    RotationStep.TEST: test,
    RotationStep.SWITCH: switch,
}


# --- how it ends ------------------------------------------------------------------------------------


def _again(rotation: Rotation, plan: RotationPlan, code: str, words: str, *, gives_up: bool) -> None:
    if gives_up and rotation.cause != RotationCause.COMPROMISED:
        fail(rotation, plan, code, words)
        return
    again = backoff(rotation.tries, least=1, most=30)
    save(rotation, next_at=again, error=code, detail=words[:300])


def fail(rotation: Rotation, plan: RotationPlan | None, code: str, words: str) -> None:
    """Give up: what was made is taken back, what is in use stays in use. Raises `Lost`."""
    with transaction.atomic():
        Credential.objects.select_for_update().get(pk=rotation.credential_id)
        finish(rotation, RotationStep.FAILED, error=code, detail=words[:300])
        if rotation.version_id is not None:
            pending = CredentialVersion.objects.filter(pk=rotation.version_id, state=CredentialState.PENDING)
            versions.retire(pending)
        if plan is not None:
            failure_alert(credential=plan.credential, failures=plan.failures)
            planning.failed(plan)
        _tell("rotation.failed", rotation, code=code)


def finish(rotation: Rotation, step: RotationStep, **values: object) -> None:
    now = timezone.now()
    again = now if step == RotationStep.FAILED and rotation.attempt else None
    save(rotation, step=step, next_at=again, ended_at=now, tries=0, **values)


def clear_up(rotation: Rotation, plan: RotationPlan | None) -> None:
    """Take back what a failed rotation's provider made without our hearing of it: at once, and when whatever
    was on its way there has arrived. Raises `Lost`."""
    if plan is None or rotation.ended_at is None:
        save(rotation, next_at=None)
        return
    try:
        tidy(rotator_of(plan), errand_for(plan, rotation.pk, rotation.attempt), plan.credential)
    except RotatorError:
        save(rotation, next_at=backoff(rotation.tries, least=2, most=3600))
        return
    later = rotation.ended_at + ARRIVED
    save(rotation, next_at=later if timezone.now() < later else None, tries=0)


def _tell(action: str, rotation: Rotation, **facts: object) -> None:
    credential = rotation.credential
    facts = {"name": credential.name, "origin": credential.origin, "cause": rotation.cause, **facts}
    note(action=action, by=rotation.asked_by, target=credential, facts=facts)
