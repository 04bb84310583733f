"""What has run out is wiped here, and taken back at its provider, until that has worked."""

from __future__ import annotations

import logging

from django.db import transaction
from django.utils import timezone

from gateway.credentials import versions
from gateway.models import Credential, CredentialState, CredentialVersion, RotationPlan
from gateway.models.webhook import NOT_TAKEN_BACK
from gateway.notifying.alerts import credential_alert
from gateway.rotating.contract import RotatorError
from gateway.rotating.errands import errand_for, rotator_of
from gateway.rotating.leasing import backoff, take_version
from gateway.rotating.tidying import tidy
from policies.history import acting
from policies.journal import note

log = logging.getLogger(__name__)

TOLD_AFTER = 3
"""Tries after which it is an event that a key could not be taken back."""


def retire_due(limit: int) -> int:
    """Returns how many were looked at."""
    due = list(versions.soonest(CredentialVersion.objects.all()).select_related("credential")[:limit])
    for version in due:
        with acting(None, "Rotation"):
            if version.state == CredentialState.PREVIOUS:
                _wipe(version)
            elif take_version(version):
                _take_back(version)
    return len(due)


def _wipe(version: CredentialVersion) -> None:
    """From here on nobody can go back to it."""
    with transaction.atomic():
        credential = Credential.objects.select_for_update().get(pk=version.credential_id)
        rows = credential.versions.filter(
            pk=version.pk, state=CredentialState.PREVIOUS, retire_next_at__lte=timezone.now()
        )
        if versions.retire(rows):
            facts = {"name": credential.name, "number": version.number, "provider_id": version.provider_id}
            note(action="credential.retired", by=None, target=credential, facts=facts)


def _take_back(version: CredentialVersion) -> None:
    plan = RotationPlan.objects.select_related("credential", "admin_credential").filter(
        credential_id=version.credential_id
    )
    found = plan.first()
    if found is None:
        _tell(version, "credential.left_at_provider", code="no_plan")
        versions.told(version)
        return
    try:
        rotator = rotator_of(found)
        errand = errand_for(found, version.pk, 0)
        rotator.revoke(errand, version.provider_id)
        tidy(rotator, errand, version.credential)
    except RotatorError as error:
        with transaction.atomic():
            if version.retire_tries == TOLD_AFTER:
                _tell(version, NOT_TAKEN_BACK, code=error.code)
                credential_alert(credential=version.credential, event=NOT_TAKEN_BACK)
            versions.tell_later(version, backoff(version.retire_tries + 1, least=2, most=3600))
        return
    if versions.told(version):
        _tell(version, "credential.taken_back")


def _tell(version: CredentialVersion, action: str, **facts: object) -> None:
    credential = version.credential
    about = {"name": credential.name, "number": version.number, "provider_id": version.provider_id}
    note(action=action, by=None, target=credential, facts=about | facts)
