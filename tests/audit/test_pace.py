"""When which part of a response was there: what a page that plays it may show at a time."""

from __future__ import annotations

import json
from typing import Any

from django.template.loader import render_to_string

from audit import replay
from audit.inert import Mark, Segment, Step, segments
from audit.pace import MAX_STEPS, MAX_TICKS, Clock, pace_of, steps_of
from audit.replay import Payload

from .test_replay import event, marks, typed


def paced(run: tuple[Segment, ...]) -> list[tuple[str, int | None]]:
    return [("".join(part.text for part in segment.parts), segment.at) for segment in run]


def stream(*pieces: tuple[bytes, int], found: bytes = b"[]", cut: bool = False) -> Payload:
    parts = [(data, b"[]") for data, _ in pieces]
    parts[-1] = (parts[-1][0], found)
    return replay.response(parts, streamed=True, times=[at for _, at in pieces], cut=cut)


def test_text_is_cut_where_it_grew() -> None:
    shown = stream(
        (event({"content": "Once "}), 40), (event({"content": "upon a "}) + event({"content": "time"}), 900)
    )
    (block,) = shown.messages[0].blocks
    assert paced(block.text) == [("Once ", 40), ("upon a time", 900)]
    assert (shown.messages[0].at, [each.at for each in shown.events]) == (40, [40, 900, 900])


def test_a_finding_is_there_when_its_last_character_is() -> None:
    first, second = event({"content": "Call [PH"}), event({"content": "ONE] now"})
    shown = stream((first, 10), (second, 20), found=marks(("PHONE", "choices[0].delta.content", 5, 7)))
    assert paced(shown.messages[0].blocks[0].text) == [("Call ", 10), ("[PHONE]", 20), (" now", 20)]


def test_an_event_that_is_cut_over_two_pieces_is_there_with_its_end() -> None:
    whole = event({"content": "Hello"})
    shown = stream((whole[:30], 10), (whole[30:], 20))
    assert paced(shown.messages[0].blocks[0].text) == [("Hello", 20)]


def test_no_text_is_lost_or_shown_twice_however_it_grew() -> None:
    text = "ab\u202ecd" * 40
    found = [
        Mark(data_class="X", level="l", path="", start=at, length=3, style="redact") for at in (0, 7, 31)
    ]
    for width in (1, 2, 3, 7, 500):
        steps = [Step(min(at + width, len(text)), at) for at in range(0, len(text), width)]
        cut = segments(text, found, steps)
        assert paced(segments(text, found)) != []
        assert "".join(part for part, _ in paced(cut)) == "".join(
            part for part, _ in paced(segments(text, found))
        )
        assert [at for _, at in paced(cut)] == sorted(at for _, at in paced(cut) if at is not None)


def test_steps_come_together_and_never_show_early() -> None:
    assert steps_of([("a", 5), ("", 6), ("b", 5), ("c", 9)]) == (Step(2, 5), Step(3, 9))
    assert steps_of([("a", None)]) == ()
    many = steps_of([("x", at) for at in range(3 * MAX_STEPS + 1)])
    assert len(many) <= MAX_STEPS + 1 and many[-1] == Step(3 * MAX_STEPS + 1, 3 * MAX_STEPS)
    assert all(step.at >= step.upto - 1 for step in many)


def test_a_clock_never_runs_backwards() -> None:
    clock = Clock([10, 10, 10], [5, 3, 8])
    assert [clock.at(end) for end in (1, 10, 11, 20, 30, 99)] == [5, 5, 5, 5, 8, 8]
    assert Clock([10], []).at(3) is None


def test_the_pace_has_its_length_and_its_pieces() -> None:
    pace = pace_of((100, 100, 400), 1000)
    assert (pace.length, pace.moments, pace.first, pace.ticks, pace.plays) == (1000, 2, 100, (100, 400), True)
    assert not pace_of((100,), 100).plays
    assert pace_of((0,), 0).length == 1
    assert len(pace_of(tuple(range(5000)), 5000).ticks) <= MAX_TICKS


def test_a_turn_without_its_end_is_cut_and_the_error_is_told() -> None:
    error = b'data: {"error":{"message":"cut","type":"api_error"}}\n\n'
    shown = stream((event({"content": "half"}), 1), (error, 2), cut=True)
    said, told = shown.messages
    assert (said.role, said.cut, told.role, told.cut) == ("assistant", True, "error", False)
    assert paced(told.blocks[0].text) == [("cut", 2)]
    whole = stream((event({"content": "all"}), 1), (event({}, "stop"), 2))
    assert (whole.messages[0].cut, whole.messages[0].ended) == (False, 2)


def test_an_error_of_the_other_api_is_told_too() -> None:
    begun = typed("message_start", message={"role": "assistant"})
    text = typed("content_block_delta", index=0, delta={"type": "text_delta", "text": "half"})
    error = typed("error", error={"type": "overloaded_error", "message": "Overloaded"})
    shown = stream((begun, 1), (text, 2), (error, 3), cut=True)
    assert [(each.role, each.cut) for each in shown.messages] == [("assistant", True), ("error", False)]


def test_tool_arguments_with_findings_are_there_as_a_whole() -> None:
    def piece(text: str) -> bytes:
        return event({"tool_calls": [{"index": 0, "function": {"arguments": text}}]})

    found = marks(("CARD", "choices[0].delta.tool_calls[0].function.arguments.card", 0, 3))
    shown = stream((piece('{"card":'), 1), (piece('"***"}'), 2), found=found)
    (block,) = shown.messages[0].blocks
    assert block.lines and block.at == 2


def test_a_page_tells_its_script_when_what_was_there() -> None:
    shown = stream((event({"content": "<b>One"}), 1234), (event({"content": " two"}, "stop"), 5678))
    page = render_to_string("includes/payload.html", {"payload": shown})
    assert '<span data-at="1234">&lt;b&gt;One</span><span data-at="5678"> two</span>' in page
    assert "+1.23 s" in page
    still = replay.response([(event({"content": "x"}), b"[]")], streamed=True)
    assert "data-at" not in render_to_string("includes/payload.html", {"payload": still})


def test_findings_are_numbered_over_both_directions() -> None:
    body: dict[str, Any] = {"choices": [{"message": {"role": "assistant", "content": "Hi ***"}}]}
    found = marks(("CARD", "choices[0].message.content", 3, 3))
    shown = replay.response([(json.dumps(body).encode(), found)], streamed=False, first=5)
    assert [mark.number for mark in shown.marks] == [5]
    assert 'id="finding-5"' in render_to_string("includes/payload.html", {"payload": shown})
