"""A small world to test the engine in: schemas, policies and maskers in one line each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

from policies.engine.masker import Masker
from policies.engine.policy import Policy
from policies.engine.schema import Schema
from policies.engine.types import (
    DataClass,
    Detector,
    Direction,
    Finding,
    Level,
    LibraryDetector,
    MaskedString,
    PolicySpec,
    Rule,
    SchemaSpec,
    Style,
)
from policies.library.recognisers import LIBRARY

BOTH = frozenset(Direction)


def a_class(slug: str, *detectors: Detector, level: Level = Level.CONFIDENTIAL, **more: object) -> DataClass:
    return DataClass(slug=slug, name=slug, level=level, detectors=detectors, **more)  # type: ignore[arg-type]


def a_schema(*classes: DataClass) -> Schema:
    return Schema(SchemaSpec(version_id="s1", number=1, name="schema", classes=classes), LIBRARY)


@cache
def library_schema() -> Schema:
    """Every recogniser of the library as a class of its own."""
    return a_schema(*(a_class(name, LibraryDetector(name=name)) for name in LIBRARY))


def a_policy(schema: Schema, *rules: Rule, style: Style = Style.REDACT, **more: object) -> Policy:
    spec = PolicySpec(
        version_id="p1",
        number=1,
        name="policy",
        rules=rules,
        default_transform=style,
        **more,  # type: ignore[arg-type]
    )
    return Policy(spec, schema)


def a_masker(
    *classes: DataClass, rules: Sequence[Rule] = (), style: Style = Style.REDACT, schema: Schema | None = None
) -> Masker:
    schema = schema or (a_schema(*classes) if classes else library_schema())
    return Masker(a_policy(schema, *rules, style=style), Direction.REQUEST)


def streamed(masker: Masker, pieces: Iterable[str], path: str = "x") -> MaskedString:
    """What a stream gives in all."""
    stream = masker.stream(path)
    parts = [*(stream.decode(piece) for piece in pieces), stream.flush()]
    return MaskedString(
        "".join(part.sent for part in parts),  # type: ignore[arg-type]
        "".join(part.recorded for part in parts),  # type: ignore[arg-type]
        tuple(finding for part in parts for finding in part.findings),
        tuple(one for part in parts for one in part.fingerprints),
    )


def classes_of(findings: Iterable[Finding]) -> list[str]:
    return [finding.data_class for finding in findings if finding.counted]
