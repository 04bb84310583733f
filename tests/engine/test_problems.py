"""What cannot be enforced is refused in words that name the rule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from policies.engine.problems import DAY, deciding_faults, holds, observing_problems, policy_problems
from policies.engine.types import (
    Direction,
    Gate,
    Holding,
    Level,
    Matcher,
    PolicySpec,
    Rule,
    Style,
    TermsDetector,
)

from .world import BOTH, a_class, a_schema

CLASSES = a_schema(
    a_class("PERSON", TermsDetector(terms=("ann",)), level=Level.INTERNAL, tags=frozenset({"identity"})),
    a_class("DIAGNOSIS", TermsDetector(terms=("flu",)), weight=5),
).classes
ANSWERS = frozenset({Direction.RESPONSE})
NOW = 1_000_000.0


def spec_of(*rules: Rule, **more: Any) -> PolicySpec:
    return PolicySpec(version_id="1", number=1, name="p", rules=rules, **more)


def rule(matcher: Matcher, value: str = "", name: str = "it", **more: Any) -> Rule:
    given: dict[str, Any] = {"directions": BOTH, "gate": Gate.FLAG, **more}
    return Rule(id=name, name=name, matcher=matcher, value=value, **given)


def many(matcher: Matcher, value: str = "", at_least: int | None = 3, **more: Any) -> Rule:
    return rule(matcher, value, at_least=at_least, **more)


REFUSED = [
    (rule(Matcher.OPAQUE, transform=Style.LABEL), "opaque content has no text to transform"),
    (rule(Matcher.ABOVE_DECLARED, transform=Style.NONE), "the declared level has no text to transform"),
    (rule(Matcher.UNLABELLED, transform=Style.NONE), "no text to transform"),
    (rule(Matcher.UNCLASSIFIED, transform=Style.REMOVE), "unclassified fields has no text to transform"),
    (many(Matcher.DISTINCT, window="day", transform=Style.LABEL), "distinct values has no text"),
    (many(Matcher.BULK, transform=Style.LABEL), "a bulk count has no text to transform"),
    (rule(Matcher.COMBINATION, "PERSON + DIAGNOSIS", transform=Style.LABEL), "a combination has no text"),
    (rule(Matcher.CLASS, "PERSON", gate=Gate.HOLD, directions=ANSWERS), "an answer cannot wait for a person"),
    (rule(Matcher.UNLABELLED, directions=ANSWERS), "is about requests; choose the direction Request"),
    (rule(Matcher.ABOVE_DECLARED, directions=ANSWERS), "is about requests"),
    (rule(Matcher.UNCLASSIFIED, directions=ANSWERS), "is about requests"),
    (many(Matcher.DISTINCT, window="day", directions=ANSWERS), "is about requests"),
    (rule(Matcher.COMBINATION, "PERSON"), "names at least two data classes or tags"),
    (rule(Matcher.COMBINATION, "PERSON + PERSON"), "names at least two"),
    (rule(Matcher.COMBINATION, " + "), "names at least two"),
    (rule(Matcher.COMBINATION, "PERSON + NOPE"), "the schema has no class or tag “NOPE”"),
    (rule(Matcher.COMBINATION, "PERSON + identity"), "all mean the same data class"),
    (many(Matcher.BULK, "NOPE"), "the schema has no class or tag “NOPE”"),
    (many(Matcher.DISTINCT, "NOPE", window="hour"), "the schema has no class or tag “NOPE”"),
    (rule(Matcher.CLASS, "NOPE"), "the schema has no class “NOPE”"),
    (rule(Matcher.TAG, "nope"), "the schema has no tag “nope”"),
    (rule(Matcher.LEVEL, "secret"), "the schema has no level “secret”"),
    (rule(Matcher.OPAQUE, "imgae"), "“imgae” is no kind of opaque content"),
    (rule(Matcher.UNLABELLED, "internal"), "takes no value"),
    (many(Matcher.BULK, at_least=None), "from how many on"),
    (many(Matcher.BULK, at_least=10_001), "it can never apply"),
    (many(Matcher.DISTINCT), "an hour or a day"),
    (many(Matcher.CLASS, "PERSON"), "leave “at least” empty"),
    (rule(Matcher.CLASS, "PERSON", window="day"), "leave the window empty"),
    (many(Matcher.BULK, gate=Gate.ALLOW), "it does nothing"),
    (rule(Matcher.CLASS, "PERSON", weight=5, directions=ANSWERS), "its weight counts for nothing"),
]


@pytest.mark.parametrize(("broken", "said"), REFUSED, ids=[f"{one.matcher} {said}" for one, said in REFUSED])
def test_a_rule_that_cannot_be_enforced_is_named(broken: Rule, said: str) -> None:
    problems = policy_problems(spec_of(broken), CLASSES)
    assert len(problems) == 1, problems
    assert problems[0].startswith("Rule “it”: ")
    assert said in problems[0]


def test_what_can_be_enforced_is_not_refused() -> None:
    fine = (
        rule(Matcher.CLASS, "PERSON", "a", transform=Style.LABEL, gate=Gate.HOLD),
        rule(Matcher.CLASS, "PERSON", "b", gate=Gate.ALLOW),
        rule(Matcher.COMBINATION, "PERSON + DIAGNOSIS", "c", gate=Gate.HOLD),
        rule(Matcher.COMBINATION, "identity+DIAGNOSIS", "d", gate=Gate.ALLOW, weight=5),
        many(Matcher.BULK, name="e"),
        many(Matcher.BULK, "identity", name="f", directions=ANSWERS),
        many(Matcher.DISTINCT, "PERSON", name="g", window="hour"),
        rule(Matcher.OPAQUE, "image", "h", gate=Gate.ALLOW),
        rule(Matcher.UNCLASSIFIED, "customer.notes", "i"),
    )
    assert policy_problems(spec_of(*fine, hold_score=50, block_score=65), CLASSES) == []


@pytest.mark.parametrize(
    ("spec", "holding"),
    [
        (spec_of(), False),
        (spec_of(rule(Matcher.CLASS, "PERSON", gate=Gate.BLOCK), block_score=9), False),
        (spec_of(rule(Matcher.CLASS, "PERSON", gate=Gate.HOLD, directions=ANSWERS)), False),
        (spec_of(rule(Matcher.CLASS, "PERSON", gate=Gate.HOLD)), True),
        (spec_of(hold_score=9), True),
        (spec_of(opaque_gate=Gate.HOLD), True),
    ],
)
def test_where_a_request_can_come_to_wait_somebody_is_named(spec: PolicySpec, holding: bool) -> None:
    assert holds(spec) is holding
    assert [fault.field for fault in deciding_faults(spec)] == ["reviewers"] * holding
    assert deciding_faults(replace(spec, holding=Holding(reviewers=("Privacy",)))) == []


@pytest.mark.parametrize(
    ("others", "fields"),
    [
        ((), []),
        (("Managers",), []),
        (("Privacy", "Managers"), []),
        (("Privacy",), ["escalate_to"]),
        (("Legal", "Privacy"), ["escalate_to"]),
    ],
)
def test_escalating_asks_somebody_else(others: tuple[str, ...], fields: list[str]) -> None:
    holding = Holding(reviewers=("Privacy", "Legal"), escalate_minutes=5, escalate_to=others)
    assert [fault.field for fault in deciding_faults(spec_of(holding=holding))] == fields


def test_a_transform_that_an_earlier_rule_hides_is_named() -> None:
    first = rule(Matcher.CLASS, "PERSON", "first", transform=Style.LABEL)
    second = rule(Matcher.CLASS, "PERSON", "second", transform=Style.NONE, directions=ANSWERS)
    (problem,) = policy_problems(spec_of(first, second), CLASSES)
    assert problem.startswith("Rule “second”: its transform can never apply: rule “first” comes first")
    assert policy_problems(spec_of(second, first), CLASSES) == []


def test_scores_that_no_call_reaches_are_named() -> None:
    assert policy_problems(spec_of(hold_score=60), CLASSES) == []
    (problem,) = policy_problems(spec_of(hold_score=61), CLASSES)
    assert problem == "The score that holds (61) can never be reached: no call scores more than 60."
    (problem,) = policy_problems(spec_of(hold_score=9, block_score=9), CLASSES)
    assert "must be above" in problem


@pytest.mark.parametrize(
    ("until", "begins", "said"),
    [
        (None, None, ""),
        (NOW + 1, None, ""),
        (NOW + 30 * DAY, None, ""),
        (NOW + 35 * DAY, NOW + 6 * DAY, ""),
        (NOW, None, "Observing would end in the past."),
        (NOW + 30 * DAY + 1, None, "Observing may last 30 days at most."),
        (NOW + DAY, NOW + 2 * DAY, "Observing would end before the version takes effect."),
    ],
)
def test_observing_ends_within_thirty_days(until: float | None, begins: float | None, said: str) -> None:
    problems = observing_problems(spec_of(observe_until=until), NOW, begins)
    assert problems == ([said] if said else [])
