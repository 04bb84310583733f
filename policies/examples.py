"""Runs the examples of a schema's data classes through the engine. Pure: a compiled schema in, outcomes out.

An example is tried against the whole schema, as a call would be: a class that another one hides is still
found, and so is one in a JSON document by its key.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from policies.engine.errors import MaskError
from policies.engine.jsontext import JsonError, loads
from policies.engine.masker import Masker
from policies.engine.policy import Policy
from policies.engine.schema import Schema
from policies.engine.types import Direction, Finding, PolicySpec, Style

SECONDS = 10.0
"""All examples of a schema together may take this long; a person waits for the answer."""

_SHOWN = 80
_PLAIN = PolicySpec(version_id="", number=0, name="examples", rules=(), default_transform=Style.LABEL)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one example. `number` counts from 1, apart for each of the two kinds."""

    data_class: str
    number: int
    wanted: bool  # the class must be found in it
    text: str = field(repr=False)
    found: bool = False
    others: tuple[str, ...] = ()  # further classes that were found in it
    trouble: str = ""  # why it could not be tried

    @property
    def passed(self) -> bool:
        return not self.trouble and self.found is self.wanted

    @property
    def kind(self) -> str:
        return "must be found" if self.wanted else "must not be found"

    @property
    def says(self) -> str:
        """What happened, in words; never the text."""
        return self.trouble or ("found" if self.found else "not found")

    @property
    def short(self) -> str:
        """The text for a line of a table."""
        line = " ".join(self.text.split())
        return line if len(line) <= _SHOWN else line[: _SHOWN - 1] + "…"


class ExampleProblem(str):
    """A failing example as a problem of its version: class and number, never the text."""

    __slots__ = ()


def tried(
    schema: Schema, *, seconds: float = SECONDS, clock: Callable[[], float] = time.monotonic
) -> list[Outcome]:
    """Every example with its outcome, in the schema's order. What time did not allow for has failed."""
    masker = Masker(Policy(_PLAIN, schema), Direction.REQUEST)
    until = clock() + seconds
    return [
        _tried(masker, one)
        if clock() < until
        else Outcome(one.data_class, one.number, one.wanted, one.text, trouble="not tried, time was up")
        for one in _examples(schema)
    ]


def problems(outcomes: list[Outcome]) -> list[str]:
    """The failing ones, all of them."""
    return [
        ExampleProblem(f"{one.data_class}, example {one.number} that {one.kind}: {one.says.rstrip('.')}.")
        for one in outcomes
        if not one.passed
    ]


def _examples(schema: Schema) -> Iterator[Outcome]:
    for one in schema.spec.classes:
        for wanted, texts in ((True, one.positive), (False, one.negative)):
            for number, text in enumerate(texts, 1):
                yield Outcome(one.slug, number, wanted, text)


def _tried(masker: Masker, one: Outcome) -> Outcome:
    try:
        classes = dict.fromkeys(finding.data_class for finding in _findings(masker, one.text))
    except MaskError as error:
        return Outcome(one.data_class, one.number, one.wanted, one.text, trouble=str(error))
    others = tuple(name for name in classes if name != one.data_class)
    return Outcome(one.data_class, one.number, one.wanted, one.text, one.data_class in classes, others)


def _findings(masker: Masker, text: str) -> tuple[Finding, ...]:
    """Of a JSON document if it is one, else of a text."""
    if text.lstrip()[:1] in ("{", "["):
        try:
            return masker.document(loads(text.encode(errors="replace"))).findings
        except JsonError:
            pass
    return masker.text(text, "").findings
