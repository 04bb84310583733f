"""What the auditors' pages show beside the record: names and links of what decided. The record itself has
snapshots and knows nothing of the rooms above it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django import template
from django.urls import reverse

from approvals import walls
from approvals.models import Approval, Vote
from policies.models import PolicyVersion, Rule, SchemaVersion

register = template.Library()


@dataclass(frozen=True, slots=True)
class Named:
    """A thing that decided. No link where there is no page, or none for this reader."""

    name: str
    link: str = ""


@register.simple_tag
def rules_named(rules: Iterable[str] | None) -> list[str]:
    """Rules by their names; those that are gone by their ids. A published version keeps its rules."""
    wanted = [str(each) for each in rules or ()]
    known = {str(rule.pk): rule.name for rule in Rule.objects.filter(pk__in=list(_ids(wanted)))}
    return [known.get(each, each) for each in wanted]


@register.simple_tag
def version_named(kind: str, version_id: Any, label: str, user: Any) -> Named:
    """A policy's or a schema's version with a link for whoever may read it."""
    model = PolicyVersion if kind == "policy" else SchemaVersion
    found = model.objects.filter(pk__in=list(_ids([version_id]))).first()
    if found is None or not user.has_perm(f"policies.view_{model._meta.model_name}", found):
        return Named(label)
    return Named(label, reverse(f"admin:policies_{model._meta.model_name}_change", args=[found.pk]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """A held request as far as its record's page tells of it."""

    approval: Approval
    votes: tuple[Vote, ...]
    link: str


@register.simple_tag
def held_requests(approvals: Iterable[str], user: Any) -> list[Held]:
    """The approvals that a call waited for or left under, as far as this reader may see them."""
    rows = Approval.objects.filter(pk__in=list(_ids(approvals))).prefetch_related("votes")
    return [
        Held(
            approval=row,
            votes=tuple(sorted(row.votes.all(), key=lambda vote: vote.at)),
            link=reverse("review:approval", args=[row.pk]),
        )
        for row in rows
        if walls.may_see(user, row)
    ]


def _ids(values: Iterable[Any]) -> Iterator[UUID]:
    """Of what a record may hold that which is an id."""
    for value in values:
        try:
            yield UUID(str(value))
        except ValueError:
            continue
