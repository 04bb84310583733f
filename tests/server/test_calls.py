"""The main job through real clients and real sockets: what the model sees, what the client gets."""

from __future__ import annotations

import gzip
import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import anthropic
import openai
import pytest
import requests

from .world import World

CARD, EMAIL, SSN = "4111 1111 1111 1111", "jane.roe@example.com", "078-05-1120"
API_KEY = "sk-proj-Ab3dEf6hIj9lMn2pQr5tUv8xYz1bCd4f"
PROMPT = f"My card is {CARD}, my mail {EMAIL}, my ssn {SSN}, my key {API_KEY}. Thanks!"
CANARIES = (CARD, EMAIL, SSN, API_KEY, "4111111111111111", "mallory@example.com")

pytestmark = pytest.mark.database


def received(world: World) -> str:
    """Every body that the model got, as text."""
    return "\n".join(item["body"] for item in requests.get(world.model + "/received", timeout=10).json())


def clean(text: str) -> bool:
    return not any(canary in text for canary in CANARIES)


def client(world: World, person: str = "alice") -> openai.OpenAI:
    """To be used in a `with`: it closes its connections."""
    return openai.OpenAI(base_url=world.endpoint("openai") + "/v1", api_key=world.key(person), max_retries=0)


def messages(text: str) -> Any:
    return [{"role": "system", "content": "Be brief."}, {"role": "user", "content": text}]


def test_a_plain_chat_is_masked_on_its_way_and_on_its_way_back(world: World) -> None:
    with client(world) as ai:
        answer = ai.chat.completions.create(model="demo-leaky", messages=messages(PROMPT))
    assert clean(received(world)) and "***" in received(world)
    assert clean(answer.model_dump_json())
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage and answer.usage.total_tokens > 0
    assert answer._request_id


def test_a_streamed_chat_is_masked_on_its_way_and_on_its_way_back(world: World) -> None:
    with client(world) as ai:
        chunks = list(
            ai.chat.completions.create(
                model="demo-leaky",
                messages=messages(PROMPT),
                stream=True,
                stream_options={"include_usage": True},
            )
        )
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert clean(received(world))
    assert clean(text) and "***" in text and text.startswith("My card is ") and "Thanks!" in text
    assert [chunk.choices[0].finish_reason for chunk in chunks if chunk.choices][-1] == "stop"
    assert chunks[-1].usage and chunks[-1].usage.total_tokens > 0


def claude(world: World) -> anthropic.Anthropic:
    """To be used in a `with`: it closes its connections."""
    return anthropic.Anthropic(
        base_url=world.endpoint("anthropic"), api_key=world.key("alice"), max_retries=0
    )


def test_the_anthropic_sdk_is_masked_on_its_way_and_on_its_way_back(world: World) -> None:
    turn: Any = {"model": "demo-leaky", "max_tokens": 99, "messages": [{"role": "user", "content": PROMPT}]}
    with claude(world) as ai:
        answer = ai.messages.create(system="Be brief.", **turn)
        with ai.messages.stream(**turn) as stream:
            text = "".join(stream.text_stream)
            final = stream.get_final_message()
        counted = ai.messages.count_tokens(model="demo", messages=turn["messages"])
    assert clean(received(world)) and "***" in received(world)
    assert clean(answer.model_dump_json()) and answer.stop_reason == "end_turn"
    assert clean(text) and text.startswith("My card is ") and "Thanks!" in text
    assert final.stop_reason == "end_turn" and final.usage.output_tokens > 0
    assert counted.input_tokens > 0


def test_the_anthropic_sdk_reads_refusals(world: World) -> None:
    turn: Any = {"model": "demo", "max_tokens": 9}
    image = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    with claude(world) as ai:
        with pytest.raises(anthropic.BadRequestError) as bad:
            ai.messages.create(messages=[], **turn)
        with pytest.raises(anthropic.PermissionDeniedError) as blocked:
            ai.messages.create(messages=[{"role": "user", "content": [image]}], **turn)  # type: ignore[list-item]
        with pytest.raises(anthropic.BadRequestError) as dated:
            ai.messages.create(
                messages=messages("hi")[1:], extra_headers={"anthropic-version": "latest"}, **turn
            )
        with pytest.raises(anthropic.AuthenticationError):
            ai.with_options(api_key="pst_no").messages.create(messages=messages("hi")[1:], **turn)
    body: Any = bad.value.body
    assert body["type"] == "error" and body["error"]["code"] == "missing_messages"
    assert body["request_id"] == bad.value.request_id == bad.value.response.headers["x-postern-call"]
    assert blocked.value.body["error"]["type"] == "permission_error"  # type: ignore[index]
    assert dated.value.body["error"]["code"] == "invalid_version"  # type: ignore[index]


def test_a_classifier_is_masked_in_strings_numbers_and_keys(world: World) -> None:
    body = {"inputs": [{"text": PROMPT, "card": 4111111111111111, EMAIL: 1}], "top_k": 3}
    answer = post(world, body, kind="json", path="/classify")
    assert answer.status_code == 200 and clean(answer.text)
    assert clean(received(world))
    assert json.loads(received(world).splitlines()[-1])["top_k"] == 3


def test_the_client_is_told_what_was_done(world: World) -> None:
    headers = post(world, {"model": "demo", "messages": messages(EMAIL)}).headers
    assert headers["x-postern-action"] == "masked"
    assert headers["x-postern-masked"] == "EMAIL=1"
    assert "@" in headers["x-postern-policy"]
    assert headers["x-request-id"] == headers["x-postern-call"]
    assert float(headers["x-postern-overhead-ms"]) > 0


