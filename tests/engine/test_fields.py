"""Structured fields that no data class claims: places and shapes, never a value."""

from __future__ import annotations

import json
from typing import Any

import pytest

from policies.engine.fields import MAX_FIELDS, MORE, SHAPES, is_name, shape_of, unclassified
from policies.engine.jsontext import loads
from policies.engine.masker import Masker
from policies.engine.types import (
    FieldSeen,
    KeyDetector,
    LibraryDetector,
    PathDetector,
    RegexDetector,
    Style,
)

from .world import a_class, a_masker

EMAIL = a_class("EMAIL", LibraryDetector(name="EMAIL"))


def fields(document: Any, masker: Masker | None = None, roots: tuple[Any, ...] = ((),)) -> dict[str, str]:
    seen = unclassified(masker or a_masker(EMAIL), loads(json.dumps(document).encode()), roots)
    return {each.path: each.shape for each in seen}


SHAPED = [
    ("", "empty"),
    (" \t", "empty"),
    (None, "empty"),
    (True, "boolean"),
    (3, "number"),
    (-2.5, "number"),
    (1234567, "long number"),
    (123456789012345678901234567890, "long number"),
    ("12", "digits"),
    ("123456", "digits"),
    ("1234567", "long digits"),
    ("+41 44 668 18 00", "long digits"),
    ("2024-02-29", "date"),
    ("2024-02-29T10:00:00Z", "date"),
    ("29.2.2024", "date"),
    ("02/29/24", "date"),
    ("6F9619FF-8B86-D011-B42D-00C04FC964FF", "uuid"),
    ("bob@example", "email-like"),
    ("Zürich", "word"),
    ("A-17/x", "code"),
    ("Bob Smith", "sentence"),
    ("fell from a ladder " * 5, "long text"),
]


@pytest.mark.parametrize(("value", "shape"), SHAPED)
def test_a_value_has_a_coarse_shape(value: Any, shape: str) -> None:
    assert shape_of(loads(json.dumps(value).encode())) == shape
    assert shape in SHAPES


def test_every_shape_is_in_the_table() -> None:
    assert {shape for _, shape in SHAPED} == SHAPES


def test_each_place_is_named_once_however_many_items_a_list_has() -> None:
    document = {
        "customer": {"note": "likes tea"},
        "orders": [{"id": 1}, {"id": 2, "memo": ""}],
        "tags": ["a"],
    }
    assert fields(document) == {
        "customer.note": "sentence",
        "orders[*].id": "number",
        "orders[*].memo": "empty",
        "tags[*]": "word",
    }


def test_a_place_with_two_shapes_is_told_twice() -> None:
    document = loads(b'[{"id": 1}, {"id": "none"}]')
    seen = unclassified(a_masker(EMAIL), document, [()])
    assert seen == (FieldSeen("[*].id", "number"), FieldSeen("[*].id", "word"))


CLAIMS = [
    (KeyDetector(names=("Patient-ID",)), {"patient_id": "x", "other": "x"}, {"other"}),
    (KeyDetector(names=("patient",)), {"patient": {"name": ["x"]}, "other": "x"}, {"other"}),
    (PathDetector(path="$.a.b"), {"a": {"b": "x", "c": "x"}, "b": "x"}, {"a.c", "b"}),
    (PathDetector(path="$.a"), {"a": {"b": {"c": "x"}}, "b": "x"}, {"b"}),
    (PathDetector(path="$.rows[*].id"), {"rows": [{"id": "x", "at": "x"}]}, {"rows[*].at"}),
    (PathDetector(path="$.rows[1]"), {"rows": ["x", "y"]}, {"rows[*]"}),
    (RegexDetector(pattern="MRN-[0-9]{4}"), {"id": "MRN-1234", "other": "x"}, {"other"}),
    (RegexDetector(pattern="MRN-[0-9]{4}"), {"id": "(MRN-1234, MRN-1235).", "other": "x"}, {"other"}),
    (RegexDetector(pattern="MRN-[0-9]{4}"), {"id": ["MRN-1234", "none"]}, {"id[*]"}),
    (RegexDetector(pattern="MRN-[0-9]{4}"), {"note": "see MRN-1234"}, {"note"}),
    (RegexDetector(pattern="[0-9]{6}"), {"id": 123456, "more": 12}, {"more"}),
]


