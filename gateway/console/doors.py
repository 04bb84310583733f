"""What a client developer has: the endpoints their groups open, and their own keys."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from gateway.console.snippets import Snippet, snippets
from gateway.identity.keys import KeyState, state_of
from gateway.identity.scope import groups_carried
from gateway.models import AccessRule, ApiKey, EndpointKind, ServiceAccount, User
from gateway.proxy.operations import MAIN_PATHS
from gateway.proxy.snapshot import in_deciding_order
from policies.engine.types import Level

_TURN = '"messages": [{"role": "user", "content": "Mail ana@example.com"}]'
BODIES = {
    str(EndpointKind.OPENAI): f'{{"model": "MODEL", {_TURN}}}',
    str(EndpointKind.ANTHROPIC): f'{{"model": "MODEL", "max_tokens": 100, {_TURN}}}',
    str(EndpointKind.JSON): '{"text": "Mail ana@example.com"}',
}
"""By kind of endpoint: a body to try it with."""


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
    ceiling: str
    models: tuple[str, ...]  # empty: any
    snippets: tuple[Snippet, ...]


@dataclass(frozen=True, slots=True)
class Line:
    """A key in a list, and what its holder may do about it."""

    key: ApiKey
    state: KeyState
    scope: tuple[str, ...]  # restrictions in words; empty: none
    living: bool
    may_rotate: bool


def doors_of(user: User, now: datetime, site: str) -> list[Door]:
    rules = AccessRule.objects.filter(
        group__in=user.groups.all(), endpoint__enabled=True, enabled=True
    ).select_related("endpoint", "group", "policy")
    fitting: dict[object, list[AccessRule]] = {}
    for rule in in_deciding_order(rules):
        if rule.is_active_at(now):
            fitting.setdefault(rule.endpoint_id, []).append(rule)
    return [_door(each, site) for each in sorted(fitting.values(), key=lambda each: each[0].endpoint.name)]


def _door(rules: list[AccessRule], site: str) -> Door:
    rule = rules[0]
    endpoint = rule.endpoint
    base = f"{site}/proxy/{endpoint.slug}" + ("/v1" if endpoint.kind == EndpointKind.OPENAI else "")
    path, body = MAIN_PATHS.get(endpoint.kind) or _path(rule), BODIES[endpoint.kind]
    models = _models(rules)
    found = snippets(kind=endpoint.kind, base_url=base, path=path, model=models[0] if models else "")
    return Door(
        name=endpoint.name,
        slug=endpoint.slug,
        kind=str(EndpointKind(endpoint.kind).label),
        base_url=base,
        policy=rule.policy.name,
        group=rule.group.name,
        path=path,
        body=body,
        ceiling=Level(endpoint.ceiling).name.lower(),
        models=models,
        snippets=tuple(found),
    )


def _models(rules: Iterable[AccessRule]) -> tuple[str, ...]:
    """What some rule allows; a rule for every model ends the list, since the others do not matter then."""
    named: dict[str, None] = {}
    for rule in rules:
        if not rule.allowed_models:
            return ()
        named |= dict.fromkeys(rule.allowed_models)
    return tuple(named)


def _path(rule: AccessRule) -> str:
    """A path of a plain JSON service that the rule allows."""
    return next((path for path in rule.allowed_paths if not path.endswith("/*")), "/PATH")


def keys_of(user: User, now: datetime, *, most: int = 20) -> list[Line]:
    """The person's own keys, living ones first."""
    rows = list(ApiKey.objects.filter(user=user).prefetch_related("user__groups")[: 10 * most])
    lines = sorted((line_of(row, now) for row in rows), key=lambda line: not line.living)
    return lines[:most]


def programs_of(user: User, now: datetime) -> list[tuple[ServiceAccount, list[Line]]]:
    """The service accounts that this person answers for, with their living keys."""
    owned = ServiceAccount.objects.filter(owner=user).prefetch_related("api_keys", "groups")
    found = []
    for account in owned:
        lines = [line_of(row, now) for row in account.api_keys.all()]
        found.append((account, [line for line in lines if line.living]))
    return found


def line_of(key: ApiKey, now: datetime) -> Line:
    living = key.is_valid_at(now)
    return Line(key, state_of(key, now), tuple(_restrictions(key)), living, living and key.kind == "standard")


def _restrictions(key: ApiKey) -> Iterable[str]:
    if key.group_ids:
        names = sorted(group.name for group in groups_carried(key))
        yield f"as {', '.join(names)}" if names else "of groups that are gone"
    if key.allowed_endpoints:
        yield f"to {', '.join(key.allowed_endpoints)}"
    if key.allowed_models:
        yield f"models {', '.join(key.allowed_models)}"
    if key.networks:
        yield f"from {', '.join(key.networks)}"
    if key.declared_level is not None:
        yield f"declares {Level(key.declared_level).name.lower()}"
