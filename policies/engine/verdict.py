"""From what was found to what happens to the call. The strictest gate wins and says why.

While a policy observes, only what restricted data causes is enforced; so is a gate on content that cannot be
read, which may be restricted, and the endpoint's ceiling, which is not the policy's. Everything else is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from .conditions import Seen, above_level
from .policy import ClassPlan, Policy, Score, Side
from .risk import Applied, gated, score_of
from .types import (
    NOTHING,
    Circumstances,
    Direction,
    Finding,
    Gate,
    Level,
    Opaque,
    Reason,
    Rule,
    Style,
    Verdict,
)

NOTHING_KNOWN: Final = Circumstances()

_ALLOW: Final = Gate.ALLOW  # a member costs a look-up in Python at each use
_PASSED: Final = Style.NONE
_REQUEST: Final = Direction.REQUEST
_RESTRICTED: Final = Level.RESTRICTED
_DOES: Final = {Gate.FLAG: "flags", Gate.HOLD: "holds", Gate.BLOCK: "blocks"}
_WOULD: Final = {Gate.FLAG: "would flag", Gate.HOLD: "would hold", Gate.BLOCK: "would block"}


def decide(
    policy: Policy,
    direction: Direction,
    findings: Sequence[Finding],
    opaque: Sequence[Opaque],
    circumstances: Circumstances = NOTHING_KNOWN,
    before: Mapping[str, int] = NOTHING,
) -> Verdict:
    """One verdict for one direction of one call. Pure: the same findings give the same verdict.

    `policy` is the one that judges at this time (`Policy.at`). `before`: what was found earlier in the same
    stream, by class; it counts for rules about the whole call and for the risk.
    """
    side = policy.side(direction)
    bounded = direction is _REQUEST and circumstances.ceiling is not _RESTRICTED
    if not (findings or opaque or side.unprompted or (bounded and _declared_above(circumstances))):
        return CLEAN
    counts: dict[str, int] = {}
    masked: dict[str, int] = {}
    for finding in findings:
        slug = finding.data_class
        if finding.counted:
            counts[slug] = counts.get(slug, 0) + 1
            if finding.style is not _PASSED:
                masked[slug] = masked.get(slug, 0) + 1
    found = dict.fromkeys([finding.data_class for finding in findings])
    seen = _seen(found, counts, before)
    applied: Applied = {}
    reasons = [
        *_class_reasons(side, found, counts),
        *_opaque_reasons(policy, side, opaque, applied),
    ]
    if side.conditions:
        about = Seen(seen, policy.schema.classes, circumstances)
        reasons += _call_reasons(policy, side, about, applied)
    over = _ceiling_reason(policy, seen, circumstances) if bounded else None
    if over is not None:
        reasons.insert(0, over)
    score = _UNSCORED
    if side.scored:
        if side.weighted:
            _weigh(side, seen, applied)
        score = score_of(side, seen, applied)
        if side.block_score is not None or side.hold_score is not None:
            reasons += gated(side, score)
    reasons.sort(key=_strictest)
    return Verdict(
        gate=reasons[0].gate if reasons and reasons[0].enforced else _ALLOW,
        findings=tuple(findings),
        reasons=tuple(reasons),
        counts=counts,
        masked=masked,
        highest=max([finding.level for finding in findings], default=None),
        risk=score.risk,
        risk_parts=score.parts,
        observed=max([reason.gate for reason in reasons], default=_ALLOW) if policy.observing else None,
        spared=_spared(side, findings) if policy.observing else NOTHING,
        above_ceiling=over is not None,
    )


CLEAN: Final = Verdict(Gate.ALLOW)
_UNSCORED: Final = Score(0, (), 0)


def flagging(verdict: Verdict) -> tuple[tuple[str, str], ...]:
    """Id and name of each rule that flagged; both are empty for the policy's default."""
    flags = [each for each in verdict.reasons if each.gate is Gate.FLAG and each.enforced]
    return tuple([(each.rule_id, each.rule_name) for each in flags])


def _strictest(reason: Reason) -> tuple[bool, int]:
    return (not reason.enforced, -reason.gate)