@pytest.mark.parametrize(("detector", "document", "left"), CLAIMS)
@pytest.mark.parametrize("style", Style)
def test_a_class_claims_by_key_by_path_and_by_what_covers_the_value(
    detector: Any, document: Any, left: set[str], style: Style
) -> None:
    assert set(fields(document, a_masker(a_class("THING", detector), style=style))) == left


@pytest.mark.parametrize(
    "key",
    [
        "bob@example.com",
        "bob.smith",
        "Bob Smith",
        "078-05-1120",
        "2024-02-29",
        "6f9619ff-8b86-d011-b42d-00c04fc964ff",
        "17",
        "user_0042",
        "MRN1234567",
        "Ab3dEf6hIj9lMn2p",
        "sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8xYz1bCd4f",
        "x" * 41,
        "it's",
        "a[0]",
        "😀",
        "\u202eevil",
        "",
    ],
)
def test_a_key_that_is_data_is_not_shown(key: str) -> None:
    assert not is_name(key)
    assert fields({"customers": {key: {"note": "x"}}}) == {"customers.*.note": "word"}


@pytest.mark.parametrize(
    "key",
    ["note", "firstName", "first_name", "line1", "x-request-id", "@type", "$ref", "xml:lang", "größe", "_id"],
)
def test_a_key_that_somebody_chose_is_shown(key: str) -> None:
    assert list(fields({key: "x"})) == [key]


def test_a_key_that_a_class_finds_is_not_shown() -> None:
    masker = a_masker(a_class("NAME", RegexDetector(pattern="alice|bob")))
    assert list(fields({"alice": {"x": 1}, "chosen": 1}, masker)) == ["*.x", "chosen"]


def test_the_entries_of_a_table_are_not_told_apart() -> None:
    assert list(fields({"staff": {"alice": {"age": 1}, "bob": {"age": 2}}})) == ["staff.*.age"]
    assert list(
        fields({"ages": {f"n{'x' * n}": n for n in range(1, 40)} | {f"m{'x' * n}": n for n in range(1, 40)}})
    ) == ["ages.*"]


def test_no_value_is_in_what_is_told() -> None:
    canary = "canary-4711-zebra"
    document = {"a": canary, "b": [{"c": canary, "d": {canary: canary}}], "e": json.dumps({"f": canary})}
    assert "4711" not in repr(unclassified(a_masker(EMAIL), loads(json.dumps(document).encode()), [()]))


def test_more_fields_than_are_told_apart_say_so() -> None:
    words = [chr(97 + a) + chr(97 + b) for a in range(26) for b in range(2)]
    document = [{one: {other: 1, one: {"z": 2}}} for one in words for other in words[:20]]
    seen = unclassified(a_masker(EMAIL), loads(json.dumps(document).encode()), [()])
    assert len(seen) == MAX_FIELDS + 1 and seen[-1] == MORE


def test_a_path_too_long_to_keep_is_cut_at_a_step() -> None:
    document: Any = 1
    for _ in range(40):
        document = {"a_rather_long_name": document}
    (path,) = fields(document)
    assert len(path) <= 300 and path.endswith(".a_rather_long_name.*")


def test_only_what_lies_below_a_root_is_looked_at() -> None:
    document = {"text": "x", "args": json.dumps({"to": "x", "n": [1]}), "meta": {"k": "x"}}
    assert fields(document, roots=(("args",), ("meta",))) == {
        "args.*.to": "word",
        "args.*.n[*]": "number",
        "meta.k": "word",
    }


def test_what_only_looks_like_json_is_a_value() -> None:
    assert fields({"args": "{broken"}, roots=(("args",),)) == {"args": "code"}


def test_a_root_below_a_claimed_key_is_claimed() -> None:
    masker = a_masker(a_class("ARGS", KeyDetector(names=("args",))))
    assert fields({"args": {"to": "x"}}, masker, roots=(("args",),)) == {}


def test_a_path_rule_reaches_what_a_string_holds() -> None:
    masker = a_masker(a_class("TO", PathDetector(path="$.args.*.to")))
    assert fields({"args": json.dumps({"to": "x", "at": "x"})}, masker, roots=(("args",),)) == {
        "args.*.at": "word"
    }
