"""The demo's schema and its two policies, as data and through the services that an admin's clicks use."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from policies import services
from policies.engine.types import Gate, Level, Matcher, Style
from policies.history import ADDED, record
from policies.library import secrets as secret_recognisers
from policies.models import (
    DataClass,
    Detector,
    DetectorKind,
    Policy,
    PolicyVersion,
    Rule,
    Schema,
    SchemaVersion,
    Ways,
)

REVIEWERS = "reviewers"
"""The group that decides about what waits."""

Found = tuple[DetectorKind, str]


@dataclass(frozen=True, slots=True)
class Kind:
    """One data class to make."""

    slug: str
    name: str
    level: Level
    tags: tuple[str, ...]
    found: tuple[Found, ...] = ()  # empty: the built-in recogniser of the same name


def _vendor_keys() -> tuple[Found, ...]:
    """Every built-in credential recogniser that is no class of its own."""
    names = (each.name for each in secret_recognisers.ALL)
    return tuple((DetectorKind.LIBRARY, name) for name in names if name not in ("JWT", "PRIVATE_KEY"))


KINDS = (
    Kind("EMAIL", "E-mail address", Level.CONFIDENTIAL, ("contact",)),
    Kind("PHONE", "Telephone number", Level.CONFIDENTIAL, ("contact",)),
    Kind("CARD", "Payment card", Level.RESTRICTED, ("payment",)),
    Kind("IBAN", "Bank account", Level.CONFIDENTIAL, ("payment",)),
    Kind("US_SSN", "US social security number", Level.RESTRICTED, ("identity",)),
    Kind("IP_ADDRESS", "IP address", Level.INTERNAL, ("network",)),
    Kind("DATE_OF_BIRTH", "Date of birth", Level.CONFIDENTIAL, ("identity", "health")),
    Kind("API_KEY", "Vendor credential", Level.RESTRICTED, ("secret",), _vendor_keys()),
    Kind("JWT", "Signed token", Level.RESTRICTED, ("secret",)),
    Kind("PRIVATE_KEY", "Private key", Level.RESTRICTED, ("secret",)),
    Kind(
        "MRN",
        "Medical record number",
        Level.RESTRICTED,
        ("health",),
        (
            (DetectorKind.REGEX, r"\bMRN[ :#-]{0,2}[0-9]{6,10}\b"),
            (DetectorKind.KEY, "mrn\nmedical_record_number"),
        ),
    ),
    Kind(
        "PROJECT",
        "Project code name",
        Level.CONFIDENTIAL,
        ("business",),
        ((DetectorKind.TERMS, "Project Bluebird\nProject Nightjar\nOperation Kestrel"),),
    ),
)


def seed_policies(*, area_id: UUID) -> tuple[Policy, Policy]:
    """Publish the schema, then the policies of support and of the clinicians."""
    schema = _schema(area_id)
    support = _policy(
        area_id,
        schema,
        ("support", "Support", Style.REDACT),
        Rule(
            name="A card with a bank account waits for a person",
            matcher=Matcher.COMBINATION,
            value="CARD + IBAN",
            gate=Gate.HOLD,
            directions=Ways.REQUEST,
        ),
        Rule(name="Cards keep four digits", matcher=Matcher.CLASS, value="CARD", transform=Style.PARTIAL),
        Rule(name="Restricted data is flagged", matcher=Matcher.LEVEL, value="restricted", gate=Gate.FLAG),
    )
    clinicians = _policy(
        area_id,
        schema,
        ("clinicians", "Clinicians", Style.LABEL),
        Rule(name="Secrets never pass", matcher=Matcher.TAG, value="secret", gate=Gate.BLOCK),
        Rule(
            name="Social security numbers wait for a person",
            matcher=Matcher.CLASS,
            value="US_SSN",
            gate=Gate.HOLD,
            directions=Ways.REQUEST,
        ),
        Rule(name="Cards keep four digits", matcher=Matcher.CLASS, value="CARD", transform=Style.PARTIAL),
    )
    return support, clinicians


def _schema(area_id: UUID) -> Schema:
    draft = services.schema_create(area_id=area_id, slug="acme", name="Acme data", by=None)
    for position, kind in enumerate(KINDS, 1):
        _data_class(draft, position, kind)
    services.schema_version_publish(version=draft, by=None)
    return draft.schema


def _data_class(draft: SchemaVersion, position: int, kind: Kind) -> None:
    row = DataClass.objects.create(
        version=draft,
        slug=kind.slug,
        name=kind.name,
        level=kind.level.value,
        tags=list(kind.tags),
        position=position,
    )
    found = kind.found or ((DetectorKind.LIBRARY, kind.slug),)
    detectors = Detector.objects.bulk_create(
        Detector(
            data_class=row, kind=how, value=value, ignore_case=how == DetectorKind.TERMS, position=number
        )
        for number, (how, value) in enumerate(found, 1)
    )
    record(detectors, change=ADDED)


def _policy(area_id: UUID, schema: Schema, named: tuple[str, str, Style], *rules: Rule) -> Policy:
    slug, name, default = named
    draft = services.policy_create(area_id=area_id, slug=slug, name=name, schema=schema, by=None)
    draft.default_transform, draft.reviewers = default, [REVIEWERS]
    draft.save(update_fields=("default_transform", "reviewers"))
    for position, rule in enumerate(rules, 1):
        rule.version, rule.position = draft, position
    record(Rule.objects.bulk_create(rules), change=ADDED)
    published: PolicyVersion = services.policy_version_publish(version=draft, by=None)
    return published.policy
