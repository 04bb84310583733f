"""Texts and documents: what is masked, how it looks, and where the findings say it is."""

from __future__ import annotations

import orjson
import pytest

from policies.engine.errors import MaskError
from policies.engine.jsontext import Json, loads
from policies.engine.masker import Masker
from policies.engine.transforms import partial
from policies.engine.types import (
    DataClass,
    KeyDetector,
    Level,
    LibraryDetector,
    Matcher,
    PathDetector,
    RegexDetector,
    Rule,
    Style,
    TermsDetector,
)

from .world import BOTH, a_class, a_masker, classes_of, streamed

CARD = a_class("CARD", LibraryDetector(name="CARD"), level=Level.RESTRICTED)
EMAIL = a_class("EMAIL", LibraryDetector(name="EMAIL"))
SSN = a_class("SSN", LibraryDetector(name="US_SSN"), KeyDetector(names=("ssn",)))


def a_rule(slug: str, style: Style) -> Rule:
    return Rule(id=slug, name=slug, directions=BOTH, matcher=Matcher.CLASS, value=slug, transform=style)


def sent(masker: Masker, tree: Json, **more: object) -> Json:
    return loads(masker.document(tree, **more).sent)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("style", "expected"),
    [
        (Style.REDACT, "pay *** now"),
        (Style.REMOVE, "pay  now"),
        (Style.PARTIAL, "pay XXXX-XXXX-XXXX-1111 now"),
        (Style.LABEL, "pay [CARD] now"),
        (Style.NONE, "pay 4111-1111-1111-1111 now"),
    ],
)
def test_styles(style: Style, expected: str) -> None:
    masked = a_masker(CARD, style=style).text("pay 4111-1111-1111-1111 now", "x")
    assert masked.sent == expected
    assert classes_of(masked.findings) == ["CARD"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("4111 1111 1111 1234", "XXXX XXXX XXXX 1234"),
        ("123-45-6789", "XXX-XX-6789"),
        ("12345678", "XXXXXXXX"),
        ("bob@example.com", "XXX@XXXXXXe.com"),
        ("a\u0301bcdefghij", "XXXXXXXghij"),
        ("", ""),
    ],
)
def test_partial_keeps_separators_and_the_last_four(value: str, expected: str) -> None:
    assert partial(value) == expected


def test_what_passes_is_still_masked_in_the_record() -> None:
    masker = a_masker(CARD, EMAIL, rules=[a_rule("CARD", Style.NONE)])
    masked = masker.text("4111111111111111 bob@example.com", "x")
    assert masked.sent == "4111111111111111 ***"
    assert masked.recorded == "[CARD] ***"
    document = masker.document({"t": "4111111111111111 bob@example.com", "4111111111111111": 1})
    assert document.sent == b'{"t":"4111111111111111 ***","4111111111111111":1}'
    assert document.recorded == b'{"t":"[CARD] ***","[CARD]":1}'
    assert all("4111" not in finding.path for finding in document.findings)


def test_sent_and_recorded_are_one_object_when_equal() -> None:
    masker = a_masker(CARD, EMAIL, rules=[a_rule("CARD", Style.NONE)])
    for text in ("nothing here", "bob@example.com"):
        masked = masker.text(text, "x")
        assert masked.sent is masked.recorded
        document = masker.document({"a": text})
        assert document.sent is document.recorded


def test_findings_locate_their_replacement_in_the_recorded_text() -> None:
    public = a_class("WORD", TermsDetector(terms=("heron",)), level=Level.PUBLIC)
    rules = [a_rule("CARD", Style.NONE), a_rule("WORD", Style.NONE), a_rule("EMAIL", Style.PARTIAL)]
    masker = a_masker(CARD, EMAIL, public, rules=rules)
    masked = masker.text("é heron 4111111111111111 heron bob@example.com heron", "x")
    places = [masked.recorded[one.start : one.start + one.length] for one in masked.findings]
    assert places == ["heron", "[CARD]", "heron", "XXX@XXXXXXe.com", "heron"]
    assert masked.sent == "é heron 4111111111111111 heron XXX@XXXXXXe.com heron"


def test_overlapping_spans_are_masked_as_one_and_the_strongest_names_it() -> None:
    left = a_class("LEFT", RegexDetector(pattern="abcdef"), level=Level.INTERNAL)
    right = a_class("RIGHT", RegexDetector(pattern="defghi"), level=Level.RESTRICTED)
    inner = a_class("INNER", RegexDetector(pattern="bc"), level=Level.PUBLIC)
    masked = a_masker(left, right, inner, style=Style.LABEL).text("x abcdefghi y", "x")
    assert masked.sent == "x [RIGHT] y"
    assert sorted(classes_of(masked.findings)) == ["LEFT", "RIGHT"]
    assert {one.data_class for one in masked.findings} == {"LEFT", "RIGHT", "INNER"}


def test_a_weaker_class_that_passes_does_not_uncover_a_stronger_one() -> None:
    wide = a_class("WIDE", RegexDetector(pattern=r"card [0-9]{16}"), level=Level.RESTRICTED)
    masked = a_masker(CARD, wide, rules=[a_rule("WIDE", Style.NONE)]).text("card 4111111111111111", "x")
    assert "4111" not in masked.sent
    assert "4111" not in masked.recorded


