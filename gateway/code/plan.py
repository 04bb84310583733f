"""Compares a document with the database: what would be added, changed, taken away, and what drifted apart.

Pure but for `plan`, which reads. A change's `rows` are (what, before, after) in words.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.contrib.auth.models import Group

from gateway.code import state
from gateway.code.document import DocumentError, Mapped, told
from gateway.code.shape import (
    AREA,
    FREE,
    POLICY,
    ROOT,
    SETTINGS,
    Normal,
    Part,
    Reader,
    default,
    inert,
    of_row,
)
from gateway.models import Area

ADD, CHANGE, REMOVE, KEEP = "+", "~", "-", "?"
"""`?`: only in the database; `--prune` takes away what may be taken away."""

PRUNABLE: Final = {"access_rules": "delete", "endpoints": "disable", "rotation_plans": "delete"}
SINCE: Final = ("rotation_plans",)
"""Kinds that older files do not know: a file that says nothing about them takes none of them away."""

KINDS: Final = {
    "areas": "area",
    "groups": "group",
    "schemas": "schema",
    "policies": "policy",
    "credentials": "credential",
    "endpoints": "endpoint",
    "access_rules": "access rule",
    "rotation_plans": "rotation plan",
}
REFERS: Final[Mapping[str, Mapping[str, str]]] = {
    "policies": {"schema": "schemas"},
    "endpoints": {"credential": "credentials", "client_certificate": "credentials"},
    "access_rules": {"endpoint": "endpoints", "policy": "policies"},
    "rotation_plans": {"credential": "credentials", "admin_credential": "credentials"},
}
"""Which columns name objects of which kind."""

Row = tuple[str, str, str]
NOTHING: Final = "–"
SHOWN: Final = 200
"""So many characters of a value are shown."""


@dataclass(frozen=True, slots=True)
class Change:
    """One object that differs. `wanted` is its normal form in the document; that of now if it goes."""

    sign: str
    kind: str
    key: str
    rows: tuple[Row, ...] = ()
    wanted: Normal = field(default_factory=dict, compare=False)

    def as_json(self) -> dict[str, Any]:
        rows = [{"field": name, "before": before, "after": after} for name, before, after in self.rows]
        return {"change": self.sign, "kind": KINDS[self.kind], "name": self.key, "fields": rows}


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that applying would do, in the order in which it is done."""

    area: Normal
    changes: tuple[Change, ...]
    drift: tuple[Change, ...]  # only in the database, and left alone
    document: Mapped = field(default_factory=Mapped, compare=False, repr=False)
    prune: bool = field(default=False, compare=False)

    @property
    def is_empty(self) -> bool:
        return not self.changes

    @property
    def digest(self) -> str:
        """Stands for exactly these changes (16 hex digits): what was reviewed is what is applied."""
        said = [self.area["slug"], [(each.as_json(), each.wanted) for each in self.changes]]
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]

    def as_json(self) -> dict[str, Any]:
        return {
            "area": self.area["slug"],
            "digest": self.digest,
            "changes": [each.as_json() for each in self.changes],
            "only_in_database": [each.as_json() for each in self.drift],
        }

    def text(self) -> str:
        """For a terminal and a review."""
        lines = [line for each in self.changes for line in _lines(each)]
        if not lines:
            lines = ["no changes"]
        if self.drift:
            lines += ["", "Only in the database, not in the file:"]
            lines += [f"  ? {_title(each)}{_kept(each, self.document)}" for each in self.drift]
        return "\n".join(lines)


