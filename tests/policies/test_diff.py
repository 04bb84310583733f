"""What two versions say differently, in words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from policies.diff import Change, Kind, Line, policy_changes, schema_changes
from policies.engine.types import (
    DataClass,
    Direction,
    Gate,
    KeyDetector,
    Level,
    LibraryDetector,
    Matcher,
    PathDetector,
    PolicySpec,
    RegexDetector,
    Rule,
    SchemaSpec,
    Style,
    TermsDetector,
)

CARD = DataClass(
    slug="CARD",
    name="Payment card",
    level=Level.RESTRICTED,
    tags=frozenset({"payment"}),
    detectors=(LibraryDetector(name="CARD"),),
)
BADGE = DataClass(
    slug="BADGE",
    name="Badge",
    level=Level.INTERNAL,
    detectors=(RegexDetector(pattern=r"\bB-[0-9]{6}\b"), KeyDetector(names=("badge",))),
    positive=("B-123456",),
)


def schema(*classes: DataClass) -> SchemaSpec:
    return SchemaSpec(version_id="", number=1, name="s", classes=classes)


def lines(before: DataClass, after: DataClass) -> tuple[Line, ...]:
    (change,) = schema_changes(schema(before), schema(after))
    assert (change.kind, change.what) == (Kind.CHANGED, before.slug)
    return change.lines


def test_a_version_does_not_differ_from_itself() -> None:
    assert schema_changes(schema(CARD, BADGE), schema(CARD, BADGE)) == ()
    assert policy_changes(policy(BLOCK, HOLD), policy(BLOCK, HOLD)) == ()


def test_classes_come_go_and_change_places() -> None:
    changes = schema_changes(schema(CARD, BADGE), schema(replace(CARD, slug="PAN"), BADGE))
    assert [(one.kind, one.what) for one in changes] == [(Kind.ADDED, "PAN"), (Kind.REMOVED, "CARD")]
    assert Line("level", "", "restricted") in changes[0].lines
    assert Line("detector", "built-in recogniser CARD", "") in changes[1].lines
    (moved,) = schema_changes(schema(CARD, BADGE), schema(BADGE, CARD))
    assert moved == Change(
        Kind.CHANGED, "Order of the data classes", (Line("order", "CARD, BADGE", "BADGE, CARD"),)
    )


@pytest.mark.parametrize(
    ("changed", "expected"),
    (
        ({"name": "Staff badge"}, Line("name", "Badge", "Staff badge")),
        ({"level": Level.RESTRICTED}, Line("level", "internal", "restricted")),
        ({"weight": 5}, Line("weight", "1", "5")),
        ({"tags": frozenset({"b", "a"})}, Line("tags", "", "a, b")),
        ({"context": ("staff", "door")}, Line("context words", "", "staff, door")),
        ({"context_needed": True}, Line("context needed", "no", "yes")),
        ({"positive": ()}, Line("example, must be found", "B-123456", "")),
        ({"negative": ("x " * 99,)}, Line("example, must not be found", "", "x " * 59 + "x…")),
    ),
)
def test_what_changed_about_a_class_is_said(changed: dict[str, object], expected: Line) -> None:
    assert lines(BADGE, replace(BADGE, **changed)) == (expected,)  # type: ignore[arg-type]


DETECTORS = (
    (LibraryDetector(name="CARD", threshold=90), "built-in recogniser CARD, from 90 on"),
    (RegexDetector(pattern="a+", max_len=9, ignore_case=True), "pattern a+, at most 9 characters, any case"),
    (TermsDetector(terms=("x",)), "word list of 1 entry"),
    (TermsDetector(terms=("x", "y"), ignore_case=False), "word list of 2 entries, case as written"),
    (KeyDetector(names=("a", "b")), "JSON keys a, b"),
    (PathDetector(path="$.a"), "JSON path $.a"),
)


@pytest.mark.parametrize(("detector", "text"), DETECTORS)
def test_a_detector_is_said_in_words(detector: PathDetector, text: str) -> None:
    bare = replace(CARD, detectors=())
    assert lines(bare, replace(CARD, detectors=(detector,))) == (Line("detector", "", text),)
    assert lines(replace(CARD, detectors=(detector,)), bare) == (Line("detector", text, ""),)


def test_a_detector_that_was_edited_is_shown_beside_itself() -> None:
    sure = replace(CARD, detectors=(LibraryDetector(name="CARD", threshold=90),))
    expected = Line("detector", "built-in recogniser CARD", "built-in recogniser CARD, from 90 on")
    assert lines(CARD, sure) == (expected,)


def test_of_two_word_lists_the_words_that_differ_are_named() -> None:
    before = TermsDetector(terms=("stay", *(f"w{n}" for n in range(7))))
    after = TermsDetector(terms=("stay", "come"))
    (line,) = lines(replace(CARD, detectors=(before,)), replace(CARD, detectors=(after,)))
    assert line.before == "word list of 8 entries, gone: w0, w1, w2, w3, w4 and 2 more"
    assert line.after == "word list of 2 entries, new: come"


BOTH = frozenset(Direction)
BLOCK = Rule(
    id="1", name="Block cards", directions=BOTH, matcher=Matcher.CLASS, value="CARD", gate=Gate.BLOCK
)
HOLD = Rule(
    id="2",
    name="Hold",
    directions=frozenset({Direction.REQUEST}),
    matcher=Matcher.DISTINCT,
    gate=Gate.HOLD,
    at_least=9,
    window="hour",
)


def policy(*rules: Rule, **more: object) -> PolicySpec:
    return PolicySpec(version_id="", number=1, name="p", rules=rules, **more)  # type: ignore[arg-type]


def test_rules_are_the_same_whatever_their_ids() -> None:
    assert policy_changes(policy(BLOCK, HOLD), policy(replace(BLOCK, id="9"), replace(HOLD, id="8"))) == ()


def test_what_changed_about_a_rule_is_said() -> None:
    after = replace(BLOCK, gate=Gate.HOLD, transform=Style.LABEL, weight=3)
    (change,) = policy_changes(policy(BLOCK), policy(after))
    assert change == Change(
        Kind.CHANGED,
        "Rule “Block cards”",
        (Line("gate", "block", "hold"), Line("transform", "–", "label"), Line("weight", "0", "3")),
    )


def test_a_rule_with_another_name_is_known_by_what_it_is_about() -> None:
    (change,) = policy_changes(policy(BLOCK), policy(replace(BLOCK, name="No cards")))
    assert change.what == "Rule “No cards”"
    assert change.lines == (Line("name", "Block cards", "No cards"),)


def test_rules_come_go_and_change_places() -> None:
    flag = replace(HOLD, name="Flag", matcher=Matcher.OPAQUE, gate=Gate.FLAG)
    changes = policy_changes(policy(BLOCK, HOLD), policy(flag, BLOCK))
    assert [(one.kind, one.what) for one in changes] == [
        (Kind.ADDED, "Rule “Flag”"),
        (Kind.REMOVED, "Rule “Hold”"),
    ]
    (moved,) = policy_changes(policy(BLOCK, HOLD), policy(HOLD, BLOCK))
    assert moved.lines == (
        Line("order", "Rule “Block cards”, Rule “Hold”", "Rule “Hold”, Rule “Block cards”"),
    )


def test_settings_are_compared_too() -> None:
    after = policy(default_transform=Style.LABEL, hold_score=40, keeps_text=False, observe_until=0.0)
    (change,) = policy_changes(policy(), after)
    assert change == Change(
        Kind.CHANGED,
        "Settings",
        (
            Line("transform of what no rule names", "redact", "label"),
            Line("score that holds", "–", "40"),
            Line("observes only until", "–", "1970-01-01 00:00 UTC"),
            Line("the record keeps", "masked text and findings", "findings"),
        ),
    )
