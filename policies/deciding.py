"""Who decides about calls that wait: what speaks against publishing a version because nobody would."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import Group

from policies.engine.problems import deciding_faults
from policies.engine.types import PolicySpec


def deciding_problems(spec: PolicySpec) -> list[str]:
    """In words, all at once; empty when everything that may wait can be decided."""
    named = (*spec.holding.reviewers, *spec.holding.escalate_to)
    return [*map(str, deciding_faults(spec)), *unknown_groups(named)]


def unknown_groups(names: Iterable[str]) -> list[str]:
    """One line for each of these groups that does not exist."""
    wanted = dict.fromkeys(names)
    there = set(Group.objects.filter(name__in=list(wanted)).values_list("name", flat=True))
    return [f"There is no group “{name}”." for name in wanted if name not in there]
