"""Asking a model's service by hand: what is told, to whom, and what never is."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.contrib.messages import get_messages
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit.models import Entry
from gateway.console.needs import needs_of, recorder_state
from gateway.credentials.secret import Secret
from gateway.credentials.services import credential_set
from gateway.identity.authz import role_grant
from gateway.identity.keys import api_key_create
from gateway.models import Endpoint, EndpointHealth, HealthState, ServiceAccount, User
from gateway.upstreams.connecting import Aim, aim_at, ask
from gateway.upstreams.health import settle
from gateway.upstreams.saying import WORDS, words_for
from tests.gateway import world

from .tls import DAY, NOW, Authority, Service, serving

pytestmark = pytest.mark.django_db
SECRET = "sk-upstream-5d0c88e1"
ANSWER = b'{"data": ["a model called turquoise"]}'


@pytest.fixture
def service() -> Iterator[Service]:
    with serving() as running:
        running.body = ANSWER
        yield running


def endpoint(origin: str, **more: Any) -> Endpoint:
    credential = world.credential(origin=origin)
    credential_set(credential=credential, secret=Secret(SECRET), by=None)
    return world.endpoint(origin=origin, allow_private=True, credential=credential, **more)


def aim(origin: str, **more: Any) -> Aim:
    said: dict[str, Any] = {"path": "/", "allow_private": True, "authorities": "", "expected": 0}
    return Aim(origin=origin, headers={}, seconds=2.0, **{**said, **more})


# --- what is found ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "expected", "code"),
    [
        (200, 0, ""),
        (404, 0, ""),  # it is there and lets us in
        (200, 200, ""),
        (404, 200, "status"),
        (401, 0, "credential_refused"),
        (403, 200, "credential_refused"),
        (401, 401, ""),  # whoever expects it
        (302, 0, "redirect"),
        (500, 0, "server_error"),
        (503, 200, "server_error"),
    ],
)
def test_what_a_status_means(service: Service, status: int, expected: int, code: str) -> None:
    service.status = status
    heard = ask(aim(service.origin, expected=expected))
    assert (heard.error, heard.status) == (code, status)


def test_what_keeps_it_from_answering(service: Service) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf, socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()[1]
        closed.close()
        silent = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        assert ask(Aim(**{**_fields(aim(silent)), "seconds": 0.3})).error == "timeout"
        assert ask(aim(f"http://127.0.0.1:{nobody}")).error == "connect"
    assert ask(aim(service.origin, allow_private=False)).error == "address"
    assert ask(aim("http://nowhere.invalid")).error == "dns"


def _fields(each: Aim) -> dict[str, Any]:
    return {name: getattr(each, name) for name in Aim.__dataclass_fields__}


def test_it_asks_with_the_endpoints_credential_and_reads_no_body(service: Service) -> None:
    chat = endpoint(service.origin, kind="anthropic", base_path="/api")
    heard = ask(aim_at(chat))
    [(method, path, headers)] = service.asked
    assert (method, path) == ("GET", "/api/v1/models")
    assert headers["authorization"] == f"Bearer {SECRET}" and headers["anthropic-version"]
    assert SECRET not in repr(aim_at(chat)) and "turquoise" not in repr(heard)


def test_a_secret_of_another_origin_is_not_sent(service: Service) -> None:
    """It was moved in the store: the seal does not open there."""
    chat = endpoint("https://models.example.com")
    Endpoint.objects.filter(pk=chat.pk).update(origin=service.origin)
    heard = ask(aim_at(Endpoint.objects.get(pk=chat.pk)))
    assert (heard.error, heard.status) == ("credential", None) and service.asked == []


def test_every_code_has_words_that_name_nothing() -> None:
    assert words_for("no such code") == WORDS["transport"]
    assert all(text.endswith(".") and "{" not in text for text in WORDS.values())


# --- the button -------------------------------------------------------------------------------------


@pytest.fixture
def ann(client: Client) -> Client:
    client.force_login(world.admin("ann"))
    return client


def pressed(client: Client, chat: Endpoint) -> str:
    """What the next page says last."""
    answer = client.post(reverse("admin:gateway_endpoint_connect", args=[chat.pk]))
    assert answer.status_code == 302
    return [str(message) for message in get_messages(answer.wsgi_request)][-1]


def again(chat: Endpoint) -> None:
    EndpointHealth.objects.filter(pk=chat.pk).update(tested_at=timezone.now() - timedelta(minutes=1))


def test_the_button_says_in_words_how_it_went_and_leaves_an_event(ann: Client, service: Service) -> None:
    chat = endpoint(service.origin)
    said = pressed(ann, chat)
    assert said.startswith("It answers. Status 200, ")
    service.status = 401
    again(chat)
    assert pressed(ann, chat).startswith("It refuses the gateway's credential. Status 401")
    metas = [bytes(each.meta) for each in Entry.objects.filter(kind="event")]
    told = [meta for meta in metas if b'"endpoint.tested"' in meta]
    assert len(told) == 2 and b'"credential_refused"' in told[1]
    everything = b"".join(metas) + said.encode()
    assert SECRET.encode() not in everything and b"turquoise" not in everything


def test_it_is_asked_once_in_five_seconds_whoever_asks(ann: Client, service: Service) -> None:
    chat = endpoint(service.origin)
    pressed(ann, chat)
    assert pressed(ann, chat) == "It was tested a moment ago. Wait 5 s."
    assert len(service.asked) == 1


def test_only_who_may_change_an_endpoint_may_test_it(client: Client, service: Service) -> None:
    chat = endpoint(service.origin)
    person = world.person("vera", group="viewers", is_staff=True)
    role_grant(group=Group.objects.get(name="viewers"), role="auditor", by=None)
    client.force_login(person)
    assert client.post(reverse("admin:gateway_endpoint_connect", args=[chat.pk])).status_code == 403
    page = client.get(reverse("admin:gateway_endpoint_change", args=[chat.pk]))
    assert page.status_code == 200 and b"Test connection" not in page.content
    assert service.asked == []


def test_the_page_shows_health_and_authorities(ann: Client) -> None:
    pem = Authority(ends=NOW + 5 * DAY).pem
    chat = endpoint("https://models.example.com", ca_certificates=pem)
    settle()
    EndpointHealth.objects.filter(pk=chat.pk).update(
        state=HealthState.FAILING, probe_error_at=timezone.now(), probe_error="tls_name", probe_failures=2
    )
    page = ann.get(reverse("admin:gateway_endpoint_change", args=[chat.pk])).content.decode()
    assert "Failing" in page and WORDS["tls_name"] in page and "Test connection" in page
    assert "1; the first ends on" in page
    listed = ann.get(reverse("admin:gateway_endpoint_changelist") + "?health__state__exact=failing")
    assert b"models.example.com" in listed.content and b"badge-error" in listed.content


def test_authorities_that_are_none_are_refused_by_the_form(ann: Client) -> None:
    chat = endpoint("https://models.example.com")
    address = reverse("admin:gateway_endpoint_change", args=[chat.pk])
    form = ann.get(address).context["adminform"].form
    said = {name: value for name, value in form.initial.items() if value is not None and name in form.fields}
    answer = ann.post(address, {**said, "enabled": "on", "ca_certificates": "nonsense"})
    assert answer.status_code == 200 and b"Certificates cannot be read" in answer.content


# --- by REST ----------------------------------------------------------------------------------------


def robot(*roles: str) -> str:
    account = ServiceAccount.objects.create(area=world.area(), name="robot", owner=world.admin("ola"))
    group = Group.objects.create(name="robots")
    account.groups.add(group)
    for role in roles:
        role_grant(group=group, role=role, by=None)
    until = timezone.now() + timedelta(days=1)
    maker = User.objects.get(username="ola")
    _, secret = api_key_create(name="k", service_account=account, expires_at=until, by=maker)
    return secret.reveal()


def test_a_program_tests_and_reads_health(client: Client, service: Service) -> None:
    chat, key = endpoint(service.origin), robot("admin")
    headers = {"authorization": f"Bearer {key}"}
    answer = client.post(f"/api/v1/endpoints/{chat.pk}/test", headers=headers)
    assert answer.status_code == 200, answer.content
    found = answer.json()
    assert (found["ok"], found["error"], found["status"]) == (True, "", 200)
    assert SECRET.encode() not in answer.content and b"turquoise" not in answer.content
    soon = client.post(f"/api/v1/endpoints/{chat.pk}/test", headers=headers)
    assert soon.status_code == 429 and int(soon["retry-after"]) >= 5
    health = client.get(f"/api/v1/endpoints/{chat.pk}", headers=headers).json()["health"]
    assert health["state"] == "unknown" and set(health) >= {"last_ok_at", "last_error", "latency_ms"}


# --- the front page ---------------------------------------------------------------------------------


def titles(user: User) -> list[str]:
    now = timezone.now()
    return [need.title for need in needs_of(user, now, None, recorder_state(now))]


def test_the_front_page_tells_of_what_fails_and_of_what_ends() -> None:
    ada = world.admin()
    chat = endpoint("https://models.example.com", ca_certificates=Authority(ends=NOW + 5 * DAY).pem)
    world.endpoint("lasting", ca_certificates=Authority(ends=NOW + 90 * DAY).pem)
    settle()
    assert [title for title in titles(ada) if "uthority" in title] == ["An authority of “chat” ends soon."]
    EndpointHealth.objects.filter(pk=chat.pk).update(state=HealthState.FAILING)
    assert "The model service of “chat” fails." in titles(ada)
    old = Authority(ends=NOW - DAY).pem
    Endpoint.objects.filter(pk=chat.pk).update(ca_certificates=old, enabled=True)
    assert "An authority of “chat” has ended." in titles(ada)
    Endpoint.objects.filter(pk=chat.pk).update(enabled=False)
    assert not [title for title in titles(ada) if "“chat”" in title]
    assert not [title for title in titles(world.person("carol")) if "chat" in title]
