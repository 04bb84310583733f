"""From a schema's detectors to patterns that compile together; says what is wrong in an admin's words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

from .alphabet import Alphabet, alphabet_of
from .candidate import Validator
from .confidence import alone, parts, surest
from .jsonpath import parse_path
from .patternsize import MAX_SIZE, size_of
from .scanner import compile_problem
from .types import (
    DataClass,
    Detector,
    KeyDetector,
    LibraryDetector,
    PathDetector,
    Recogniser,
    RegexDetector,
    TermsDetector,
)
from .validators import VALIDATORS, whole_word

DEFAULT_MAX_LEN = 256
MAX_LEN_LIMIT = 4096
MAX_TERMS = 20_000
MAX_PATTERN = 2_000
MAX_TERM = 200
MAX_SPACED = 2_000
"""Letters of a list's phrases up to which any blank may separate their words. In longer lists it is a space,
or one line break in all: with the free choice a thousand phrases that end alike compile for half a minute.
"""

MAX_CONTEXT = 100
NEAR = 40
"""Code points between a context word of a data class and what it speaks for, at most."""


@dataclass(frozen=True, slots=True)
class Pattern:
    """One expression of the database. `max_len` and all offsets count code points."""

    class_index: int
    detector: str
    expression: str
    ignore_case: bool
    max_len: int
    alphabet: Alphabet
    tried: bool = True  # ours, or literal: not an admin's expression
    validate: Validator | None = None
    context: tuple[str, ...] = ()  # what its validator wants to know of
    label: int = -1  # which of the schema's label expressions stands for `context`
    needs: tuple[str, ...] = ()  # one of these has to stand before a candidate, or it does not count
    need: int = -1  # the label expression that stands for `needs`
    need_by_key: bool = False  # the JSON key name may say it instead: what a data class itself asks for
    near: int = 0
    until: re.Pattern[str] | None = None
    until_len: int = 1
    with_opener: bool = True

    @property
    def crosses(self) -> bool:
        """Whether a match could span the NUL between two joined texts."""
        return not self.alphabet.known or "\0" in self.alphabet.chars


def patterns_of(
    index: int, data_class: DataClass, detector: Detector, library: Mapping[str, Recogniser]
) -> Iterator[Pattern]:
    """The patterns of one detector that `problems_of` found nothing wrong with."""
    if isinstance(detector, LibraryDetector):
        found = _library(index, library[detector.name])
        yield from (
            _sure(pattern, detector.threshold, data_class.context, one)
            for pattern, one in found
            if detector.threshold <= surest(one, data_class.context)
        )
        return
    own: Iterable[Pattern] = ()
    if isinstance(detector, RegexDetector):
        own = (_regex(index, detector),)
    elif isinstance(detector, TermsDetector):
        own = _terms(index, detector)
    for pattern in own:
        if data_class.context_needed:
            pattern = replace(pattern, needs=data_class.context, need_by_key=True, near=NEAR)
        yield pattern


def _sure(pattern: Pattern, threshold: int, context: tuple[str, ...], part: Recogniser) -> Pattern:
    """The pattern as a threshold leaves it: as it is, or only where a context word makes it sure enough."""
    if threshold <= alone(part):
        return pattern
    return replace(pattern, needs=(*part.context, *context), need_by_key=True)


def keys_of(detector: Detector, library: Mapping[str, Recogniser]) -> tuple[str, ...]:
    """The normalised JSON key names that a detector claims."""
    if isinstance(detector, KeyDetector):
        return tuple(normalise_key(name) for name in detector.names)
    if isinstance(detector, LibraryDetector) and detector.threshold <= library[detector.name].labelled:
        return tuple(normalise_key(name) for name in library[detector.name].keys)
    return ()


def label_of(detector: Detector) -> str:
    """How a finding names the detector: kind and, for the library, which one."""
    if isinstance(detector, LibraryDetector):
        return detector.name
    kinds = {RegexDetector: "regex", TermsDetector: "terms", KeyDetector: "key", PathDetector: "path"}
    return kinds[type(detector)]


def normalise_key(name: str) -> str:
    """Key names compare without case, `-`, `_` and spaces."""
    return name.translate(_KEY_NOISE).lower()


_KEY_NOISE = {ord(c): None for c in "-_ "}


def where(data_class: DataClass, number: int, detector: Detector) -> str:
    """How a problem names its detector."""
    name = detector.name if isinstance(detector, LibraryDetector) else label_of(detector)
    return f"{data_class.slug}, detector {number} ({name})"


def _library(index: int, recogniser: Recogniser) -> Iterator[tuple[Pattern, Recogniser]]:
    for part in recogniser.parts:
        yield from _library(index, part)
    needs = recogniser.context if recogniser.context_needed else ()
    for expression in recogniser.patterns:
        pattern = Pattern(
            class_index=index,
            detector=recogniser.name,
            expression=expression,
            ignore_case=recogniser.ignore_case,
            max_len=recogniser.max_len,
            alphabet=alphabet_of(expression, recogniser.ignore_case),
            validate=VALIDATORS[recogniser.validator] if recogniser.validator else None,
            context=recogniser.context,
            needs=needs,
            near=recogniser.near,
            until=re.compile(recogniser.until) if recogniser.until else None,
            until_len=recogniser.until_len,
            with_opener=recogniser.with_opener,
        )
        yield pattern, recogniser


def _regex(index: int, detector: RegexDetector) -> Pattern:
    alphabet = alphabet_of(detector.pattern, detector.ignore_case)
    return Pattern(
        class_index=index,
        detector="regex",
        expression=detector.pattern,
        ignore_case=detector.ignore_case,
        max_len=detector.max_len or alphabet.max_len or DEFAULT_MAX_LEN,
        alphabet=alphabet,
        tried=False,
    )


def _terms(index: int, detector: TermsDetector) -> Iterator[Pattern]:
    """Literals, which compile fast; the validator looks at the word's edges."""
    terms = sorted({" ".join(term.split()) for term in detector.terms if term.strip()})
    short = sum(len(term) for term in terms if " " in term) <= MAX_SPACED
    for term in terms:
        for expression in _term_expressions(term, short):
            yield Pattern(
                class_index=index,
                detector="terms",
                expression=expression,
                ignore_case=detector.ignore_case,
                max_len=len(term),
                alphabet=alphabet_of(expression, detector.ignore_case),
                validate=whole_word,
            )


