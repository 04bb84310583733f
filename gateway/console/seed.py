"""The demo's world: an area, people, a schema, two policies, two endpoints. For empty stores on loopback.

SeedError
├── NotLoopback     an origin off this machine: known names and a model that shows what it got stay here
└── NotEmpty        the store holds people or areas already
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from ipaddress import ip_address
from urllib.parse import urlsplit

from django.contrib.auth.models import Group
from django.db import transaction
from django.utils import timezone

from gateway.console.seed_policies import REVIEWERS, seed_policies
from gateway.credentials.origins import normalise_origin
from gateway.credentials.secret import Secret
from gateway.credentials.services import credential_set, endpoint_attach
from gateway.identity.authz import role_grant
from gateway.identity.keys import api_key_create
from gateway.identity.membership import membership_set
from gateway.models import AccessRule, Area, Credential, Endpoint, EndpointKind, Source, User
from policies.models import Policy

KEY_AGE = timedelta(days=30)
ROLES = {
    REVIEWERS: ("reviewer",),
    "auditors": ("auditor",),
    "admins": ("admin", "policy_editor", "publisher"),
}
"""What each group may do in the console; support and clinicians only call models."""

GROUPS = ("support", "clinicians", *ROLES)


class SeedError(Exception):
    """The world cannot be made, in words for whoever asked."""


class NotLoopback(SeedError):
    pass


class NotEmpty(SeedError):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """A person to make. What the console opens to them depends on the groups' roles."""

    name: str
    full_name: tuple[str, str]
    groups: tuple[str, ...] = ()
    superuser: bool = False


PEOPLE = (
    Person(name="alice", full_name=("Alice", "Abara"), groups=("support",)),
    Person(name="bob", full_name=("Bob", "Brandt"), groups=("clinicians", REVIEWERS)),
    Person(name="carol", full_name=("Carol", "Costa")),
    Person(name="dave", full_name=("Dave", "Dietrich"), groups=("auditors",)),
    Person(name="erin", full_name=("Erin", "Ekström"), groups=(REVIEWERS,)),  # who decides what bob asks
    Person(name="admin", full_name=("Ada", "Adler"), groups=("admins",), superuser=True),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeededPerson:
    name: str
    password: Secret
    groups: tuple[str, ...]
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SeededEndpoint:
    slug: str
    kind: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SeedResult:
    """What was made. Secrets are here and nowhere else."""

    people: tuple[SeededPerson, ...]
    api_keys: Mapping[str, Secret]  # by person
    endpoints: tuple[SeededEndpoint, ...]
    upstream_secrets: Mapping[str, Secret] = field(repr=False)  # by origin: what the demo model may expect


def seed_world(
    *,
    chat_origin: str,
    classifier_origin: str,
    chat_base_path: str = "",
    classifier_base_path: str = "",
    chat_may_be_remote: bool = False,
) -> SeedResult:
    """Make the world in one transaction. `chat_may_be_remote`: somebody pointed the demo at a real model."""
    chat_origin, classifier_origin = normalise_origin(chat_origin), normalise_origin(classifier_origin)
    for origin in {classifier_origin} | (set() if chat_may_be_remote else {chat_origin}):
        refuse_off_loopback(origin)
    if Area.objects.exists() or User.objects.exists():
        raise NotEmpty("The store is not empty: the demo's world is made in a fresh one.")
    with transaction.atomic():
        area = Area.objects.create(slug="default", name="Acme")
        groups = _groups()
        people = tuple(_person(person, groups) for person in PEOPLE)
        support, clinicians = seed_policies(area_id=area.pk)
        endpoints = (
            Endpoint(
                slug="chat",
                name="Chat",
                kind=EndpointKind.OPENAI,
                origin=chat_origin,
                base_path=chat_base_path,
            ),
            Endpoint(
                slug="triage",
                name="Triage classifier",
                kind=EndpointKind.JSON,
                origin=classifier_origin,
                base_path=classifier_base_path,
            ),
            Endpoint(
                slug="messages",
                name="Messages",
                kind=EndpointKind.ANTHROPIC,
                origin=classifier_origin,
                base_path=classifier_base_path,
            ),
        )
        upstream_secrets = _endpoints(area, endpoints)
        _access(endpoints, {groups["support"]: support, groups["clinicians"]: clinicians})
        keys = {person.name: _key(person.name) for person in PEOPLE}
    shown = tuple(SeededEndpoint(slug=each.slug, kind=each.kind) for each in endpoints)
    return SeedResult(people=people, api_keys=keys, endpoints=shown, upstream_secrets=upstream_secrets)


def refuse_off_loopback(origin: str) -> None:
    host = urlsplit(origin).hostname or ""
    try:
        loopback = ip_address(host).is_loopback
    except ValueError:
        loopback = host == "localhost"
    if not loopback:
        raise NotLoopback(f"The demo's world talks to loopback only, not to {host}.")


def _groups() -> dict[str, Group]:
    groups = {name: Group.objects.create(name=name) for name in GROUPS}
    for name, roles in ROLES.items():
        for role in roles:
            role_grant(group=groups[name], role=role, by=None)
    return groups


def _person(person: Person, groups: Mapping[str, Group]) -> SeededPerson:
    password = Secret(secrets.token_urlsafe(12))
    first, last = person.full_name
    user = User.objects.create_user(
        person.name,
        f"{person.name}@acme.example",
        password.reveal(),
        first_name=first,
        last_name=last,
        is_superuser=person.superuser,
    )
    joined = [groups[name] for name in person.groups]
    membership_set(member=user, groups=joined, by=None, source=Source.SYSTEM)
    roles = tuple(role for name in person.groups for role in ROLES.get(name, ()))
    return SeededPerson(name=person.name, password=password, groups=person.groups, roles=roles)


def _endpoints(area: Area, endpoints: tuple[Endpoint, ...]) -> dict[str, Secret]:
    """Save the endpoints, each with the credential of its origin."""
    held: dict[str, tuple[Credential, Secret]] = {}
    for endpoint in endpoints:
        endpoint.area, endpoint.allow_private = area, True
        endpoint.full_clean()
        endpoint.save()
        if endpoint.origin not in held:
            held[endpoint.origin] = _credential(area, endpoint)
        endpoint_attach(endpoint=endpoint, credential=held[endpoint.origin][0], by=None)
    return {origin: secret for origin, (_, secret) in held.items()}


def _credential(area: Area, endpoint: Endpoint) -> tuple[Credential, Secret]:
    secret = Secret(f"sk-demo-{secrets.token_hex(24)}")
    credential = Credential.objects.create(area=area, name=f"{endpoint.name} key", origin=endpoint.origin)
    credential_set(credential=credential, secret=secret, by=None)
    return credential, secret


def _access(endpoints: tuple[Endpoint, ...], policies: Mapping[Group, Policy]) -> None:
    for group, policy in policies.items():
        for endpoint in endpoints:
            AccessRule.objects.create(group=group, endpoint=endpoint, policy=policy)


def _key(name: str) -> Secret:
    user = User.objects.get(username=name)
    _, key = api_key_create(name="demo", user=user, expires_at=timezone.now() + KEY_AGE, by=None)
    return key
