"""From what an issuer says of somebody to groups that exist here. Pure: no Django, no I/O.

Nothing is taken over as it is: a claim's value becomes a group only through a rule, and a rule without a
group of its own finds one by name that is there already.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from gateway.identity.expressions import LONGEST_TRIED, steps_of

MOST_VALUES: Final = 2000
"""Values of one claim that are looked at; who has more is refused, not cut short."""

MOST_EFFORT: Final = 50_000_000
"""Steps that matching one claim may take at worst: half a second or so. 2,000 values of 50 characters and 400
rules such as `team-(.*)` are about that."""

COMPARED: Final = 6
"""Steps that one comparison without an expression counts for."""

LENGTHS: Final = (25, 50, 100, 200, LONGEST_TRIED)
"""The lengths for which an expression's steps are counted: the next one above a claim's longest value."""


class TooManyGroups(ValueError):
    """The claim holds more values than are looked at, or longer ones than its rules can be tried on."""


@dataclass(frozen=True, slots=True)
class MappingRule:
    """`match` is exact, prefix or regex. `group_id` None: the group of the name that is left over."""

    match: str
    value: str
    group_id: int | None


class Mapped(NamedTuple):
    """One value, the rule that matched it and the group it gives; None where there is no such group."""

    value: str
    rule: MappingRule
    group_id: int | None


def claim_values(claims: Mapping[str, object], path: str) -> list[str]:
    """The texts at a claim's path: a list of them, one, or none. Anything else in it counts for nothing.

    A claim whose whole name is the path comes first, since names such as `https://example.com/groups` have
    dots too.
    """
    found: object = claims.get(path)
    if found is None:
        found = claims
        for name in path.split("."):
            found = found.get(name) if isinstance(found, Mapping) else None
    values = [found] if isinstance(found, str) else found if isinstance(found, list) else []
    if len(values) > MOST_VALUES:
        raise TooManyGroups(f"More than {MOST_VALUES} groups.")
    return [value for value in values if isinstance(value, str)]


def effort(values: Collection[str], rules: Sequence[MappingRule]) -> int:
    """Steps that matching these values takes at worst, counted without matching: some 30 ns each at most."""
    different = set(values)
    longest = max([len(each) for each in different if len(each) <= LONGEST_TRIED], default=0)
    length = next(each for each in LENGTHS if longest <= each)
    each = sum(
        [COMPARED + ((steps_of(rule.value, length) or 0) if rule.match == "regex" else 0) for rule in rules]
    )
    return len(different) * each


def mapped(values: Collection[str], rules: Sequence[MappingRule], named: Mapping[str, int]) -> list[Mapped]:
    """Every match of a value with a rule, in the order of the values. `named` are the groups by name.

    Raises `TooManyGroups`.
    """
    if effort(values, rules) > MOST_EFFORT:
        raise TooManyGroups("More and longer groups than its rules can be tried on.")
    return [
        Mapped(value, rule, _group(rule, rest, named))
        for value in dict.fromkeys(values)
        for rule in rules
        if (rest := _matches(rule, value)) is not None
    ]


def groups_given(
    values: Collection[str], rules: Sequence[MappingRule], named: Mapping[str, int]
) -> frozenset[int]:
    """The groups that these values stand for. Raises `TooManyGroups`."""
    return frozenset(each.group_id for each in mapped(values, rules, named) if each.group_id is not None)


def _matches(rule: MappingRule, value: str) -> str | None:
    """What of the value names the group; None: no match."""
    if rule.match == "exact":
        return value if value == rule.value else None
    if rule.match == "prefix":
        return value.removeprefix(rule.value) if value.startswith(rule.value) else None
    if len(value) > LONGEST_TRIED or steps_of(rule.value, LONGEST_TRIED) is None:
        return None
    if (found := re.fullmatch(rule.value, value)) is None:
        return None
    return (found.group(1) or "") if found.re.groups else value


def _group(rule: MappingRule, rest: str, named: Mapping[str, int]) -> int | None:
    return rule.group_id if rule.group_id is not None else named.get(rest)
