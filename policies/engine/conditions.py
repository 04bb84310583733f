"""Rules about a call as a whole: combinations, counts, the declared level, fields that nobody classified.

Compiled once per policy and direction; a condition is asked what it sees in a call and says it in words, or
nothing. These rules have no text of their own, so they never mask.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

from .types import Circumstances, DataClass, Direction, Gate, Level, Matcher, Rule

JOINT: Final = "+"
"""What stands between the names of a combination."""

OF_REQUESTS: Final = frozenset(
    {Matcher.DISTINCT, Matcher.ABOVE_DECLARED, Matcher.UNLABELLED, Matcher.UNCLASSIFIED}
)
"""Matchers about what a caller says and sends: they never apply to a response."""

OF_CALLS: Final = OF_REQUESTS | {Matcher.COMBINATION, Matcher.BULK}

_SHOWN: Final = 3  # names in one reason
_LONGEST: Final = 80  # characters of a field's path in a reason


class Seen(NamedTuple):
    """What a condition looks at."""

    counts: Mapping[str, int]  # data class -> findings; 0: only inside a stronger finding
    classes: Mapping[str, DataClass]
    circumstances: Circumstances


class Match(NamedTuple):
    """That a condition applies: in words, and because of which data classes."""

    text: str
    classes: Collection[str] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Condition:
    """One compiled rule. `parts`: what its value names, each as the data classes that are meant."""

    rule: Rule
    parts: tuple[frozenset[str], ...]
    unprompted: bool  # may apply although nothing was found

    def match(self, seen: Seen) -> Match | None:
        return _MATCHERS[self.rule.matcher](self, seen)


def conditions_of(
    rules: Iterable[Rule], classes: Mapping[str, DataClass], direction: Direction
) -> tuple[Condition, ...]:
    """The conditions among the rules of one direction that can have an effect."""
    return tuple(
        Condition(
            rule,
            tuple(meant(name, classes) for name in names_of(rule)),
            rule.matcher in (Matcher.UNLABELLED, Matcher.UNCLASSIFIED),
        )
        for rule in rules
        if rule.matcher in OF_CALLS
        and (direction is Direction.REQUEST or rule.matcher not in OF_REQUESTS)
        and (rule.gate is not Gate.ALLOW or rule.weight)
    )


def names_of(rule: Rule) -> tuple[str, ...]:
    """The classes and tags that a rule about a whole call names, each once."""
    if rule.matcher is Matcher.COMBINATION:
        return tuple(dict.fromkeys(name for part in rule.value.split(JOINT) if (name := part.strip())))
    if rule.matcher in (Matcher.BULK, Matcher.DISTINCT):
        return (rule.value,) if rule.value else ()
    return ()


def meant(name: str, classes: Mapping[str, DataClass]) -> frozenset[str]:
    """The data classes of this name or with this tag."""
    return frozenset(slug for slug, each in classes.items() if name == slug or name in each.tags)


def _combination(condition: Condition, seen: Seen) -> Match | None:
    found = [[slug for slug in seen.counts if slug in part] for part in condition.parts]
    if not found or not all(found):
        return None
    return Match(
        f"{' + '.join(names_of(condition.rule))} found together", [each for part in found for each in part]
    )


def _bulk(condition: Condition, seen: Seen) -> Match | None:
    found = _concerned(condition, seen)
    number, least = sum(found.values()), condition.rule.at_least or 1
    if number < least:
        return None
    return Match(f"{number} findings{_of(condition)}, where {least} are many", found)


def _distinct(condition: Condition, seen: Seen) -> Match | None:
    found = _concerned(condition, seen)
    if not found:  # a caller who has sent much may still send something else
        return None
    counter, window = seen.circumstances.distinct, condition.rule.window
    if counter is None:  # every finding may be a value of its own
        number = sum(found.values())
    elif condition.parts:
        number = sum(counter.estimate(slug, window) for slug in sorted(condition.parts[0]))
    else:
        number = counter.estimate("", window)
    least = condition.rule.at_least or 1
    if number < least:
        return None
    return Match(f"{number} different values{_of(condition)} in one {window}, where {least} are many", found)


def _above_declared(condition: Condition, seen: Seen) -> Match | None:
    declared = seen.circumstances.declared
    if declared is None:
        return None
    above = above_level(seen, declared)
    if not above:
        return None
    return Match(f"{_listed(above)} found, above the declared level {declared.name.lower()}", above)


def _unlabelled(condition: Condition, seen: Seen) -> Match | None:
    return Match("No level was declared") if seen.circumstances.declared is None else None


def _unclassified(condition: Condition, seen: Seen) -> Match | None:
    prefix = condition.rule.value
    fields = dict.fromkeys(field.path for field in seen.circumstances.fields)  # one line per path and shape
    paths = [path for path in fields if _lies_in(path, prefix)]
    if not paths:
        return None
    noun = "field" if len(paths) == 1 else "fields"
    return Match(f"{len(paths)} {noun} that no data class claims: {_listed(paths)}")


_MATCHERS: Final[Mapping[Matcher, Callable[[Condition, Seen], Match | None]]] = {
    Matcher.COMBINATION: _combination,
    Matcher.BULK: _bulk,
    Matcher.DISTINCT: _distinct,
    Matcher.ABOVE_DECLARED: _above_declared,
    Matcher.UNLABELLED: _unlabelled,
    Matcher.UNCLASSIFIED: _unclassified,
}


def above_level(seen: Seen, level: Level) -> list[str]:
    """The data classes found above a level."""
    return [slug for slug in seen.counts if slug in seen.classes and seen.classes[slug].level > level]


def _concerned(condition: Condition, seen: Seen) -> Mapping[str, int]:
    if not condition.parts:
        return seen.counts
    return {slug: count for slug, count in seen.counts.items() if slug in condition.parts[0]}


def _of(condition: Condition) -> str:
    return f" of {condition.rule.value}" if condition.parts else ""


def _lies_in(path: str, prefix: str) -> bool:
    """`…` stands for fields that were not told apart any more: one of them may lie anywhere."""
    return not prefix or path in (prefix, "…") or path.startswith((f"{prefix}.", f"{prefix}["))


def _listed(names: Collection[str]) -> str:
    shown = [name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…" for name in list(names)[:_SHOWN]]
    return ", ".join(shown) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")
