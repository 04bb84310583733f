"""Which tables keep a history, and what of them is never copied into it. Imported last."""

from __future__ import annotations

from django.contrib.auth.models import Group
from django.db import models

from gateway.models.access_rule import AccessRule
from gateway.models.api_key import ApiKey
from gateway.models.area import Area
from gateway.models.credential import Credential, CredentialVersion
from gateway.models.deployment import Deployment
from gateway.models.directory import DirectoryToken
from gateway.models.endpoint import Endpoint
from gateway.models.identity import Identity
from gateway.models.issuer import GroupMapping, Issuer
from gateway.models.lock import Lock
from gateway.models.role import RoleGrant
from gateway.models.rotation import RotationPlan
from gateway.models.service_account import ServiceAccount
from gateway.models.user import User
from gateway.models.webhook import Webhook
from policies.history import keep

KEPT: dict[type[models.Model], tuple[str, ...]] = {
    Area: (),
    Endpoint: (),
    Credential: (),
    CredentialVersion: ("sealed", "retire_next_at", "retire_tries"),
    RotationPlan: ("next_at", "failures"),
    AccessRule: (),
    ApiKey: ("digest", "last_used_at", "last_used_from"),
    ServiceAccount: (),
    User: ("password", "last_login"),
    Identity: (),
    Group: (),
    Lock: (),
    Issuer: (),
    GroupMapping: (),
    RoleGrant: (),
    Deployment: (),
    DirectoryToken: ("digest", "last_used_at"),
    Webhook: ("target", "target_key_id", "tells_from", "failing_since", "succeeded_at"),
}

for model, without in KEPT.items():
    keep(model, app="gateway", without=without)
