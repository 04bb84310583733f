"""Walls between areas in the record. Calls and sessions keep the short name of the area that they lay in.

The rooms above say where somebody audits (`areas_with`); here it becomes a filter.
"""

from __future__ import annotations

from typing import Any, Final, TypeVar

from django.db.models import Model, QuerySet

Areas = frozenset[str] | None
"""Areas by their short names. None: all of them, and what lies in none, such as calls of unknown callers."""

EVERYWHERE: Final[Areas] = None
PERMISSION: Final = "audit.view_call"

M = TypeVar("M", bound=Model)


def audited_by(person: Any) -> Areas:
    """Where this person may look at calls."""
    return areas_with(person, PERMISSION)


def areas_with(person: Any, permission: str) -> Areas:
    """Where this person may do something."""
    reach = person.areas_with(permission)
    return EVERYWHERE if reach.everywhere else frozenset(reach.slugs)


def within(rows: QuerySet[M], areas: Areas) -> QuerySet[M]:
    """Of these calls or sessions those that lie in the areas."""
    return rows if areas is EVERYWHERE else rows.filter(area__in=areas)
