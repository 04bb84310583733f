"""A caller who has used up a limit, through the real SDK."""

from __future__ import annotations

import time
from pathlib import Path

import openai
import pytest
import requests

from .hammer_house import House, running_house, second_gateway
from .scripted import response, scripted_model
from .test_upstreams import answer

pytestmark = pytest.mark.database

LIMIT = """
import django
django.setup()
from gateway.models import AccessRule
for rule in AccessRule.objects.filter(group__name="support"):
    rule.tokens_per_month = 1
    rule.save()
"""
RECORDED = """
import django
django.setup()
from audit.models import Call
print(list(Call.objects.filter(code="token_limited").values_list("name", "action", "status")))
"""


def test_the_sdk_sees_a_limit_that_is_used_up(tmp_path: Path) -> None:
    with scripted_model() as model, running_house(tmp_path, model_url=model.url) as house:
        model.script = response("200 OK", "application/json", answer("hello there"), "connection: close")
        house.python("-c", LIMIT)
        time.sleep(2)
        base = f"http://127.0.0.1:{house.port}" + house.path("openai").removesuffix("/chat/completions")
        with openai.OpenAI(base_url=base, api_key=house.key("alice"), max_retries=2) as ai:

            def ask() -> object:
                return ai.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}])

            ask()
            asked = len(model.requests)
            with pytest.raises(openai.RateLimitError) as caught:
                ask()
        assert len(model.requests) == asked
        assert caught.value.code == "token_limited"
        assert int(caught.value.response.headers["retry-after"]) >= 1
        assert "1 tokens per month" in caught.value.message
        deadline = time.monotonic() + 10
        while "refused" not in (seen := house.python("-c", RECORDED)) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert "'refused', 429)" in seen


def asked(house: House, port: int) -> requests.Response:
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    headers = {"Authorization": f"Bearer {house.key('alice')}"}
    return requests.post(
        f"http://127.0.0.1:{port}{house.path('openai')}", json=body, headers=headers, timeout=20
    )


def test_what_one_process_lets_in_is_used_up_at_the_other_and_after_a_restart(tmp_path: Path) -> None:
    with scripted_model() as model, running_house(tmp_path, model_url=model.url) as house:
        model.script = response("200 OK", "application/json", answer("hello there"), "connection: close")
        house.python("-c", LIMIT)
        with second_gateway(house) as other:
            time.sleep(2)
            assert asked(house, house.port).status_code == 200
            time.sleep(8)  # the caller is new to the other process: a second to tell, five until it looks
            refused = asked(house, other)
            assert (refused.status_code, refused.json()["error"]["code"]) == (429, "token_limited")
            assert refused.headers["x-should-retry"] == "false"
        with second_gateway(house) as later:
            assert asked(house, later).status_code == 429
