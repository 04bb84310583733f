"""What a rotator is told about a credential, made from the store."""

from __future__ import annotations

import time
from collections.abc import Mapping
from uuid import UUID

from gateway.credentials.oauth import TokenFailed
from gateway.credentials.placing import HEADER
from gateway.credentials.secret import Secret
from gateway.credentials.sending import tried
from gateway.credentials.services import NoSecret, credential_current, credential_reveal_for_origin
from gateway.models import Credential, CredentialState, RotationPlan
from gateway.rotating import labels
from gateway.rotating.contract import SECONDS, Door, Errand, Failed, Refused, Rotator
from gateway.rotating.registry import named

LIVING = (CredentialState.PENDING, CredentialState.CURRENT, CredentialState.PREVIOUS)


def rotator_of(plan: RotationPlan) -> Rotator:
    """Raises `Refused` for one that was taken away."""
    rotator = named(plan.rotator)
    if rotator is None:
        raise Refused("no_rotator", f"There is no rotator {plan.rotator} any more.")
    return rotator


def errand_for(plan: RotationPlan, rotation_id: UUID, attempt: int) -> Errand:
    """Raises `Refused` where the admin credential cannot be used."""
    credential = plan.credential
    made = credential.versions.exclude(provider_id="").values_list("provider_id", flat=True)
    return Errand(
        credential_id=credential.pk,
        label=labels.label(credential.pk, rotation_id, attempt),
        family=labels.family(credential.pk),
        origin=credential.origin,
        options=plan.options,
        door=_door(plan),
        current=_current(credential),
        in_use=frozenset(made.filter(state__in=LIVING)),
        leaving=frozenset(made.filter(state=CredentialState.RETIRED, retire_next_at__isnull=False)),
        ends=time.monotonic() + SECONDS,
    )


def _door(plan: RotationPlan) -> Door | None:
    admin = plan.admin_credential
    if admin is None:
        return None
    try:
        secret = credential_reveal_for_origin(
            version=credential_current(credential=admin), origin=admin.origin
        )
    except NoSecret:
        raise Refused("admin_credential", "The admin credential holds no secret that opens.") from None
    return Door(
        origin=admin.origin, headers=_headers(admin, secret), secret=secret, allow_private=plan.allow_private
    )


def _headers(admin: Credential, secret: Secret) -> Mapping[str, Secret]:
    """Raises `Failed` where its access token cannot be had."""
    try:
        placed = tried(admin, secret)
    except TokenFailed as failed:
        raise Failed("token", f"The admin credential's access token cannot be had: {failed.code}.") from None
    if placed is None or placed.where != HEADER:
        raise Refused("admin_credential", "The admin credential has to be one that is sent in a header.")
    return {placed.name: placed.value}


def _current(credential: Credential) -> Secret | None:
    try:
        version = credential_current(credential=credential)
        return credential_reveal_for_origin(version=version, origin=credential.origin)
    except NoSecret:
        return None
