"""A real provider's access tokens at real gateways: the openai SDK, groups that end, keys that rotate."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import openai
import pytest
import requests

from .hammer_house import House, running_house, second_gateway
from .oidc_provider import AUDIENCE, OidcProvider, oidc_provider
from .scripted import ScriptedModel, response, scripted_model
from .test_upstreams import answer

pytestmark = pytest.mark.database

TRUST = """
import sys, django
django.setup()
from django.contrib.auth.models import Group
from gateway.credentials.secret import Secret
from gateway.credentials.services import credential_set
from gateway.models import Area, Credential, GroupMapping, Issuer
origin, audience = sys.stdin.read().split()
credential = Credential.objects.create(
    area=Area.objects.first(), name="introspection", origin=origin, header="Authorization", scheme="Basic"
)
credential_set(credential=credential, secret=Secret("c2VjcmV0"), by=None)
issuer = Issuer.objects.create(
    name="Provider", issuer=origin, allow_private=True, audiences=[audience],
    introspection_url=origin + "/introspect", introspection_credential=credential,
)
for name in ("support", "clinicians"):
    GroupMapping.objects.create(issuer=issuer, value=name, group=Group.objects.get(name=name))
"""
RECORDED = """
import json, django
django.setup()
from audit.models import Call, Entry
call = Call.objects.filter(key_prefix="").exclude(name="").order_by("-started_at").first()
entry = Entry.objects.filter(call_id=call.pk, kind="admission").first()
print(json.dumps([call.subject, call.name, call.groups, json.loads(bytes(entry.meta))["who"]]))
"""

REFUSED = """
import json, django
django.setup()
from audit.models import Call
print(json.dumps(list(Call.objects.filter(code="invalid_token").values_list("reasons", flat=True))))
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[OidcProvider]:
    with oidc_provider() as running:
        yield running


@pytest.fixture(scope="module")
def model() -> Iterator[ScriptedModel]:
    with scripted_model() as model:
        model.script = response("200 OK", "application/json", answer("hello there"), "connection: close")
        yield model


@pytest.fixture(scope="module")
def house(
    provider: OidcProvider, model: ScriptedModel, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    root: Path = tmp_path_factory.mktemp("house")
    with running_house(root, model_url=model.url) as running:
        running.python("-c", TRUST, given=f"{provider.issuer} {AUDIENCE}")
        time.sleep(2)
        yield running


def ask(house: House, token: str, port: int | None = None) -> requests.Response:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    url = f"http://127.0.0.1:{port or house.port}{house.path('openai')}"
    return requests.post(url, json=body, headers={"Authorization": f"Bearer {token}"}, timeout=30)


def told(answer: requests.Response) -> tuple[int, str]:
    return answer.status_code, "" if answer.ok else answer.text


def test_the_sdk_calls_with_the_provider_s_token_and_the_record_says_whose(
    house: House, provider: OidcProvider
) -> None:
    provider.person("u-erin", name="Erin Example", groups=["support", "elsewhere"])
    base = f"http://127.0.0.1:{house.port}" + house.path("openai").removesuffix("/chat/completions")
    with openai.OpenAI(base_url=base, api_key=provider.token("u-erin"), max_retries=0) as ai:
        said = ai.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])
    assert said.choices[0].message.content == "hello there"
    subject, name, groups, who = json.loads(house.python("-c", RECORDED))
    assert (subject, name, groups) == ("local:u-erin", "Erin Example", ["support"])
    assert (who["issuer"], who["issued_subject"]) == (provider.issuer, "u-erin")


def test_a_group_that_the_provider_took_away_is_gone_with_the_next_token(
    house: House, provider: OidcProvider
) -> None:
    provider.person("u-frank", name="Frank", groups=["support"])
    before = provider.token("u-frank")
    assert ask(house, before).status_code == 200
    time.sleep(1.1)  # tokens carry their time in seconds
    provider.person("u-frank", name="Frank", groups=[])
    refused = ask(house, provider.token("u-frank"))
    assert (refused.status_code, refused.json()["error"]["code"]) == (403, "no_access")
    time.sleep(2)
    assert ask(house, before).status_code == 403  # though it says what it said


