"""What a client developer has: the endpoints their groups open, and their own keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from gateway.models import AccessRule, ApiKey, EndpointKind, User

SOON: Final = timedelta(days=14)
_CHAT = '{"model": "MODEL", "messages": [{"role": "user", "content": "Mail ana@example.com"}]}'
_JSON = '{"text": "Mail ana@example.com"}'


@dataclass(frozen=True, slots=True)
class Door:
    """An endpoint that is open to this person, through the rule that decides."""

    name: str
    slug: str
    kind: str
    base_url: str
    policy: str
    group: str
    path: str
    body: str


@dataclass(frozen=True, slots=True)
class Key:
    """One of the person's keys; `state` is active, expiring, expired or revoked."""

    prefix: str
    name: str
    state: str
    expires_at: datetime


def doors_of(user: User, now: datetime, site: str) -> list[Door]:
    rules = AccessRule.objects.filter(
        group__in=user.groups.all(), endpoint__enabled=True, enabled=True
    ).select_related("endpoint", "group", "policy")
    deciding: dict[object, AccessRule] = {}
    for rule in rules.order_by("priority", "created_at", "id"):
        if rule.is_active_at(now):
            deciding.setdefault(rule.endpoint_id, rule)
    return [_door(rule, site) for rule in sorted(deciding.values(), key=lambda rule: rule.endpoint.name)]


def _door(rule: AccessRule, site: str) -> Door:
    endpoint, chat = rule.endpoint, rule.endpoint.kind == EndpointKind.OPENAI
    base = f"{site}/proxy/{endpoint.slug}" + ("/v1" if chat else "")
    path, body = ("/v1/chat/completions", _CHAT) if chat else ("/PATH", _JSON)
    kind = str(EndpointKind(endpoint.kind).label)
    return Door(endpoint.name, endpoint.slug, kind, base, rule.policy.name, rule.group.name, path, body)


def keys_of(user: User, now: datetime) -> list[Key]:
    keys: Iterable[ApiKey] = ApiKey.objects.filter(user=user)[:20]
    return [Key(key.prefix, key.name, _state(key, now), key.expires_at) for key in keys]


def _state(key: ApiKey, now: datetime) -> str:
    if key.revoked_at is not None:
        return "revoked"
    if key.expires_at <= now:
        return "expired"
    return "expiring" if key.expires_at <= now + SOON else "active"
