"""The small world of the control room's tests: an area, people, a schema with two classes, a policy."""

from __future__ import annotations

from datetime import timedelta

from django.contrib.auth.models import Group
from django.utils import timezone

from gateway.credentials.secret import Secret
from gateway.identity.keys import api_key_create
from gateway.models import ApiKey, Area, Credential, Endpoint, User
from policies import services
from policies.engine.types import Matcher, Style
from policies.models import (
    DataClass,
    Detector,
    DetectorKind,
    Policy,
    PolicyVersion,
    Rule,
    Schema,
    SchemaVersion,
)

ORIGIN = "https://models.example.com"


def area(slug: str = "default") -> Area:
    return Area.objects.get_or_create(slug=slug, defaults={"name": slug.capitalize()})[0]


def person(name: str, *, group: str = "", **fields: object) -> User:
    user = User.objects.create_user(name, **fields)  # type: ignore[arg-type]
    if group:
        user.groups.add(Group.objects.get_or_create(name=group)[0])
    return user


def admin(name: str = "ada") -> User:
    return person(name, is_staff=True, is_superuser=True)


def endpoint(slug: str = "chat", **fields: object) -> Endpoint:
    values = {"area": area(), "slug": slug, "name": slug, "origin": ORIGIN, **fields}
    return Endpoint.objects.create(**values)


def credential(name: str = "model key", **fields: object) -> Credential:
    return Credential.objects.create(**{"area": area(), "name": name, "origin": ORIGIN, **fields})


def key_of(user: User) -> tuple[ApiKey, Secret]:
    return api_key_create(name="laptop", user=user, expires_at=timezone.now() + timedelta(days=30), by=None)


def draft_schema(slug: str = "acme") -> SchemaVersion:
    """A draft with e-mail addresses and a pattern of the house."""
    draft = services.schema_create(area_id=area().pk, slug=slug, name=slug.capitalize(), by=None)
    data_class(draft, "EMAIL", DetectorKind.LIBRARY, "EMAIL")
    data_class(draft, "BADGE", DetectorKind.REGEX, r"\bB-[0-9]{6}\b")
    return draft


def data_class(version: SchemaVersion, slug: str, kind: DetectorKind, value: str) -> DataClass:
    row = DataClass.objects.create(version=version, slug=slug, name=slug.lower(), level=2)
    Detector.objects.create(data_class=row, kind=kind, value=value)
    return row


def published_schema(slug: str = "acme") -> Schema:
    return services.schema_version_publish(version=draft_schema(slug), by=None).schema


def draft_policy(schema: Schema, slug: str = "house") -> PolicyVersion:
    draft = services.policy_create(
        area_id=area().pk, slug=slug, name=slug.capitalize(), schema=schema, by=None
    )
    rule(draft, matcher=Matcher.CLASS.value, value="BADGE", transform=Style.LABEL.value)
    return draft


def rule(version: PolicyVersion, **fields: object) -> Rule:
    return Rule.objects.create(**{"version": version, "name": "a rule", **fields})


def published_policy(schema: Schema | None = None, slug: str = "house") -> Policy:
    draft = draft_policy(schema or published_schema(), slug)
    return services.policy_version_publish(version=draft, by=None).policy
