"""The score of a call: points for what was found and for rules that apply. The same call scores the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from .policy import ClassPlan, Score, Side
from .types import Gate, Reason, RiskPart, Rule

Applied = dict[str, tuple[Rule, bool]]
"""Rules that apply, by id, each with whether it is enforced (always, unless the policy observes)."""

Line = tuple[RiskPart, bool]
"""A line of the score and whether it is enforced."""

REMEMBERED: Final = 1024
"""Scores of one policy and direction that are kept: most calls find as much as some call before them."""


def score_of(side: Side, counts: Mapping[str, int], applied: Applied) -> Score:
    """The risk and its lines, most points first."""
    if applied:
        return _score(side, counts, applied)
    key = tuple(counts.items())
    known = side.scores.get(key)
    if known is None:
        if len(side.scores) >= REMEMBERED:
            side.scores.clear()
        known = side.scores[key] = _score(side, counts, applied)
    return known


def _score(side: Side, counts: Mapping[str, int], applied: Applied) -> Score:
    lines = sorted([*_of_classes(side, counts), *_of_rules(applied)], key=_order)
    risk = sum([part.points for part, _ in lines])
    return Score(
        risk, tuple([part for part, _ in lines]), sum([part.points for part, holds in lines if holds])
    )


def gated(side: Side, score: Score) -> Iterator[Reason]:
    """The thresholds that the risk reaches, and those that what is enforced of it reaches alone."""
    for least, gate, does in (
        (side.block_score, Gate.BLOCK, "blocks"),
        (side.hold_score, Gate.HOLD, "holds"),
    ):
        if least is None or score.risk < least:
            continue
        text = f"The risk is {score.risk}; from {least} on the policy {does} the call"
        if score.enforced >= least:
            yield Reason(gate, "", "", f"{text}.")
            return
        yield Reason(gate, "", "", f"{text}, but it is observing.", enforced=False)


def _of_classes(side: Side, counts: Mapping[str, int]) -> Iterator[Line]:
    for slug, count in counts.items():
        plan = side.by_slug.get(slug)
        if plan is not None and plan.weight and count:
            yield _class_part(plan, count, side.count_cap), plan.enforced


def _class_part(plan: ClassPlan, count: int, cap: int) -> RiskPart:
    counted = min(count, cap)
    note = f" (of {count})" if count > cap else ""
    return RiskPart(plan.slug, plan.weight * counted, f"{plan.slug}: {counted}{note} × {plan.weight}")


def _of_rules(applied: Applied) -> Iterator[Line]:
    for rule, enforced in applied.values():
        yield RiskPart(rule.name, rule.weight, f"rule “{rule.name}”"), enforced


def _order(line: Line) -> tuple[int, str]:
    return (-line[0].points, line[0].text)
