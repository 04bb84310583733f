"""What a call's page says of the verdict beside its reasons, and that odd metadata breaks nothing."""

from __future__ import annotations

from typing import Any

import pytest

from audit import replay
from audit.judgement import Answered, Judgement, Points, Vouched, answered, judgement, vouched
from audit.listing import Found
from audit.records import NOT_KEPT

DECISION: dict[str, Any] = {
    "gate": "flag",
    "observed": "block",
    "declared": "internal",
    "ceiling": "restricted",
    "highest": "confidential",
    "risk": 52,
    "score": [[50, "rule “Together”"], [2, "EMAIL: 2 × 1"]],
    "spared": {"EMAIL": 2},
    "code": "",
}


def test_a_verdict_is_told_with_levels_risk_and_what_observing_left_undone() -> None:
    judged = judgement({"decision": DECISION})
    assert (judged.declared, judged.highest, judged.ceiling) == ("internal", "confidential", "restricted")
    assert judged.score == (Points(50, "rule “Together”"), Points(2, "EMAIL: 2 × 1"))
    assert (judged.risk, judged.would, judged.spared) == (52, "blocked", (Found("EMAIL", 2),))
    assert judged and not judged.above_ceiling


@pytest.mark.parametrize(
    ("gate", "observed", "would"),
    [
        ("allow", "", ""),
        ("allow", "allow", ""),
        ("allow", "flag", "flagged"),
        ("flag", "hold", "held"),
        ("block", "block", ""),
        ("hold", "block", "blocked"),
    ],
)
def test_only_what_would_have_been_stricter_is_told(gate: str, observed: str, would: str) -> None:
    judged = judgement({"decision": {"gate": gate, "observed": observed}})
    assert (judged.would, judged.observing) == (would, bool(observed))


@pytest.mark.parametrize(
    "meta",
    [
        {},
        {"decision": 3},
        {"decision": {"observed": ["block"], "declared": "secret", "risk": "high", "ceiling": None}},
        {"decision": {"score": {"a": 1}, "spared": [1], "gate": {}}},
        {"decision": {"score": [1, [1], [1, 2, 3]], "spared": None}},
    ],
)
def test_metadata_that_somebody_changed_is_left_out(meta: Any) -> None:
    assert judgement(meta) == Judgement()


def test_the_close_tells_the_same_of_the_response() -> None:
    extra = {"response_reasons": ["MAIL found"], "response_observed": "block", "response_spared": {"MAIL": 2}}
    assert answered(extra) == Answered(reasons=("MAIL found",), would="blocked", spared=(Found("MAIL", 2),))
    for odd in (None, [], {"response_reasons": 3, "response_observed": 4, "response_spared": 5}):
        assert answered(odd) == Answered()


def test_text_that_is_not_kept_is_a_state_of_its_own_with_its_findings() -> None:
    marks = (
        b'[{"class":"EMAIL","level":"confidential","path":"note","start":0,"length":3,"style":"label",'
        b'"passed":false,"detector":"EMAIL","rule":""}]'
    )
    asked = replay.request(NOT_KEPT, marks)
    answered = replay.response([(NOT_KEPT, b"[]"), (NOT_KEPT, marks)], streamed=True)
    for shown in (asked, answered):
        assert not shown.kept
        assert [each.data_class for each in shown.legend] == ["EMAIL"]
        assert [mark.path for mark in shown.elsewhere] == ["note"]
        assert not (shown.lines or shown.messages or shown.text or shown.events)
    assert replay.request(b"{}", b"[]").kept


def test_who_vouched_for_a_caller_is_told_and_nonsense_is_not() -> None:
    who = {"issuer": "https://login.example", "issued_subject": "00u1", "actor": ["agent", "svc"]}
    assert vouched({"who": who}) == Vouched(
        issuer="https://login.example", subject="00u1", actors=("agent", "svc")
    )
    for meta in ({}, {"who": 3}, {"who": {"issuer": 1, "issued_subject": [], "actor": "x"}}):
        assert vouched(meta) == Vouched()
