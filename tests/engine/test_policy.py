"""What a policy says about each class, and the verdict that follows."""

from __future__ import annotations

import pytest

from policies.engine.policy import Policy
from policies.engine.problems import policy_problems
from policies.engine.types import (
    Direction,
    Finding,
    Gate,
    Level,
    Matcher,
    Opaque,
    PolicySpec,
    Rule,
    Style,
    TermsDetector,
)
from policies.engine.verdict import decide

from .world import BOTH, a_class, a_policy, a_schema

CARD = a_class("CARD", TermsDetector(terms=("card",)), level=Level.RESTRICTED, tags=frozenset({"pci"}))
NOTE = a_class("NOTE", TermsDetector(terms=("note",)), level=Level.INTERNAL)


def a_rule(name: str, matcher: Matcher, value: str = "", **more: object) -> Rule:
    directions = more.pop("directions", BOTH)
    return Rule(id=name, name=name, directions=directions, matcher=matcher, value=value, **more)  # type: ignore[arg-type]


def policy_of(*rules: Rule, **more: object) -> Policy:
    return a_policy(a_schema(CARD, NOTE), *rules, **more)  # type: ignore[arg-type]


def seen(slug: str, level: Level, style: Style = Style.REDACT, *, counted: bool = True) -> Finding:
    return Finding(slug, level, "terms", "x", 0, 3, style, "", counted)


def test_the_most_specific_transform_wins() -> None:
    policy = policy_of(
        a_rule("level", Matcher.LEVEL, "internal", transform=Style.LABEL),
        a_rule("higher", Matcher.LEVEL, "restricted", transform=Style.REMOVE),
        a_rule("tag", Matcher.TAG, "pci", transform=Style.PARTIAL),
    )
    card, note = policy.plans(Direction.REQUEST)
    assert (card.style, card.rule_id) == (Style.PARTIAL, "tag")
    assert (note.style, note.rule_id) == (Style.LABEL, "level")
    exact = policy_of(*policy.spec.rules, a_rule("class", Matcher.CLASS, "CARD", transform=Style.REDACT))
    assert exact.plans(Direction.REQUEST)[0].rule_id == "class"
    nearer = policy_of(*policy.spec.rules[:2])
    assert nearer.plans(Direction.REQUEST)[0].rule_id == "higher"


def test_without_a_rule_the_default_applies_in_both_directions() -> None:
    policy = policy_of(
        a_rule("r", Matcher.CLASS, "CARD", transform=Style.NONE, directions=frozenset({"response"}))
    )
    assert policy.plans(Direction.REQUEST)[0].style is Style.REDACT
    passing = policy.plans(Direction.RESPONSE)[0]
    assert passing.style is Style.NONE
    assert passing.recorded is Style.LABEL
    low = policy_of(style=Style.NONE).plans(Direction.REQUEST)[1]
    assert (low.style, low.recorded) == (Style.NONE, Style.NONE)


def test_the_strictest_gate_wins_and_says_why() -> None:
    policy = policy_of(
        a_rule("flag notes", Matcher.CLASS, "NOTE", gate=Gate.FLAG),
        a_rule("hold cards", Matcher.TAG, "pci", gate=Gate.HOLD),
        a_rule("flag all", Matcher.LEVEL, "public", gate=Gate.FLAG),
    )
    findings = [seen("NOTE", Level.INTERNAL), seen("CARD", Level.RESTRICTED), seen("CARD", Level.RESTRICTED)]
    verdict = decide(policy, Direction.REQUEST, findings, [])
    assert verdict.gate is Gate.HOLD
    assert verdict.reasons[0].text == "CARD found 2 times; rule “hold cards” holds the call."
    assert {reason.rule_id for reason in verdict.reasons} == {"hold cards", "flag notes", "flag all"}
    assert verdict.counts == {"NOTE": 1, "CARD": 2}
    assert verdict.masked == {"NOTE": 1, "CARD": 2}
    assert verdict.highest is Level.RESTRICTED


def test_a_shadowed_finding_gates_but_does_not_count() -> None:
    policy = policy_of(a_rule("block cards", Matcher.CLASS, "CARD", gate=Gate.BLOCK))
    verdict = decide(policy, Direction.REQUEST, [seen("CARD", Level.RESTRICTED, counted=False)], [])
    assert verdict.gate is Gate.BLOCK
    assert verdict.counts == {}


def test_what_passes_is_counted_but_not_as_masked() -> None:
    verdict = decide(policy_of(), Direction.REQUEST, [seen("NOTE", Level.INTERNAL, Style.NONE)], [])
    assert (verdict.gate, verdict.counts, verdict.masked) == (Gate.ALLOW, {"NOTE": 1}, {})


def test_nothing_found_is_allowed() -> None:
    verdict = decide(policy_of(), Direction.RESPONSE, [], [])
    assert (verdict.gate, verdict.highest, verdict.reasons) == (Gate.ALLOW, None, ())


@pytest.mark.parametrize(
    ("rules", "default", "expected"),
    [
        ((), Gate.BLOCK, Gate.BLOCK),
        ((), Gate.ALLOW, Gate.ALLOW),
        ((a_rule("images pass", Matcher.OPAQUE, "image"),), Gate.BLOCK, Gate.ALLOW),
        ((a_rule("audio passes", Matcher.OPAQUE, "audio"),), Gate.BLOCK, Gate.BLOCK),
        ((a_rule("all held", Matcher.OPAQUE, "", gate=Gate.HOLD),), Gate.BLOCK, Gate.HOLD),
    ],
)
def test_opaque_content_is_a_policy_decision(rules: tuple[Rule, ...], default: Gate, expected: Gate) -> None:
    policy = policy_of(*rules, opaque_gate=default)
    verdict = decide(policy, Direction.REQUEST, [], [Opaque("image", "messages[0]"), Opaque("image", "b")])
    assert verdict.gate is expected
    assert len(verdict.reasons) == (expected is not Gate.ALLOW)


def test_rules_about_what_the_schema_does_not_have_are_named() -> None:
    rules = (
        a_rule("a", Matcher.CLASS, "NOPE"),
        a_rule("b", Matcher.TAG, "pci"),
        a_rule("c", Matcher.LEVEL, "secret"),
        a_rule("d", Matcher.OPAQUE, "image"),
    )
    spec = PolicySpec(version_id="1", number=1, name="p", rules=rules)
    problems = policy_problems(spec, a_schema(CARD, NOTE).classes)
    assert [problem.split("”")[0] for problem in problems] == ["Rule “a", "Rule “c"]
