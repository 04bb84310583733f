"""Exact JSON: one reading only, numbers as written, refusals that hold nothing of the payload."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policies.engine.jsontext import Json, JsonError, Number, dumps, loads

NUMBERS = (
    "0", "-0", "1", "-1", "1.10", "1.5", "-0.0", "1e5", "1E400", "1E+2", "0.1", "0.10", "100.0", "1.0",
    "9007199254740993", "18446744073709551615", "18446744073709551616", "-9223372036854775808",
    "-9223372036854775809", "123456789012345678901234567890", "0.1000000000000000055511151231257827",
    "12345678901234567.0", "1e-7", "0.00001", "4111111111111111", "-0.00", "2.50e-3", "9" * 5_000,
)  # fmt: skip


@pytest.mark.parametrize("source", NUMBERS)
@pytest.mark.parametrize("shape", ["%s", "[%s]", '{"a": %s}', '{"a":[1,%s]}'])
def test_a_number_leaves_as_it_was_written(source: str, shape: str) -> None:
    body = (shape % source).encode()
    assert dumps(loads(body)) == body.replace(b": ", b":")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "invalid_json"),
        (b" ", "invalid_json"),
        (b"{", "invalid_json"),
        (b"[1,]", "invalid_json"),
        (b"{'a':1}", "invalid_json"),
        (b"01", "invalid_json"),
        (b"1.", "invalid_json"),
        (b"+1", "invalid_json"),
        (b"1 2", "invalid_json"),
        (b'{"a":1}x', "invalid_json"),
        (b'"\x01"', "invalid_json"),
        (b'"\\x"', "invalid_json"),
        (b'"tab\there"', "invalid_json"),
        (b"\xef\xbb\xbf{}", "invalid_json"),
        (b"// comment\n1", "invalid_json"),
        ("{}".encode("utf-16"), "invalid_utf8"),
        ("{}".encode("utf-16-le"), "invalid_json"),
        (b'"\xff"', "invalid_utf8"),
        (b'"\xed\xa0\x80"', "invalid_utf8"),
        (b'"\xc0\xaf"', "invalid_utf8"),
        (b'{"a":1,"a":2}', "duplicate_key"),
        (b'{"a": 1, "b": {"c": 1, "c": 1}}', "duplicate_key"),
        (b'{"a":1,"\\u0061":2}', "duplicate_key"),
        (b"NaN", "not_finite"),
        (b"[Infinity]", "not_finite"),
        (b'{"a":-Infinity}', "not_finite"),
        (b'"\\ud800"', "lone_surrogate"),
        (b'"\\uDC00x"', "lone_surrogate"),
        (b'{"\\ud83d":1}', "lone_surrogate"),
        (b"[" * 101 + b"]" * 101, "too_deep"),
        (b'{"a":' * 101 + b"1" + b"}" * 101, "too_deep"),
        (b"[" * 500 + b"]" * 500, "too_deep"),
        (b"[" * 200_000, "too_deep"),
        (b"[" * 200_000 + b"]" * 200_000, "too_deep"),
    ],
)
def test_what_has_more_than_one_reading_is_refused(body: bytes, code: str) -> None:
    with pytest.raises(JsonError) as caught:
        loads(body)
    assert caught.value.code == code
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_a_refusal_quotes_nothing() -> None:
    with pytest.raises(JsonError) as caught:
        loads(b'{"card": "4111111111111111", ')
    assert "4111" not in repr(caught.value) + str(caught.value)


def test_depth_counts_containers_not_brackets_in_text() -> None:
    assert loads(b"[" * 100 + b"]" * 100)
    assert loads(b'"' + b"[" * 500 + b'"') == "[" * 500
    assert loads(b"[" + b"[],".join([b""] * 300) + b"[]]")


def test_pairs_of_surrogates_are_one_character() -> None:
    assert loads(b'"\\ud83d\\ude00"') == "😀"
    assert dumps(loads(b'"\\ud83d\\ude00 \\u00e9\\/"')) == '"😀 é/"'.encode()


def test_a_number_that_is_data_is_not_written_as_an_object() -> None:
    assert dumps({"n": Number("1.10")}) == b'{"n":1.10}'


trees: st.SearchStrategy[Json] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.sampled_from([Number(one) for one in ("1.10", "-0", "1E400")])
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(tree=trees)
def test_what_is_written_reads_back_the_same(tree: Json) -> None:
    assert loads(dumps(tree)) == tree


@given(
    body=st.binary(max_size=40) | st.text('{}[]",:0123456789.eE-+truefalsn\\u ', max_size=25).map(str.encode)
)
def test_garbage_is_refused_or_read_like_the_standard_library(body: bytes) -> None:
    try:
        tree = loads(body)
    except JsonError:
        return
    assert json.loads(dumps(tree)) == json.loads(body.decode())
