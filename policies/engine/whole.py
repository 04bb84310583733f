"""A whole text decided in one go: what a stream of it would give, without what only streams need.

Openers and matches over their length take the way of streams (`stream.py`), overlapping findings and such as
only the record masks their sweep (`sweep.py`); the tests compare both ways.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

from .candidate import LEFT, Candidate
from .detectors import Pattern
from .policy import ClassPlan
from .scanner import Event
from .spans import Fields, Span, Window
from .sweep import MAX_FINDINGS, normalised
from .transforms import masked
from .types import Finding, MaskedString, MaskedText, Style

_PASSED: Final = Style.NONE  # a member costs a look-up in Python at each use


def spans_of(
    patterns: Sequence[Pattern], text: str, events: list[Event], fields: Fields
) -> list[Span] | None:
    """The spans of a whole text in order, or None where it takes a stream's machinery to tell."""
    if not text.isascii():
        events = _in_characters(text, events)
    spans = _confirmed(patterns, text, events)
    if spans is None:
        return None
    spans += [Span(0, len(text), index, detector, text) for index, detector in fields if text]
    return _in_order(spans) if len(spans) > 1 else spans


def are_plain(spans: Sequence[Span], plans: Sequence[ClassPlan]) -> bool:
    """Whether each span is masked by itself, and alike in what is sent and in what is recorded."""
    end = 0
    for span in spans:
        plan = plans[span.class_index]
        if span.start < end or plan.style is _PASSED or plan.style is not plan.recorded:
            return False
        end = span.end
    return len(spans) <= MAX_FINDINGS


def written(spans: Sequence[Span], plans: Sequence[ClassPlan], text: str, path: str) -> MaskedString:
    """The text with its plain spans masked."""
    parts: list[str] = []
    findings: list[Finding] = []
    fingerprints: list[tuple[str, str]] = []
    position = length = 0
    for start, end, index, detector, found, _, _ in spans:
        plan = plans[index]
        replacement = masked(plan.style, plan.slug, found)
        parts += (text[position:start], replacement)
        length += start - position
        findings.append(
            Finding(plan.slug, plan.level, detector, path, length, len(replacement), plan.style, plan.rule_id)
        )
        fingerprints.append((plan.slug, normalised(found)))
        length += len(replacement)
        position = end
    parts.append(text[position:])
    out = MaskedText("".join(parts))
    return MaskedString(out, out, tuple(findings), tuple(fingerprints))


def _in_characters(text: str, events: list[Event]) -> list[Event]:
    window = Window()
    window.append(text)
    return window.in_characters(events)


def _confirmed(patterns: Sequence[Pattern], text: str, events: list[Event]) -> list[Span] | None:
    """Every confirmed candidate, or None when there is one that is not plain."""
    candidates, labels = _candidates(patterns, events)
    spans: list[Span] = []
    for (start, index), end in candidates.items():
        pattern = patterns[index]
        if end - start > pattern.max_len or pattern.until is not None:
            return None
        labelled = pattern.label >= 0 and _is_labelled(labels.get(pattern.label), start, pattern.near)
        if pattern.need >= 0 and not (
            labelled
            if pattern.need == pattern.label
            else _is_labelled(labels.get(pattern.need), start, pattern.near)
        ):
            continue
        found = text[start:end]
        if pattern.validate is None:
            spans.append(Span(start, end, pattern.class_index, pattern.detector, found))
            continue
        left = text[start - LEFT if start > LEFT else 0 : start]
        for low, high in pattern.validate(Candidate(found, left, text[end : end + 1], labelled)):
            part = found[low:high]
            spans.append(Span(start + low, start + high, pattern.class_index, pattern.detector, part))
    return spans


def _candidates(
    patterns: Sequence[Pattern], events: list[Event]
) -> tuple[dict[tuple[int, int], int], dict[int, list[int]]]:
    """(start, expression) -> longest end, and label -> where it ended, ascending.

    Of several starts with one end the leftmost counts, as in streams.
    """
    count = len(patterns)
    leftmost = {(index, end): start for index, start, end in sorted(events, reverse=True)}
    longest: dict[tuple[int, int], int] = {}
    labels: dict[int, list[int]] = {}
    for (index, end), start in leftmost.items():
        if index >= count:
            labels.setdefault(index - count, []).append(end)
            continue
        key = (start, index)
        if longest.get(key, 0) < end:
            longest[key] = end
    for ends in labels.values():
        ends.sort()
    return longest, labels


def _is_labelled(ends: list[int] | None, start: int, near: int) -> bool:
    if ends is None:
        return False
    nearest = bisect_right(ends, start) - 1
    return nearest >= 0 and ends[nearest] >= start - near


def _in_order(spans: list[Span]) -> list[Span]:
    """By place, longer ones first; one of those that say the same."""
    known = {(span.start, -span.end, span.class_index, span.detector): span for span in reversed(spans)}
    return [known[key] for key in sorted(known)]
