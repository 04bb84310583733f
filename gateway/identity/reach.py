"""Where something lies, and where somebody may do what: roles are held per area.

Area None means the deployment itself: people, groups, issuers, and everything that no area owns. It is
reached only by a role that is held everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model, Q

PLACES: Final[Mapping[str, str]] = {
    "gateway.area": "",
    "gateway.endpoint": "area",
    "gateway.credential": "area",
    "gateway.credentialversion": "credential__area",
    "gateway.accessrule": "endpoint__area",
    "gateway.serviceaccount": "area",
    "gateway.structuredfield": "endpoint__area",
    "gateway.rolegrant": "area",
    "gateway.cut": "area",
    "policies.schema": "area",
    "policies.schemaversion": "schema__area",
    "policies.dataclass": "version__schema__area",
    "policies.detector": "data_class__version__schema__area",
    "policies.example": "data_class__version__schema__area",
    "policies.policy": "area",
    "policies.policyversion": "policy__area",
    "policies.rule": "version__policy__area",
    "policies.proposal": "area",
}
"""The way from a model to its area. A model that is not named here belongs to the whole deployment."""

SLUGS: Final[Mapping[str, str]] = {
    "audit.call": "area",
    "audit.session": "area",
    "approvals.approval": "area",
}
"""Records keep an area's short name, which never changes."""


@dataclass(frozen=True, slots=True)
class Reach:
    """The areas in which somebody may do one thing."""

    everywhere: bool = False
    ids: frozenset[UUID] = frozenset()
    slugs: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return self.everywhere or bool(self.ids)

    def covers(self, area_id: UUID | None) -> bool:
        """Whether it reaches an area; None: what lies in no area."""
        return self.everywhere or area_id in self.ids

    def covers_slug(self, slug: str) -> bool:
        return self.everywhere or (slug != "" and slug in self.slugs)

    def q(self, path: str = "area") -> Q:
        """The rows whose area, at the end of `path`, is reached. An empty path: the rows are areas."""
        if self.everywhere:
            return Q()
        return Q(**{f"{path}__in" if path else "pk__in": self.ids})

    def q_slug(self, path: str = "area") -> Q:
        """The same for records, which keep an area's short name."""
        return Q() if self.everywhere else Q(**{f"{path}__in": self.slugs})

    def q_of(self, model: type[Model]) -> Q:
        """The rows of a model that are reached; none of one that belongs to the whole deployment."""
        label = model._meta.label_lower
        if self.everywhere:
            return Q()
        if label in SLUGS:
            return self.q_slug(SLUGS[label])
        return self.q(PLACES[label]) if label in PLACES else Q(pk__in=[])

    def covers_row(self, row: Model) -> bool:
        """Whether it reaches what this row is about."""
        if self.everywhere:
            return True
        label = row._meta.label_lower
        if label in SLUGS:
            return self.covers_slug(getattr(row, SLUGS[label]))
        return label in PLACES and self.covers(_area_at(row, PLACES[label]))


EVERYWHERE: Final = Reach(everywhere=True)
NOWHERE: Final = Reach()


def _area_at(row: Model, path: str) -> UUID | None:
    """The id of the area at the end of a path from a row that may not be stored yet."""
    found: object = row
    for name in path.split("__") if path else ():
        try:
            found = getattr(found, name, None)
        except ObjectDoesNotExist:
            return None
    return found.pk if isinstance(found, Model) else None
