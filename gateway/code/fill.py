"""Edits a draft until it says what the document says. What stays the same is not touched.

So the history has one line for each thing that changed, as if somebody had edited the draft by hand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import models

from gateway.code import state
from gateway.code.plan import named
from gateway.code.shape import CLASS, DETECTOR, EXAMPLE, RULE, Normal, Part, of_row, put
from policies import compiler
from policies.engine import types
from policies.history import ADDED, record
from policies.models import DataClass, Detector, Example, PolicyVersion, Rule, SchemaVersion

M = TypeVar("M", bound=models.Model)


def fill_classes(draft: SchemaVersion, wanted: Sequence[Normal]) -> None:
    """The data classes of a draft with their detectors and examples. `Reader` has looked at every value."""
    rows = {row.slug: row for row in DataClass.objects.filter(version=draft)}
    held = {each["slug"]: each for each in state.classes_of(draft)}
    for slug in held.keys() - {each["slug"] for each in wanted}:
        rows.pop(slug).delete()
    places = _places({slug: row.position for slug, row in rows.items()}, [each["slug"] for each in wanted])
    added: list[DataClass] = []
    children: list[Detector | Example] = []
    for each in wanted:
        row, before = rows.get(each["slug"]), held.get(each["slug"])
        if row is None:
            row = _made(DataClass(version=draft), CLASS, each, places[each["slug"]])
            added.append(row)
        elif _differs(row, CLASS, each, places[each["slug"]]):
            _made(row, CLASS, each, places[each["slug"]]).save()
        children += _replaced(row, before, each)
    _add_all(added)
    for kind in (Detector, Example):
        _add_all([child for child in children if isinstance(child, kind)])


def _replaced(row: DataClass, before: Normal | None, wanted: Normal) -> list[Detector | Example]:
    """The detectors and the examples of a class where they differ, unsaved; those before them are gone."""
    made: list[Detector | Example] = []
    if before is None or before["detectors"] != wanted["detectors"]:
        if before is not None:
            row.detectors.all().delete()
        each = enumerate(wanted["detectors"], 1)
        made += [_made(Detector(data_class=row), DETECTOR, normal, number) for number, normal in each]
    if before is None or before["examples"] != wanted["examples"]:
        if before is not None:
            row.examples.all().delete()
        each = enumerate(wanted["examples"], 1)
        made += [_made(Example(data_class=row), EXAMPLE, normal, number) for number, normal in each]
    return made


def fill_rules(draft: PolicyVersion, wanted: Sequence[Normal]) -> None:
    """The rules of a draft. Raises `ValidationError` with everything that no rule may say."""
    found = list(Rule.objects.filter(version=draft).order_by("position", "id"))
    rows = dict(zip(named([of_row(RULE, row) for row in found]), found, strict=True))
    rules = named(list(wanted))
    problems: list[str] = []
    for name in rows.keys() - rules.keys():
        rows[name].delete()
    for position, (name, each) in enumerate(rules.items(), 1):
        row = rows.get(name) or Rule(version=draft)
        if row._state.adding or _differs(row, RULE, each, position):
            _made(row, RULE, each, position)
            try:
                row.full_clean()
            except ValidationError as refusal:
                problems += [f"rule {name}: {message}" for message in refusal.messages]
            else:
                row.save()
    if problems:
        raise ValidationError(problems)


def schema_spec_of(wanted: Normal) -> types.SchemaSpec:
    """A schema of the document as the engine knows it, before any row of it exists."""
    classes = [
        compiler.data_class_of(
            _made(DataClass(), CLASS, each, 0),
            [_made(Detector(), DETECTOR, one, 0) for one in each["detectors"]],
            [_made(Example(), EXAMPLE, one, 0) for one in each["examples"]],
        )
        for each in wanted["classes"]
    ]
    return types.SchemaSpec(version_id="", number=0, name=wanted["name"], classes=tuple(classes))


def _places(held: dict[str, int], wanted: Sequence[str]) -> dict[str, int]:
    """Positions in the wanted order: those there are while they fit, counted anew when they do not."""
    last = max(held.values(), default=0)
    kept = held | {slug: last + n for n, slug in enumerate((s for s in wanted if s not in held), 1)}
    if sorted(wanted, key=lambda slug: (kept[slug], slug)) == list(wanted):
        return kept
    return {slug: place for place, slug in enumerate(wanted, 1)}


def _differs(row: models.Model, part: Part, wanted: Normal, position: int) -> bool:
    held = of_row(part, row)
    stands: Any = getattr(row, "position")  # noqa: B009  every part that is filled here has one
    return stands != position or any(held[name] != wanted[name] for name in part.columns)


def _made(row: M, part: Part, normal: Normal, position: int) -> M:
    put(row, part, normal)
    setattr(row, "position", position)  # noqa: B010  every part that is filled here has one
    return row


def _add_all(rows: Iterable[models.Model]) -> None:
    """Two inserts, rows and history, however many there are."""
    found = list(rows)
    if found:
        record(type(found[0])._default_manager.bulk_create(found), change=ADDED)
