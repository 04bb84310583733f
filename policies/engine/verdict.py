"""From what was found to what happens to the call. The strictest gate wins and says why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from .policy import Policy
from .types import Circumstances, Direction, Finding, Gate, Opaque, Reason, Style, Verdict

NOTHING_KNOWN: Final = Circumstances()
_DOES = {Gate.FLAG: "flags", Gate.HOLD: "holds", Gate.BLOCK: "blocks"}


def decide(
    policy: Policy,
    direction: Direction,
    findings: Sequence[Finding],
    opaque: Sequence[Opaque],
    circumstances: Circumstances = NOTHING_KNOWN,
) -> Verdict:
    """One verdict for one direction of one call. Pure: the same findings give the same verdict."""
    if not (findings or opaque):
        return CLEAN
    counts: dict[str, int] = {}
    masked: dict[str, int] = {}
    for finding in findings:
        slug = finding.data_class
        if finding.counted:
            counts[slug] = counts.get(slug, 0) + 1
            if finding.style is not _PASSED:
                masked[slug] = masked.get(slug, 0) + 1
    reasons = [
        *_class_reasons(policy, direction, findings, counts),
        *_opaque_reasons(policy, direction, opaque),
    ]
    reasons.sort(key=lambda reason: -reason.gate)
    return Verdict(
        gate=reasons[0].gate if reasons else Gate.ALLOW,
        findings=tuple(findings),
        reasons=tuple(reasons),
        counts=counts,
        masked=masked,
        highest=max([finding.level for finding in findings], default=None),
    )


CLEAN: Final = Verdict(Gate.ALLOW)
_PASSED: Final = Style.NONE  # a member costs a look-up in Python at each use


def _class_reasons(
    policy: Policy, direction: Direction, findings: Sequence[Finding], counts: Mapping[str, int]
) -> Iterator[Reason]:
    if not policy.gates(direction):
        return
    for slug in dict.fromkeys(finding.data_class for finding in findings):
        plan = policy.plan(direction, slug)
        for rule in plan.gate_rules if plan else ():
            times = counts.get(slug, 0)
            seen = f"{slug} found {times} times" if times > 1 else f"{slug} found"
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