def test_a_match_over_its_length_is_masked_unseen() -> None:
    masker = a_masker(a_class("RUN", RegexDetector(pattern="z+", max_len=5)))
    assert masker.text("a" + "z" * 12 + "b", "x").sent == "a***b"
    assert masker.text("a" + "z" * 30_000 + "b", "x").sent.strip("ab*") == ""


def test_values_next_to_each_other_are_two() -> None:
    masker = a_masker(CARD, EMAIL, style=Style.LABEL)
    assert masker.text("4111111111111111,bob@example.com", "x").sent == "[CARD],[EMAIL]"
    assert masker.text("378282246310005 4111111111111111", "x").sent == "[CARD] [CARD]"


def test_a_private_key_is_masked_to_its_end_or_the_end_of_the_text() -> None:
    masker = a_masker(a_class("KEY", LibraryDetector(name="PRIVATE_KEY")))
    block = "-----BEGIN PRIVATE KEY-----\n" + "QUJD\n" * 4_000 + "-----END PRIVATE KEY-----"
    assert masker.text(f"a {block} b", "x").sent == "a *** b".replace("***", "******")
    assert classes_of(masker.text(f"a {block} b", "x").findings) == ["KEY"]
    assert masker.text("a -----BEGIN PRIVATE KEY-----\nQUJD and so on", "x").sent == "a ***"
    assert streamed(masker, block).sent == masker.text(block, "x").sent


def test_documents_are_masked_in_keys_strings_numbers_and_booleans() -> None:
    masker = a_masker(CARD, SSN, a_class("FLAG", KeyDetector(names=("is-vip",)), level=Level.INTERNAL))
    tree: Json = {
        "note": "4111111111111111",
        "number": 4111111111111111,
        "4111111111111111": "key",
        "isVip": True,
        "SSN": {"value": 123456789, "parts": ["123", 45, None, 1.5, False]},
        "plain": [1, 1.5, None, True, "text"],
    }
    assert sent(masker, tree) == {
        "note": "***",
        "number": "***",
        "***": "key",
        "isVip": "***",
        "SSN": {"value": "***", "parts": ["***", "***", None, "***", "***"]},
        "plain": [1, 1.5, None, True, "text"],
    }


def test_paths_reach_their_values() -> None:
    ids = a_class("ID", PathDetector(path="$.customer.ids[*].value"), PathDetector(path="$.rows[1].*"))
    tree: Json = {
        "customer": {"ids": [{"value": 1, "kind": "a"}, {"value": "b"}], "value": 2},
        "rows": [{"a": 1}, {"a": 1, "b": [2]}],
    }
    assert sent(a_masker(ids), tree) == {
        "customer": {"ids": [{"value": "***", "kind": "a"}, {"value": "***"}], "value": 2},
        "rows": [{"a": 1}, {"a": "***", "b": ["***"]}],
    }


def test_a_removed_field_is_gone() -> None:
    masker = a_masker(SSN, CARD, style=Style.REMOVE)
    tree: Json = {"ssn": {"a": 1}, "n": 4111111111111111, "list": [{"ssn": "x"}, 4111111111111111], "t": "a"}
    document = masker.document(tree)
    assert loads(document.sent) == {"list": [{}], "t": "a"}
    assert classes_of(document.findings).count("SSN") == 2


def test_a_field_rule_masks_but_what_is_inside_is_still_seen() -> None:
    note = a_class("NOTE", KeyDetector(names=("note",)), level=Level.INTERNAL)
    document = a_masker(note, CARD, rules=[a_rule("NOTE", Style.NONE)]).document(
        {"note": "a 4111111111111111"}
    )
    assert loads(document.sent) == {"note": "a ***"}
    assert {one.data_class for one in document.findings} == {"NOTE", "CARD"}


def test_embedded_json_is_parsed_masked_and_written_anew() -> None:
    masker = a_masker(SSN, CARD)
    inner = '{ "ssn" : 123456789, "n": 123456789012345678901, "t": "4111111111111111" }'
    tree: Json = {"calls": [{"arguments": inner}, {"arguments": "not json 4111111111111111"}]}
    paths = [("calls", 0, "arguments"), ("calls", 1, "arguments"), ("calls", 7, "arguments"), ("gone",)]
    document = masker.document(tree, embedded=paths)
    calls = loads(document.sent)["calls"]  # type: ignore[call-overload,index]
    assert calls[0]["arguments"] == '{"ssn":"***","n":123456789012345678901,"t":"***"}'  # type: ignore[index]
    assert calls[1]["arguments"] == "not json ***"  # type: ignore[index]
    assert "calls[0].arguments.ssn" in {one.path for one in document.findings}


def test_a_clean_document_is_written_anew_and_exact() -> None:
    body = b'{ "a" : 1.10, "b":[123456789012345678901234567890, -0] , "c":"\\u00e9" }'
    document = a_masker(CARD).document(loads(body))
    assert document.sent == '{"a":1.10,"b":[123456789012345678901234567890,-0],"c":"é"}'.encode()
    assert document.findings == ()


