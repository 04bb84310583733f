"""A recorded payload as the call page shows it: conversations, trees, streams, and what could not be read."""

from __future__ import annotations

import json
from typing import Any

from django.template.loader import render_to_string

from audit import replay
from audit.replay import Payload
from audit.tree import MAX_LINES


def marks(*rows: tuple[str, str, int, int]) -> bytes:
    return json.dumps(
        [
            {
                "class": name,
                "level": "restricted",
                "path": path,
                "start": at,
                "length": size,
                "style": "redact",
            }
            for name, path, at, size in rows
        ]
    ).encode()


def text_of(segments: Any) -> str:
    return "".join(part.text for segment in segments for part in segment.parts)


def marked(payload: Payload) -> list[tuple[str, str]]:
    """(class, text) of everything the page highlights."""
    runs = [payload.text]
    lines = list(payload.lines)
    for message in payload.messages:
        for block in message.blocks:
            runs.append(block.text)
            lines += block.lines
    runs += [line.value for line in lines]
    return [
        (segment.mark.data_class, "".join(part.text for part in segment.parts))
        for run in runs
        for segment in run
        if segment.mark
    ]


def test_chat_messages_read_as_a_conversation() -> None:
    body = {
        "model": "m",
        "messages": [{"role": "system", "content": "Be brief"}, {"role": "user", "content": "Card ***"}],
    }
    shown = replay.request(json.dumps(body).encode(), marks(("CARD", "messages[1].content", 5, 3)))
    assert [message.role for message in shown.messages] == ["system", "user"]
    assert marked(shown) == [("CARD", "***")]
    assert [text_of(line.key) for line in shown.lines if line.key] == ["model"]
    assert shown.elsewhere == ()


def test_text_parts_and_opaque_parts_of_a_message_are_told_apart() -> None:
    content = [{"type": "text", "text": "See ***"}, {"opaque": "image"}]
    body = {"messages": [{"role": "user", "content": content}]}
    shown = replay.request(json.dumps(body).encode(), marks(("EMAIL", "messages[0].content[0].text", 4, 3)))
    first, second = shown.messages[0].blocks
    assert text_of(first.text) == "See ***"
    assert second.label == "image"
    assert marked(shown) == [("EMAIL", "***")]


def test_tool_arguments_open_up_where_something_was_found_in_them() -> None:
    call = {
        "id": "c",
        "type": "function",
        "function": {"name": "pay", "arguments": '{"card":"***","n":1.50}'},
    }
    body = {"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]}
    path = "messages[0].tool_calls[0].function.arguments.card"
    shown = replay.request(json.dumps(body).encode(), marks(("CARD", path, 0, 3)))
    assert marked(shown) == [("CARD", "***")]
    assert "1.50" in [text_of(line.value) for line in shown.messages[0].blocks[0].lines]


def test_any_other_document_is_an_indented_tree_with_numbers_as_written() -> None:
    body = b'{"id":9007199254740993123,"rate":1.10,"who":{"mail":"[EMAIL]","tags":[]},"ok":true}'
    shown = replay.request(body, marks(("EMAIL", "who.mail", 0, 7)))
    assert not shown.messages
    values = [text_of(line.value) for line in shown.lines]
    assert values == ["{", "9007199254740993123", "1.10", "{", "[EMAIL]", "[]", "}", "true", "}"]
    assert marked(shown) == [("EMAIL", "[EMAIL]")]


def test_a_finding_without_a_place_is_listed_not_lost() -> None:
    body = b'{"messages":[{"role":"user","content":"hi"}]}'
    shown = replay.request(body, marks(("SSN", "metadata.ssn", 0, 0), ("CARD", "messages[0].content", 90, 3)))
    assert [mark.data_class for mark in shown.elsewhere] == ["CARD", "SSN"] or [
        mark.data_class for mark in shown.elsewhere
    ] == ["SSN", "CARD"]
    assert {item.data_class: item.count for item in shown.legend} == {"CARD": 1, "SSN": 1}


def event(delta: dict[str, Any], finish: str | None = None) -> bytes:
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n"


def test_a_stream_is_put_together_and_its_events_are_kept() -> None:
    first = event({"role": "assistant", "content": "Call [PH"})
    second = event({"content": "ONE] now"}) + event({}, "stop") + b"data: [DONE]\n\n"
    found = marks(("PHONE", "choices[0].delta.content", 5, 7))
    shown = replay.response([(first, b"[]"), (second, found)], streamed=True)
    (message,) = shown.messages
    assert (message.role, message.note) == ("assistant", "stop")
    assert text_of(message.blocks[0].text) == "Call [PHONE] now"
    assert marked(shown) == [("PHONE", "[PHONE]")]
    assert len(shown.events) == 4


def test_streamed_tool_arguments_are_one_text() -> None:
    def piece(text: str) -> bytes:
        return event({"tool_calls": [{"index": 0, "function": {"arguments": text}}]})

    shown = replay.response([(piece('{"a":'), b"[]"), (piece("1}"), b"[]")], streamed=True)
    (block,) = shown.messages[0].blocks
    assert block.label == "tool_calls[0].function.arguments"
    assert text_of(block.text) == '{"a":1}'


def typed(kind: str, **more: Any) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **more})}\n\n".encode()


