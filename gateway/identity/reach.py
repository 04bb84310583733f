"""Where something lies, and where somebody may do what: roles are held per area.

Area None means the deployment itself: people, groups, issuers, and everything that no area owns. It is
reached only by a role that is held everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final
from uuid import UUID

from django.apps import apps
from django.core.exceptions import ObjectDoesNotExist
from django.db.models import Model, Q

PLACES: Final[Mapping[str, str | tuple[str, ...]]] = {
    "gateway.area": "",
    "gateway.endpoint": "area",
    "gateway.credential": "area",
    "gateway.credentialversion": "credential__area",
    "gateway.rotationplan": "credential__area",
    "gateway.rotation": "credential__area",
    "gateway.accessrule": "endpoint__area",
    "gateway.serviceaccount": "area",
    "gateway.apikey": "service_account__area",  # a person's key lies in no area
    "gateway.lock": ("area", "endpoint__area", "service_account__area", "api_key__service_account__area"),
    "gateway.structuredfield": "endpoint__area",
    "gateway.rolegrant": "area",
    "gateway.cut": "area",
    "gateway.webhook": "area",
    "gateway.delivery": "webhook__area",  # a mail lies in no area
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
"""The way from a model to its area; of several the one that leads anywhere. A model that is not named here,
and a row whose ways all end in nothing, belong to the whole deployment."""

SLUGS: Final[Mapping[str, str]] = {
    "audit.call": "area",
    "audit.flag": "area",
    "audit.session": "area",
    "audit.reveal": "area",
    "audit.retentionrule": "area",
    "audit.legalhold": "area",
    "audit.removal": "area",
    "approvals.approval": "area",
}
"""Records keep an area's short name, which never changes."""

OF_THE_DEPLOYMENT: Final = frozenset({"gateway.add_area", "gateway.delete_area"})
"""Walls are put up and torn down by whoever holds a role everywhere, whatever lies inside."""

OF_AREAS: Final = frozenset({"gateway.view_history", "audit.trace_fingerprint"})
"""Permissions about rows of many models, or of one that only leads to rows of areas: they count in an area
although their own model lies in none."""


def counts_in_areas(perm: str) -> bool:
    """Whether holding a role in an area gives a permission at all: not for what lies in no area."""
    app, _, codename = perm.partition(".")
    if perm in OF_THE_DEPLOYMENT:
        return False
    return perm in OF_AREAS or f"{app}.{_model_of(app, codename)}" in {*PLACES, *SLUGS}


@cache
def _model_of(app: str, codename: str) -> str:
    for model in apps.get_app_config(app).get_models():
        standard = [f"{verb}_{model._meta.model_name}" for verb in model._meta.default_permissions]
        if codename in (*standard, *(name for name, _ in model._meta.permissions)):
            return str(model._meta.model_name)
    return ""


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

    def __and__(self, other: Reach) -> Reach:
        """Where both reach."""
        if self.everywhere or other.everywhere:
            return other if self.everywhere else self
        return Reach(False, self.ids & other.ids, self.slugs & other.slugs)

    def includes(self, other: Reach) -> bool:
        """Whether it reaches everything that the other one does."""
        return self.everywhere or (not other.everywhere and other.ids <= self.ids)

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
        found = Q(pk__in=[])
        for path in _ways(label):
            found |= self.q(path)
        return found

    def q_history(self, model: type[Model]) -> Q:
        """The same of history rows: what an area's own row once said is found by that row's key."""
        label, key = model._meta.label_lower, str(model._meta.pk and model._meta.pk.name)
        own = PLACES.get(label) == ""
        return Q(**{f"{key}__in": self.ids}) if own and not self.everywhere else self.q_of(model)

    def lies_in_areas(self, model: type[Model]) -> bool:
        return model._meta.label_lower in {*PLACES, *SLUGS}

    def covers_row(self, row: Model) -> bool:
        """Whether it reaches what this row is about."""
        if self.everywhere:
            return True
        label = row._meta.label_lower
        if label in SLUGS:
            return self.covers_slug(getattr(row, SLUGS[label]))
        areas = [_area_at(row, path) for path in _ways(label)]
        return any(area is not None and self.covers(area.pk) for area in areas)


EVERYWHERE: Final = Reach(everywhere=True)
NOWHERE: Final = Reach()


def area_of(row: Model) -> Model | None:
    """The area that a row lies in; None for what lies in none. Records name theirs: see `slug_of`."""
    found = (_area_at(row, path) for path in _ways(row._meta.label_lower))
    return next((area for area in found if area is not None), None)


def slug_of(row: Model) -> str:
    """The short name of the area that a row lies in; empty for what lies in none."""
    label = row._meta.label_lower
    return str(getattr(row, SLUGS[label])) if label in SLUGS else str(getattr(area_of(row), "slug", ""))


def _ways(label: str) -> tuple[str, ...]:
    ways = PLACES.get(label, ())
    return (ways,) if isinstance(ways, str) else ways


def _area_at(row: Model, path: str) -> Model | None:
    """The area at the end of a path from a row that may not be stored yet."""
    found: object = row
    for name in path.split("__") if path else ():
        try:
            found = getattr(found, name, None)
        except ObjectDoesNotExist:
            return None
    return found if isinstance(found, Model) else None
