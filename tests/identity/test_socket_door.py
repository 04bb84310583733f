"""Who may open a WebSocket: the session's person, from our own pages, as long as the sign-in counts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from approvals.consumers import PATH
from gateway.identity.authz import role_grant
from gateway.identity.sessions import sign_in_end
from gateway.identity.socket_door import SocketRight, admitted
from gateway.models import Lock, RoleGrant, SignIn, User
from tests.gateway import world as house
from tests.shell.asgi import websocket

pytestmark = pytest.mark.django_db

VIEWS = "approvals.view_approval"


@pytest.fixture
def rita(db: None) -> User:
    person = house.person("rita", group="reviewers")
    role_grant(group=person.groups.get(), role="reviewer", by=None)
    return person


def cookie(person: User) -> str:
    client = Client()
    client.force_login(person)
    name = django_settings.SESSION_COOKIE_NAME
    return f"{name}={client.cookies[name].value}"


@pytest.mark.parametrize(
    ("origin", "comes_in"),
    [
        ("http://localhost", True),
        ("https://console.example.com", True),
        ("https://a.pages.example.com", True),
        ("http://a.pages.example.com", False),
        ("https://pages.example.com.evil.example", False),
        ("https://localhost", False),
        ("http://localhost:8000", False),
        ("http://localhost.evil.example", False),
        ("null", False),
        ("", False),
    ],
)
def test_it_opens_from_our_own_pages(rita: User, settings: Any, origin: str, comes_in: bool) -> None:
    settings.CSRF_TRUSTED_ORIGINS = ["https://console.example.com", "https://*.pages.example.com"]
    assert (admitted(websocket(PATH, cookie(rita), origin=origin), VIEWS) is not None) is comes_in


def test_a_host_that_is_not_ours_is_nobodys(rita: User) -> None:
    scope = websocket(PATH, cookie(rita), origin="http://evil.example")
    scope["headers"] = [
        (b"host", b"evil.example") if name == b"host" else (name, value) for name, value in scope["headers"]
    ]
    assert admitted(scope, VIEWS) is None


def right_of(person: User) -> SocketRight:
    found = admitted(websocket(PATH, cookie(person)), VIEWS)
    assert found is not None
    return found[0]


def ends_sign_in(person: User) -> None:
    sign_in_end(sign_in=SignIn.objects.get(), because="logout", by=person)


def loses_role(person: User) -> None:
    RoleGrant.objects.all().delete()


def leaves_group(person: User) -> None:
    person.groups.clear()


def is_made_inactive(person: User) -> None:
    User.objects.update(is_active=False)


def is_locked(person: User) -> None:
    Lock.objects.create(user=person, reason="left")


def gets_another_password(person: User) -> None:
    person.set_password("something else entirely")
    person.save()


def runs_out(person: User) -> None:
    SignIn.objects.update(expires_at=timezone.now() - timedelta(seconds=1))


def loses_session(person: User) -> None:
    Session.objects.all().delete()


@pytest.mark.parametrize(
    "happens",
    [
        ends_sign_in,
        loses_role,
        leaves_group,
        is_made_inactive,
        is_locked,
        gets_another_password,
        runs_out,
        loses_session,
    ],
)
def test_the_right_ends_with_what_it_rests_on(rita: User, happens: Any) -> None:
    right = right_of(rita)
    assert right.reach() is not None
    happens(rita)
    assert right.reach() is None


def test_a_session_that_was_left_alone_is_over(rita: User, settings: Any) -> None:
    right = right_of(rita)
    settings.SESSION_IDLE_SECONDS = 60
    row = Session.objects.get()
    store = row.get_session_store_class()(row.session_key)
    store["seen"] = 1
    store.save()
    assert right.reach() is None


def test_a_session_of_another_person_is_another_right(rita: User) -> None:
    right = right_of(rita)
    assert SocketRight(right.session_key, house.person("ravi").pk, VIEWS).reach() is None
    assert SocketRight("x" * 32, rita.pk, VIEWS).reach() is None
