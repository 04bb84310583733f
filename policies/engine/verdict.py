"""From what was found to what happens to the call. The strictest gate wins and says why."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from .policy import Policy
from .types import Direction, Finding, Gate, Opaque, Reason, Style, Verdict

_DOES = {Gate.FLAG: "flags", Gate.HOLD: "holds", Gate.BLOCK: "blocks"}


def decide(
    policy: Policy, direction: Direction, findings: Sequence[Finding], opaque: Sequence[Opaque]
) -> Verdict:
    """One verdict for one direction of one call. Pure: the same findings give the same verdict."""
    counted = [finding for finding in findings if finding.counted]
    counts = Counter(finding.data_class for finding in counted)
    masked = Counter(finding.data_class for finding in counted if finding.style is not Style.NONE)
    reasons = [
        *_class_reasons(policy, direction, findings, counts),
        *_opaque_reasons(policy, direction, opaque),
    ]
    reasons.sort(key=lambda reason: -reason.gate)
    return Verdict(
        gate=reasons[0].gate if reasons else Gate.ALLOW,
        findings=tuple(findings),
        reasons=tuple(reasons),
        counts=dict(counts),
        masked=dict(masked),
        highest=max((finding.level for finding in findings), default=None),
    )


def _class_reasons(
    policy: Policy, direction: Direction, findings: Sequence[Finding], counts: Counter[str]
) -> Iterator[Reason]:
    for slug in dict.fromkeys(finding.data_class for finding in findings):
        plan = policy.plan(direction, slug)
        for rule in plan.gate_rules if plan else ():
            seen = f"{slug} found {counts[slug]} times" if counts[slug] > 1 else f"{slug} found"
            yield Reason(
                rule.gate, rule.id, rule.name, f"{seen}; rule “{rule.name}” {_DOES[rule.gate]} the call."
            )


def _opaque_reasons(policy: Policy, direction: Direction, opaque: Sequence[Opaque]) -> Iterator[Reason]:
    for kind in dict.fromkeys(content.kind for content in opaque):
        rules = policy.opaque_rules(direction, kind)
        for rule in rules:
            if rule.gate is not Gate.ALLOW:
                text = (
                    f"Content that cannot be read ({kind}); rule “{rule.name}” {_DOES[rule.gate]} the call."
                )
                yield Reason(rule.gate, rule.id, rule.name, text)
        gate = policy.spec.opaque_gate
        if not rules and gate is not Gate.ALLOW:
            text = f"Content that cannot be read ({kind}); the policy {_DOES[gate]} it by default."
            yield Reason(gate, "", "", text)