def _term_expressions(term: str, short: bool) -> Iterator[str]:
    """A phrase of a short list with any blanks; of a long one with spaces, or one line break among them."""
    words = [_literal(word) for word in term.split(" ")]
    if short:
        yield r"\s".join(words)
        return
    yield " ".join(words)
    for gap in range(1, len(words)):
        yield " ".join(words[:gap]) + r"\n" + " ".join(words[gap:])


def label_expression(words: Iterable[str]) -> str:
    """Any of the words, on its own; `_` separates like a space (`date_of_birth`)."""
    return "|".join(
        (r"(?:\b|_)" if _is_word(word[0]) else "")
        + _literal(word)
        + (r"(?:\b|_)" if _is_word(word[-1]) else "")
        for word in words
    )


def _literal(word: str) -> str:
    return "".join(char if char.isalnum() else f"\\{char}" if char.isascii() else char for char in word)


def _is_word(char: str) -> bool:
    return char.isascii() and (char.isalnum() or char == "_")


def problems_of(
    detector: Detector, library: Mapping[str, Recogniser], context: tuple[str, ...] = ()
) -> list[str]:
    """What keeps a detector of a class with these context words from being compiled, in words."""
    match detector:
        case LibraryDetector():
            return list(_library_problems(detector, library, context))
        case RegexDetector():
            return list(_regex_problems(detector))
        case TermsDetector():
            return list(_term_problems(detector))
        case KeyDetector():
            ok = any(normalise_key(name) for name in detector.names)
            return [] if ok else ["Name at least one JSON key."]
        case PathDetector():
            hint = "Write a path such as $.customer.ids[*].value."
            return [] if parse_path(detector.path) else [hint]


def _library_problems(
    detector: LibraryDetector, library: Mapping[str, Recogniser], context: tuple[str, ...]
) -> Iterator[str]:
    if detector.name not in library:
        yield f"The library has no recogniser “{detector.name}”."
        return
    most = max(surest(part, context) for part in parts(library[detector.name]))
    if not 0 <= detector.threshold <= 100:
        yield "A threshold is a number from 0 to 100."
    elif detector.threshold > most:
        yield f"It is never surer than {most}: with a threshold of {detector.threshold} nothing is found."


def tag_problems(data_class: DataClass) -> Iterator[str]:
    """What is wrong with the tags of a class: one that looks like another and is not would pass for it."""
    if any(not tag.strip() or not tag.isprintable() for tag in data_class.tags):
        yield "A tag is a word without invisible characters."


def context_problems(data_class: DataClass) -> Iterator[str]:
    """What is wrong with the context words of a class."""
    words = data_class.context
    if len(words) > MAX_CONTEXT:
        yield f"A data class has at most {MAX_CONTEXT} context words."
    if any(not word.strip() or len(word) > MAX_TERM or not word.isprintable() for word in words):
        yield f"A context word has 1 to {MAX_TERM} characters, none of them invisible."
    if data_class.context_needed and not words:
        yield "It needs a context word and names none, so its patterns and word lists would find nothing."


def _regex_problems(detector: RegexDetector) -> Iterator[str]:
    pattern, cap = detector.pattern, detector.max_len
    if not pattern or len(pattern) > MAX_PATTERN:
        yield f"A pattern has 1 to {MAX_PATTERN} characters."
        return
    if size_of(pattern) > MAX_SIZE:
        yield f"The pattern is too large: written out, its repeats have more than {MAX_SIZE} places."
        return
    reason = compile_problem(pattern, detector.ignore_case)
    if "matches empty" in reason.lower():
        yield "The pattern matches empty text: every place in every text would be a finding."
    elif reason:
        yield f"The pattern cannot be compiled: {reason}."
    else:
        yield from _length_problems(alphabet_of(pattern, detector.ignore_case), cap)


def _length_problems(alphabet: Alphabet, cap: int | None) -> Iterator[str]:
    if cap is None and alphabet.max_len is None:
        yield "The pattern can match text of any length: set a maximum length, or bound its repeats."
    elif not 1 <= (cap or alphabet.max_len or 0) <= MAX_LEN_LIMIT:
        yield f"The maximum length must be from 1 to {MAX_LEN_LIMIT}."
    elif cap is not None and cap < alphabet.min_len:
        yield f"The maximum length {cap} is below the shortest match ({alphabet.min_len})."


def _term_problems(detector: TermsDetector) -> Iterator[str]:
    terms = [term for term in detector.terms if term.strip()]
    if not terms:
        yield "List at least one term."
    if len(terms) > MAX_TERMS:
        yield f"A list holds at most {MAX_TERMS} terms."
    if any(len(term) > MAX_TERM or not term.isprintable() for term in terms):
        yield f"A term has at most {MAX_TERM} characters, none of them a control character."
