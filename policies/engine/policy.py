"""A policy compiled against a schema: for each direction and data class, what happens and why."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from .schema import Schema
from .types import DataClass, Direction, Gate, Level, Matcher, PolicySpec, Rule, Style

_SPECIFIC = {Matcher.CLASS: 2, Matcher.TAG: 1, Matcher.LEVEL: 0}


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


class Policy:
    """Immutable; shared by threads and calls."""

    def __init__(self, spec: PolicySpec, schema: Schema) -> None:
        self.spec = spec
        self.schema = schema
        self._plans = {direction: _plans(spec, schema, direction) for direction in Direction}
        self._by_slug = {
            direction: {plan.slug: plan for plan in plans} for direction, plans in self._plans.items()
        }
        self._apart = {
            direction: any(plan.style is not plan.recorded for plan in plans)
            for direction, plans in self._plans.items()
        }
        self._gates = {
            direction: any(plan.gate_rules for plan in plans) for direction, plans in self._plans.items()
        }

    def plans(self, direction: Direction) -> tuple[ClassPlan, ...]:
        """One plan per data class, in the schema's order."""
        return self._plans[direction]

    def plan(self, direction: Direction, slug: str) -> ClassPlan | None:
        """The plan of one data class."""
        return self._by_slug[direction].get(slug)

    def keeps_apart(self, direction: Direction) -> bool:
        """Whether something may pass that the record has to mask."""
        return self._apart[direction]

    def gates(self, direction: Direction) -> bool:
        """Whether any rule about a data class asks for more than a transform."""
        return self._gates[direction]

    def opaque_rules(self, direction: Direction, kind: str) -> tuple[Rule, ...]:
        """The rules about opaque content of this kind; a rule without a value covers every kind."""
        return tuple(
            rule
            for rule in self.spec.rules
            if direction in rule.directions and rule.matcher is Matcher.OPAQUE and rule.value in ("", kind)
        )


def unknown_values(spec: PolicySpec, classes: Mapping[str, DataClass]) -> list[str]:
    """Rules that can never apply: a class, tag or level that the schema does not have."""
    tags = {tag for data_class in classes.values() for tag in data_class.tags}
    known = {
        Matcher.CLASS: set(classes),
        Matcher.TAG: tags,
        Matcher.LEVEL: {level.name.lower() for level in Level},
    }
    return [
        f"Rule “{rule.name}”: the schema has no {rule.matcher} “{rule.value}”."
        for rule in spec.rules
        if rule.matcher in known and rule.value not in known[rule.matcher]
    ]


def _plans(spec: PolicySpec, schema: Schema, direction: Direction) -> tuple[ClassPlan, ...]:
    rules = [rule for rule in spec.rules if direction in rule.directions]
    return tuple(
        _plan(data_class, order, [rule for rule in rules if _applies(rule, data_class)], spec)
        for order, data_class in enumerate(schema.spec.classes)
    )


def _plan(data_class: DataClass, order: int, rules: list[Rule], spec: PolicySpec) -> ClassPlan:
    gate = max((rule.gate for rule in rules), default=Gate.ALLOW)
    chosen = _most_specific(rule for rule in rules if rule.transform is not None)
    style = spec.default_transform if chosen is None or chosen.transform is None else chosen.transform
    kept = Style.LABEL if style is Style.NONE and data_class.level >= Level.CONFIDENTIAL else style
    return ClassPlan(
        slug=data_class.slug,
        level=data_class.level,
        order=order,
        gate=gate,
        gate_rules=tuple(rule for rule in rules if rule.gate is gate and gate is not Gate.ALLOW),
        style=style,
        recorded=kept,
        rule_id="" if chosen is None else chosen.id,
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
