"""Requests that could mean two things to two readers are refused before anything is believed."""

from __future__ import annotations

import asyncio
import gzip
import zlib
from typing import Any

import pytest

from gateway.proxy import admission
from gateway.proxy.admission import ClientGone, RequestHead
from gateway.proxy.errors import ProxyError


def scope(*headers: tuple[bytes, bytes], **more: Any) -> dict[str, Any]:
    return {
        "method": "POST",
        "path": "/proxy/chat/v1/chat/completions",
        "headers": headers,
        "http_version": "1.1",
        "client": ("198.51.100.7", 1),
        **more,
    }


def refusal(scope: dict[str, Any]) -> str:
    with pytest.raises(ProxyError) as error:
        admission.check_head(scope)
    assert 400 <= error.value.status < 500 and error.value.retry is False
    return error.value.code


@pytest.mark.parametrize("name", sorted(admission.SINGLE))
def test_headers_that_decide_something_may_come_once(name: bytes) -> None:
    assert refusal(scope((name, b"1"), (name.upper(), b"2"))) == "duplicate_header"


def test_a_header_with_an_underscore_is_refused() -> None:
    assert refusal(scope((b"x_api_key", b"k"))) == "ambiguous_header"


def test_length_and_chunks_together_are_refused() -> None:
    both = scope((b"content-length", b"5"), (b"transfer-encoding", b"chunked"))
    assert refusal(both) == "ambiguous_length"


@pytest.mark.parametrize("value", [b"gzip, chunked", b"identity", b"chunked\t, x"])
def test_other_transfer_encodings_are_refused(value: bytes) -> None:
    assert refusal(scope((b"transfer-encoding", value))) == "ambiguous_length"


def test_chunks_on_http_1_0_are_refused() -> None:
    assert refusal(scope((b"transfer-encoding", b"chunked"), http_version="1.0")) == "ambiguous_length"


@pytest.mark.parametrize("value", [b"-1", b"+5", b"0x10", b"1e3", b"", b"9" * 30])
def test_a_length_that_is_not_a_plain_number_is_refused(value: bytes) -> None:
    assert refusal(scope((b"content-length", value))) == "invalid_length"


def test_too_many_or_too_large_headers_are_refused() -> None:
    assert refusal(scope(*[(b"x-%d" % n, b"v") for n in range(101)])) == "too_many_headers"
    assert refusal(scope((b"x", b"v" * 40_000))) == "headers_too_large"


@pytest.mark.parametrize(
    "path", ["/proxy/a/%2e%2e/b", "/proxy//a", "/proxy/a/../b", "/proxy/a;b", "/proxy/é", "/p\\a"]
)
def test_paths_that_can_be_read_in_two_ways_are_refused(path: str) -> None:
    assert refusal(scope(path=path, raw_path=path.encode())) == "invalid_path"


def test_a_query_is_refused_since_nobody_inspects_it() -> None:
    assert refusal(scope(query_string=b"q=1")) == "query_not_allowed"


def head(*headers: tuple[bytes, bytes]) -> RequestHead:
    return admission.check_head(scope(*headers))


def body(parts: list[bytes | None], *headers: tuple[bytes, bytes], limit: int = 1000) -> bytes:
    """Parts as a client sends them; None is where it leaves."""
    messages = [
        {"type": "http.disconnect"}
        if part is None
        else {"type": "http.request", "body": part, "more_body": number < len(parts) - 1}
        for number, part in enumerate(parts)
    ]

    async def receive() -> dict[str, Any]:
        return messages.pop(0)

    return asyncio.run(admission.read_body(receive, head(*headers), limit))


def test_a_body_in_parts_is_read_whole() -> None:
    assert body([b"ab", b"", b"cd"]) == b"abcd"


@pytest.mark.parametrize(
    ("parts", "headers"),
    [
        ([b"x" * 1001], ()),
        ([b"x" * 600, b"x" * 600], ()),
        ([b"x"], ((b"content-length", b"52428800"),)),
        ([gzip.compress(b"x" * 1_000_000, mtime=0)], ((b"content-encoding", b"gzip"),)),
    ],
)
def test_a_body_over_the_limit_is_refused_however_it_comes(parts: list[bytes | None], headers: Any) -> None:
    with pytest.raises(ProxyError) as error:
        body(parts, *headers)
    assert (error.value.status, error.value.code) == (413, "body_too_large")


def test_gzip_is_read() -> None:
    assert body([gzip.compress(b"hello", mtime=0)], (b"content-encoding", b"gzip")) == b"hello"


@pytest.mark.parametrize(
    ("data", "encoding", "code"),
    [
        (b"hello", b"gzip", "invalid_encoding"),
        (gzip.compress(b"a", mtime=0) + b"tail", b"gzip", "invalid_encoding"),
        (gzip.compress(b"a", mtime=0) + gzip.compress(b"b", mtime=0), b"gzip", "invalid_encoding"),
        (gzip.compress(b"abc", mtime=0)[:-4], b"gzip", "invalid_encoding"),
        (zlib.compress(b"a"), b"deflate", "unsupported_content_encoding"),
        (b"a", b"br", "unsupported_content_encoding"),
        (gzip.compress(gzip.compress(b"a", mtime=0), mtime=0), b"gzip, gzip", "unsupported_content_encoding"),
    ],
)
def test_encodings_that_cannot_be_read_are_refused(data: bytes, encoding: bytes, code: str) -> None:
    with pytest.raises(ProxyError) as error:
        body([data], (b"content-encoding", encoding))
    assert error.value.code == code


def test_a_client_that_leaves_is_not_answered() -> None:
    with pytest.raises(ClientGone):
        body([b"a", None, b"b"])


@pytest.mark.parametrize(
    "kind",
    [b"text/plain", b"", b"application/jsonp", b"multipart/form-data", b"application/json; charset=utf-16"],
)
def test_other_content_types_are_refused(kind: bytes) -> None:
    with pytest.raises(ProxyError) as error:
        admission.check_content_type(head((b"content-type", kind)))
    assert error.value.status == 415


@pytest.mark.parametrize(
    "kind", [b"application/json", b"Application/JSON ; charset=UTF-8", b'application/json; charset="utf-8"']
)
def test_json_in_utf8_is_read(kind: bytes) -> None:
    admission.check_content_type(head((b"content-type", kind)))
