"""Where text sits in OpenAI's chat completions, and what is not text."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.proxy.wire.base import ShapeError
from gateway.proxy.wire.openai import ChatCompletions

WIRE = ChatCompletions()


def request(**more: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": "hi"}], **more}


def message(**more: Any) -> dict[str, Any]:
    return request(messages=[{"role": "user", **more}])


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ([], "not_an_object"),
        ({"messages": [{"role": "user", "content": "hi"}]}, "missing_model"),
        ({"model": 7, "messages": [{"role": "user", "content": "hi"}]}, "missing_model"),
        ({"model": "m"}, "missing_messages"),
        ({"model": "m", "messages": []}, "missing_messages"),
        ({"model": "m", "messages": {"role": "user"}}, "missing_messages"),
        (request(stream="yes"), "invalid_stream"),
        (request(messages=["hi"]), "invalid_message"),
        (message(content=7), "invalid_content"),
        (message(content=["text"]), "invalid_part"),
        (message(content=[{"text": "no type"}]), "invalid_part"),
    ],
)
def test_another_shape_is_refused(body: Any, code: str) -> None:
    with pytest.raises(ShapeError) as refusal:
        WIRE.request(body)
    assert refusal.value.code == code


@pytest.mark.parametrize(
    ("body", "kind", "path"),
    [
        (
            message(content=[{"type": "image_url", "image_url": {"url": "x"}}]),
            "image",
            "messages[0].content[0]",
        ),
        (message(content=[{"type": "input_audio", "input_audio": {}}]), "audio", "messages[0].content[0]"),
        (message(content=[{"type": "file", "file": {"file_id": "f"}}]), "file", "messages[0].content[0]"),
        (message(content=[{"type": "hologram"}]), "unknown", "messages[0].content[0]"),
        (request(tools=[{"type": "web_search"}]), "hosted-tool", "tools[0]"),
        (request(web_search_options={"a": 1}), "hosted-tool", "web_search_options"),
        (request(modalities=["text", "audio"]), "audio", "modalities"),
    ],
)
def test_what_nobody_can_read_here_is_named(body: Any, kind: str, path: str) -> None:
    (part,) = WIRE.request(body).opaque
    assert (part.finding().kind, part.finding().path) == (kind, path)


def test_text_parts_and_function_tools_are_not_opaque() -> None:
    body = message(content=[{"type": "text", "text": "hi"}])
    body["tools"] = [{"type": "function", "function": {"name": "f"}}]
    assert WIRE.request(body).opaque == ()


def test_tool_arguments_in_the_history_are_json_in_a_string() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    body = request(messages=[{"role": "assistant", "content": None, "tool_calls": [call]}])
    assert WIRE.request(body).embedded == (("messages", 0, "tool_calls", 0, "function", "arguments"),)


def test_a_conversation_is_known_by_its_opening() -> None:
    first = request(messages=[{"role": "system", "content": "s"}, {"role": "user", "content": "u"}])
    later = {**first, "messages": [*first["messages"], {"role": "assistant", "content": "a"}]}
    assert WIRE.request(first).opening == WIRE.request(later).opening == ("s", "u")


def test_log_probabilities_repeat_the_text_and_are_taken_out() -> None:
    answer = {"choices": [{"index": 0, "message": {"content": "x"}, "logprobs": {"content": []}}]}
    WIRE.response(answer)
    assert "logprobs" not in answer["choices"][0]
    chunk = {"choices": [{"index": 0, "delta": {"content": "x"}, "logprobs": {"content": []}}]}
    WIRE.chunk(chunk)
    assert "logprobs" not in chunk["choices"][0]


def test_usage_and_finish_reason_are_read() -> None:
    answer = {
        "choices": [{"index": 0, "message": {"content": "x"}, "finish_reason": "length"}],
        "usage": {"prompt_tokens": 3, "completion_tokens": 4},
    }
    shape = WIRE.response(answer)
    assert (shape.finish_reason, shape.input_tokens, shape.output_tokens) == ("length", 3, 4)


def delta(choice: int = 0, **more: Any) -> dict[str, Any]:
    return {"index": choice, "delta": more, "finish_reason": None}


def test_each_growing_text_is_a_channel_of_its_own() -> None:
    call = {"index": 1, "function": {"arguments": "{"}}
    chunk = {"choices": [delta(0, content="a", reasoning="b"), delta(1, content="c", tool_calls=[call])]}
    slots = {slot.channel: slot.held for slot in WIRE.chunk(chunk).slots}
    assert slots == {
        (0, "content"): False,
        (0, "reasoning"): False,
        (1, "content"): False,
        (1, "tool_calls", 1, "function", "arguments"): True,
    }


def test_text_under_names_nobody_knows_is_a_channel_too() -> None:
    chunk = {"choices": [delta(novel={"deep": [{"thought": "a"}]})]}
    (slot,) = WIRE.chunk(chunk).slots
    assert slot.channel == (0, "novel", "deep", 0, "thought")


@pytest.mark.parametrize(
    ("more", "bare"),
    [
        ({"content": "a"}, True),
        ({"content": "a", "refusal": None}, True),
        ({"role": "assistant", "content": "a"}, False),
        ({"tool_calls": [{"index": 0, "function": {"arguments": "a"}}]}, True),
        ({"tool_calls": [{"index": 0, "id": "call_1", "function": {"name": "f", "arguments": ""}}]}, False),
    ],
)
def test_an_event_that_only_carries_text_need_not_be_sent_without_it(
    more: dict[str, Any], bare: bool
) -> None:
    assert WIRE.chunk({"choices": [delta(**more)]}).bare is bare


def test_the_tail_of_a_channel_is_an_event_like_the_others() -> None:
    template = {"id": "c", "object": "chat.completion.chunk", "model": "m", "choices": [], "usage": None}
    tail = WIRE.tail(template, (1, "tool_calls", 2, "function", "arguments"), "{}")
    assert tail == {
        "id": "c",
        "object": "chat.completion.chunk",
        "model": "m",
        "choices": [
            {
                "index": 1,
                "delta": {"tool_calls": [{"index": 2, "function": {"arguments": "{}"}}]},
                "finish_reason": None,
            }
        ],
    }


@pytest.mark.parametrize("chunk", [{}, {"choices": "x"}, {"choices": [7]}, {"choices": [{"delta": "x"}]}])
def test_a_streamed_event_of_another_shape_is_refused(chunk: Any) -> None:
    with pytest.raises(ShapeError):
        WIRE.chunk(chunk)
