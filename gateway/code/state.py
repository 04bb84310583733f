"""What the database holds of an area, in the same normal form as a document. Reads only."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.utils import timezone

from gateway.code.document import FORMAT
from gateway.code.shape import (
    ACCESS,
    AREA,
    CLASS,
    CREDENTIAL,
    DETECTOR,
    ENDPOINT,
    EXAMPLE,
    HELD,
    OPENED,
    POLICY,
    ROOT,
    ROTATION_PLAN,
    RULE,
    SCHEMA,
    SETTINGS,
    Normal,
    of_row,
    written,
)
from gateway.models import AccessRule, Area, Credential, Endpoint, RotationPlan
from policies.models import DataClass, Detector, Example, Policy, PolicyVersion, Rule, Schema, SchemaVersion
from policies.versions import policy_version_in_force, schema_version_in_force

State = dict[str, list[Normal]]
"""Objects by kind, as in a document's root."""


def of_area(area: Area) -> State:
    """Everything in force. Drafts and versions that only take effect later are not in it."""
    return {
        "schemas": _schemas(area),
        "policies": _policies(area),
        "credentials": [
            of_row(CREDENTIAL, row) for row in Credential.objects.filter(area=area).order_by("name")
        ],
        "endpoints": [
            of_row(ENDPOINT, row) | _credentials(row, HELD)
            for row in Endpoint.objects.filter(area=area).select_related(*HELD).order_by("slug")
        ],
        "access_rules": [_access(row) for row in access_rows(area)],
        "rotation_plans": [
            of_row(ROTATION_PLAN, row) | _credentials(row, OPENED)
            for row in RotationPlan.objects.filter(credential__area=area)
            .select_related(*OPENED)
            .order_by("credential__name")
        ],
    }


def document(area: Area) -> dict[str, Any]:
    """The area as a document to be written: no secrets, no defaults."""
    state = of_area(area)
    found: dict[str, Any] = {"postern": FORMAT, "area": written(AREA, of_row(AREA, area))}
    return found | {name: [written(part, each) for each in state[name]] for name, part in ROOT.items()}


def _credentials(row: Endpoint | RotationPlan, names: Iterable[str]) -> Normal:
    return {name: held.name if (held := getattr(row, name)) else "" for name in names}


def access_rows(area: Area) -> Iterable[AccessRule]:
    rows = AccessRule.objects.filter(endpoint__area=area).select_related("group", "endpoint", "policy")
    return rows.order_by("endpoint__slug", "priority", "group__name")


def _access(row: AccessRule) -> Normal:
    names = {"group": row.group.name, "endpoint": row.endpoint.slug, "policy": row.policy.slug}
    return of_row(ACCESS, row) | names


def _schemas(area: Area) -> list[Normal]:
    found = []
    for schema in Schema.objects.filter(area=area).order_by("slug"):
        version = schema_version_in_force(schema.pk, timezone.now())
        if version is not None:
            found.append(of_row(SCHEMA, schema) | {"classes": classes_of(version)})
    return found


def classes_of(version: SchemaVersion) -> list[Normal]:
    """The data classes of a version with their detectors and examples: three queries."""
    detectors: dict[Any, list[Normal]] = defaultdict(list)
    examples: dict[Any, list[Normal]] = defaultdict(list)
    for row in Detector.objects.filter(data_class__version=version).order_by("position", "id"):
        detectors[row.data_class_id].append(of_row(DETECTOR, row))
    for tried in Example.objects.filter(data_class__version=version).order_by("position", "id"):
        examples[tried.data_class_id].append(of_row(EXAMPLE, tried))
    return [
        of_row(CLASS, row) | {"detectors": detectors[row.pk], "examples": examples[row.pk]}
        for row in DataClass.objects.filter(version=version).order_by("position", "slug")
    ]


def _policies(area: Area) -> list[Normal]:
    found = []
    for policy in Policy.objects.filter(area=area).order_by("slug"):
        version = policy_version_in_force(policy.pk, timezone.now())
        if version is not None:
            found.append(of_row(POLICY, policy) | _content(version))
    return found


def _content(version: PolicyVersion) -> Normal:
    rules = [of_row(RULE, row) for row in Rule.objects.filter(version=version).order_by("position", "id")]
    return of_row(SETTINGS, version) | {"schema": version.schema.slug, "rules": rules}
