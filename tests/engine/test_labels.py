"""What a reviewer sees: numbered labels, the same number for the same value, and nothing raw."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from policies.engine.jsontext import loads
from policies.engine.labels import labelled
from tests.proxy.world import CARD, EMAIL, SSN, schema


def seen(tree: Any, *embedded: tuple[str | int, ...]) -> Any:
    return json.loads(labelled(schema(), loads(json.dumps(tree).encode()), embedded).recorded)


def test_the_same_value_has_the_same_number_everywhere() -> None:
    shown = seen({"a": f"{EMAIL} and eve@example.com", "b": [f"again {EMAIL}"]})
    assert shown == {"a": "[EMAIL 1] and [EMAIL 2]", "b": ["again [EMAIL 1]"]}


def test_classes_are_counted_apart() -> None:
    assert seen(f"{EMAIL}, {SSN} and {CARD}") == "[EMAIL 1], [US_SSN 1] and [CARD 1]"


def test_keys_numbers_and_json_in_strings_are_labelled_as_well() -> None:
    arguments = json.dumps({"to": EMAIL})
    shown = seen({"arguments": arguments, EMAIL: "x", "card": 4111111111111111}, ("arguments",))
    assert json.loads(shown["arguments"]) == {"to": "[EMAIL 1]"}
    assert shown["[EMAIL 1]"] == "x"
    assert shown["card"] == "[CARD 1]"


def test_marks_stand_where_the_labels_are() -> None:
    document = labelled(schema(), {"t": f"write {EMAIL}, not eve@example.com or {CARD}"})
    text = json.loads(document.recorded)["t"]
    found = [text[one.start : one.start + one.length] for one in document.findings]
    assert found == ["[EMAIL 1]", "[EMAIL 2]", "[CARD 1]"]


@given(st.lists(st.sampled_from([EMAIL, SSN, CARD, "ada@example.org", "hello", "–", "\u200b"]), max_size=8))
def test_no_value_is_ever_shown_and_every_mark_is_a_label(parts: list[str]) -> None:
    document = labelled(schema(), {"t": " , ".join(parts)})
    text = json.loads(document.recorded)["t"]
    assert not any(value in text for value in (EMAIL, SSN, CARD, "ada@example.org"))
    for one in document.findings:
        assert text[one.start : one.start + one.length].startswith(f"[{one.data_class}")
