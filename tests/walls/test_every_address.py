"""Every role × area × address × method: allowed exactly where the matrix of roles says, and nobody reads
across a wall. The addresses come from the URL configuration, the API's operations from its own description,
what each needs from `tests.walls.table`: read there how to add one.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import uuid4

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.db import connection, transaction
from django.test import Client
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone

from approvals import walls
from approvals.consumers import PATH
from gateway.api.base import ChangeThrottle, Throttle
from gateway.api.openapi import description
from gateway.identity.authz import ROLES, role_permissions
from gateway.identity.keys import api_key_create
from gateway.identity.reach import PLACES as WAYS
from gateway.identity.socket_door import admitted
from gateway.models import ServiceAccount, User
from gateway.scim import doors
from gateway.sockets import Sockets
from tests.shell.asgi import websocket
from tests.shell.test_front import house
from tests.walls.table import EXEMPT, Needs, table
from tests.walls.world import CANARY, MINE, NONE, OTHER, STRAY, World

METHODS = ("get", "post", "patch", "delete")
PROGRAMS = ("api/", "scim-")
"""What a program is asked for: everything else wants a session, and its key is none."""

RECORDS = (
    "approvals.approval",
    "audit.call",
    "audit.flag",
    "audit.legalhold",
    "audit.removal",
    "audit.retentionrule",
    "audit.reveal",
    "audit.session",
)
"""These keep their area's short name."""

PERSONS = [f"{role} {where}" for role in ROLES for where in (MINE, "everywhere")] + ["nobody"]