def test_a_stranger_s_token_is_refused_in_one_way(house: House, provider: OidcProvider) -> None:
    token = provider.token("u-erin")
    head, body, signature = token.split(".")
    for bad in (
        f"{head}.{body}.{signature[:-4]}AAAA",
        f"{head}.{body}",
        "a.b.c",
        f"{body}.{head}.{signature}",
    ):
        refused = ask(house, bad)
        assert refused.status_code == 401
        assert refused.json()["error"]["code"] == "invalid_token"
        assert refused.headers["www-authenticate"] == 'Bearer error="invalid_token"'
        assert refused.headers["x-should-retry"] == "false"
        assert bad not in refused.text
    deadline = time.monotonic() + 10
    while not {"signature", "algorithm"} <= (seen := _reasons(house)):
        assert time.monotonic() < deadline, seen
        time.sleep(0.3)


def _reasons(house: House) -> set[str]:
    """What the record says of refused tokens; a client is told none of it."""
    return {str(each) for reasons in json.loads(house.python("-c", REFUSED)) for each in reasons}


def test_an_opaque_token_is_asked_about_and_ends_within_five_seconds(
    house: House, provider: OidcProvider
) -> None:
    provider.person("u-grace", name="Grace", groups=["support"])
    token = provider.token("u-grace", client="plain")
    assert "." not in token
    assert ask(house, token).status_code == 200
    provider.revoke("u-grace")
    deadline = time.monotonic() + 5
    while (last := ask(house, token)).status_code == 200 and time.monotonic() < deadline:
        time.sleep(0.2)
    assert (last.status_code, last.json()["error"]["code"]) == (401, "invalid_token")


APPROVES = """
import time, django
django.setup()
from tests.server.reviewer import open_ones, vote
while not (waiting := [row for row in open_ones() if row["status"] == "pending"]):
    time.sleep(0.1)
print(vote(waiting[0]["id"], "erin", "approve"))
"""


@pytest.mark.parametrize("revoked", [False, True], ids=["it still is good", "it was taken back"])
def test_an_opaque_token_is_asked_about_again_when_its_call_has_waited(
    house: House, provider: OidcProvider, model: ScriptedModel, revoked: bool
) -> None:
    before = len(model.requests)
    subject = f"u-hana-{revoked}"
    provider.person(subject, name="Hana", groups=["clinicians"])
    token = provider.token(subject, client="plain")
    body = {"model": "m", "messages": [{"role": "user", "content": f"ssn 123-45-6789 of {subject}"}]}
    head = {"Authorization": f"Bearer {token}", "Prefer": "wait=60"}
    with ThreadPoolExecutor(1) as pool:
        url = f"http://127.0.0.1:{house.port}{house.path('openai')}"
        asking = pool.submit(requests.post, url, json=body, headers=head, timeout=90)
        time.sleep(6)  # what the provider has said is old by now
        if revoked:
            provider.revoke(subject)
        assert house.python("-c", APPROVES).strip() == ""
        answered = asking.result()
    assert len(model.requests) == before + (not revoked)
    if not revoked:
        assert told(answered) == (200, "")
        return
    assert (answered.status_code, answered.json()["error"]["code"]) == (401, "invalid_token")


LEAVES = """
import django
django.setup()
from gateway.models import Identity
person = Identity.objects.get(subject="u-ivan").user
person.is_active = False
person.save()
"""


def test_whoever_leaves_is_cut_within_five_seconds_at_two_gateways_though_the_token_lives(
    house: House, provider: OidcProvider
) -> None:
    provider.person("u-ivan", name="Ivan", groups=["support"])
    token = provider.token("u-ivan")
    with second_gateway(house) as other:
        ports = (house.port, other)
        assert [ask(house, token, port).status_code for port in ports] == [200, 200]
        house.python("-c", LEAVES)
        left = time.monotonic()
        while {ask(house, token, port).status_code for port in ports} != {403}:
            assert time.monotonic() - left < 5
            time.sleep(0.1)


def test_keys_rotate_under_load_at_two_gateways_and_no_call_fails(
    house: House, provider: OidcProvider
) -> None:
    provider.person("u-heidi", name="Heidi", groups=["support"])
    tokens = [provider.token("u-heidi")]
    results: list[tuple[int, str]] = []
    over = threading.Event()

    def client(port: int) -> None:
        while not over.is_set():
            for token in tokens[-2:]:  # the old key and the new one
                results.append(told(ask(house, token, port)))

    with second_gateway(house) as other:
        threads = [threading.Thread(target=client, args=(port,)) for port in (house.port, other) * 2]
        for thread in threads:
            thread.start()
        time.sleep(2)
        for _ in range(3):
            provider.rotate()
            tokens.append(provider.token("u-heidi"))
            time.sleep(3)
        over.set()
        for thread in threads:
            thread.join()
    assert len(results) >= 50
    assert set(results) == {(200, "")}
