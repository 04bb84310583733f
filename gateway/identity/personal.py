"""A key for some hours, made by whoever is signed in: for SAML and browser-only people, and command lines.

It carries its holder's groups as they are at each call. It ends by itself, when its holder is deactivated,
and when they sign out everywhere; a plain sign-out leaves it, so that a long job may finish.
"""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from gateway.credentials.secret import Secret
from gateway.deployment import deployment_now
from gateway.identity.keys import Because, api_key_create, api_keys_revoke, living
from gateway.identity.scope import KeyRefused
from gateway.models import ApiKey, DeviceGrant, DeviceState, KeyKind, User
from policies.history import attributed


def longest() -> int:
    """Hours."""
    return deployment_now().personal_key_hours


@attributed
def personal_key_create(
    *, user: User, by: User | None, name: str = "Personal key", hours: int | None = None
) -> tuple[ApiKey, Secret]:
    """For `hours`, or as long as is allowed. Raises `KeyRefused`."""
    most = longest()
    hours = most if hours is None else hours
    if not 1 <= hours <= most:
        raise KeyRefused(f"A personal key lives for 1 to {most} hours.")
    if not user.is_active:
        raise KeyRefused("This account is not active.")
    until = timezone.now() + timedelta(hours=hours)
    return api_key_create(name=name, user=user, expires_at=until, kind=KeyKind.PERSONAL, by=by)


@attributed
def personal_keys_end(*, user: User, by: User | None, because: Because = Because.SIGNED_OUT) -> list[ApiKey]:
    """End all personal keys of this person now, and those that a program has been let in for but not fetched.
    Whatever signs a person out everywhere calls this."""
    with transaction.atomic():
        let_in = DeviceGrant.objects.filter(user=user, state=DeviceState.APPROVED)
        let_in.update(
            state=DeviceState.DENIED
        )  # first: a key that is being fetched is then there to be ended
        rows = ApiKey.objects.filter(living(timezone.now()), user=user, kind=KeyKind.PERSONAL)
        return api_keys_revoke(keys=rows.select_related("user"), by=by, because=because)