def plan(document: Mapped, *, prune: bool = False) -> Plan:
    """Raises `DocumentError` with everything that does not fit."""
    reader = Reader()
    reader.root(document)
    area = reader.area(document)
    wanted = {name: reader.objects(document, name) for name in ROOT}
    if reader.problems:
        raise DocumentError(reader.problems)
    found = Area.objects.filter(slug=area["slug"]).first()
    held = state.of_area(found) if found else {name: [] for name in ROOT}
    problems = [*_twice(wanted), *_astray(wanted, held)]
    if problems:
        raise DocumentError(problems)
    changes = [*_area(area, found), *_groups(wanted)]
    drift: list[Change] = []
    for name, part in ROOT.items():
        mine, theirs = _by_key(name, wanted[name]), _by_key(name, held[name])
        changes += [each for key in mine if (each := _change(name, part, key, mine[key], theirs.get(key)))]
        gone = [
            Change(REMOVE, name, key, wanted=held)
            for key, held in theirs.items()
            if key not in mine and _is_there(name, held)
        ]
        if prune and _prunes(document, name):
            changes += gone
        else:
            drift += [Change(KEEP, each.kind, each.key) for each in gone]
    return Plan(area, tuple(changes), tuple(drift), document, prune)


def again(made: Plan) -> Plan:
    """The same plan against the database as it is now."""
    return plan(made.document, prune=made.prune)


def key_of(kind: str, normal: Normal) -> str:
    """What tells objects of one kind apart."""
    if kind == "access_rules":
        return f"{normal['group']} → {normal['endpoint']} #{normal['priority']}"
    return str(normal[{"credentials": "name", "rotation_plans": "credential"}.get(kind, "slug")])


def _prunes(document: Mapped, kind: str) -> bool:
    return kind in PRUNABLE and (kind not in SINCE or kind in document)


def _is_there(kind: str, held: Normal) -> bool:
    """A disabled endpoint is as gone as an endpoint gets."""
    return kind != "endpoints" or bool(held["enabled"])


def _by_key(kind: str, objects: list[Normal]) -> dict[str, Normal]:
    return {key_of(kind, each): each for each in objects}


def _twice(wanted: Mapping[str, list[Normal]]) -> Iterator[str]:
    for kind, objects in wanted.items():
        yield from _doubles(KINDS[kind], [(key_of(kind, each), each) for each in objects])
        for each in objects:
            classes = [(str(inner["slug"]), inner) for inner in each.get("classes", ())]
            yield from _doubles(f"schema {key_of(kind, each)}: class", classes)


