"""Context words and thresholds: what has to stand near a find for it to count, in texts, streams and JSON."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.engine.confidence import alone, surest
from policies.engine.jsontext import loads
from policies.engine.masker import Masker
from policies.engine.schema import SchemaError
from policies.engine.types import (
    DataClass,
    Detector,
    KeyDetector,
    LibraryDetector,
    RegexDetector,
    Style,
    TermsDetector,
)
from policies.library.recognisers import LIBRARY

from .world import a_class, a_masker, a_schema, classes_of, streamed

CHART = RegexDetector(pattern=r"\b[0-9]{6}\b")


def chart(**more: object) -> DataClass:
    values = {"context": ("patient", "Krankenakte", "מטופל"), "context_needed": True, **more}
    return a_class("CHART", CHART, **values)


def masker(*classes: DataClass) -> Masker:
    return a_masker(*classes, style=Style.LABEL)


def library(name: str, threshold: int, **more: object) -> Masker:
    return masker(a_class(name, LibraryDetector(name=name, threshold=threshold), **more))


TEXTS = {
    "patient 123456 is here": "patient [CHART] is here",
    "Patient: 123456": "Patient: [CHART]",
    "PATIENT_ID 123456": "PATIENT_ID [CHART]",
    "Krankenakte Nr. 123456": "Krankenakte Nr. [CHART]",
    "מטופל 123456": "מטופל [CHART]",
    "order 123456": "order 123456",
    "123456 is a patient": "123456 is a patient",  # a stream has let it go by then
    "impatient 123456": "impatient 123456",
    "patients 123456": "patients 123456",
    "patient " + "x" * 32 + " 123456": "patient " + "x" * 32 + " [CHART]",  # 40 code points from its end
    "patient " + "x" * 39 + " 123456": "patient " + "x" * 39 + " 123456",
    "patient 123456, order 654321": "patient [CHART], order [CHART]",
}


@pytest.mark.parametrize(("text", "masked"), TEXTS.items())
def test_a_pattern_counts_only_after_one_of_its_context_words(text: str, masked: str) -> None:
    assert masker(chart()).text(text, "x").sent == masked


@given(text=st.sampled_from(sorted(TEXTS)), cuts=st.lists(st.integers(0, 60), max_size=6))
def test_a_stream_sees_the_same_context_however_it_is_cut(text: str, cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(text)]
    pieces = [text[start:end] for start, end in pairwise(places)]
    assert streamed(masker(chart()), pieces).sent == TEXTS[text]


def test_words_that_are_not_needed_change_nothing_for_patterns() -> None:
    assert masker(chart(context_needed=False)).text("order 123456", "x").sent == "order [CHART]"


def test_word_lists_need_the_context_too_and_key_names_do_not() -> None:
    bird = a_class(
        "BIRD",
        TermsDetector(terms=("nightjar",)),
        KeyDetector(names=("bird",)),
        context=("project",),
        context_needed=True,
    )
    assert masker(bird).text("project nightjar, " + "x" * 40 + " a nightjar", "x").sent.count("[BIRD]") == 1
    assert masker(bird).document({"bird": "wren"}).sent == b'{"bird":"[BIRD]"}'


DOCUMENTS = {
    '{"patient":"123456"}': '{"patient":"[CHART]"}',
    '{"patient_id":123456}': '{"patient_id":"[CHART]"}',
    '{"patientId":"no. 123456"}': '{"patientId":"no. [CHART]"}',
    '{"patient-ids":["123456",654321]}': '{"patient-ids":["[CHART]","[CHART]"]}',
    '{"order":"123456"}': '{"order":"123456"}',
    '{"patient":{"order":"123456"}}': '{"patient":{"order":"123456"}}',  # the nearest key speaks
    '{"order":["123456"],"patient":["123456"]}': '{"order":["123456"],"patient":["[CHART]"]}',
    '{"order":"patient 123456"}': '{"order":"patient [CHART]"}',
    '{"patient":"123456","order":123456}': '{"patient":"[CHART]","order":123456}',
    '{"מטופל":"123456"}': '{"מטופל":"[CHART]"}',
    '{"🩺 patient":"123456"}': '{"🩺 patient":"[CHART]"}',
}


@pytest.mark.parametrize(("document", "masked"), DOCUMENTS.items())
def test_in_json_the_name_of_the_key_is_context(document: str, masked: str) -> None:
    assert masker(chart()).document(loads(document.encode())).sent.decode() == masked


def test_json_in_a_string_has_its_own_keys() -> None:
    tree = {"arguments": '{"patient":"123456","order":"123456"}'}
    out = masker(chart()).document(tree, embedded=[("arguments",)]).sent
    assert out == rb'{"arguments":"{\"patient\":\"[CHART]\",\"order\":\"123456\"}"}'


THRESHOLDS = (
    ("US_SSN", 0, "it is 123-45-6789", True),
    ("US_SSN", 60, "it is 123-45-6789", True),
    ("US_SSN", 61, "it is 123-45-6789", False),
    ("US_SSN", 61, "ssn 123-45-6789", True),
    ("US_SSN", 95, "ssn 123456789", True),
    ("PHONE", 75, "call 202-555-0143", True),
    ("PHONE", 80, "202-555-0143", False),
    ("PHONE", 80, "+1 202-555-0143", True),
    ("PHONE", 71, "mobile 2025550143", False),  # digits after a label: never surer than 70
    ("PHONE", 70, "mobile 2025550143", True),
    ("CARD", 90, "4111 1111 1111 1111", False),
    ("CARD", 90, "visa 4111 1111 1111 1111", True),
    ("DATE_OF_BIRTH", 90, "born 1980-01-02", True),
)


@pytest.mark.parametrize(("name", "threshold", "text", "found"), THRESHOLDS)
def test_a_threshold_leaves_what_the_recogniser_is_sure_enough_of(
    name: str, threshold: int, text: str, found: bool
) -> None:
    assert classes_of(library(name, threshold).text(text, "x").findings) == [name] * found


def test_the_words_of_the_class_make_a_recogniser_surer() -> None:
    sure = library("US_SSN", 90, context=("Steuernummer",))
    assert sure.text("Steuernummer 123-45-6789", "x").sent == "Steuernummer [US_SSN]"
    assert sure.text("Nummer 123-45-6789", "x").sent == "Nummer 123-45-6789"
    assert sure.document({"steuernummer": "123-45-6789"}).sent == b'{"steuernummer":"[US_SSN]"}'


def test_the_words_of_the_class_do_not_loosen_what_a_recogniser_checks() -> None:
    """After “card” twelve wrong digits are a card; after a word of the admin's they are not."""
    assert library("CARD", 0, context=("token",)).text("token 4111111111111112", "x").findings == ()


