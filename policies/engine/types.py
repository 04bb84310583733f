"""The words of the engine as frozen values: what is sensitive, what to do, what was found.

Pure data. Offsets are code points of the text that was scanned. Nothing here prints a matched value.

What is made for every call is a named tuple: a frozen dataclass sets each of its fields through
`object.__setattr__`, which costs four times as much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from types import MappingProxyType
from typing import Final, NamedTuple, NewType, Protocol

MaskedText = NewType("MaskedText", str)
"""Text that the masker has passed. Made in this package only."""

MaskedBytes = NewType("MaskedBytes", bytes)
"""A serialised document whose every string the masker has passed. Made in this package only."""


class Level(IntEnum):
    """How bad it is when this gets out."""

    PUBLIC = 0
    INTERNAL = 1
    CONFIDENTIAL = 2
    RESTRICTED = 3


class Gate(IntEnum):
    """What happens to the call. The strictest one wins, so the order is the meaning."""

    ALLOW = 0
    FLAG = 1
    HOLD = 2
    BLOCK = 3


class Style(StrEnum):
    """What happens to the matched text."""

    NONE = "none"
    REDACT = "redact"  # ***
    REMOVE = "remove"  # the field, or the text
    PARTIAL = "partial"  # XXXX-XXXX-XXXX-1234
    LABEL = "label"  # [EMAIL]


class Direction(StrEnum):
    """Which way the text travels."""

    REQUEST = "request"
    RESPONSE = "response"


class Matcher(StrEnum):
    """What a rule looks at. Later members need no change in stored rules."""

    CLASS = "class"  # value: the data class's slug
    TAG = "tag"  # value: a tag of the data class
    LEVEL = "level"  # value: level name; matches that level and above
    OPAQUE = "opaque"  # content nobody here can read: images, audio, files, token arrays
    COMBINATION = "combination"  # value: classes or tags that must all be found, joined by `+`
    BULK = "bulk"  # value: class, or empty for all; at least `at_least` findings in one call
    DISTINCT = "distinct"  # the same, counted as different values of one caller in an hour or a day
    ABOVE_DECLARED = "above_declared"  # found above the level that the caller declared
    UNLABELLED = "unlabelled"  # the caller declared no level
    UNCLASSIFIED = "unclassified"  # a structured field that no data class claims


@dataclass(frozen=True, slots=True, kw_only=True)
class LibraryDetector:
    """A recogniser that ships with Postern, by name (`policies/library`).

    `threshold` (0 to 100) is how sure it has to be; what it is never that sure of is not looked for.
    """

    name: str
    threshold: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RegexDetector:
    """An admin's own pattern. `max_len` (code points) bounds how much a stream holds back."""

    pattern: str
    max_len: int | None = None
    ignore_case: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class TermsDetector:
    """A list of words or phrases, matched whole."""

    terms: tuple[str, ...]
    ignore_case: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDetector:
    """Any JSON value under one of these key names (case, `-` and `_` ignored)."""

    names: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathDetector:
    """Any JSON value at a path such as `$.customer.ids[*].value` (members, `[*]`, `[3]`, `.*`)."""

    path: str


Path = tuple[str | int, ...]
"""A place in a JSON tree by raw keys and indexes. Never recorded: `Finding.path` shows masked keys."""

Detector = LibraryDetector | RegexDetector | TermsDetector | KeyDetector | PathDetector


