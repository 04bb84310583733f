"""Which fields a schema claims, told from their paths."""

from __future__ import annotations

import pytest

from policies.engine.claims import claims_of, json_path, key_name
from policies.engine.jsonpath import parse_path
from policies.engine.types import Detector, KeyDetector, LibraryDetector, PathDetector
from policies.library.recognisers import LIBRARY

from .test_fields import fields
from .world import a_class, a_masker, a_schema

NOTE = "customers[*].notes.*.text"


@pytest.mark.parametrize(
    ("detector", "path", "covered"),
    [
        (KeyDetector(names=("Text",)), NOTE, True),
        (KeyDetector(names=("customers",)), NOTE, True),
        (KeyDetector(names=("note",)), NOTE, False),
        (PathDetector(path="$.customers[*].notes.*.text"), NOTE, True),
        (PathDetector(path="$.customers[*].notes"), NOTE, True),
        (PathDetector(path="$.customers[*].notes.*.text.more"), NOTE, False),
        (PathDetector(path="$.customers[0].notes"), NOTE, False),
        (PathDetector(path="$.customers[*].notes.alice.text"), NOTE, False),
        (PathDetector(path="$[*].id"), "[*].id", True),
        (LibraryDetector(name="US_SSN"), "ssn", "ssn" in LIBRARY["US_SSN"].keys),
        (LibraryDetector(name="EMAIL"), NOTE, False),
    ],
)
def test_a_field_is_claimed_by_its_keys_and_its_path(detector: Detector, path: str, covered: bool) -> None:
    assert claims_of(a_schema(a_class("X", detector)).spec, LIBRARY).cover(path) is covered


def test_what_is_proposed_for_a_field_claims_it() -> None:
    document = {"a": {"b": [{"@type": "x", "x-id": 1, "größe": "x"}], "c": {"bob@x.org": {"d": [["x"]]}}}}
    for path in fields(document):
        detectors: list[Detector] = [PathDetector(path=json_path(path))]
        if name := key_name(path):
            detectors.append(KeyDetector(names=(name,)))
        for detector in detectors:
            schema = a_schema(a_class("X", detector))
            assert claims_of(schema.spec, LIBRARY).cover(path), detector
            assert path not in fields(document, a_masker(schema=schema)), detector


@pytest.mark.parametrize(
    ("path", "name"),
    [("a.b", "b"), ("a.b[*][*]", "b"), ("a.*", ""), ("a.*[*]", ""), ("[*]", ""), ("[*].id", "id"), ("*", "")],
)
def test_a_field_is_known_by_the_key_it_lies_under(path: str, name: str) -> None:
    assert key_name(path) == name
    assert parse_path(json_path(path))
