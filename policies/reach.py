"""Where a signed-in person may do what: what rooms below the gateway ask of it, without importing it.

Roles are held per area. `person.has_perm(perm, row)` asks about one row, `reach(person, perm)` about many.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol, TypeVar, cast
from uuid import UUID

from django.db.models import Model, Q, QuerySet

M = TypeVar("M", bound=Model)


class Reach(Protocol):
    """The areas in which somebody may do one thing; `gateway.identity.reach.Reach` is the only one."""

    @property
    def everywhere(self) -> bool: ...

    @property
    def slugs(self) -> frozenset[str]: ...

    def __bool__(self) -> bool: ...

    def covers(self, area_id: UUID | None) -> bool: ...

    def covers_row(self, row: Model) -> bool: ...

    def q(self, path: str = "area") -> Q: ...

    def q_of(self, model: type[Model]) -> Q: ...

    def lies_in_areas(self, model: type[Model]) -> bool: ...


def reach(person: Any, perm: str) -> Reach:
    """Where this person, or this program, may do something."""
    return cast(Reach, person.areas_with(perm))


def seen(person: Any, rows: QuerySet[M], perms: Iterable[str]) -> QuerySet[M]:
    """Of these rows those that lie where the person may do any of these things."""
    found = Q(pk__in=[])
    for perm in perms:
        each = reach(person, perm)
        if each.everywhere:
            return rows
        found |= each.q_of(rows.model)
    return rows.filter(found)


def may_any(person: Any, perms: Iterable[str], row: Model) -> bool:
    """Whether the person may do one of these things to this row."""
    return any(person.has_perm(perm, row) for perm in perms)
