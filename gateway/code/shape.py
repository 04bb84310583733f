"""What the document says of each kind of object: which columns, under which names, with which defaults.

The normal form of an object is a dict of all of its columns as plain JSON values, defaults filled in, so that
a file and the database can be compared. The written form leaves defaults out.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.dateparse import parse_duration
from django.utils.duration import duration_string

from gateway.code.document import Mapped, told
from gateway.models import AccessRule, Area, Credential, Endpoint, RotationPlan
from gateway.models.credential import PLACING
from policies.engine.types import Gate, Level
from policies.models import DataClass, Detector, Example, Policy, PolicyVersion, Rule, Schema
from policies.publishing import POLICY_SETTINGS

Normal = dict[str, Any]
LEVELS: Final = {level.name.lower(): level.value for level in Level}
GATES: Final = {gate.name.lower(): gate.value for gate in Gate}
WORDS: Final[Mapping[str, Mapping[str, int]]] = {
    "level": LEVELS,
    "ceiling": LEVELS,
    "gate": GATES,
    "opaque_gate": GATES,
}
"""Columns that hold a number and are written as a word."""


@dataclass(frozen=True, slots=True)
class Part:
    """One kind of object. `names`: columns that are said by the name of another object; those of `optional`
    may be left out."""

    model: type[models.Model]
    columns: tuple[str, ...]
    names: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    children: Mapping[str, Part] = field(default_factory=dict)

    def field(self, name: str) -> Any:
        return self.model._meta.get_field(name)


DETECTOR: Final = Part(Detector, ("kind", "value", "max_len", "ignore_case", "threshold"))
EXAMPLE: Final = Part(Example, ("kind", "text"))
CLASS: Final = Part(
    DataClass,
    ("slug", "name", "level", "weight", "tags", "description", "context", "context_needed"),
    children={"detectors": DETECTOR, "examples": EXAMPLE},
)
SCHEMA: Final = Part(Schema, ("slug", "name", "description"), children={"classes": CLASS})
RULE: Final = Part(
    Rule,
    ("name", "directions", "matcher", "value", "at_least", "window", "weight", "gate", "transform"),
)
SETTINGS: Final = Part(PolicyVersion, POLICY_SETTINGS)
POLICY: Final = Part(Policy, ("slug", "name", "description"), ("schema",), children={"rules": RULE})
CREDENTIAL: Final = Part(Credential, ("name", "origin", "placement", *PLACING))
HELD: Final = ("credential", "client_certificate")
"""The credentials that an endpoint names."""

ENDPOINT: Final = Part(
    Endpoint,
    tuple(
        each.name
        for each in Endpoint._meta.concrete_fields
        if each.name not in ("id", "area", *HELD, "created_at", "updated_at")
    ),
    HELD,
    HELD,
)
ACCESS: Final = Part(
    AccessRule,
    tuple(
        each.name
        for each in AccessRule._meta.concrete_fields
        if each.name not in ("id", "group", "endpoint", "policy", "created_at")
    ),
    ("group", "endpoint", "policy"),
)
OPENED: Final = ("credential", "admin_credential")
"""The credentials that a rotation plan names: whose secret it replaces, and what opens the provider's API."""

ROTATION_PLAN: Final = Part(
    RotationPlan,
    tuple(
        each.name
        for each in RotationPlan._meta.concrete_fields
        if each.name not in ("id", *OPENED, "next_at", "failures", "created_at")
    ),
    OPENED,
    ("admin_credential",),
)
AREA: Final = Part(Area, ("slug", "name", "two_person_publish", "two_person_access", "two_person_origin"))
ROOT: Final[Mapping[str, Part]] = {
    "schemas": SCHEMA,
    "policies": POLICY,
    "credentials": CREDENTIAL,
    "endpoints": ENDPOINT,
    "access_rules": ACCESS,
    "rotation_plans": ROTATION_PLAN,
}
FREE: Final[Mapping[str, type[Any]]] = {"options": dict, "windows": list}
"""Columns that hold more than a list of words; a service says what may stand in them."""

MOST_PROBLEMS: Final = 100


def of_row(part: Part, row: models.Model) -> Normal:
    """The normal form of a row's own columns."""
    return {name: _plain(name, getattr(row, name)) for name in part.columns}