def test_integers_beyond_64_bits_arrive_as_written(world: World) -> None:
    body = '{"inputs": ["x"], "seed": 123456789012345678901234567890, "rate": 1.10}'
    assert post(world, body, kind="json", path="/classify").status_code == 200
    assert '"seed":123456789012345678901234567890,"rate":1.10' in received(world)


def test_a_hold_is_closed_until_somebody_approves_it(world: World) -> None:
    before = len(received(world))
    with client(world, "bob") as ai, pytest.raises(openai.PermissionDeniedError) as refusal:
        ai.chat.completions.create(
            model="demo", messages=messages(f"ssn {SSN}"), extra_headers={"Prefer": "wait=0"}
        )
    assert refusal.value.code == "approval_required"
    assert refusal.value.response.headers["x-should-retry"] == "false"
    assert len(received(world)) == before


def post(
    world: World,
    body: Any,
    *,
    kind: str = "openai",
    path: str = "/v1/chat/completions",
    person: str = "alice",
    **headers: str,
) -> requests.Response:
    """One call; `body` is JSON, or text or bytes as they are. A header of "" is left out."""
    data = body if isinstance(body, str | bytes) else json.dumps(body)
    sent = {"authorization": f"Bearer {world.key(person)}", "content-type": "application/json"}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    sent = {name: value for name, value in sent.items() if value}
    return requests.post(world.endpoint(kind) + path, data=data, headers=sent, timeout=30)


CHAT = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}

REFUSED: dict[str, tuple[int, str, dict[str, Any]]] = {
    "unknown key": (401, "invalid_api_key", {"authorization": "Bearer pst_" + "x" * 52}),
    "no key": (401, "missing_credential", {"authorization": ""}),
    "basic credentials": (401, "unsupported_credential", {"authorization": "Basic YTpi"}),
    "two different credentials": (400, "conflicting_credentials", {"x_api_key": "pst_other"}),
    "no access rule": (403, "no_access", {"person": "carol"}),
    "unknown path": (404, "unknown_path", {"path": "/v1/embeddings"}),
    "path tricks": (400, "invalid_path", {"path": "/v1/chat/completions/%2e%2e/x"}),
    "a query": (400, "query_not_allowed", {"path": "/v1/chat/completions?x=1"}),
    "malformed JSON": (400, "invalid_json", {"body": '{"model": '}),
    "duplicate keys": (400, "duplicate_key", {"body": '{"model":"a","model":"b","messages":[]}'}),
    "NaN": (400, "not_finite", {"body": '{"model":"a","messages":[],"x":NaN}'}),
    "a lone surrogate": (400, "lone_surrogate", {"body": '{"model":"a","messages":["\\ud800"]}'}),
    "200 levels": (400, "too_deep", {"body": '{"a":' * 200 + "1" + "}" * 200}),
    "50 MB": (413, "body_too_large", {"body": b" " * 50_000_000}),
    "a gzip bomb": (
        413,
        "body_too_large",
        {"body": gzip.compress(b" " * 50_000_000), "content_encoding": "gzip"},
    ),
    "unknown content type": (415, "unsupported_content_type", {"content_type": "text/plain"}),
    "unknown encoding": (415, "unsupported_content_encoding", {"content_encoding": "br"}),
    "an image": (
        403,
        "policy_blocked",
        {"body": {"model": "m", "messages": [{"role": "user", "content": [{"type": "image_url"}]}]}},
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_says_so_in_the_shape_of_the_api_and_goes_nowhere(world: World, name: str) -> None:
    status, code, how = REFUSED[name]
    before = received(world)
    answer = post(world, how.get("body", CHAT), **{key: value for key, value in how.items() if key != "body"})
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, code)
    assert set(error) == {"message", "type", "param", "code"} and isinstance(error["message"], str)
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-postern-call"]
    assert received(world) == before


def test_a_plain_json_endpoint_has_its_own_error_shape(world: World) -> None:
    answer = post(world, "[", kind="json", path="/classify")
    assert answer.status_code == 400
    assert answer.json() == {"error": "The body is not valid JSON.", "code": "invalid_json"}


def test_only_post_is_known(world: World) -> None:
    url = world.endpoint("openai") + "/v1/chat/completions"
    answer = requests.get(url, headers={"authorization": f"Bearer {world.key('alice')}"}, timeout=10)
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_an_endpoint_that_is_not_there(world: World) -> None:
    url = world.url + "/proxy/nowhere/v1/chat/completions"
    answer = requests.post(url, headers={"authorization": f"Bearer {world.key('alice')}"}, timeout=10)
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "unknown_endpoint")


def test_data_in_the_path_is_refused(world: World) -> None:
    answer = post(world, {"a": 1}, kind="json", path=f"/classify/{EMAIL}")
    assert (answer.status_code, answer.json()["code"]) == (400, "sensitive_path")


@pytest.mark.parametrize("header", ["authorization", "content-type"])
def test_a_doubled_header_is_refused(world: World, header: str) -> None:
    parts = urlsplit(world.endpoint("openai") + "/v1/chat/completions")
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=10)
    body = json.dumps(CHAT).encode()
    connection.putrequest("POST", parts.path)
    connection.putheader("content-length", str(len(body)))
    for name, value in (
        ("authorization", f"Bearer {world.key('alice')}"),
        ("content-type", "application/json"),
        (header, "text/plain"),
    ):
        connection.putheader(name, value)
    connection.endheaders(body)
    response = connection.getresponse()
    assert response.status == 400
    assert json.loads(response.read())["error"]["code"] == "duplicate_header"
    connection.close()