@pytest.mark.parametrize(
    ("made", "says"),
    (
        (a_class("CARD", LibraryDetector(name="CARD", threshold=99)), "never surer than 95"),
        (a_class("EMAIL", LibraryDetector(name="EMAIL", threshold=96)), "never surer than 95"),
        (a_class("CARD", LibraryDetector(name="CARD", threshold=101)), "0 to 100"),
        (a_class("X", CHART, context_needed=True), "names none"),
        (a_class("X", CHART, context=("pa\u200btient",)), "invisible"),
        (a_class("X", CHART, context=(" ",)), "1 to 200 characters"),
        (a_class("X", CHART, context=tuple(f"word{n}" for n in range(101))), "at most 100"),
        (a_class("X", CHART, tags=frozenset({"sec\u200bret"})), "invisible"),
    ),
)
def test_what_could_never_work_is_refused(made: DataClass, says: str) -> None:
    with pytest.raises(SchemaError, match=says) as refusal:
        a_schema(made)
    assert all(problem.startswith(made.slug) for problem in refusal.value.problems)


@pytest.mark.parametrize("detector", (CHART, LibraryDetector(name="US_SSN"), TermsDetector(terms=("a b",))))
def test_a_class_that_uses_neither_is_compiled_as_before(detector: Detector) -> None:
    plain = a_schema(a_class("X", detector))
    wordy = a_schema(a_class("X", detector, context=("patient",)))
    assert plain.patterns == wordy.patterns and plain.labels == wordy.labels
    assert not plain.by_key


def test_the_page_about_schemas_has_the_confidences_of_the_library() -> None:
    page = (Path(__file__).parents[2] / "docs/schemas.md").read_text(encoding="utf-8")
    for name in ("EMAIL", "CARD", "IBAN", "US_SSN", "IP_ADDRESS", "PRIVATE_KEY"):
        one = LIBRARY[name]
        assert f"| {name} | {alone(one)} | {surest(one, ('word',))} |" in page