def _plain(name: str, value: Any) -> Any:
    if name in WORDS:
        return next(word for word, number in WORDS[name].items() if number == value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat()
    if isinstance(value, timedelta):
        return duration_string(value)
    return list(value) if isinstance(value, list) else value


def default(part: Part, name: str) -> Any:
    """What a column is when nobody says anything; `...` where somebody has to."""
    column = part.field(name)
    if column.has_default():
        return _plain(name, column.get_default())
    if column.null:
        return None
    return "" if column.blank else ...


def written(part: Part, normal: Normal) -> dict[str, Any]:
    """Without what is the default, in the order of the columns; names first where they identify."""
    shown = {name: normal[name] for name in part.names if normal.get(name)}
    shown |= {name: normal[name] for name in part.columns if normal[name] != default(part, name)}
    if part is POLICY:
        shown |= written(SETTINGS, normal)
    for name, child in part.children.items():
        if normal.get(name):
            shown[name] = [written(child, each) for each in normal[name]]
    return shown


class Reader:
    """Turns what a file says into normal forms and collects what is wrong with it."""

    def __init__(self) -> None:
        self.problems: list[str] = []

    def objects(self, document: Mapped, name: str) -> list[Normal]:
        """Every object of one kind."""
        return self._list(document.get(name), ROOT[name], name, document.at(name))

    def area(self, document: Mapped) -> Normal:
        said = document.get("area")
        if not isinstance(said, Mapped):
            self._say(document.at("area"), "area", "say which area this is: area: {slug: …, name: …}.")
            return {}
        return self._object(said, AREA, "area")

    def root(self, document: Mapped) -> None:
        unknown = [name for name in document if name not in ROOT and name not in ("postern", "area")]
        for name in unknown:
            self._say(
                document.at(name), "document", f"“{inert(name)}” is no part; there are {', '.join(ROOT)}."
            )

    def _list(self, said: Any, part: Part, where: str, line: int) -> list[Normal]:
        if said is None:
            return []
        if not isinstance(said, list):
            self._say(line, where, "this has to be a list.")
            return []
        found = []
        for number, each in enumerate(said, 1):
            place = f"{where} {number}"
            if isinstance(each, Mapped):
                found.append(self._object(each, part, place))
            else:
                self._say(line, place, "this has to be a mapping.")
        return found

    def _object(self, said: Mapped, part: Part, where: str) -> Normal:
        title = said.get("slug") or said.get("name")
        if isinstance(title, str):
            where = f"{where} ({inert(title)})"
        parts = [part, SETTINGS] if part is POLICY else [part]
        known = {*part.names, *part.children, *(name for each in parts for name in each.columns)}
        for name in said:
            if name not in known:
                self._say(said.at(name), where, f"there is no “{inert(name)}” here.")
        normal = Mapped({n: self._value(each, n, said, where) for each in parts for n in each.columns})
        normal.line = said.line
        normal |= {name: self._name(part, name, said, where) for name in part.names}
        for name, child in part.children.items():
            normal[name] = self._list(said.get(name), child, f"{where} › {name}", said.at(name))
        return normal

    def _name(self, part: Part, name: str, said: Mapped, where: str) -> str:
        value = said.get(name)
        if value is None and name in part.optional:
            return ""
        if not isinstance(value, str) or not value:
            self._say(said.at(name), where, f"say which {name}.")
            return ""
        return value

    def _value(self, part: Part, name: str, said: Mapped, where: str) -> Any:
        if name not in said:
            value = default(part, name)
            if value is ...:
                self._say(said.line, where, f"“{name}” is missing.")
                return None
            return value
        try:
            return _checked(part.field(name), name, said[name])
        except ValidationError as error:
            self._say(said.at(name), where, f"“{name}”: {' '.join(error.messages)}")
            return None

    def _say(self, line: int, where: str, problem: str) -> None:
        if len(self.problems) < MOST_PROBLEMS:
            self.problems.append(told(line, f"{where}: {problem}"))
        elif len(self.problems) == MOST_PROBLEMS:
            self.problems.append("There are more problems than these.")


def inert(text: str, longest: int = 60) -> str:
    """A name or value for a line of a terminal: it ends no line, moves no cursor and turns no direction."""
    shown = "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in text[:longest]
    )
    return shown if len(text) <= longest else f"{shown}…"


def _checked(column: Any, name: str, said: object) -> Any:
    """The value as a plain one of the column's type. Raises `ValidationError`."""
    value: Any = said
    if name in WORDS:
        if not isinstance(value, str) or value not in WORDS[name]:
            raise ValidationError(f"use one of {', '.join(WORDS[name])}.")
        return value
    wanted: type[Any] = FREE.get(name) or _type_of(column)
    if value is None and column.null:
        return None
    if name in FREE:
        return _plain_json(value, wanted)
    if type(value) is not wanted:
        raise ValidationError(_WRONG[wanted])
    if isinstance(column, models.DateTimeField):
        return _moment(value)
    if isinstance(column, models.DurationField):
        return _duration(column, value)
    if value == "" and column.blank:
        return value
    if wanted is list and not all(isinstance(each, str) for each in value):
        raise ValidationError("use a list of words.")
    column.clean(value, None)
    return value


_WRONG: Final[dict[type[Any], str]] = {
    bool: "use true or false.",
    dict: "use a mapping.",
    int: "use a whole number.",
    list: "use a list.",
    str: "use text; put it in quotes if it looks like a number.",
}


def _type_of(column: Any) -> type[Any]:
    if isinstance(column, models.BooleanField):
        return bool
    if isinstance(column, models.IntegerField):
        return int
    return list if isinstance(column, models.JSONField) else str


def _moment(text: str) -> str:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise ValidationError("write the time with its zone, such as 2030-01-31T08:00:00+00:00.")
    return moment.astimezone(UTC).isoformat()


def _plain_json(value: object, wanted: type[Any]) -> Any:
    if not isinstance(value, wanted):
        raise ValidationError(_WRONG[wanted])
    return json.loads(json.dumps(value))


def _duration(column: models.DurationField[Any, Any], text: str) -> str:
    try:
        return duration_string(column.clean(text, None))
    except OverflowError:
        raise ValidationError("this is longer than any time is counted.") from None


def put(row: models.Model, part: Part, normal: Normal, columns: Iterable[str] = ()) -> None:
    """Set a row's columns from the normal form, unsaved."""
    for name in columns or part.columns:
        value = normal[name]
        if name in WORDS:
            value = WORDS[name][value]
        elif isinstance(part.field(name), models.DateTimeField) and value is not None:
            value = datetime.fromisoformat(value)
        elif isinstance(part.field(name), models.DurationField) and value is not None:
            value = parse_duration(value)
        setattr(row, name, value)
