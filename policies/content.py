"""What a version says, as plain values: its digest is what a second person confirms. Reads only."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from policies.models import DataClass, Detector, Example, PolicyVersion, Rule, SchemaVersion
from policies.publishing import POLICY_SETTINGS

Row = tuple[str, str, str]
SHOWN = 160
NOTHING = "–"


def digest(version: SchemaVersion | PolicyVersion) -> str:
    """Every column of the version and of what hangs on it, in 64 hex digits."""
    rows: list[models.Model] = [version]
    if isinstance(version, SchemaVersion):
        rows += DataClass.objects.filter(version=version).order_by("pk")
        for model in (Detector, Example):
            rows += model._default_manager.filter(data_class__version=version).order_by("pk")
    else:
        rows += Rule.objects.filter(version=version).order_by("pk")
    facts = [[row._meta.model_name, values(row)] for row in rows]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def values(row: models.Model) -> dict[str, Any]:
    """Each column as it is stored."""
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def changed(before: models.Model | None, after: models.Model) -> list[str]:
    """The columns that differ, by their field's name; of something new, every column that says something."""
    fields = [field for field in after._meta.concrete_fields if not field.primary_key]
    fields = [field for field in fields if not (getattr(field, "auto_now", False) or _stamped(field))]
    if before is None:
        return [field.name for field in fields if getattr(after, field.attname) not in (None, "", [])]
    return [f.name for f in fields if getattr(before, f.attname) != getattr(after, f.attname)]


def _stamped(field: Any) -> bool:
    return bool(getattr(field, "auto_now_add", False))


def packed(row: models.Model, names: Iterable[str]) -> dict[str, Any]:
    """Columns as JSON values; `unpack` reads them back."""
    found = {name: getattr(row, _column(row, name).attname) for name in names}
    unpacked: dict[str, Any] = json.loads(json.dumps(found, cls=DjangoJSONEncoder))
    return unpacked


def unpack(row: models.Model, stored: Mapping[str, Any], names: Iterable[str]) -> None:
    """Put packed values into a row, unsaved. Raises `ValidationError` for any but these columns."""
    if unknown := set(stored) - set(names):
        raise ValidationError(f"This cannot be set here: {', '.join(sorted(unknown))}.")
    for name, value in stored.items():
        field = _column(row, name)
        setattr(row, field.attname, field.to_python(value))


def _column(row: models.Model, name: str) -> Any:
    return row._meta.get_field(name)


def texts(row: models.Model, names: Iterable[str]) -> dict[str, str]:
    """Columns for people, by their label."""
    return {_label(row, name): value_text(row, name) for name in names}


def schema_texts(version: SchemaVersion) -> dict[str, str]:
    """Each data class by its slug, in one line for people. Read in three queries, however many there are."""
    found, tried = _children(Detector, version), _children(Example, version)
    rows = DataClass.objects.filter(version=version).order_by("position", "slug")
    return {row.slug: _class_text(row, found[row.pk], tried[row.pk]) for row in rows}


def policy_texts(version: PolicyVersion) -> dict[str, str]:
    """Each setting and each rule of a version by its name, in one line for people."""
    found = {"Schema": str(version.schema)} | texts(version, POLICY_SETTINGS)
    for number, row in enumerate(Rule.objects.filter(version=version).order_by("position", "pk"), 1):
        found[f"Rule {number}"] = _rule_text(row)
    return found


def changes(before: Mapping[str, str], after: Mapping[str, str]) -> tuple[Row, ...]:
    """What differs, in the order of `after`; what is gone comes last."""
    names = [*after, *(name for name in before if name not in after)]
    rows = ((name, before.get(name, NOTHING), after.get(name, NOTHING)) for name in names)
    return tuple(row for row in rows if row[1] != row[2])


def value_text(row: models.Model, name: str) -> str:
    """One column for people: a choice by its label, a relation by its name, a list by its words."""
    field = row._meta.get_field(name)
    value = getattr(row, name)
    if getattr(field, "choices", None):
        value = getattr(row, f"get_{name}_display")()
    return plain(value)


def plain(value: Any) -> str:
    """A value in words. What is long is cut and carries a digest, so that no two look alike."""
    if value is None or value == "" or value == []:
        return NOTHING
    if isinstance(value, bool):
        return "Yes" if value else "No"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%d %b %Y %H:%M} UTC"
    return short(", ".join(map(str, value)) if isinstance(value, list) else str(value))


def short(text: str) -> str:
    lines = text.splitlines()
    joined = " / ".join(lines)
    if len(joined) <= SHOWN:
        return joined
    return f"{joined[:SHOWN]}… ({len(text)} characters, {hashlib.sha256(text.encode()).hexdigest()[:8]})"


def _label(row: models.Model, name: str) -> str:
    return str(getattr(row._meta.get_field(name), "verbose_name", name)).capitalize()


def _children(model: type[Any], version: SchemaVersion) -> defaultdict[UUID, list[Any]]:
    found: defaultdict[UUID, list[Any]] = defaultdict(list)
    for row in model._default_manager.filter(data_class__version=version).order_by("position", "pk"):
        found[row.data_class_id].append(row)
    return found


def _class_text(row: DataClass, detectors: Iterable[Detector], examples: Iterable[Example]) -> str:
    parts = [row.name, row.get_level_display(), f"weight {row.weight}"]
    if row.tags:
        parts.append(f"tags {plain(row.tags)}")
    if row.context:
        parts.append(f"{'only ' if row.context_needed else ''}near {plain(row.context)}")
    if row.description:
        parts.append(plain(row.description))
    parts += [_detector_text(each) for each in detectors]
    parts += [f"{each.get_kind_display().lower()}: {short(each.text)}" for each in examples]
    return "; ".join(parts)


def _detector_text(row: Detector) -> str:
    limits = [f"up to {row.max_len}"] if row.max_len else []
    limits += ["any case"] if row.ignore_case else []
    limits += [f"from {row.threshold} on"] if row.threshold else []
    tail = f" ({', '.join(limits)})" if limits else ""
    return f"{row.get_kind_display().lower()} {short(row.value)}{tail}"


def _rule_text(row: Rule) -> str:
    count = f" from {row.at_least} on" if row.at_least else ""
    window = f" in a {row.window}" if row.window else ""
    weight = f", weight {row.weight}" if row.weight else ""
    transform = f", {row.get_transform_display().lower()}" if row.transform else ""
    what = f"{row.get_matcher_display()} {row.value}".strip()
    gate = row.get_gate_display().lower()
    ways = row.get_directions_display().lower()
    return f"{row.name}: {what}{count}{window}, {ways}: {gate}{transform}{weight}"