def _seen(
    found: Mapping[str, None], counts: Mapping[str, int], before: Mapping[str, int]
) -> Mapping[str, int]:
    """Findings by class in all; 0 for a class that was found inside a stronger one only."""
    if not before and len(found) == len(counts):
        return counts
    return {slug: counts.get(slug, 0) + before.get(slug, 0) for slug in {**before, **found}}


def _spared(side: Side, findings: Sequence[Finding]) -> Mapping[str, int]:
    """What would have been masked, had the policy not been observing."""
    spared: dict[str, int] = {}
    for finding in findings:
        plan = side.by_slug.get(finding.data_class)
        if plan and finding.counted and not plan.enforced and plan.meant is not _PASSED:
            spared[plan.slug] = spared.get(plan.slug, 0) + 1
    return spared


def _reason(rule: Rule, text: str, enforced: bool) -> Reason:
    does = (
        f"{_DOES[rule.gate]} the call." if enforced else f"{_WOULD[rule.gate]} it; the policy is observing."
    )
    return Reason(rule.gate, rule.id, rule.name, f"{text}; rule “{rule.name}” {does}", enforced)


def _class_reasons(side: Side, found: Mapping[str, None], counts: Mapping[str, int]) -> Iterator[Reason]:
    if not side.gates:
        return
    for slug in found:
        plan = side.by_slug.get(slug)
        for rule in plan.gate_rules if plan else ():
            times = counts.get(slug, 0)
            seen = f"{slug} found {times} times" if times > 1 else f"{slug} found"
            yield _reason(rule, seen, plan is None or plan.enforced)


def _opaque_reasons(
    policy: Policy, side: Side, opaque: Sequence[Opaque], applied: Applied
) -> Iterator[Reason]:
    """Rules about opaque content of a kind; one without a value covers every kind."""
    for kind in dict.fromkeys([content.kind for content in opaque]):
        rules = [rule for rule in side.opaque if rule.value in ("", kind)]
        for rule in rules:
            if rule.weight:
                applied[rule.id] = rule, True
            if rule.gate is not _ALLOW:
                yield _reason(rule, f"Content that cannot be read ({kind})", True)
        gate = policy.spec.opaque_gate
        if not rules and gate is not _ALLOW:
            text = f"Content that cannot be read ({kind}); the policy {_DOES[gate]} it by default."
            yield Reason(gate, "", "", text)


def _call_reasons(policy: Policy, side: Side, seen: Seen, applied: Applied) -> Iterator[Reason]:
    for condition in side.conditions:
        match = condition.match(seen)
        if match is None:
            continue
        enforced = not policy.observing or any(_is_enforced(side.by_slug.get(slug)) for slug in match.classes)
        rule = condition.rule
        if rule.weight:
            applied[rule.id] = rule, enforced
        if rule.gate is not _ALLOW:
            yield _reason(rule, match.text, enforced)


def _is_enforced(plan: ClassPlan | None) -> bool:
    return plan is None or plan.enforced


def _weigh(side: Side, seen: Mapping[str, int], applied: Applied) -> None:
    """The rules about classes that add to the risk, each once however many classes it covers."""
    for slug in seen:
        plan = side.by_slug.get(slug)
        for rule in plan.weighted if plan else ():
            known = applied.get(rule.id)
            applied[rule.id] = rule, bool(plan and plan.enforced) or bool(known and known[1])


def _declared_above(circumstances: Circumstances) -> bool:
    declared = circumstances.declared
    return declared is not None and declared > circumstances.ceiling


def _ceiling_reason(policy: Policy, seen: Mapping[str, int], circumstances: Circumstances) -> Reason | None:
    """Whether the call is more sensitive than its endpoint may take, as declared or as found."""
    ceiling, declared = circumstances.ceiling, circumstances.declared
    most = f"this endpoint takes {ceiling.name.lower()} at most."
    if declared is not None and _declared_above(circumstances):
        return Reason(Gate.BLOCK, "", "", f"The call is declared {declared.name.lower()}; {most}")
    above = above_level(Seen(seen, policy.schema.classes, circumstances), ceiling)
    if not above:
        return None
    worst = max(above, key=lambda slug: policy.schema.classes[slug].level)
    level = policy.schema.classes[worst].level.name.lower()
    return Reason(Gate.BLOCK, "", "", f"{worst} found, which is {level}; {most}")
