"""The score of a call: points for what was found and for rules that apply. The same call scores the same."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .policy import ClassPlan, Policy, Side
from .types import Gate, Reason, RiskPart, Rule

Applied = dict[str, tuple[Rule, bool]]
"""Rules that apply, by id, each with whether it is enforced (always, unless the policy observes)."""

Line = tuple[RiskPart, bool]
"""A line of the score and whether it is enforced."""


def score_of(policy: Policy, side: Side, counts: Mapping[str, int], applied: Applied) -> list[Line]:
    """The lines of the score, most points first."""
    lines = [*_of_classes(policy.spec.count_cap, side, counts), *_of_rules(applied)]
    if len(lines) > 1:
        lines.sort(key=_order)
    return lines


def total(lines: list[Line]) -> int:
    return sum([part.points for part, _ in lines])


def gated(side: Side, lines: list[Line], risk: int) -> Iterator[Reason]:
    """The thresholds that the risk reaches, and those that what is enforced of it reaches alone."""
    enforced = sum([part.points for part, holds in lines if holds])
    for score, gate, does in (
        (side.block_score, Gate.BLOCK, "blocks"),
        (side.hold_score, Gate.HOLD, "holds"),
    ):
        if score is None or risk < score:
            continue
        if enforced >= score:
            yield Reason(gate, "", "", f"The risk is {risk}; from {score} on the policy {does} the call.")
            return
        text = f"The risk is {risk}; from {score} on the policy {does} the call, but it is observing."
        yield Reason(gate, "", "", text, enforced=False)


def _of_classes(cap: int, side: Side, counts: Mapping[str, int]) -> Iterator[Line]:
    for slug, count in counts.items():
        plan = side.by_slug.get(slug)
        if plan is None or not plan.weight or not count:
            continue
        key = (slug, count if count <= cap else cap + 1)
        part = side.points.get(key)
        if part is None:
            part = side.points[key] = _class_part(plan, key[1], cap)
        yield part, plan.enforced


def _class_part(plan: ClassPlan, count: int, cap: int) -> RiskPart:
    counted = min(count, cap)
    note = f" (more than {cap} count as {cap})" if count > cap else ""
    return RiskPart(plan.slug, plan.weight * counted, f"{plan.slug}: {counted} × {plan.weight}{note}")


def _of_rules(applied: Applied) -> Iterator[Line]:
    for rule, enforced in applied.values():
        yield RiskPart(rule.name, rule.weight, f"rule “{rule.name}”"), enforced


def _order(line: Line) -> tuple[int, str]:
    return (-line[0].points, line[0].text)
