"""History rows as lines for people: what, by whom, why, and each field before and after. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, cast
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist
from django.db import models

from gateway.identity.authz import ROLES
from gateway.models import HolderKind, MemberKind, MembershipChange, PermissionChange, RoleGrant, User
from gateway.models.history import KEPT as GATEWAY
from policies.content import NOTHING, plain, value_text
from policies.history import ADDED, CHANGED, DELETED, history_of
from policies.models import State, Version
from policies.models.history import KEPT as POLICIES

MEMBERSHIP: Final = "membership"
PERMISSIONS: Final = "permissions"
_KEPT: Final[tuple[type[models.Model], ...]] = (*POLICIES, *GATEWAY)
KINDS: Final = {str(model._meta.model_name): model for model in _KEPT}
"""Models with a history, by their name in a URL."""

EXTRA: Final = {MEMBERSHIP: "Group membership", PERMISSIONS: "Permissions"}
"""What is kept in tables of its own."""

_TITLES: Final = {**EXTRA, "apikey": "API key", "rolegrant": "Role of a group"}

_WORDS: Final = {
    ADDED: ("added", "published"),
    CHANGED: ("changed", "draft"),
    DELETED: ("deleted", "revoked"),
}
_ROLE_WORDS: Final[Mapping[str, Callable[[RoleGrant], str]]] = {
    "role": lambda row: ROLES[row.role].title if row.role in ROLES else row.role,
    "area": lambda row: "" if row.area_id else "Everywhere",
}
_UNSHOWN: Final = frozenset({"id", "created_at", "updated_at"})


@dataclass(frozen=True, slots=True)
class Line:
    """One change. `rows`: (field, before, after) for people; `badge` colours the `word`.

    `within` is what the object is a part of, if anything: a rule's version, a detector's class and version.
    """

    id: UUID
    at: datetime
    kind: str
    word: str
    badge: str
    name: str
    url: str
    by: str
    reason: str
    rows: tuple[tuple[str, str, str], ...]
    within: str = ""


def title(kind: str) -> str:
    """A kind of object, for people."""
    return _TITLES.get(kind) or str(KINDS[kind]._meta.verbose_name).capitalize()


def lines_of(rows: Iterable[Any]) -> list[Line]:
    """A line for each history row, membership change or permission change, in the same order."""
    found = list(rows)
    reader = _Reader(found)
    return [reader.line(row) for row in found]


class _Reader:
    """One page of lines. What many of them name is looked up once."""

    def __init__(self, rows: list[Any]) -> None:
        wanted = {_who(row) for row in rows} - {None}
        people = User.objects.filter(pk__in=wanted)
        self._people: dict[UUID | None, str] = {user.pk: user.get_username() for user in people}
        self._targets: dict[tuple[type[models.Model], object], models.Model | None] = {}

    def line(self, row: Any) -> Line:
        if isinstance(row, MembershipChange):
            return self._membership(row)
        if isinstance(row, PermissionChange):
            return self._permissions(row)
        model: type[models.Model] = row.instance_type
        kind, now, before = str(model._meta.model_name), _as_it_was(row), _before(row)
        word, badge = _word(now, before, row.history_type)
        return Line(
            id=row.history_id,
            at=row.history_date,
            kind=title(kind),
            word=word,
            badge=badge,
            name=self._name(now),
            url=f"?kind={kind}&object={now.pk}",
            by=self._by(row),
            reason=row.history_change_reason or "",
            rows=tuple(self._differences(row, now, before)),
            within=", ".join(self._within(now)),
        )

    def _membership(self, row: MembershipChange) -> Line:
        change = ("Group", NOTHING, row.group) if row.joined else ("Group", row.group, NOTHING)
        kind = "user" if row.member_kind == MemberKind.PERSON else "serviceaccount"
        return Line(
            id=row.pk,
            at=row.at,
            kind=title(MEMBERSHIP),
            word="joined" if row.joined else "left",
            badge="published" if row.joined else "revoked",
            name=row.member,
            url=f"?kind={kind}&object={row.member_id}",
            by=self._by(row),
            reason=row.reason,
            rows=(change, ("Source", NOTHING, row.get_source_display())),
        )

    def _permissions(self, row: PermissionChange) -> Line:
        given = [("Given", NOTHING, ", ".join(row.given))] if row.given else []
        taken = [("Taken away", ", ".join(row.taken), NOTHING)] if row.taken else []
        kind = "group" if row.holder_kind == HolderKind.GROUP else "user"
        return Line(
            id=row.pk,
            at=row.at,
            kind=title(PERMISSIONS),
            word="changed",
            badge="draft",
            name=row.holder,
            url=f"?kind={kind}&object={row.holder_id}",
            by=self._by(row),
            reason=row.reason,
            rows=(*given, *taken),
        )

    def _by(self, row: Any) -> str:
        who = _who(row)
        return "Postern itself" if who is None else self._people.get(who, f"{who} (no longer there)")

    def _differences(
        self, row: Any, now: models.Model, before: models.Model | None
    ) -> Iterator[tuple[str, str, str]]:
        """Fields that differ from the row before; all that are set where there is none."""
        gone = row.history_type == DELETED
        earlier = now if gone and before is None else before
        for field in row.tracked_fields:
            if field.name in _UNSHOWN:
                continue
            old = NOTHING if earlier is None else self._text(earlier, field.name)
            new = NOTHING if gone else self._text(now, field.name)
            if old != new:
                yield str(field.verbose_name).capitalize(), old, new

    def _text(self, row: models.Model, name: str) -> str:
        """A column for people. What it points at may be gone; then its key has to do."""
        field: Any = row._meta.get_field(name)
        if isinstance(row, RoleGrant) and name in _ROLE_WORDS:
            return _ROLE_WORDS[name](row) or plain(str(self._target(field.related_model, row.area_id)))
        if not field.is_relation:
            return value_text(row, name)
        key = getattr(row, field.attname)
        if key is None:
            return NOTHING
        target = self._target(field.related_model, key)
        return f"{key} (no longer there)" if target is None else plain(str(target))

    def _target(self, model: type[models.Model], key: object) -> models.Model | None:
        if (model, key) not in self._targets:
            self._targets[model, key] = model._default_manager.filter(pk=key).first()
        return self._targets[model, key]

    def _within(self, row: models.Model) -> Iterator[str]:
        for name in ("data_class", "version"):
            key = getattr(row, f"{name}_id", None)
            if key is not None and (
                target := self._target(cast(Any, row._meta.get_field(name).related_model), key)
            ):
                yield str(target)
                yield from self._within(target)

    def _name(self, row: models.Model) -> str:
        for field in row._meta.concrete_fields:
            key = getattr(row, field.attname) if field.is_relation else None
            if key is not None and (target := self._target(cast(Any, field.related_model), key)):
                setattr(row, field.name, target)
        try:
            return str(row)
        except (ObjectDoesNotExist, AttributeError):  # it names what is gone by now
            columns = (getattr(row, column, "") for column in ("name", "slug", "value", "username"))
            return next((str(text) for text in columns if text), str(row.pk))


def _who(row: Any) -> UUID | None:
    who: UUID | None = getattr(row, "history_user_id", None) or getattr(row, "changed_by_id", None)
    return who


def _before(row: Any) -> models.Model | None:
    """The same object before this row; None if this is its first."""
    if row.history_type == ADDED:
        return None
    key = row.instance_type._meta.pk.name
    same = history_of(row.instance_type).filter(**{key: getattr(row, key)})
    earlier = same.filter(history_id__lt=row.history_id).order_by("-history_id").first()
    return None if earlier is None else _as_it_was(earlier)


def _as_it_was(row: Any) -> models.Model:
    """The object of a history row. The library's own would fetch what is kept out of the history as well."""
    model: type[models.Model] = row.instance_type
    return model(**{field.attname: getattr(row, field.attname) for field in row.tracked_fields})


def _word(now: models.Model, before: models.Model | None, change: str) -> tuple[str, str]:
    """What happened and its badge; a version that came into force, or left it, is called so."""
    moved = isinstance(now, Version) and isinstance(before, Version) and (before.state, now.state)
    if change == CHANGED and moved and moved[0] != moved[1]:
        return State(moved[1]).label.lower(), moved[1]
    return _WORDS[change]
