"""Server-sent events come apart the same way however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.proxy.wire import sse
from gateway.proxy.wire.sse import Decoder, Event, SSEError

MIXED = (
    'data: a\r\ndata: b\u2028c\n\n: note\nevent: x\rdata: 1\r\rdata:é\r\n\r\n\n\ndata: {"t":"ü😀"}\n\n'
).encode()
EVENTS = [Event("a\nb\u2028c"), Event("1", "x"), Event("é"), Event('{"t":"ü😀"}')]


def decode(parts: list[bytes]) -> list[Event]:
    decoder = Decoder()
    events = [event for part in parts for event in decoder.decode(part)]
    return events + decoder.flush()


def test_lines_end_at_cr_lf_or_both_and_nowhere_else() -> None:
    assert decode([MIXED]) == EVENTS


@settings(max_examples=500, deadline=None)
@given(st.lists(st.integers(0, len(MIXED)), max_size=40))
def test_cutting_the_bytes_anywhere_changes_nothing(cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(MIXED)]
    assert decode([MIXED[start:end] for start, end in pairwise(edges)]) == EVENTS


def test_one_byte_at_a_time() -> None:
    assert decode([MIXED[at : at + 1] for at in range(len(MIXED))]) == EVENTS


@pytest.mark.parametrize("cut", [b"data: whole\n\ndata: half", b"data: half\n", b"data"])
def test_an_event_without_its_blank_line_was_cut(cut: bytes) -> None:
    with pytest.raises(SSEError):
        decode([cut])


def test_a_byte_order_mark_before_the_first_line_is_read_over() -> None:
    assert decode([b"\xef\xbb\xbfdata: x\n\n"]) == [Event("x")]


def test_invalid_utf8_is_refused() -> None:
    with pytest.raises(SSEError):
        decode([b"data: \xff\n\n"])


def test_a_line_that_never_ends_is_refused() -> None:
    decoder = Decoder()
    with pytest.raises(SSEError):
        for _ in range(100):
            decoder.decode(b"x" * 65536)


def test_data_lines_that_never_end_are_refused() -> None:
    decoder = Decoder()
    with pytest.raises(SSEError):
        for _ in range(100):
            decoder.decode(b"data: " + b"x" * 65536 + b"\n")


def test_what_is_encoded_is_one_event() -> None:
    assert decode([sse.encode(b'{"a":1}'), sse.encode(b"[DONE]")]) == [Event('{"a":1}'), Event("[DONE]")]
