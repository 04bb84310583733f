"""Recorded text on a page: findings in place, nothing hidden, nothing active."""

from __future__ import annotations

import pytest
from django.template import Context, Template
from django.template.loader import render_to_string

from audit.inert import MAX_TEXT, Mark, placed, segments, visible


def mark(start: int, length: int, name: str = "EMAIL", *, passed: bool = False) -> Mark:
    return Mark(
        data_class=name,
        level="confidential",
        path="text",
        start=start,
        length=length,
        style="none" if passed else "label",
        passed=passed,
    )


def text_of(text: str, *marks: Mark) -> str:
    return render_to_string("includes/text.html", {"segments": segments(text, marks)})


def test_a_finding_is_marked_where_it_is_and_says_what_it_is() -> None:
    shown = text_of("Write to [EMAIL] now", mark(9, 7))
    assert (
        shown == 'Write to <mark class="found found-confidential" title="EMAIL, confidential, masked: label">'
        "[EMAIL]</mark> now"
    )


def test_a_value_that_passed_upstream_says_so() -> None:
    assert "passed in clear, masked in the record" in text_of("[EMAIL]", mark(0, 7, passed=True))


@pytest.mark.parametrize(
    "hostile",
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "'; </style><style>*{display:none}",
        "{{ settings.SECRET_KEY }}{% debug %}",
        "&lt;b&gt;",
    ],
)
def test_hostile_text_stays_text(hostile: str) -> None:
    shown = text_of(hostile, Mark(**{**_fields(mark(0, 3)), "data_class": hostile}))
    assert "<script" not in shown
    assert "<img" not in shown
    assert "<style" not in shown
    assert shown.count("<") == 2  # the mark's own two tags


def _fields(one: Mark) -> dict[str, object]:
    return {name: getattr(one, name) for name in one.__slots__}


@pytest.mark.parametrize(
    ("character", "code", "name"),
    [
        ("\u202e", "U+202E", "RIGHT-TO-LEFT OVERRIDE"),
        ("\u2066", "U+2066", "LEFT-TO-RIGHT ISOLATE"),
        ("\u200b", "U+200B", "ZERO WIDTH SPACE"),
        ("\u200d", "U+200D", "ZERO WIDTH JOINER"),
        ("\u00ad", "U+00AD", "SOFT HYPHEN"),
        ("\ufeff", "U+FEFF", "ZERO WIDTH NO-BREAK SPACE"),
        ("\u2028", "U+2028", "LINE SEPARATOR"),
        ("\u3164", "U+3164", "HANGUL FILLER"),
        ("\U000e0041", "U+E0041", "TAG LATIN CAPITAL LETTER A"),
        ("\ufe0f", "U+FE0F", "VARIATION SELECTOR-16"),
        ("\x1b", "U+001B", "ESCAPE"),
        ("\x00", "U+0000", "NULL"),
    ],
)
def test_characters_that_hide_or_reorder_text_are_shown_by_name(character: str, code: str, name: str) -> None:
    before, glyph, after = visible(f"a{character}b")
    assert (before.text, glyph.text, glyph.name, after.text) == ("a", code, name, "b")


def test_ordinary_text_of_any_script_is_left_alone() -> None:
    text = "Grüße, 世界!\n\tПривет, שלום, مرحبا, नमस्ते, é"
    assert [part.text for part in visible(text)] == [text]


def test_a_hidden_character_inside_a_finding_is_shown_there() -> None:
    (only,) = segments("a\u200bb", [mark(0, 3)])
    assert only.mark is not None
    assert [part.text for part in only.parts] == ["a", "U+200B", "b"]


def test_marks_that_do_not_fit_the_text_are_not_drawn() -> None:
    inside, outside, overlapping, empty = mark(0, 4), mark(8, 9), mark(2, 4), mark(5, 0)
    assert placed("0123456789", [outside, overlapping, inside, empty]) == [inside]


def test_a_very_long_text_is_cut_and_says_how_much_is_left() -> None:
    *_, last = segments("x" * (MAX_TEXT + 1500))
    assert last.parts[0].name == "1,500 more characters, not shown here"


def test_words_beside_a_payload_are_as_inert_as_those_in_it() -> None:
    page = Template(
        "{% load record %}{{ words|visible }}|{{ nothing|visible }}|{{ words|default:'x'|visible }}"
    )
    words = "<b>\u202e&x"
    said = '&lt;b&gt;<span class="glyph" title="RIGHT-TO-LEFT OVERRIDE">U+202E</span>&amp;x'
    assert page.render(Context({"words": words, "nothing": None})) == f"{said}||{said}"


@pytest.mark.parametrize(("at", "said"), [(7, "7 ms"), (1234, "1.23 s"), (125_000, "2 min 5 s"), (None, "")])
def test_moments_of_a_response_read_well(at: int | None, said: str) -> None:
    assert Template("{% load record %}{{ at|offset }}").render(Context({"at": at})) == said