def test_masked_keys_that_collide_are_refused() -> None:
    tree: Json = {"4111111111111111": 1, "378282246310005": 2}
    with pytest.raises(MaskError) as caught:
        a_masker(CARD).document(tree)
    assert caught.value.code == "key_collision"


def test_too_many_findings_are_refused() -> None:
    masker = a_masker(a_class("A", RegexDetector(pattern="a")))
    for call in (
        lambda: masker.text("a " * 10_001, "x"),
        lambda: masker.document(["a"] * 10_001),
        lambda: streamed(masker, ["a "] * 10_001),
    ):
        with pytest.raises(MaskError) as caught:
            call()
        assert caught.value.code == "too_many_findings"


def test_half_a_character_pair_is_refused_without_quoting_it() -> None:
    masker = a_masker(CARD)
    for call in (
        lambda: masker.text("secret \ud800", "x"),
        lambda: masker.stream("x").decode("secret \ud800"),
    ):
        with pytest.raises(MaskError) as caught:
            call()
        assert caught.value.code == "lone_surrogate"
        assert caught.value.__context__ is None


def test_one_scan_for_all_texts_gives_what_each_alone_gives() -> None:
    """Patterns that could match across two texts, or only at an edge, included."""
    masker = a_masker(
        a_class("CROSS", RegexDetector(pattern=r"end[^x]{1,9}start"), level=Level.INTERNAL),
        a_class("WIDE", RegexDetector(pattern=r"q[^y]{0,5}"), level=Level.PUBLIC),
        a_class("EDGE", RegexDetector(pattern=r"^whole$")),
        EMAIL,
        style=Style.LABEL,
    )
    texts = [
        "the end",
        "start of it",
        "whole",
        "a whole",
        "q",
        "qq",
        "bob@example.com",
        "q\0r",
        "",
        "endéstart",
    ]
    expected = [masker.text(text, "x").sent for text in texts]
    assert loads(masker.document(list(texts)).sent) == expected
    assert expected[2] == "[EDGE]"
    unanchored = a_masker(EMAIL, a_class("CROSS", RegexDetector(pattern=r"end[^x]{1,9}start")))
    assert loads(unanchored.document(["the end", "start of it"]).sent) == ["the end", "start of it"]


def test_a_label_in_one_text_labels_nothing_in_the_next() -> None:
    masker = a_masker(a_class("DOB", LibraryDetector(name="DATE_OF_BIRTH")))
    assert loads(masker.document(["date of birth", "1980-01-02"]).sent) == ["date of birth", "1980-01-02"]
    assert loads(masker.document({"a": "born 1980-01-02", "b": "1981-01-02"}).sent) == {
        "a": "born ***",
        "b": "1981-01-02",
    }


def test_fingerprints_name_a_value_however_it_is_grouped_and_are_not_shown() -> None:
    masker = a_masker(CARD, EMAIL)
    masked = masker.text("4111-1111-1111-1111 BOB@example.com", "x")
    assert masked.fingerprints == (("CARD", "4111111111111111"), ("EMAIL", "bob@example.com"))
    assert masker.text("4111 1111 1111 1111", "x").fingerprints[0] == masked.fingerprints[0]
    assert "4111" not in repr(masked)
    assert "4111" not in repr(masker.document({"a": "4111111111111111"}))


def test_deep_and_odd_documents() -> None:
    deep: Json = "bob@example.com"
    for _ in range(150):
        deep = [deep]
    assert b"example" not in a_masker(EMAIL).document(deep).sent
    for tree in (None, "bob@example.com", 1, [], {}, True):
        orjson.loads(a_masker(EMAIL).document(tree).sent)


def test_classes_carry_tags() -> None:
    assert DataClass(slug="A", name="a", level=Level.PUBLIC, tags=frozenset({"pci"})).tags == {"pci"}


@pytest.mark.parametrize(
    "pattern", ["[A-Z[:digit:]]-PLAN-[0-9]{4}", "[_[:alnum:]]{8}", "EMP-[-[:digit:]]{4}"]
)
@pytest.mark.parametrize("text", ["your X-PLAN-1234 is", "abcd1234", "EMP-1234"])
def test_bracket_classes_inside_sets_hide_nothing(pattern: str, text: str) -> None:
    masker = a_masker(a_class("ODD", RegexDetector(pattern=pattern, max_len=16)))
    alone = masker.schema.scan(text.encode())
    assert bool(masker.text(text, "x").findings) == bool(alone)
    assert streamed(masker, text) == masker.text(text, "x")
    assert bool(masker.document({"a": text}).findings) == bool(alone)


def test_openers_without_an_end_are_refused_before_they_take_long() -> None:
    masker = a_masker(a_class("PEM", LibraryDetector(name="PRIVATE_KEY")))
    with pytest.raises(MaskError, match="more sensitive values"):
        masker.text("-----BEGIN PRIVATE KEY-----" * 4000, "x")
    assert masker.text("-----BEGIN PRIVATE KEY-----" * 20, "x").sent == "***"
