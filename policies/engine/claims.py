"""Which fields a schema's key names and paths claim, told from their paths alone: nothing is compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .detectors import keys_of, normalise_key
from .jsonpath import Step, parse_path
from .types import PathDetector, Recogniser, SchemaSpec


@dataclass(frozen=True, slots=True)
class Claims:
    """What field rules name. What patterns find in values is not known here."""

    keys: frozenset[str]  # normalised
    paths: tuple[tuple[Step, ...], ...]

    def cover(self, path: str) -> bool:
        """Whether a field (`FieldSeen.path`), or something that it lies in, is claimed wherever it occurs."""
        steps = parse_path(json_path(path)) or ()
        if any(isinstance(step, str) and normalise_key(step) in self.keys for step in steps):
            return True
        return any(
            len(rule) <= len(steps) and all(r is None or r == s for r, s in zip(rule, steps, strict=False))
            for rule in self.paths
        )


def claims_of(spec: SchemaSpec, library: Mapping[str, Recogniser]) -> Claims:
    """Raises `KeyError` for a recogniser that the library has not."""
    detectors = [each for data_class in spec.classes for each in data_class.detectors]
    paths = (parse_path(each.path) for each in detectors if isinstance(each, PathDetector))
    return Claims(
        frozenset(name for each in detectors for name in keys_of(each, library)),
        tuple(steps for steps in paths if steps),
    )


def json_path(path: str) -> str:
    """The JSON path of a field: `customer.note` is `$.customer.note`, `[*].id` is `$[*].id`."""
    return f"${path}" if path.startswith("[") else f"$.{path}"


def key_name(path: str) -> str:
    """The key that the values of a field lie under; empty where that is data."""
    named = path
    while named.endswith("[*]"):
        named = named.removesuffix("[*]")
    last = (parse_path(json_path(named)) or (None,))[-1] if named else None
    return last if isinstance(last, str) else ""
