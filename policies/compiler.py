"""Turns version rows into the engine's values and those into compiled objects. Decides nothing."""

from __future__ import annotations

from collections.abc import Iterable, MutableMapping, Sequence
from datetime import datetime

from policies.engine import problems, types
from policies.engine.policy import Policy
from policies.engine.schema import Schema, SchemaError, check_detector
from policies.library.recognisers import LIBRARY
from policies.models import (
    DataClass,
    Detector,
    DetectorKind,
    Example,
    ExampleKind,
    Kept,
    PolicyVersion,
    Rule,
    SchemaVersion,
    Ways,
)

DIRECTIONS = {
    Ways.BOTH: frozenset(types.Direction),
    Ways.REQUEST: frozenset({types.Direction.REQUEST}),
    Ways.RESPONSE: frozenset({types.Direction.RESPONSE}),
}


def schema_spec(version: SchemaVersion) -> types.SchemaSpec:
    """The version as data, read in three queries."""
    rows = (
        DataClass.objects.filter(version=version)
        .prefetch_related("detectors", "examples")
        .order_by("position", "slug")
    )
    return types.SchemaSpec(
        version_id=str(version.pk),
        number=version.number,
        name=version.schema.name,
        classes=tuple(data_class(row) for row in rows),
        schema_id=str(version.schema_id),
    )


def data_class(row: DataClass) -> types.DataClass:
    detectors = sorted(row.detectors.all(), key=lambda each: (each.position, each.pk))
    examples = sorted(row.examples.all(), key=lambda each: (each.position, each.pk))
    return data_class_of(row, detectors, examples)


def data_class_of(
    row: DataClass, detectors: Iterable[Detector], examples: Sequence[Example]
) -> types.DataClass:
    """A class with these children, saved or not, as data."""
    return types.DataClass(
        slug=row.slug,
        name=row.name,
        level=types.Level(row.level),
        weight=row.weight,
        tags=frozenset(row.tags),
        detectors=tuple(detector(each) for each in detectors),
        context=tuple(row.context),
        context_needed=row.context_needed,
        positive=tuple(each.text for each in examples if each.kind == ExampleKind.POSITIVE),
        negative=tuple(each.text for each in examples if each.kind == ExampleKind.NEGATIVE),
    )


def detector(row: Detector) -> types.Detector:
    """Lists are written one entry per line; blank lines mean nothing."""
    lines = tuple(line.strip() for line in row.value.splitlines() if line.strip())
    match DetectorKind(row.kind):
        case DetectorKind.LIBRARY:
            return types.LibraryDetector(name=row.value.strip(), threshold=row.threshold)
        case DetectorKind.REGEX:
            return types.RegexDetector(pattern=row.value, max_len=row.max_len, ignore_case=row.ignore_case)
        case DetectorKind.TERMS:
            return types.TermsDetector(terms=lines, ignore_case=row.ignore_case)
        case DetectorKind.KEY:
            return types.KeyDetector(names=lines)
        case DetectorKind.PATH:
            return types.PathDetector(path=row.value.strip())


def policy_spec(version: PolicyVersion) -> types.PolicySpec:
    """The version as data, read in one query."""
    rows = Rule.objects.filter(version=version).order_by("position", "pk")
    return policy_spec_of(version, rows)


def policy_spec_of(version: PolicyVersion, rows: Iterable[Rule]) -> types.PolicySpec:
    """A version with these rules, saved or not, as data."""
    return types.PolicySpec(
        version_id=str(version.pk),
        number=version.number,
        name=version.policy.name,
        rules=tuple(rule(row) for row in rows),
        default_transform=types.Style(version.default_transform),
        opaque_gate=types.Gate(version.opaque_gate),
        hold_score=version.hold_score,
        block_score=version.block_score,
        count_cap=version.count_cap,
        observe_until=version.observe_until.timestamp() if version.observe_until else None,
        keeps_text=version.keeps == Kept.TEXT,
        keeps_original=version.keeps_original,
        holding=types.Holding(
            reviewers=tuple(version.reviewers),
            needed=version.approvals_needed,
            seconds=version.hold_seconds,
            valid_minutes=version.valid_minutes,
            purpose_required=version.purpose_required,
            keeps_alive=version.keeps_alive,
            clear=version.clear_release,
            escalate_minutes=version.escalate_minutes,
            escalate_to=tuple(version.escalate_to),
        ),
    )


def rule(row: Rule) -> types.Rule:
    return types.Rule(
        id=str(row.pk),
        name=row.name,
        directions=DIRECTIONS[Ways(row.directions)],
        matcher=types.Matcher(row.matcher),
        value=row.value,
        gate=types.Gate(row.gate),
        transform=types.Style(row.transform) if row.transform else None,
        at_least=row.at_least,
        window=row.window,
        weight=row.weight,
    )


def compile_schema(spec: types.SchemaSpec, cache: MutableMapping[bytes, bytes] | None = None) -> Schema:
    """Raises `SchemaError` with every problem at once."""
    return Schema(spec, LIBRARY, cache=cache)


def compile_policy(spec: types.PolicySpec, schema: Schema) -> Policy:
    return Policy(spec, schema)


def detector_problems(row: Detector, context: tuple[str, ...] = ()) -> list[str]:
    """What is wrong with one detector of a class with these context words, for the form that edits it."""
    return check_detector(detector(row), LIBRARY, context)


def schema_problems(spec: types.SchemaSpec) -> list[str]:
    """Everything that keeps the schema from being published, short of compiling it."""
    if not spec.classes:
        return ["It has no data class."]
    return [
        f"{each.slug} has no detector, so it would never be found."
        for each in spec.classes
        if not each.detectors
    ]


def rule_problems(spec: types.PolicySpec, schema: types.SchemaSpec) -> list[str]:
    """What cannot be enforced with this schema: it would pass silently what it should stop."""
    return problems.policy_problems(spec, {each.slug: each for each in schema.classes})


def rule_faults(spec: types.PolicySpec, schema: types.SchemaSpec) -> list[problems.Fault]:
    """The same, each with the field that says it, for the form that edits it."""
    return problems.policy_faults(spec, {each.slug: each for each in schema.classes})


def own_rule_faults(row: Rule) -> list[problems.Fault]:
    """What is wrong with one rule alone."""
    return problems.rule_faults(rule(row))


def observing_problems(version: PolicyVersion, now: datetime) -> list[str]:
    """What is wrong with how long a version would observe, were it published now."""
    spec = policy_spec_of(version, ())
    begins = version.effective_at.timestamp() if version.effective_at else None
    return problems.observing_problems(spec, now.timestamp(), begins)


__all__ = [
    "SchemaError",
    "compile_policy",
    "compile_schema",
    "detector_problems",
    "observing_problems",
    "own_rule_faults",
    "policy_spec",
    "policy_spec_of",
    "rule_faults",
    "rule_problems",
    "schema_problems",
    "schema_spec",
]
