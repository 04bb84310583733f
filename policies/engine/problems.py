"""What of a policy cannot be enforced, in the words of who wrote it. Every line names its rule.

A rule that cannot do what it says is worse than none: somebody relies on it. So these are refused when a
draft is saved and again when it is published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from .conditions import OF_CALLS, OF_REQUESTS, meant, names_of
from .sweep import MAX_FINDINGS
from .types import DataClass, Direction, Gate, Level, Matcher, PolicySpec, Rule

DAY: Final = 86_400.0
LONGEST_OBSERVING: Final = 30 * DAY
"""Seconds that a policy may go on observing: what is not enforced for longer is not a trial."""

OPAQUE_KINDS: Final = (
    "audio",
    "base64",
    "file",
    "hosted-tool",
    "image",
    "token-array",
    "unknown",
    "video",
)
"""What the wires call content that they cannot read."""

_TITLES: Final = {
    Matcher.OPAQUE: "opaque content",
    Matcher.COMBINATION: "a combination",
    Matcher.BULK: "a bulk count",
    Matcher.DISTINCT: "distinct values",
    Matcher.ABOVE_DECLARED: "the declared level",
    Matcher.UNLABELLED: "calls without a declared level",
    Matcher.UNCLASSIFIED: "unclassified fields",
}
_WITHOUT_VALUE: Final = (Matcher.ABOVE_DECLARED, Matcher.UNLABELLED)


class Fault(NamedTuple):
    """One thing that cannot be enforced, and which field of a rule, or else of the policy, says it."""

    field: str  # as the tables call it
    text: str
    rule: Rule | None = None

    def __str__(self) -> str:
        return f"Rule “{self.rule.name}”: {self.text}" if self.rule else self.text


def rule_faults(rule: Rule) -> list[Fault]:
    """Why one rule cannot be enforced as written, whatever the schema."""
    return [Fault(field, text, rule) for field, text in _of_rule(rule)]


def policy_faults(spec: PolicySpec, classes: Mapping[str, DataClass]) -> list[Fault]:
    """Everything that cannot be enforced with these data classes."""
    faults = [fault for rule in spec.rules for fault in rule_faults(rule)]
    faults += [Fault("value", text, rule) for rule in spec.rules for text in _of_names(rule, classes)]
    return [*faults, *_covered(spec.rules), *_of_scores(spec, classes)]


def policy_problems(spec: PolicySpec, classes: Mapping[str, DataClass]) -> list[str]:
    """The same in words that stand alone."""
    return [str(fault) for fault in policy_faults(spec, classes)]


def holds(spec: PolicySpec) -> bool:
    """Whether a request can come to wait for a person."""
    asks = any(rule.gate is Gate.HOLD and Direction.REQUEST in rule.directions for rule in spec.rules)
    return asks or spec.hold_score is not None or spec.opaque_gate is Gate.HOLD


def deciding_faults(spec: PolicySpec) -> list[Fault]:
    """Why what waits under the policy could not be decided as it says."""
    holding, faults = spec.holding, []
    if holds(spec) and not holding.reviewers:
        text = "Name who decides: under this policy a call can come to wait for a person."
        faults.append(Fault("reviewers", text))
    if holding.escalate_to and set(holding.escalate_to) <= set(holding.reviewers):
        text = "Escalating asks nobody else: these groups are asked from the beginning."
        faults.append(Fault("escalate_to", text))
    return faults


def observing_problems(spec: PolicySpec, now: float, begins: float | None = None) -> list[str]:
    """What is wrong with how long the policy observes. `begins`: when it takes effect, if later than now."""
    until = spec.observe_until
    if until is None:
        return []
    if until <= now:
        return ["Observing would end in the past."]
    if begins is not None and until <= begins:
        return ["Observing would end before the version takes effect."]
    if until > max(now, begins or now) + LONGEST_OBSERVING:
        return [f"Observing may last {LONGEST_OBSERVING / DAY:.0f} days at most."]
    return []


def _of_rule(rule: Rule) -> Iterator[tuple[str, str]]:
    matcher, title = rule.matcher, _TITLES.get(rule.matcher, "")
    if rule.transform is not None and title:
        text = f"{title} has no text to transform; say for the data classes themselves how they are masked."
        yield "transform", text
    if rule.directions == {Direction.RESPONSE}:
        if rule.gate is Gate.HOLD:
            yield "gate", "an answer cannot wait for a person; flag or block it."
        if matcher in OF_REQUESTS:
            yield "directions", f"{title} is about requests; choose the direction Request."
    yield from _of_count(rule)
    if matcher is Matcher.COMBINATION and len(names_of(rule)) < 2:
        text = "a combination names at least two data classes or tags, such as PERSON + DIAGNOSIS."
        yield "value", text
    if matcher in _WITHOUT_VALUE and rule.value:
        yield "value", f"a rule about {title} takes no value."
    if matcher is Matcher.OPAQUE and rule.value and rule.value not in OPAQUE_KINDS:
        known = ", ".join(OPAQUE_KINDS)
        yield "value", f"“{rule.value}” is no kind of opaque content; name one of {known}, or none."
    if rule.gate is Gate.ALLOW and rule.transform is None and not rule.weight and matcher in OF_CALLS:
        yield "gate", "it does nothing: give it a gate or a weight."


def _of_count(rule: Rule) -> Iterator[tuple[str, str]]:
    if rule.matcher in (Matcher.BULK, Matcher.DISTINCT):
        if not rule.at_least:
            yield "at_least", "say from how many on it applies."
        if rule.matcher is Matcher.BULK and (rule.at_least or 0) > MAX_FINDINGS:
            text = f"it can never apply: a call with more than {MAX_FINDINGS} findings is refused anyway."
            yield "at_least", text
    elif rule.at_least is not None:
        yield "at_least", "only bulk counts and distinct values count; leave “at least” empty."
    if rule.matcher is Matcher.DISTINCT and rule.window not in ("hour", "day"):
        yield "window", "distinct values are counted over an hour or a day; choose one."
    if rule.matcher is not Matcher.DISTINCT and rule.window:
        yield "window", "only distinct values are counted over time; leave the window empty."


def _of_names(rule: Rule, classes: Mapping[str, DataClass]) -> Iterator[str]:
    """What the rule names and the schema does not have."""
    if rule.matcher is Matcher.CLASS and rule.value not in classes:
        yield f"the schema has no class “{rule.value}”."
    if rule.matcher is Matcher.TAG and not any(rule.value in each.tags for each in classes.values()):
        yield f"the schema has no tag “{rule.value}”."
    if rule.matcher is Matcher.LEVEL and rule.value not in {level.name.lower() for level in Level}:
        yield f"the schema has no level “{rule.value}”."
    parts = {name: meant(name, classes) for name in names_of(rule)}
    for name, found in parts.items():
        if not found:
            yield f"the schema has no class or tag “{name}”."
    if len(parts) > 1 and all(parts.values()) and len(set().union(*parts.values())) < 2:
        yield "its names all mean the same data class, so it is no combination."


def _covered(rules: Sequence[Rule]) -> Iterator[Fault]:
    """Transforms that can never be chosen: an earlier rule about the same always wins."""
    taken: dict[tuple[Matcher, str, Direction], Rule] = {}
    for rule in rules:
        if rule.transform is None:
            continue
        before = [taken.get((rule.matcher, rule.value, direction)) for direction in rule.directions]
        if before and all(before) and before[0] is not None:
            text = (
                f"its transform can never apply: rule “{before[0].name}” comes first and is about the same."
            )
            yield Fault("transform", text, rule)
        for direction in rule.directions:
            taken.setdefault((rule.matcher, rule.value, direction), rule)


def _of_scores(spec: PolicySpec, classes: Mapping[str, DataClass]) -> Iterator[Fault]:
    """Thresholds that no call can reach."""
    most = sum(each.weight for each in classes.values()) * spec.count_cap
    most += sum(rule.weight for rule in spec.rules)
    for field, score, does in (
        ("hold_score", spec.hold_score, "holds"),
        ("block_score", spec.block_score, "blocks"),
    ):
        if score is not None and score > most:
            text = f"The score that {does} ({score}) can never be reached: no call scores more than {most}."
            yield Fault(field, text)
    for rule in spec.rules:
        if rule.weight and rule.directions == {Direction.RESPONSE} and spec.block_score is None:
            text = "its weight counts for nothing: answers are scored only where a score blocks."
            yield Fault("weight", text, rule)
    if spec.hold_score is not None and spec.block_score is not None and spec.hold_score >= spec.block_score:
        yield Fault("block_score", "The score that blocks must be above the score that holds.")
