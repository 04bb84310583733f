"""Trying a payload out through the API: judged as a call would be, sent nowhere and kept nowhere."""

from __future__ import annotations

import json
from typing import Any
from uuid import uuid4

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from audit.models import Entry
from policies import services
from policies.engine.types import Gate
from policies.models import PolicyVersion
from tests.api import world

pytestmark = pytest.mark.django_db(transaction=True)
CARD = "4111 1111 1111 1111"
PATH = "/api/v1/playground"


@pytest.fixture
def api() -> APIClient:
    cache.clear()
    world.seeded()
    return world.client(world.key_of(world.program())[1])


def asked(**said: Any) -> dict[str, Any]:
    version = PolicyVersion.objects.filter(policy__slug="support").earliest("number")
    return {"version": str(version.pk), "payload": f"My card is {CARD}.", "form": "text", **said}


def test_a_payload_is_judged_and_forgotten(api: APIClient) -> None:
    before = Entry.objects.count()
    answer = api.post(PATH, asked(), format="json")
    assert answer.status_code == 200, answer.content
    outcome = answer.json()["outcome"]
    assert outcome["action"] == "flagged" and outcome["verdict"]["counts"] == {"CARD": 1}
    assert CARD not in answer.content.decode()
    assert Entry.objects.count() == before


def test_a_draft_is_compared(api: APIClient) -> None:
    first = PolicyVersion.objects.get(policy__slug="support")
    draft = services.policy_version_clone_to_draft(version=first, by=None)
    draft.rules.create(name="No cards", matcher="class", value="CARD", gate=Gate.BLOCK.value)
    told = api.post(PATH, asked(against=str(draft.pk)), format="json").json()
    assert told["changes"]["action"] == ["flagged", "blocked"]


@pytest.mark.parametrize(
    ("said", "status", "kind"),
    [
        ({"version": str(uuid4())}, 404, "not-found"),
        ({"version": "x"}, 422, "refused"),
        ({"payload": "x" * 300_000}, 413, "too-large"),
        ({"payload": "x" * 1_100_000}, 413, "too-large"),
        ({"declared": "top"}, 422, "refused"),
        ({"schema": str(uuid4())}, 404, "not-found"),
    ],
)
def test_what_cannot_be_tried_is_a_problem(
    api: APIClient, said: dict[str, Any], status: int, kind: str
) -> None:
    body = world.problem(api.post(PATH, asked(**said), format="json"), status, kind)
    assert CARD not in json.dumps(body)


def test_who_may_not_see_versions_may_not_try_them() -> None:
    cache.clear()
    world.seeded()
    api = world.client(world.key_of(world.program("reviewer", roles=("reviewer",)))[1])
    world.problem(api.post(PATH, asked(), format="json"), 403, "not-allowed")
