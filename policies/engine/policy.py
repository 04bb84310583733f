"""A policy compiled against a schema: for each direction and data class, what happens and why.

A policy that observes has a twin, compiled beside it, in which only restricted data is acted upon. Which of
the two judges a call is a matter of its time alone (`Policy.at`), so observing ends without a publish.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from .conditions import Condition, conditions_of
from .schema import Schema
from .types import DataClass, Direction, Gate, Level, Matcher, PolicySpec, RiskPart, Rule, Style

_SPECIFIC = {Matcher.CLASS: 2, Matcher.TAG: 1, Matcher.LEVEL: 0}
_ALWAYS: Final = Level.RESTRICTED
"""From this level on a policy acts even while it observes."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassPlan:
    """What happens to one data class in one direction. `order` is its place in the schema."""

    slug: str
    level: Level
    order: int
    gate: Gate
    gate_rules: tuple[Rule, ...]  # every rule that asks for `gate`
    style: Style  # as sent
    recorded: Style  # in the record: confidential and above is masked there, whatever let it pass
    rule_id: str  # whose style it is; empty: the policy's default
    weight: int = 0  # points of each finding
    weighted: tuple[Rule, ...] = ()  # rules that add to the risk when the class is found
    enforced: bool = True  # False: the gate is only told
    meant: Style = Style.NONE  # as sent, once observing has ended


class Score(NamedTuple):
    """The risk of a call."""

    risk: int
    parts: tuple[RiskPart, ...]  # its lines, most points first
    enforced: int  # the points that count although the policy may observe


@dataclass(frozen=True, slots=True, eq=False)
class Side:
    """One direction of a policy. What no rule asks for is empty, so that it costs a call nothing."""

    plans: tuple[ClassPlan, ...]  # in the schema's order
    by_slug: Mapping[str, ClassPlan]
    apart: bool  # something may pass that the record has to mask
    gates: bool  # some rule about a data class asks for more than a transform
    weighted: bool  # some rule about a data class adds to the risk
    opaque: tuple[Rule, ...]
    conditions: tuple[Condition, ...]  # rules about the call as a whole
    unprompted: bool  # some rule may apply although nothing was found
    scored: bool  # the risk is worked out
    hold_score: int | None
    block_score: int | None
    count_cap: int
    scores: dict[tuple[tuple[str, int], ...], Score]  # of counts that came up

    @property
    def cumulates(self) -> bool:
        """Whether what was found earlier in a stream matters for what comes later."""
        return bool(self.conditions) or self.scored


class Policy:
    """Immutable; shared by threads and calls."""

    def __init__(self, spec: PolicySpec, schema: Schema, *, observing: bool = False) -> None:
        """`observing`: the twin that judges until `spec.observe_until`; made by this constructor itself."""
        self.spec = spec
        self.schema = schema
        self.observing = observing
        self._sides = {direction: _side(spec, schema, direction, observing) for direction in Direction}
        asked = self._sides[Direction.REQUEST].conditions
        self.asks_for_fields = any(one.rule.matcher is Matcher.UNCLASSIFIED for one in asked)
        self.asks_for_distinct = any(one.rule.matcher is Matcher.DISTINCT for one in asked)
        self._until = float("-inf")
        self._twin = self
        if spec.observe_until is not None and not observing:
            self._until = spec.observe_until
            self._twin = Policy(spec, schema, observing=True)

    def at(self, now: float) -> Policy:
        """The policy as it judges a call that came at `now` (Unix seconds)."""
        return self if now >= self._until else self._twin

    def side(self, direction: Direction) -> Side:
        """Everything about one direction."""
        return self._sides[direction]

    def plans(self, direction: Direction) -> tuple[ClassPlan, ...]:
        """One plan per data class, in the schema's order."""
        return self._sides[direction].plans

    def plan(self, direction: Direction, slug: str) -> ClassPlan | None:
        """The plan of one data class."""
        return self._sides[direction].by_slug.get(slug)

    def keeps_apart(self, direction: Direction) -> bool:
        """Whether something may pass that the record has to mask."""
        return self._sides[direction].apart


def _side(spec: PolicySpec, schema: Schema, direction: Direction, observing: bool) -> Side:
    rules = [rule for rule in spec.rules if direction in rule.directions]
    plans = tuple(_plans(spec, schema, rules, observing))
    conditions = conditions_of(rules, schema.classes, direction)
    asks = direction is Direction.REQUEST
    return Side(
        plans=plans,
        by_slug={plan.slug: plan for plan in plans},
        apart=any(plan.style is not plan.recorded for plan in plans),
        gates=any(plan.gate_rules for plan in plans),
        weighted=any(plan.weighted for plan in plans),
        opaque=tuple(rule for rule in rules if rule.matcher is Matcher.OPAQUE),
        conditions=conditions,
        unprompted=any(condition.unprompted for condition in conditions),
        scored=asks or spec.block_score is not None,
        hold_score=spec.hold_score if asks else None,
        block_score=spec.block_score,
        count_cap=spec.count_cap,
        scores={},
    )


def _plans(spec: PolicySpec, schema: Schema, rules: list[Rule], observing: bool) -> Iterable[ClassPlan]:
    rules = [rule for rule in rules if rule.matcher in _SPECIFIC]
    for order, data_class in enumerate(schema.spec.classes):
        applying = [rule for rule in rules if _applies(rule, data_class)]
        yield _plan(data_class, order, applying, spec, observing)


def _plan(
    data_class: DataClass, order: int, rules: list[Rule], spec: PolicySpec, observing: bool
) -> ClassPlan:
    gate = max((rule.gate for rule in rules), default=Gate.ALLOW)
    chosen = _most_specific(rule for rule in rules if rule.transform is not None)
    style = spec.default_transform if chosen is None or chosen.transform is None else chosen.transform
    kept = Style.LABEL if style is Style.NONE and data_class.level >= Level.CONFIDENTIAL else style
    enforced = not observing or data_class.level >= _ALWAYS
    return ClassPlan(
        slug=data_class.slug,
        level=data_class.level,
        order=order,
        gate=gate,
        gate_rules=tuple(rule for rule in rules if rule.gate is gate and gate is not Gate.ALLOW),
        style=style if enforced else Style.NONE,
        recorded=kept,
        rule_id="" if chosen is None else chosen.id,
        weight=data_class.weight,
        weighted=tuple(rule for rule in rules if rule.weight),
        enforced=enforced,
        meant=style,
    )


def _applies(rule: Rule, data_class: DataClass) -> bool:
    if rule.matcher is Matcher.CLASS:
        return rule.value == data_class.slug
    if rule.matcher is Matcher.TAG:
        return rule.value in data_class.tags
    return rule.matcher is Matcher.LEVEL and data_class.level >= _level(rule.value)


def _most_specific(rules: Iterable[Rule]) -> Rule | None:
    """Class before tag before level; a higher level is nearer; then the first in the policy's order."""
    return max(rules, key=lambda rule: (_SPECIFIC[rule.matcher], _nearness(rule)), default=None)


def _nearness(rule: Rule) -> int:
    return _level(rule.value) if rule.matcher is Matcher.LEVEL else 0


def _level(name: str) -> Level:
    return Level[name.upper()]