@pytest.fixture
def world(db: None, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> World:
    caplog.set_level(logging.CRITICAL, logger="django.request")  # thousands of refusals
    monkeypatch.setattr(doors, "FAILURES", 10**6)  # how often somebody fails there is another test's
    for throttle in (Throttle, ChangeThrottle):  # and so is how often somebody asks
        monkeypatch.setattr(throttle, "rate", f"{10**6}/min")
    cache.clear()
    return World()


def addresses() -> dict[str, str]:
    """Every address by its name, or by its route where it has none."""
    found: dict[str, str] = {}

    def walk(resolver: URLResolver, space: str, before: str) -> None:
        for pattern in resolver.url_patterns:
            route = before + str(pattern.pattern)
            if isinstance(pattern, URLPattern):
                found[space + (pattern.name or "") or route] = route
            else:
                walk(pattern, f"{space}{pattern.namespace}:" if pattern.namespace else space, route)

    walk(get_resolver(), "", "")
    return found


def test_every_address_has_its_line_in_the_table() -> None:
    listed, there = {*table(), *EXEMPT}, {*addresses()}
    assert there - listed == set(), "say in tests/walls/table.py what these need"
    assert listed - there == set(), "these are in tests/walls/table.py and nowhere else"


def test_every_operation_of_the_api_has_its_method_in_the_table() -> None:
    described = {
        (re.sub(r"\{id\}|\{pk\}|\{(\w+)\}", "<uuid:pk>", path).lstrip("/"), method)
        for path, methods in description()["paths"].items()
        for method in methods
    }
    lines = {
        (route, method)
        for route, needs in table().items()
        if route.startswith("api/v1/") and route != "api/v1/openapi.json"
        for method in METHODS
        if getattr(needs, method) is not None
    }
    assert described == {(route.replace("<int:pk>", "<uuid:pk>"), method) for route, method in lines}


def test_the_front_serves_no_other_websocket() -> None:
    """A new one gets a test of its own here, as `test_the_queues_socket_is_open_to_...`."""
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": "websocket.connect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"])

    for front in (house(), replace(house(), sockets=Sockets())):
        for path in ("/", "/proxy/chat/v1/realtime", "/audit/live/", "/ws/review", "/ws/review//"):
            asyncio.run(front({"type": "websocket", "path": path}, receive, send))
    assert sent == ["websocket.close"] * 10


def test_the_queues_socket_is_open_to_whom_the_matrix_says_and_tells_of_their_areas(world: World) -> None:
    """Role × area. What it tells is filtered by the reach that is answered here (`tests/approvals`)."""
    for name, person in world.people.items():
        client = Client()
        client.force_login(person)
        cookie = f"{settings.SESSION_COOKIE_NAME}={client.cookies[settings.SESSION_COOKIE_NAME].value}"
        found = admitted(websocket(PATH, cookie), walls.VIEWS)
        assert (found is not None) is permits(name, "", walls.VIEWS), name
        for place in (MINE, OTHER):
            area = world.at("gateway.area", place).slug
            sees = found is not None and (found[1].everywhere or area in found[1].slugs)
            assert sees is permits(name, place, walls.VIEWS), (name, place)
        assert admitted(websocket(PATH, cookie, origin="http://evil.example"), walls.VIEWS) is None
    assert admitted(websocket(PATH, ""), walls.VIEWS) is None


@pytest.mark.parametrize("name", PERSONS)
def test_a_person_comes_in_exactly_where_their_role_says(world: World, name: str) -> None:
    client = Client(raise_request_exception=True)
    client.force_login(world.people[name])
    wrong = list(judged(world, client, name))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", PERSONS)
def test_a_program_comes_in_exactly_where_the_role_of_its_group_says(world: World, name: str) -> None:
    """Its key was made by somebody who may do everything."""
    groups = Group.objects.filter(user=world.people[name])
    wrong = list(judged(world, program(world, groups, world.ada), name, PROGRAMS))
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("name", PERSONS)
def test_a_program_of_every_role_does_no_more_than_whoever_made_its_key(world: World, name: str) -> None:
    groups = Group.objects.filter(name__endswith=" everywhere")
    wrong = list(judged(world, program(world, groups, world.people[name]), name, PROGRAMS))
    assert not wrong, "\n".join(wrong)


def test_a_programs_key_opens_no_page(world: World) -> None:
    client = program(world, Group.objects.filter(name__endswith=" everywhere"), world.ada)
    wrong = [
        f"{method} {url}: {answer.status_code}"
        for route, needs, place, method, url in asked(world)
        if not needs.public and not route.startswith(PROGRAMS)
        if came_in(answer := ask(client, method, url, needs.body(world, place), route))
    ]
    assert not wrong, "\n".join(wrong)


def program(world: World, groups: Iterable[Group], maker: User) -> Client:
    """The key is made before its program joins the groups: no door is in the way."""
    area = world.at("gateway.area", MINE)
    account = ServiceAccount.objects.create(area=area, name="ward-nightly", owner=world.people["nobody"])
    until = timezone.now() + timedelta(days=1)
    _, secret = api_key_create(name="ward ci", service_account=account, expires_at=until, by=maker)
    account.groups.set(groups)
    return Client(headers={"Authorization": f"Bearer {secret.reveal()}"})


def test_a_stranger_comes_in_nowhere(world: World) -> None:
    client = Client()
    wrong = []
    for route, needs, place, method, url in asked(world):
        if needs.public:
            continue
        answer = ask(client, method, url, needs.body(world, place), route)
        if came_in(answer):
            wrong.append(f"{method} {url}: {answer.status_code}")
    assert not wrong, "\n".join(wrong)


def judged(world: World, client: Client, name: str, only: tuple[str, ...] = ("",)) -> Iterator[str]:
    for route, needs, place, method, url in asked(world):
        if not route.startswith(only) or needs.public or (name.endswith("everywhere") and place == OTHER):
            continue
        if route in ("logout", "admin:logout", "account_end_all"):
            continue  # it would end this test's session
        rule = getattr(needs, method.lower())
        where = "" if needs.anywhere or (needs.lists and method == "GET") else place
        person = "" in only  # a program is asked for some addresses only
        expected = rule(partial(permits, name, where)) and (person or not needs.people)
        answer = ask(client, method, url, needs.body(world, place), route)
        slowed = answer.status_code == 429 and route.startswith("api/")  # says nothing about the wall
        if came_in(answer) is not expected or slowed or answer.status_code in (405, 500):
            told = f"{answer.status_code}, not {'in' if expected else 'out'}"
            yield f"{method} {url} ({place or 'no row'}): {told}"
        if not name.endswith(MINE):
            continue
        if CANARY in shown(answer) and CANARY not in url:
            yield f"{method} {url}: shows the other area"
        if STRAY in shown(answer) and not needs.names:
            yield f"{method} {url}: shows what lies in no area"
        key = str(world.at(needs.row, place).pk) if needs.row else ""
        if key and place in (OTHER, NONE) and not expected and rule(partial(permits, name, MINE)):
            yield from told_apart(client, answer, method, url, needs.body(world, place), route, key)


def told_apart(
    client: Client, answer: Any, method: str, url: str, body: Any, route: str, key: str
) -> Iterator[str]:
    """Whoever may do this here is not told whether there is such a row elsewhere."""
    missing = uuid4() if "-" in key else 10**6
    nothing = ask(client, method, url.replace(key, str(missing)), body, route)
    if nothing.status_code != answer.status_code:
        yield f"{method} {url}: {answer.status_code}, and {nothing.status_code} for what is not there"


def shown(answer: Any) -> str:
    return "" if answer.streaming else answer.content.decode().lower()


def asked(world: World) -> Iterator[tuple[str, Needs, str, str, str]]:
    """(name, needs, place of the row or nothing, method, URL) of everything there is to ask."""
    routes = addresses()
    for name, needs in table().items():
        label = needs.row or needs.about
        for place in world.places(label) if label else [""]:
            url = address(world, name, routes[name], needs, place) + needs.query(world, place)
            for method in METHODS:
                if getattr(needs, method) is not None:
                    yield name, needs, place, method.upper(), url


def address(world: World, name: str, route: str, needs: Needs, place: str) -> str:
    key = str(world.at(needs.row, place).pk) if needs.row else ""
    if name.startswith("api/"):
        return "/" + re.sub(r"<[^>]+>", key, route)
    args = dict(needs.args or {})
    taken = set(re.findall(r"<(?:\w+:)?(\w+)>", route)) - set(args)
    return reverse(name, kwargs=args | dict.fromkeys(taken, key))


def ask(client: Client, method: str, url: str, body: Any, route: str) -> Any:
    """A POST is taken back, whatever it did."""
    if method == "GET":
        return client.get(url)
    mark = transaction.savepoint()
    try:
        kind = {"content_type": "application/json"} if route.startswith("api/") else {}
        return getattr(client, method.lower())(url, body, **kind)
    finally:
        connection.needs_rollback = False
        transaction.savepoint_rollback(mark)


def came_in(answer: Any) -> bool:
    """Whether the answer is more than a refusal; the admin's own for what does not exist is a redirect."""
    if answer.status_code in (401, 403, 404):
        return False
    target = answer.headers.get("Location", "")
    return not (target == "/admin/" or target.startswith(("/login/", "/admin/login/")))


def permits(name: str, place: str, perm: str) -> bool:
    """What the matrix says. Written anew here: the code under test is not asked."""
    role, _, where = name.partition(" ")
    if not where or perm not in role_permissions(role):
        return False
    if where == "everywhere":
        return True
    return in_areas(perm) and place in ("", MINE)


def in_areas(perm: str) -> bool:
    """Whether rows of this permission's model lie in areas at all."""
    if perm in ("gateway.add_area", "gateway.delete_area"):
        return False
    if perm == "audit.trace_fingerprint":
        return True  # fingerprints lie in no area, but lead to calls that do
    app, _, codename = perm.partition(".")
    models = {
        f"{codename.partition('_')[0]}_{m._meta.model_name}": m for m in apps.get_app_config(app).get_models()
    }
    model = models.get(codename)
    if model is None:
        return True  # publish, confirm, history: acts of their own
    label = model._meta.label_lower
    return label in WAYS or label in RECORDS


def test_a_row_of_no_area_is_there_to_be_asked_about(world: World) -> None:
    assert {place for label in ("gateway.lock", "gateway.apikey") for place in world.places(label)} == {
        MINE,
        OTHER,
        NONE,
    }
