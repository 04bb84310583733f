"""From claims to groups: rules decide, a value by itself gives nothing."""

from __future__ import annotations

import pytest

from gateway.identity import mapping
from gateway.identity.expressions import LONGEST_TRIED, MOST_STEPS, MOST_WAYS, steps_of
from gateway.identity.mapping import (
    MOST_EFFORT,
    MOST_VALUES,
    MappingRule,
    TooManyGroups,
    claim_values,
    effort,
    groups_given,
)

NAMED = {"support": 1, "clinicians": 2, "admins": 3}
URL = "https://example.com/groups"


@pytest.mark.parametrize(
    ("claims", "path", "values"),
    [
        ({"groups": ["a", "b"]}, "groups", ["a", "b"]),
        ({"groups": "a"}, "groups", ["a"]),
        ({"realm_access": {"roles": ["a"]}}, "realm_access.roles", ["a"]),
        ({URL: ["a"]}, URL, ["a"]),
        ({"a.b": ["flat"], "a": {"b": ["deep"]}}, "a.b", ["flat"]),
        ({}, "groups", []),
        ({"groups": None}, "groups", []),
        ({"groups": {"a": 1}}, "groups", []),
        ({"groups": [1, None, ["a"], {"b": 1}, True, "c"]}, "groups", ["c"]),
        ({"realm_access": "text"}, "realm_access.roles", []),
    ],
)
def test_values_of_a_claim(claims: dict[str, object], path: str, values: list[str]) -> None:
    assert claim_values(claims, path) == values


def test_too_many_values_are_refused() -> None:
    with pytest.raises(TooManyGroups):
        claim_values({"groups": ["a"] * (MOST_VALUES + 1)}, "groups")


@pytest.mark.parametrize(
    ("value", "rule", "groups"),
    [
        ("pst-help", MappingRule("exact", "pst-help", 1), {1}),
        ("pst-help", MappingRule("exact", "PST-HELP", 1), set()),
        ("pst-help", MappingRule("exact", "pst-hel", 1), set()),
        ("pst-support", MappingRule("prefix", "pst-", None), {1}),
        ("pst-nobody", MappingRule("prefix", "pst-", None), set()),
        ("xpst-support", MappingRule("prefix", "pst-", None), set()),
        ("pst-anything", MappingRule("prefix", "pst-", 2), {2}),
        ("/org/clinicians", MappingRule("regex", "/org/(.*)", None), {2}),
        ("/org/clinicians", MappingRule("regex", "/org/.*", None), set()),
        ("/org/clinicians/x", MappingRule("regex", "/org/[a-z]+", 2), set()),
        ("support", MappingRule("regex", "support|x", None), {1}),
        ("support\n", MappingRule("regex", "support", 1), set()),
        ("x" * 400, MappingRule("regex", "x+", 1), {1}),
        ("x" * 401, MappingRule("regex", "x+", 1), set()),
    ],
)
def test_a_rule_gives_a_group_or_none(value: str, rule: MappingRule, groups: set[int]) -> None:
    assert groups_given([value], [rule], NAMED) == groups


def test_without_rules_nothing_is_given() -> None:
    assert groups_given(["support", "admins"], [], NAMED) == set()


def regex(value: str) -> MappingRule:
    return MappingRule("regex", value, 1)


@pytest.mark.parametrize(
    ("expression", "length", "steps"),
    [
        ("support", 400, 7),
        ("team-(.*)", 25, 5 + 25),
        ("team-(.*)", 400, 5 + 400),
        (".*x", 100, 100 + 101),
        (".*.*x", 100, 100 + 101 * 100 + 101 * 101),
        ("[a-c]{3}x|yy", 400, 3 + 1 + 2),
        ("(?:ab){2,3}", 400, 6),
        ("(a+)+b", 400, None),
        ("(", 400, None),
        (".*.*.*x", 400, None),
        (".*.*b{100}c", 400, None),
    ],
)
def test_the_steps_of_an_expression_are_counted_from_how_it_is_written(
    expression: str, length: int, steps: int | None
) -> None:
    assert steps_of(expression, length) == steps


def test_what_would_not_be_accepted_is_not_tried_though_it_is_stored() -> None:
    assert groups_given(["a" * 400], [regex("(a+)+b"), regex("(")], NAMED) == set()


@pytest.mark.parametrize(
    ("values", "rules"),
    [
        (2000, ["team-(.*)"] * 20),
        (200, ["CN=([^,]+),.*"]),
        (2000, []),
    ],
)
def test_what_issuers_say_every_day_is_within_bounds(values: int, rules: list[str]) -> None:
    said = [f"CN=team-{number},OU=groups,DC=example" for number in range(values)]
    assert groups_given(said, [regex(rule) for rule in rules], NAMED) <= {1}


def test_thousands_of_long_groups_are_refused_before_one_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """The worst that an accepted expression and a hostile claim can do together."""

    def tried(*args: object) -> None:
        raise AssertionError("it was tried")

    monkeypatch.setattr(mapping.re, "fullmatch", tried)
    said = [f"{number:0400d}" for number in range(MOST_VALUES)]
    rules = [regex(".*.*x")] * 500
    steps = steps_of(".*.*x", LONGEST_TRIED)
    assert steps is not None and MOST_WAYS < steps <= MOST_STEPS
    assert effort(said, rules) > MOST_EFFORT
    with pytest.raises(TooManyGroups):
        groups_given(said, rules, NAMED)
