"""A classification schema compiled: one scanner over all its patterns, its field rules, its hold-back."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from dataclasses import replace

import hyperscan

from .alphabet import needed_by
from .detectors import (
    Pattern,
    context_problems,
    keys_of,
    label_expression,
    label_of,
    normalise_key,
    patterns_of,
    problems_of,
    tag_problems,
    where,
)
from .effort import MAX_CLASSES, MAX_EFFORT, TOO_MUCH, effort_of
from .errors import EngineError
from .frontier import groups_of
from .jsonpath import Step, parse_path
from .scanner import Event, Expression, Scanner
from .types import DataClass, Detector, PathDetector, Recogniser, SchemaSpec

_COMMON = (
    "assistant chat.completion chat.completion.chunk choices completion_tokens content created "
    "description finish_reason frequency_penalty function function_call id index input length "
    "logprobs max_completion_tokens max_tokens messages model n name object parameters "
    "presence_penalty prompt prompt_tokens refusal response_format role seed service_tier stop stream "
    "stream_options string system system_fingerprint temperature text tool tool_call_id tool_calls "
    "tool_choice tools top_p total_tokens type usage user"
)
"""Words that bodies of model services are full of: looked at when a schema is compiled, not by every call."""

LONGEST_COMMON = max(map(len, _COMMON.split()))

_SLUG = re.compile(r"[A-Za-z][A-Za-z0-9_-]{0,63}")


class SchemaError(EngineError):
    """A schema that cannot be compiled. `problems` lists every reason, each naming class and detector."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Schema:
    """Immutable and thread-safe. `hold_back`: the most code points a stream withholds."""

    def __init__(
        self,
        spec: SchemaSpec,
        library: Mapping[str, Recogniser],
        *,
        cache: MutableMapping[bytes, bytes] | None = None,
    ) -> None:
        problems = tuple(_problems(spec, library))
        if problems:
            raise SchemaError(problems)
        self.spec = spec
        self.classes: Mapping[str, DataClass] = {one.slug: one for one in spec.classes}
        self.patterns, self.labels = _with_labels(_bounded(_patterns(spec, library)))
        self.keys = _keys(spec, library)
        self.paths = tuple(_paths(spec))
        self.groups = groups_of((pattern.alphabet, pattern.max_len) for pattern in self.patterns)
        self.hold_back = max((group.reach for group in self.groups), default=0)
        self.shortest = min((max(p.alphabet.min_len, 1) for p in self.patterns), default=1)
        self.joinable = all(p.alphabet.known and not p.alphabet.anchored for p in self.patterns)
        self.scanner = _scanner(self.patterns, self.labels, cache)
        self.by_key = frozenset(n for n, one in enumerate(self.patterns) if one.need_by_key)
        self.recognisers = sum(len(one.detectors) for one in spec.classes)
        self.recogniser_set = _set_digest(self)
        self.common = frozenset(filter(self._means_nothing, _COMMON.split()))

    def _means_nothing(self, word: str) -> bool:
        """Whether a word, as a text or as a key name, is certainly no finding."""
        return normalise_key(word) not in self.keys and not self.scan(word.encode())

    def scan(self, data: bytes) -> list[Event]:
        """Every event in one whole text; none when there are only labels, which label nothing."""
        events = self.scanner.scan(data)
        count = len(self.patterns)
        for event in events:
            if event[0] < count:
                return events
        return []


def check_detector(
    detector: Detector, library: Mapping[str, Recogniser], context: tuple[str, ...] = ()
) -> list[str]:
    """The problems of one detector alone, for forms; empty when it can be used.

    `context`: the context words of its class.
    """
    return problems_of(detector, library, context)


def _with_labels(patterns: Iterable[Pattern]) -> tuple[tuple[Pattern, ...], tuple[str, ...]]:
    """The context words become expressions of their own: whether one is near costs nothing then."""
    labels: dict[tuple[bool, tuple[str, ...]], int] = {}

    def number(by_key: bool, words: tuple[str, ...]) -> int:
        return labels.setdefault((by_key, words), len(labels)) if words else -1

    numbered = tuple(
        replace(one, label=number(False, one.context), need=number(one.need_by_key, one.needs))
        if one.context or one.needs
        else one
        for one in patterns
    )
    return numbered, tuple(label_expression(words) for _, words in labels)


def _set_digest(schema: Schema) -> str:
    """What is looked for, as a digest: a release may change the library behind a version that stays."""
    patterns = [(one.class_index, one.detector, one.expression, one.max_len) for one in schema.patterns]
    said = repr((list(schema.classes), patterns, schema.labels, sorted(schema.keys.items()), schema.paths))
    return hashlib.sha256(said.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _scanner(
    patterns: tuple[Pattern, ...], labels: tuple[str, ...], cache: MutableMapping[bytes, bytes] | None
) -> Scanner:
    expressions = [
        Expression(one.expression, one.ignore_case, one.tried, needed_by(one.expression, one.ignore_case))
        for one in patterns
    ]
    try:
        return Scanner([*expressions, *(Expression(label, True, True) for label in labels)], cache)
    except hyperscan.HyperscanError as error:
        raise SchemaError((f"The patterns cannot be compiled together: {error}",)) from None


def _problems(spec: SchemaSpec, library: Mapping[str, Recogniser]) -> Iterator[str]:
    if len(spec.classes) > MAX_CLASSES:
        yield f"A schema has at most {MAX_CLASSES} data classes; this one has {len(spec.classes)}."
        return
    seen: set[str] = set()
    for data_class in spec.classes:
        if not _SLUG.fullmatch(data_class.slug):
            yield f"{data_class.slug}: name a data class by letters, digits, - and _, a letter first."
        if data_class.slug in seen:
            yield f"{data_class.slug}: two data classes have this name."
        seen.add(data_class.slug)
        for problem in (*tag_problems(data_class), *context_problems(data_class)):
            yield f"{data_class.slug}: {problem}"
        for number, detector in enumerate(data_class.detectors, 1):
            for problem in problems_of(detector, library, data_class.context):
                yield f"{where(data_class, number, detector)}: {problem}"


def _patterns(spec: SchemaSpec, library: Mapping[str, Recogniser]) -> Iterator[Pattern]:
    for index, data_class in enumerate(spec.classes):
        for detector in data_class.detectors:
            yield from patterns_of(index, data_class, detector, library)


def _bounded(patterns: Iterable[Pattern]) -> Iterator[Pattern]:
    """The same patterns, until they are more than can be compiled in reasonable time."""
    effort = 0.0
    for pattern in patterns:
        effort += effort_of(pattern)
        if effort > MAX_EFFORT:
            raise SchemaError((TOO_MUCH,))
        yield pattern


def _keys(spec: SchemaSpec, library: Mapping[str, Recogniser]) -> Mapping[str, tuple[tuple[int, str], ...]]:
    """Normalised key name -> (class, detector) pairs that claim it."""
    found: dict[str, tuple[tuple[int, str], ...]] = {}
    for index, data_class in enumerate(spec.classes):
        for detector in data_class.detectors:
            for name in keys_of(detector, library):
                found[name] = (*found.get(name, ()), (index, label_of(detector)))
    return found


def _paths(spec: SchemaSpec) -> Iterator[tuple[tuple[Step, ...], int]]:
    for index, data_class in enumerate(spec.classes):
        for detector in data_class.detectors:
            if isinstance(detector, PathDetector):
                steps = parse_path(detector.path)
                if steps is not None:
                    yield steps, index
