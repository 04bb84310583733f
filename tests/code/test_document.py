"""What a file may hold: every other way is refused with its line, quickly."""

from __future__ import annotations

import time

import pytest

from gateway.code.document import DEEPEST, LARGEST, DocumentError, read, read_json, write

BOMB = "postern: 1\na: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [*{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}, *{old}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (BOMB, "line 2: anchors and aliases"),
        ("postern: 1\na: &x 1\n", "line 2: anchors and aliases"),
        ("postern: 1\na: !!python/object/apply:os.system ['id']\n", "line 2: tags are not allowed"),
        ("postern: 1\na: !!binary aGk=\n", "line 2: tags"),
        ("!!map\npostern: 1\n", "line 1: tags"),
        ("postern: 1\na:\n  <<: {b: 1}\n", "line 3: merge keys"),
        ("postern: 1\na: 1\na: 2\n", "line 3: the key “a” comes twice"),
        ("postern: 1\n1: 2\n", "line 2: a key has to be text"),
        ("postern: 1\n? [a]\n: 2\n", "line 2: a key has to be text"),
        ("postern: 1\na: " + "[" * 500 + "]" * 500, f"nested more than {DEEPEST}"),
        ("postern: 1\na: " + "[" * 100_000, f"nested more than {DEEPEST}"),
        ("postern: 1\na: [1, 2\n", "line 3"),
        ("postern: 1\n---\npostern: 1\n", "line 2"),
        ("postern: 1\na: \x00\n", "no YAML"),
        ('postern: 1\na: "x\\0y"\n', "line 2: a text holds the character NUL"),
        ('postern: 1\na: "\\ud83d"\n', "line 2: a text holds half of a character"),
        ('postern: 1\n"\\0": 1\n', "line 2: a text holds"),
        ("postern: true\n", "line 1: write"),
        ("", "mapping"),
        ("[]", "mapping"),
        ("postern: 2\n", "postern: 1"),
        ("area: x\n", "postern: 1"),
    ],
)
def test_what_is_not_plain_is_refused(text: str, said: str) -> None:
    began = time.monotonic()
    with pytest.raises(DocumentError) as error:
        read(text.encode())
    assert said in error.value.problems[0]
    assert time.monotonic() - began < 5


def test_what_is_too_large_or_no_text_is_refused() -> None:
    for data in (b"postern: 1\n" + b"#" * LARGEST, b"postern: 1\na: \xff\n"):
        with pytest.raises(DocumentError):
            read(data)


def test_too_many_values_are_refused() -> None:
    with pytest.raises(DocumentError) as error:
        read(b"postern: 1\na: [" + b"1," * 400_000 + b"]")
    assert "more than 300000" in error.value.problems[0]


@pytest.mark.parametrize(
    "value",
    [
        "yes",
        "010",
        "2026-01-01",
        "1e3",
        "null",
        "~",
        "",
        "12",
        "true",
        "0x1f",
        "1:30",
        "<<",
        "a: b",
        "- x",
        "#c",
        "🙂 ключ",
        "two\nlines\n",
        " lead\nand more",
        "tab\there",
        "\u2028",
        "&a",
        "*a",
        "!t",
        12,
        -3,
        True,
        None,
        ["a", "b"],
    ],
)
def test_what_is_written_is_read_back(value: object) -> None:
    assert read(write({"postern": 1, "value": value}).encode())["value"] == value


def test_what_other_readers_take_for_something_else_is_text_here() -> None:
    found = read(b"postern: 1\na: [yes, no, 010, 2026-01-01, 0x1f, 1e3, off]\n")
    assert found["a"] == ["yes", "no", "010", "2026-01-01", "0x1f", "1e3", "off"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"postern": 1, "a": 1, "a": 2}', "the key “a” comes twice"),
        ('{"postern": 1,\n "a": }', "line 2"),
        ('{"postern": 1, "a": NaN}', "NaN is no number"),
        ('{"postern": 1, "a": "\\u0000"}', "NUL"),
        ('{"postern": 1, "a": "\\ud83d"}', "half of a character"),
        ('{"postern": 1, "a": ' + "9" * 5000 + "}", "too many digits"),
        ('{"postern": 1, "a": ' + "[" * 20 + "]" * 20 + "}", "Nested more than"),
        ('{"postern": 1, "a": ' + "[" * 100_000, "Nested more than"),
        ('{"postern": 1, "a": [' + "1," * 400_000 + "1]}", "more than 300000"),
        ("[]", "mapping"),
        ('{"postern": "1"}', "write “postern: 1”"),
    ],
)
def test_what_is_not_plain_json_is_refused(text: str, said: str) -> None:
    with pytest.raises(DocumentError) as error:
        read_json(text.encode())
    assert said in error.value.problems[0]


def test_json_says_the_same_as_yaml() -> None:
    text = '{"postern": 1, "a": ["\\ud83d\\ude42", "yes", 12, true, null, {"b": ""}]}'
    assert read_json(text.encode()) == read(write(read_json(text.encode())).encode())


def test_a_number_of_many_digits_is_text() -> None:
    assert read(b"postern: 1\na: " + b"9" * 5000)["a"] == "9" * 5000