@dataclass(frozen=True, slots=True, kw_only=True)
class DataClass:
    """One kind of sensitive thing: an attribute of the classification schema."""

    slug: str  # EMAIL, CARD: shown in labels and headers
    name: str
    level: Level
    weight: int = 1
    tags: frozenset[str] = frozenset()
    detectors: tuple[Detector, ...] = ()
    # Words that stand shortly before it, or in the name of the JSON key it stands under. They make a built-in
    # recogniser surer of itself, which matters only where a detector sets a threshold.
    context: tuple[str, ...] = ()
    context_needed: bool = False  # without one of them, what a pattern or a word list finds does not count
    positive: tuple[str, ...] = ()  # texts, or JSON documents, in which it must be found
    negative: tuple[str, ...] = ()  # and in which it must not


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaSpec:
    """One schema version as data; `Schema` (compiled) is made from it."""

    version_id: str
    number: int
    name: str
    classes: tuple[DataClass, ...]
    schema_id: str = ""  # the same for all versions of the schema


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Gate and transform are apart: a held call that is approved still leaves masked."""

    id: str
    name: str
    directions: frozenset[Direction]
    matcher: Matcher
    value: str = ""
    gate: Gate = Gate.ALLOW
    transform: Style | None = None  # None: this rule says nothing about the text
    at_least: int | None = None  # bulk, distinct
    window: str = ""  # distinct: hour | day
    weight: int = 0  # added to the risk when it applies


@dataclass(frozen=True, slots=True, kw_only=True)
class Holding:
    """What a policy version says about requests that wait for a person. The engine itself asks nobody."""

    reviewers: tuple[str, ...] = ()  # groups that decide, by name; none: whoever reviews in the area
    needed: int = 1  # distinct persons who have to approve
    seconds: int = 50  # a call waits, at most
    valid_minutes: int = 60  # for a decision, and then for the use of an approval
    purpose_required: bool = False  # the caller says what the request is for
    keeps_alive: bool = False  # a waiting stream is sent comments; a denial is then an event in it
    clear: bool = False  # what is approved leaves without its transforms; two persons have to approve
    escalate_minutes: int | None = None  # after so long without a decision others are asked as well
    escalate_to: tuple[str, ...] = ()  # groups, by name


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySpec:
    """One policy version as data; `Policy` (compiled with a schema) is made from it."""

    version_id: str
    number: int
    name: str
    rules: tuple[Rule, ...]
    default_transform: Style = Style.REDACT  # for a class that no rule's transform names
    opaque_gate: Gate = Gate.BLOCK  # for opaque content that no rule names
    hold_score: int | None = None  # from this risk on a request waits for a person
    block_score: int | None = None
    count_cap: int = 10  # findings of one class that add to the risk, at most
    observe_until: float | None = None  # Unix seconds; until then only restricted data is enforced
    keeps_text: bool = True  # False: the record keeps findings, not the masked text
    keeps_original: bool = False  # beside it, sealed: see `audit.hybrid`
    holding: Holding = Holding()


class Finding(NamedTuple):
    """A data class seen at a place. `start`/`length` locate its replacement in the *recorded* text."""

    data_class: str
    level: Level
    detector: str
    path: str
    start: int
    length: int
    style: Style  # as sent
    rule_id: str = ""  # the rule that chose the style; empty: the policy's default
    counted: bool = True  # False: inside a stronger finding; gates see it, counts do not


@dataclass(frozen=True, slots=True, kw_only=True)
class Recogniser:
    """A detector that ships with Postern, as data (`policies/library`).

    `patterns` find candidates, `validator` (a name in `validators.py`) confirms or narrows them, one of the
    `context` words stands shortly before (must stand there, if `context_needed`). With `until`, the pattern
    only opens: the finding runs to the first match of `until` (a safe expression of ours, at most
    `until_len` long) or the end of the text; `with_opener`: opener and closer are part of it.
    `confidence` and `labelled` (0 to 100) say how sure a find is by itself, and after a context word; a
    detector's threshold is held against them when the schema is compiled.
    """

    name: str
    title: str
    patterns: tuple[str, ...] = ()
    max_len: int = 64
    ignore_case: bool = False
    validator: str = ""
    context: tuple[str, ...] = ()
    context_needed: bool = True
    near: int = 40  # code points between a context word and the candidate, at most
    until: str = ""
    until_len: int = 1
    with_opener: bool = True
    parts: tuple[Recogniser, ...] = ()  # further ways to find the same thing
    keys: tuple[str, ...] = ()  # JSON key names whose whole value is meant
    confidence: int = 90
    labelled: int = 95
    positive: tuple[tuple[str, str], ...] = ()  # (text, what is found in it)
    negative: tuple[str, ...] = ()


class MaskedString(NamedTuple):
    """One text (or the released part of one) after masking. Findings sit in `recorded`."""

    sent: MaskedText
    recorded: MaskedText  # the same object as `sent` when equal
    findings: tuple[Finding, ...] = ()
    fingerprints: tuple[tuple[str, str], ...] = ()  # (class, normalised raw value)

    def __repr__(self) -> str:
        return f"MaskedString({self.recorded!r}, {len(self.findings)} findings)"


class MaskedDocument(NamedTuple):
    """One JSON document after masking."""

    sent: MaskedBytes
    recorded: MaskedBytes  # the same object as `sent` when equal
    findings: tuple[Finding, ...] = ()
    fingerprints: tuple[tuple[str, str], ...] = ()
    texts: int = 0  # that were scanned
    size: int = 0  # their bytes

    def __repr__(self) -> str:
        return f"MaskedDocument({len(self.recorded)} bytes, {len(self.findings)} findings)"


@dataclass(frozen=True, slots=True)
class Opaque:
    """Content that cannot be read here, at a place."""

    kind: str  # image, audio, file, token-array, base64, hosted-tool
    path: str


class FieldSeen(NamedTuple):
    """A place in structured JSON that no data class claims. Never a value."""

    path: str  # `customer.orders[*].note`; keys that are data are collapsed to `*`
    shape: str  # what its values look like: `long digits`, `number`, `email-like` (`fields.SHAPES`)


class DistinctValues(Protocol):
    """How many different values a caller has sent lately; in memory, whoever keeps it."""

    def add(self, values: Sequence[tuple[str, bytes]]) -> None:
        """(data class, keyed digest) of every value of a request, blocked or not."""
        ...

    def estimate(self, data_class: str, window: str) -> int:
        """Different values of a class (empty: of any) in this `hour` or `day`, those just added included."""
        ...


class Circumstances(NamedTuple):
    """What a verdict depends on beside the payload and the policy.

    Who says nothing gets the strictest reading: no policy observes any more, nobody declared a level.
    """

    now: float = float("inf")  # Unix seconds
    declared: Level | None = None  # the level that the caller declared
    ceiling: Level = Level.RESTRICTED  # the highest level that the endpoint takes
    distinct: DistinctValues | None = None  # None: only this request's own values count
    fields: tuple[FieldSeen, ...] = ()  # structured fields that no data class claims; the exchange adds them


class RiskPart(NamedTuple):
    """A line of the score: a data class with its count, or a rule that adds to it."""

    name: str
    points: int
    text: str  # `CARD: 3 × 20`, `rule “Person with diagnosis”`


class Reason(NamedTuple):
    """Why the gate is what it is, in words a person can act on. Never a matched value."""

    gate: Gate
    rule_id: str
    rule_name: str
    text: str
    enforced: bool = True  # False: the policy is observing, so this is what would have happened


NOTHING: Final[Mapping[str, int]] = MappingProxyType({})


class Verdict(NamedTuple):
    """What the engine decided about one direction of one call."""

    gate: Gate
    findings: tuple[Finding, ...] = ()
    reasons: tuple[Reason, ...] = ()
    counts: Mapping[str, int] = NOTHING  # data class slug -> findings masked or seen
    masked: Mapping[str, int] = NOTHING  # the part of counts whose style is not NONE
    highest: Level | None = None
    risk: int = 0  # the score of a request
    risk_parts: tuple[RiskPart, ...] = ()  # its breakdown; the points add up to `risk`
    observed: Gate | None = None  # the gate that would have applied, had the policy not been observing
    spared: Mapping[str, int] = NOTHING  # findings that would have been masked, likewise
    above_ceiling: bool = False  # more sensitive, as declared or as found, than the endpoint takes
