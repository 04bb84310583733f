"""From claims to groups: rules decide, a value by itself gives nothing."""

from __future__ import annotations

import pytest

from gateway.identity.mapping import MOST_VALUES, MappingRule, TooManyGroups, claim_values, groups_given

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