def _doubles(kind: str, named: list[tuple[str, Normal]]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for name, each in named:
        line = getattr(each, "line", 0)
        if name in seen:
            first = f" (first in line {seen[name]})" if line else ""
            yield told(line, f"{kind} {inert(name)} comes twice{first}.")
        seen.setdefault(name, line)


def _astray(wanted: Mapping[str, list[Normal]], held: Mapping[str, list[Normal]]) -> Iterator[str]:
    """References to what neither the file nor the database has."""
    there = {
        kind: {key_of(kind, each) for each in (*wanted[kind], *held[kind])}
        for kind in ("schemas", "policies", "credentials", "endpoints")
    }
    for kind, columns in REFERS.items():
        for each in wanted[kind]:
            for column, target in columns.items():
                if each[column] and each[column] not in there[target]:
                    missing = f"there is no {KINDS[target]} “{inert(each[column])}” in force in this area."
                    where = f"{KINDS[kind]} {inert(key_of(kind, each))}"
                    yield told(getattr(each, "line", 0), f"{where}: {missing}")


def _area(area: Normal, found: Area | None) -> Iterator[Change]:
    change = _change("areas", AREA, area["slug"], area, of_row(AREA, found) if found else None)
    if change:
        yield change


def _groups(wanted: Mapping[str, list[Normal]]) -> Iterator[Change]:
    """Those that access rules and policies name and nobody has made yet."""
    named = dict.fromkeys(each["group"] for each in wanted["access_rules"])
    for each in wanted["policies"]:
        named |= dict.fromkeys((*each["reviewers"], *each["escalate_to"]))
    there = set(Group.objects.filter(name__in=list(named)).values_list("name", flat=True))
    yield from (Change(ADD, "groups", name) for name in named if name not in there)


def _change(kind: str, part: Part, key: str, wanted: Normal, held: Normal | None) -> Change | None:
    if held is None:
        return Change(ADD, kind, key, tuple(_rows(part, _blank(part), wanted)), wanted)
    rows = tuple(_rows(part, held, wanted))
    return Change(CHANGE, kind, key, rows, wanted) if rows else None


def _blank(part: Part) -> Normal:
    parts = [part, SETTINGS] if part is POLICY else [part]
    blank: Normal = {name: default(each, name) for each in parts for name in each.columns}
    return blank | dict.fromkeys(part.names, "") | {name: [] for name in part.children}


def _rows(part: Part, held: Normal, wanted: Normal) -> Iterator[Row]:
    """What differs between two objects; the children by their name, in one line each."""
    names = [*part.names, *part.columns, *(SETTINGS.columns if part is POLICY else ())]
    for name in names:
        if held[name] != wanted[name]:
            yield name, *_pair(*(_whole(name, each[name]) for each in (held, wanted)))
    for name in part.children:
        yield from _children(name, held[name], wanted[name])


def _children(kind: str, held: list[Normal], wanted: list[Normal]) -> Iterator[Row]:
    before, after = named(held), named(wanted)
    for name in {**after, **before}:
        old, new = before.get(name), after.get(name)
        if old is None or new is None:
            yield f"{kind} › {inert(name)}", _said(old), _said(new)
        elif old != new:
            for column in new:
                if old[column] != new[column]:
                    yield f"{kind} › {inert(name)} › {column}", *_pair(old[column], new[column])
    stayed, stay = [name for name in before if name in after], [name for name in after if name in before]
    if stayed != stay:
        yield f"order of {kind}", *_pair(", ".join(stayed), ", ".join(stay))


def named(children: list[Normal]) -> dict[str, Normal]:
    """By name; those that share one are counted."""
    found: dict[str, Normal] = {}
    for each in children:
        name = base = str(each.get("slug") or each["name"])
        number = 2
        while name in found:
            name, number = f"{base} ({number})", number + 1
        found[name] = each
    return found


def _whole(name: str, value: Any) -> Any:
    """What stands for nothing in a child may say something in a rotator's options."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False) if name in FREE and value else value


def _pair(old: Any, new: Any) -> tuple[str, str]:
    """Before and after. Long texts are shown from shortly before they begin to differ."""
    before, after = _text(old), _text(new)
    if max(len(before), len(after)) <= SHOWN:
        return _said(old), _said(new)
    same = next((at for at, (a, b) in enumerate(zip(before, after, strict=False)) if a != b), SHOWN)
    begin = max(0, same - 40)
    return _cut(before, begin), _cut(after, begin)


def _said(value: Any) -> str:
    return _cut(_text(value), 0)


def _cut(text: str, begin: int) -> str:
    shown = ("…" if begin else "") + inert(text[begin:], SHOWN)
    return shown if len(text) <= SHOWN else f"{shown} ({len(text)} characters)"


def _text(value: Any) -> str:
    if value is None or value is ... or value == "" or value == [] or value == {}:
        return NOTHING
    return value if isinstance(value, str) else json.dumps(_brief(value), ensure_ascii=False)


def _brief(value: Any) -> Any:
    """A child without what says nothing."""
    if isinstance(value, dict):
        return {name: _brief(each) for name, each in value.items() if each not in (None, "", [], False, 0)}
    return value


def _lines(change: Change) -> Iterator[str]:
    fate = f" ({PRUNABLE[change.kind]})" if change.sign == REMOVE else ""
    yield f"{change.sign} {_title(change)}{fate}"
    for name, before, after in change.rows:
        yield f"    {name}: {after}" if change.sign == ADD else f"    {name}: {before} → {after}"


def _title(change: Change) -> str:
    return f"{KINDS[change.kind]} {inert(change.key, 200)}"


def _kept(change: Change, document: Mapped) -> str:
    """Why what is only in the database stays there."""
    if _prunes(document, change.kind):
        return f" (--prune would {PRUNABLE[change.kind]} it)"
    if change.kind in SINCE:
        return f" (kept: the file has no {change.kind})"
    return " (kept: the record refers to it)"
