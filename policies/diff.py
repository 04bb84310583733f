"""What two versions say differently, in words. Pure: two specs in, lines out.

A data class is the same in both versions when its slug is; a rule when its name is, or what it is about.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple, TypeVar

from policies.engine import types

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)

_TERMS_SHOWN = 5
_TEXT_SHOWN = 120


class Kind(StrEnum):
    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class Line(NamedTuple):
    """One thing that differs. An empty side: it is not there."""

    what: str  # level, detector, example
    before: str
    after: str


class Change(NamedTuple):
    """A data class, a rule or the settings of a version."""

    kind: Kind
    what: str  # `CARD`, `Rule “Secrets never pass”`, `Settings`
    lines: tuple[Line, ...]


def schema_changes(before: types.SchemaSpec, after: types.SchemaSpec) -> tuple[Change, ...]:
    """Data class by data class, in the order of the later version; what is gone comes last."""
    old = {each.slug: each for each in before.classes}
    new = {each.slug: each for each in after.classes}
    found = [*_compared(new, old, lambda slug: slug, _class_lines)]
    return (*found, *_order(list(old), list(new), "Order of the data classes"))


def policy_changes(before: types.PolicySpec, after: types.PolicySpec) -> tuple[Change, ...]:
    """Settings first, then rule by rule, in the order of the later version; what is gone comes last."""
    pairs = _matched(before.rules, after.rules)
    old = {number: one for number, (one, _) in enumerate(pairs) if one is not None}
    new = {number: one for number, (_, one) in enumerate(pairs) if one is not None}

    def named(number: int) -> str:
        return f"Rule “{(new.get(number) or old[number]).name}”"

    settings = tuple(_lines(_settings(before), _settings(after)))
    found = [Change(Kind.CHANGED, "Settings", settings)] if settings else []
    found += _compared(new, old, named, _rule_lines)
    earlier = sorted(old, key=lambda number: before.rules.index(old[number]))
    return (*found, *_order(earlier, sorted(new), "Order of the rules", named))


def _compared(
    new: dict[K, T],
    old: dict[K, T],
    named: Callable[[K], str],
    lines: Callable[[T | None, T | None], Iterable[Line]],
) -> Iterator[Change]:
    for key, one in new.items():
        found = tuple(lines(old.get(key), one))
        if key not in old:
            yield Change(Kind.ADDED, named(key), found)
        elif found:
            yield Change(Kind.CHANGED, named(key), found)
    for key, one in old.items():
        if key not in new:
            yield Change(Kind.REMOVED, named(key), tuple(lines(one, None)))


def _order(
    old: Sequence[K], new: Sequence[K], what: str, named: Callable[[K], str] = str
) -> Iterator[Change]:
    """Where what is in both stands in another order: of equals the first one wins."""
    before = [key for key in old if key in set(new)]
    after = [key for key in new if key in set(old)]
    if before != after:
        texts = (_cut(", ".join(map(named, keys))) for keys in (before, after))
        yield Change(Kind.CHANGED, what, (Line("order", *texts),))


def _lines(before: Iterable[tuple[str, str]], after: Iterable[tuple[str, str]]) -> Iterator[Line]:
    """One value per name on each side."""
    old, new = dict(before), dict(after)
    for name in dict.fromkeys((*new, *old)):
        if old.get(name, "") != new.get(name, ""):
            yield Line(name, old.get(name, ""), new.get(name, ""))


def _class_lines(before: types.DataClass | None, after: types.DataClass | None) -> Iterator[Line]:
    yield from _lines(_facts(before), _facts(after))
    old, new = before.detectors if before else (), after.detectors if after else ()
    yield from _detector_lines(list(old), list(new))
    for name in ("positive", "negative"):
        said = "must be found" if name == "positive" else "must not be found"
        yield from _text_lines(f"example, {said}", getattr(before, name, ()), getattr(after, name, ()))


def _facts(one: types.DataClass | None) -> Iterator[tuple[str, str]]:
    if one is None:
        return
    yield "name", one.name
    yield "level", one.level.name.lower()
    yield "weight", str(one.weight)
    yield "tags", ", ".join(sorted(one.tags))
    yield "context words", ", ".join(one.context)
    yield "context needed", "yes" if one.context_needed else "no"


def _detector_lines(old: list[types.Detector], new: list[types.Detector]) -> Iterator[Line]:
    """Equal ones fall away; of the rest, those of one kind are taken for the same in their order."""
    for one in [each for each in old if each in new]:
        if one in new:
            old.remove(one)
            new.remove(one)
    for one in new:
        former = next((each for each in old if _alike(each, one)), None)
        if former is not None:
            old.remove(former)
        yield Line("detector", *_detector_texts(former, one))
    yield from (Line("detector", detector_text(one), "") for one in old)


def _alike(one: types.Detector, other: types.Detector) -> bool:
    if isinstance(one, types.LibraryDetector) and isinstance(other, types.LibraryDetector):
        return one.name == other.name
    return type(one) is type(other)


def _detector_texts(former: types.Detector | None, one: types.Detector) -> tuple[str, str]:
    if isinstance(former, types.TermsDetector) and isinstance(one, types.TermsDetector):
        gone = set(former.terms) - set(one.terms)
        come = set(one.terms) - set(former.terms)
        return (
            f"{detector_text(former)}{_listed(', gone: ', sorted(gone))}",
            f"{detector_text(one)}{_listed(', new: ', sorted(come))}",
        )
    return detector_text(former) if former else "", detector_text(one)


def detector_text(one: types.Detector) -> str:
    """A detector in words."""
    match one:
        case types.LibraryDetector():
            return f"built-in recogniser {one.name}" + (f", from {one.threshold} on" if one.threshold else "")
        case types.RegexDetector():
            limit = f", at most {one.max_len} characters" if one.max_len else ""
            return f"pattern {_cut(one.pattern)}{limit}{', any case' if one.ignore_case else ''}"
        case types.TermsDetector():
            noun = "entry" if len(one.terms) == 1 else "entries"
            case = "" if one.ignore_case else ", case as written"
            return f"word list of {len(one.terms):,} {noun}{case}"
        case types.KeyDetector():
            return f"JSON keys {_cut(', '.join(one.names))}"
        case types.PathDetector():
            return f"JSON path {_cut(one.path)}"


def _text_lines(what: str, old: Sequence[str], new: Sequence[str]) -> Iterator[Line]:
    yield from (Line(what, "", _cut(text)) for text in new if text not in old)
    yield from (Line(what, _cut(text), "") for text in old if text not in new)


def _settings(spec: types.PolicySpec) -> Iterator[tuple[str, str]]:
    yield "transform of what no rule names", spec.default_transform.value
    yield "opaque content that no rule names", spec.opaque_gate.name.lower()
    yield "score that holds", _number(spec.hold_score)
    yield "score that blocks", _number(spec.block_score)
    yield "findings of one class that count", str(spec.count_cap)
    yield "observes only until", _moment(spec.observe_until)
    yield "the record keeps", "masked text and findings" if spec.keeps_text else "findings"
    yield "originals are kept, sealed", _yes(spec.keeps_original)
    yield from _holding(spec.holding)


def _holding(holding: types.Holding) -> Iterator[tuple[str, str]]:
    yield "who decides", _cut(", ".join(holding.reviewers)) or "–"
    yield "approvals needed", str(holding.needed)
    yield "a call waits", f"{holding.seconds:,} seconds"
    yield "a decision may take, and an approval is valid", f"{holding.valid_minutes:,} minutes"
    after = holding.escalate_minutes
    yield "others are asked", "never" if after is None else f"after {after:,} minutes"
    yield "who is asked then", _cut(", ".join(holding.escalate_to)) or "–"
    yield "callers say what for", _yes(holding.purpose_required)
    yield "waiting streams are kept alive", _yes(holding.keeps_alive)
    yield "what is approved leaves", "in clear" if holding.clear else "with its transforms"


def _rule_lines(before: types.Rule | None, after: types.Rule | None) -> Iterator[Line]:
    yield from _lines(_rule_facts(before), _rule_facts(after))


def _rule_facts(one: types.Rule | None) -> Iterator[tuple[str, str]]:
    if one is None:
        return
    ways = sorted(way.value for way in one.directions)
    yield "name", one.name
    yield "about", f"{one.matcher.value.replace('_', ' ')} {one.value}".strip()
    yield "direction", " and ".join(ways)
    yield "gate", one.gate.name.lower()
    yield "transform", one.transform.value if one.transform is not None else "–"
    yield "from how many on", _number(one.at_least)
    yield "counted over", f"a {one.window}" if one.window else "–"
    yield "weight", str(one.weight)


def _matched(
    before: Sequence[types.Rule], after: Sequence[types.Rule]
) -> list[tuple[types.Rule | None, types.Rule | None]]:
    """(earlier, later) for each rule: equal in all, else of one name, else about the same."""
    left = list(before)
    former: dict[int, types.Rule] = {}
    for same in _SAME:
        for number, rule in enumerate(after):
            found = next((one for one in left if same(one) == same(rule)), None)
            if found is not None and number not in former:
                former[number] = found
                left.remove(found)
    pairs: list[tuple[types.Rule | None, types.Rule | None]] = [
        (former.get(number), rule) for number, rule in enumerate(after)
    ]
    return pairs + [(one, None) for one in left]


_SAME: tuple[Callable[[types.Rule], object], ...] = (
    lambda rule: tuple(_rule_facts(rule)),
    lambda rule: rule.name,
    lambda rule: (rule.matcher, rule.value, rule.directions),
)


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _number(value: int | None) -> str:
    return "–" if value is None else str(value)


def _moment(seconds: float | None) -> str:
    return "–" if seconds is None else f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _listed(lead: str, terms: Sequence[str]) -> str:
    if not terms:
        return ""
    more = f" and {len(terms) - _TERMS_SHOWN:,} more" if len(terms) > _TERMS_SHOWN else ""
    return lead + ", ".join(map(_cut, terms[:_TERMS_SHOWN])) + more


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TEXT_SHOWN else line[: _TEXT_SHOWN - 1] + "…"
