"""A credential with a plan, whose keys the provider of the tests makes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from gateway.credentials.secret import Secret
from gateway.credentials.services import credential_set, endpoint_attach
from gateway.models import Credential, CredentialState, CredentialVersion, RotationPlan
from gateway.rotating.services import plan_save
from tests.gateway.world import credential, endpoint

from .provider import ADMIN, RECIPE, Key, Provider


@dataclass
class House:
    provider: Provider
    credential: Credential
    plan: RotationPlan

    def versions(self, state: CredentialState) -> list[CredentialVersion]:
        return list(self.credential.versions.filter(state=state).order_by("number"))

    def current(self) -> CredentialVersion:
        (version,) = self.versions(CredentialState.CURRENT)
        return version

    def orphans(self) -> list[Key]:
        """Good keys at the provider that nobody has on record."""
        versions = CredentialVersion.objects.exclude(state=CredentialState.RETIRED)
        recorded = {"key_1", *versions.values_list("provider_id", flat=True)}
        return [key for key in self.provider.state.good() if key.id not in recorded]


def house(provider: Provider, **plan: Any) -> House:
    """The first secret was made by hand."""
    first = provider.state.make("by hand")
    row = credential("model key", origin=provider.origin)
    credential_set(credential=row, secret=Secret(first.secret), by=None)
    chat = endpoint("chat", origin=provider.origin, allow_private=True)
    endpoint_attach(endpoint=chat, credential=row, by=None)
    admin = credential("admin key", origin=provider.origin)
    credential_set(credential=admin, secret=Secret(ADMIN), by=None)
    values: dict[str, Any] = {
        "rotator": "recipe",
        "options": {"own": RECIPE},
        "admin_credential": admin,
        "allow_private": True,
        "every": timedelta(days=30),
        "overlap": timedelta(seconds=10),
    }
    made = plan_save(plan=RotationPlan(credential=row, **(values | plan)), by=None)
    return House(provider, row, made)
