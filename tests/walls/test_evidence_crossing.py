"""Programs and the evidence: every role × every address of it. One that audits an area sees nothing of
another, of no area, or of another program. Which addresses there are is read from the URL configuration.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.test import Client
from django.urls import get_resolver

from audit.models import Job
from gateway.identity.authz import ROLES
from gateway.identity.keys import api_key_create
from gateway.models import ServiceAccount
from tests.walls.table import API
from tests.walls.test_every_address import came_in, permits, program, shown
from tests.walls.world import CANARY, MINE, NONE, OTHER, STRAY, World

pytestmark = pytest.mark.django_db
ROOMS = ("gateway.api.acts", "gateway.api.calls", "gateway.api.exports")
AUDITS, EXPORTS = "audit.view_call", "audit.export_call"
OWN = ("calls", "sessions", "usage")
"""Open to every program: of its own calls."""

AUDITED = ("events", "integrity", "checkpoints")
ROWS = {
    "calls/<uuid:pk>": "audit.call",
    "sessions/<uuid:pk>": "audit.session",
    "exports/<uuid:pk>": "export",
    "exports/<uuid:pk>/file": "export",
}
SEARCH, ASKED = "calls/search", "exports"


@pytest.fixture
def world(db: None) -> World:
    cache.clear()
    return World()


def routes() -> Iterator[str]:
    for resolver in get_resolver().url_patterns:
        if str(resolver.pattern) == "api/v1/":
            for pattern in resolver.url_patterns:  # type: ignore[union-attr]  # it is included
                if pattern.callback.__module__ in ROOMS or view(pattern).__module__ in ROOMS:
                    yield str(pattern.pattern)


def view(pattern: Any) -> Any:
    return getattr(pattern.callback, "cls", pattern.callback)


def test_these_are_all_addresses_of_the_evidence() -> None:
    assert set(routes()) == {*OWN, *AUDITED, *ROWS, SEARCH, ASKED}
    assert {f"api/v1/{route}" for route in routes()} <= set(API)


def robot(world: World, role: str, where: str) -> Client:
    return program(world, Group.objects.filter(name=f"{role} {where}"), world.ada)


def post(client: Client, path: str, body: Any) -> Any:
    return client.post(f"/api/v1/{path}", body, content_type="application/json")


@pytest.mark.parametrize("role", ROLES)
def test_a_program_of_one_area_reads_no_evidence_of_another(world: World, role: str) -> None:
    client = robot(world, role, MINE)
    audits = permits(f"{role} {MINE}", MINE, AUDITS)
    exports = permits(f"{role} {MINE}", MINE, EXPORTS)
    lists = {route: client.get(f"/api/v1/{route}?limit=100") for route in (*OWN, *AUDITED, ASKED)}
    lists |= {f"usage by {by}": client.get(f"/api/v1/usage?by={by}") for by in ("caller", "endpoint")}
    lists["search"] = post(client, SEARCH, {"selection": {}, "limit": 100})
    lists["search elsewhere"] = post(client, SEARCH, {"selection": {"area": "nowhere"}})
    for name, answer in lists.items():
        needed = exports if name == ASKED else audits or name.partition(" ")[0] in OWN
        assert came_in(answer) is needed, (name, answer.status_code)
        assert CANARY not in shown(answer) and STRAY not in shown(answer), name
    seen = {each["id"] for each in lists["calls"].json()["results"]}
    assert seen == ({str(world.at("audit.call", MINE).pk)} if audits else set())


@pytest.mark.parametrize("role", ROLES)
def test_what_lies_elsewhere_is_not_there_for_a_program(world: World, role: str) -> None:
    """Nor told apart from what is nowhere at all. A search for it finds nothing."""
    client = robot(world, role, MINE)
    for route, label in ROWS.items():
        nothing = client.get(f"/api/v1/{route.replace('<uuid:pk>', str(uuid4()))}")
        assert nothing.status_code in (403, 404)
        for place in (OTHER, NONE):
            if (row := world.at(label, place)) is not None:
                answer = client.get(f"/api/v1/{route.replace('<uuid:pk>', str(row.pk))}")
                assert (answer.status_code, answer.content) == (nothing.status_code, nothing.content), route
    if permits(f"{role} {MINE}", MINE, AUDITS):
        for said in (
            {"area": CANARY},
            {"call": str(world.at("audit.call", OTHER).pk)},
            {"model": f"{CANARY}-model"},
        ):
            assert post(client, SEARCH, {"selection": said}).json()["results"] == []


@pytest.mark.parametrize("role", ROLES)
def test_an_export_is_asked_for_where_the_role_is_and_nowhere_else(world: World, role: str) -> None:
    for where in (MINE, "everywhere"):
        client = robot_of(world, role, where)
        answer = post(client, ASKED, {"reason": "yearly", "selection": {"area": CANARY}})
        allowed = permits(f"{role} {where}", MINE, EXPORTS)
        assert (answer.status_code == 202) is allowed, answer.content
        if allowed:
            job = Job.objects.get(pk=answer.json()["id"])
            assert job.options["areas"] == (["ward"] if where == MINE else None)


def robot_of(world: World, role: str, where: str) -> Client:
    client = robot(world, role, where)
    ServiceAccount.objects.filter(name="ward-nightly").update(name=f"ward-nightly {where}")
    return client


def test_an_export_of_the_same_area_is_its_program_s_alone(world: World) -> None:
    """Whatever the other one's roles."""
    mine = world.at("export", MINE)
    strangers = [robot_of(world, "auditor", where) for where in (MINE, "everywhere")]
    for client in strangers:
        for answer in (
            client.get(f"/api/v1/exports/{mine.pk}"),
            client.get(f"/api/v1/exports/{mine.pk}/file"),
            client.delete(f"/api/v1/exports/{mine.pk}"),
        ):
            assert answer.status_code == 404
        assert client.get("/api/v1/exports").json()["results"] == []
    account = world.at("gateway.serviceaccount", MINE)
    account.groups.set(Group.objects.filter(name=f"auditor {MINE}"))
    until = world.at("gateway.apikey", MINE).expires_at
    _, secret = api_key_create(name="own", service_account=account, expires_at=until, by=world.ada)
    own = Client(headers={"Authorization": f"Bearer {secret.reveal()}"})
    assert [each["id"] for each in own.get("/api/v1/exports").json()["results"]] == [str(mine.pk)]
