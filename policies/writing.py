"""Data classes as rows: the way back from what `policies.compiler` reads. Called by services only."""

from __future__ import annotations

from collections.abc import Iterable

from policies.engine import types
from policies.models import DataClass, Detector, DetectorKind, Example, ExampleKind, SchemaVersion


def write_classes(version: SchemaVersion, classes: Iterable[types.DataClass]) -> None:
    """Add these data classes, in this order, to a draft that has none of them."""
    for position, one in enumerate(classes, 1):
        row = DataClass.objects.create(
            version=version,
            slug=one.slug,
            name=one.name,
            level=one.level.value,
            weight=one.weight,
            tags=sorted(one.tags),
            context=list(one.context),
            context_needed=one.context_needed,
            position=position,
        )
        for number, each in enumerate(one.detectors, 1):
            Detector.objects.create(data_class=row, position=number, **detector_columns(each))
        _examples(row, ExampleKind.POSITIVE, one.positive)
        _examples(row, ExampleKind.NEGATIVE, one.negative)


def detector_columns(one: types.Detector) -> dict[str, object]:
    """The columns of one detector's row."""
    match one:
        case types.LibraryDetector():
            return {"kind": DetectorKind.LIBRARY, "value": one.name, "threshold": one.threshold}
        case types.RegexDetector():
            own = {"max_len": one.max_len, "ignore_case": one.ignore_case}
            return {"kind": DetectorKind.REGEX, "value": one.pattern, **own}
        case types.TermsDetector():
            terms = "\n".join(one.terms)
            return {"kind": DetectorKind.TERMS, "value": terms, "ignore_case": one.ignore_case}
        case types.KeyDetector():
            return {"kind": DetectorKind.KEY, "value": "\n".join(one.names)}
        case types.PathDetector():
            return {"kind": DetectorKind.PATH, "value": one.path}


def _examples(row: DataClass, kind: ExampleKind, texts: Iterable[str]) -> None:
    for number, text in enumerate(texts, 1):
        Example.objects.create(data_class=row, kind=kind, text=text, position=number)
