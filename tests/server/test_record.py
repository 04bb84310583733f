"""P7 after real calls: what must not pass is nowhere in the store, sealed or not, nor in any file or log."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import openai
import pytest
import requests

from .hammer_house import wait_for
from .hammer_judge import judge_canaries
from .hammer_oracle import Evidence, Reader, files, stored
from .world import World

CARD, MAIL, SSN = "4012 8888 8888 1881", "record.canary@example.com", "536-90-4399"
API_KEY = "sk-ant-api03-" + "Ab3dEf9hIj" * 9 + "AA"
LEAKED = "mallory@example.com"  # what the leaky model adds to its answers
CANARIES = [secret.encode() for secret in (CARD, CARD.replace(" ", ""), MAIL, SSN, API_KEY, LEAKED)]
PROMPT = f"Card {CARD}, mail {MAIL}, SSN {SSN}, key {API_KEY}. Summarise."

pytestmark = pytest.mark.database


@pytest.fixture
def evidence(world: World) -> Iterator[Evidence]:
    """The record after a plain, a streamed, a classified and two refused calls that carried all of it."""
    spoken(world, "alice")
    spoken(world, "alice", stream=True)
    body = {"note": PROMPT, "patient": {"mail": MAIL}, MAIL: 1, "keyed": {API_KEY: {"free": "text"}}}
    headers = {"Authorization": f"Bearer {world.key('alice')}"}
    assert requests.post(f"{world.endpoint('json')}/classify", json=body, headers=headers, timeout=10).ok
    with pytest.raises(openai.PermissionDeniedError):
        spoken(world, "carol")
    with pytest.raises(openai.BadRequestError):
        spoken(world, "alice", extra_body={"stream": MAIL})
    with closing(Reader(world.store_url)) as reader:
        assert wait_for(lambda: fields_seen(reader), seconds=10), "no unclassified field was written"
        found = Evidence(reader, world.data / "audit-keys")
        found.read()
        yield found


def fields_seen(reader: Reader) -> bool:
    """Whether the classifier's unclassified fields are in the store: they come a moment after the call."""
    return ("keyed.*.free",) in reader.rows("SELECT path FROM gateway_structuredfield")


def spoken(world: World, person: str, **more: object) -> None:
    base_url = f"{world.endpoint('openai')}/v1"
    with openai.OpenAI(base_url=base_url, api_key=world.key(person), max_retries=0) as client:
        answer = client.chat.completions.create(
            model="demo-leaky",
            messages=[{"role": "user", "content": PROMPT}],
            **more,  # type: ignore[call-overload]
        )
        list(answer)


def test_no_canary_is_in_the_store_its_files_or_the_logs(world: World, evidence: Evidence) -> None:
    places = [("what was unsealed", evidence.plain), *stored(evidence.reader), *files(world.data)]
    assert judge_canaries(CANARIES, places) == []
    assert any(b"Summarise" in text for text in evidence.plain), "the search would have found nothing"


def test_every_call_is_recorded_with_how_it_went_and_every_chain_holds(evidence: Evidence) -> None:
    assert evidence.findings == []
    assert {call.action for call in evidence.calls.values()} >= {"flagged", "refused"}
    whole = [call for call in evidence.calls.values() if b"[DONE]" in call.response]
    assert whole and all(call.closes[-1]["complete"] for call in whole)
