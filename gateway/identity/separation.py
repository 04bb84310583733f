"""Separation of duties: what one person should not hold together in the same area.

Warned about, not forbidden: a small house may have no second person, but it should know.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.conf import settings

from gateway.identity.authz import ROLES
from gateway.identity.reach import EVERYWHERE, Reach
from gateway.models import Area, RoleGrant, User

DEMO: Final = "demo"
APART: Final = (
    ("policy_editor", "publisher", "writes what is masked and puts it in force alone"),
    ("policy_editor", "reviewer", "writes which calls wait and lets them go"),
    ("admin", "publisher", "opens access and puts policies in force"),
    ("admin", "reviewer", "opens access and lets held calls go"),
    ("admin", "auditor", "changes what the record is about, and judges the record"),
    ("publisher", "auditor", "puts policies in force, and judges what they did"),
    ("reviewer", "auditor", "lets held calls go, and judges that it was right"),
)
Place = UUID | None


@dataclass(frozen=True, slots=True)
class Overlap:
    """One person who holds what should be apart. `where` is an area's name, or `everywhere`."""

    person: str
    first: str
    second: str
    where: str
    why: str

    def __str__(self) -> str:
        return f"{self.person} is {self.first} and {self.second} {self.where}: {self.why}."


def overlaps(reach: Reach = EVERYWHERE) -> list[Overlap]:
    """What `reach` sees of it: in an area, those whose roles meet there."""
    names: dict[UUID, str] = dict(Area.objects.values_list("pk", "name"))
    held: defaultdict[str, defaultdict[str, set[Place]]] = defaultdict(lambda: defaultdict(set))
    rows = RoleGrant.objects.filter(group__user__is_active=True)
    for person, role, area in rows.values_list("group__user__username", "role", "area").distinct():
        held[person][role].add(area)
    return [
        each
        for person in sorted(held)
        for first, second, why in APART
        for each in _meeting(person, held[person], first, second, why, names, reach)
    ]


def _meeting(
    person: str,
    roles: dict[str, set[Place]],
    first: str,
    second: str,
    why: str,
    names: dict[UUID, str],
    reach: Reach,
) -> Iterator[Overlap]:
    one, other = roles.get(first, set()), roles.get(second, set())
    titles = (ROLES[first].title.lower(), ROLES[second].title.lower())
    if None in one and None in other:
        yield Overlap(person, *titles, "everywhere", why)
        return
    meet = (one & other) | (one if None in other else set()) | (other if None in one else set())
    for area in sorted((each for each in meet if each is not None), key=lambda each: names[each]):
        if reach.covers(area):
            yield Overlap(person, *titles, f"in {names[area]}", why)


def superusers() -> list[str]:
    """Accounts that every rule lets through. The demo has one; nothing else should."""
    if settings.ENVIRONMENT == DEMO:
        return []
    rows = User.objects.filter(is_superuser=True, is_active=True).order_by("username")
    return list(rows.values_list("username", flat=True))