def test_a_stream_of_blocks_is_put_together() -> None:
    events = [
        typed("message_start", message={"role": "assistant", "content": []}),
        typed("content_block_start", index=0, content_block={"type": "text", "text": "Call [PH"}),
        typed("content_block_delta", index=0, delta={"type": "text_delta", "text": "ONE] now"}),
        typed("content_block_stop", index=0),
        typed("content_block_start", index=1, content_block={"type": "tool_use", "input": {}}),
        typed("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '{"a":'}),
        typed("content_block_delta", index=1, delta={"type": "input_json_delta", "partial_json": '"***"}'}),
        typed("message_delta", delta={"stop_reason": "tool_use"}),
        typed("message_stop"),
    ]
    found = marks(("PHONE", "content[0].text", 5, 7), ("CARD", "content[1].input.a", 0, 3))
    shown = replay.response([(b"".join(events), found)], streamed=True)
    (message,) = shown.messages
    assert (message.role, message.note) == ("assistant", "tool_use")
    said, tool = message.blocks
    assert (said.label, text_of(said.text)) == ("", "Call [PHONE] now")
    assert tool.label == "input" and tool.lines
    assert marked(shown) == [("PHONE", "[PHONE]"), ("CARD", "***")]
    assert len(shown.events) == 9 and shown.elsewhere == ()


def test_an_answer_that_is_the_message_itself_shows_its_blocks() -> None:
    content = [{"type": "text", "text": "Hi ***"}, {"type": "tool_use", "name": "look", "input": {"a": 1}}]
    body = {"id": "x", "role": "assistant", "content": content, "stop_reason": "tool_use"}
    shown = replay.response(
        [(json.dumps(body).encode(), marks(("CARD", "content[0].text", 3, 3)))], streamed=False
    )
    (message,) = shown.messages
    assert (message.role, message.note) == ("assistant", "tool_use")
    assert marked(shown) == [("CARD", "***")] and message.blocks[1].label == "tool_use"


def test_a_plain_answer_shows_its_choices() -> None:
    body = {"id": "x", "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hi ***"}}]}
    shown = replay.response(
        [(json.dumps(body).encode(), marks(("CARD", "choices[0].message.content", 3, 3)))], streamed=False
    )
    assert shown.messages[0].role == "assistant"
    assert marked(shown) == [("CARD", "***")]


def test_what_is_no_json_is_shown_as_text() -> None:
    assert text_of(replay.request(b"\xff<b>not json", b"[]").text) == "\ufffd<b>not json"
    assert replay.request(b"[" * 5000, b"nonsense").text


def test_odd_shapes_never_break_the_page() -> None:
    for body in (b'{"messages":[1,2]}', b'{"messages":[]}', b"[]", b'"x"', b"null", b'{"messages":{"a":1}}'):
        render_to_string("includes/payload.html", {"payload": replay.request(body, b"[]")})
    for body in (
        b'{"choices":[]}',
        b'{"choices":[1]}',
        b'data: {"choices":[{"delta":1}]}\n\n',
        b"data: x\n\n",
    ):
        shown = replay.response([(body, b'[1,{"start":-1}]')], streamed=True)
        render_to_string("includes/payload.html", {"payload": shown})


def test_a_huge_document_is_cut_with_a_word_about_it() -> None:
    shown = replay.request(json.dumps(list(range(5000))).encode(), b"[]")
    assert len(shown.lines) == MAX_LINES + 1
    assert shown.lines[-1].value[0].parts[0].name == "more lines, not shown here"
