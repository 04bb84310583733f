"""Signing in with a password: where it is allowed, how often it may be tried, and proving it once more."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import orjson
import pytest
from django.test import Client
from django.utils import timezone

from audit.models import Entry
from gateway.api import urls
from gateway.identity import failures, step_up
from gateway.identity import tries as tries_module
from gateway.identity.tries import PER_ACCOUNT, PER_NETWORK, PER_PAIR, WINDOW, Tries, around
from gateway.models import Issuer, SignIn, SignInMethod, User
from tests.gateway import world

PASSWORD = "a long password of alice"


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(failures, "_noted", failures._Noted())
    tries_module.tries._failed.clear()
    yield
    tries_module.tries._failed.clear()


@pytest.fixture
def alice(db: None) -> User:
    return world.person("alice", password=PASSWORD)


def enter(client: Client, name: str, password: str, network: str = "192.0.2.1") -> Any:
    return client.post("/login/", {"username": name, "password": password}, REMOTE_ADDR=network)


def events(name: str) -> list[dict[str, Any]]:
    rows = [orjson.loads(bytes(row.meta)) for row in Entry.objects.filter(kind="event").order_by("id")]
    return [row for row in rows if row["event"] == name]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_tries_are_counted_per_account_and_network_per_account_and_per_network() -> None:
    clock = Clock()
    tries = Tries(clock)
    for _ in range(PER_PAIR):
        assert tries.wait("alice", "a") == 0
        tries.failed("ALICE", "a")
    assert tries.wait("alice", "a") == int(WINDOW) + 1
    assert tries.wait("alice", "b") == tries.wait("bob", "a") == 0
    clock.now += WINDOW
    assert tries.wait("alice", "a") == 0
    for each in range(PER_ACCOUNT):
        tries.failed("alice", f"net {each}")
    assert tries.wait("alice", "c") > 0 and tries.wait("bob", "c") == 0
    for each in range(PER_NETWORK):
        tries.failed(f"user {each}", "office")
    assert tries.wait("dave", "office") > 0


def test_many_at_once_are_no_more_tries_than_one_by_one() -> None:
    """Nobody knows yet that they are wrong: looking at a password takes a while."""
    tries = Tries(Clock())
    told = [tries.begin("alice", "a") for _ in range(50)]
    assert told.count(0) == PER_PAIR
    tries.passed("alice", "a")
    assert tries.begin("alice", "a") == 0


def test_coming_in_costs_no_try_of_the_account_or_the_network() -> None:
    tries = Tries(Clock())
    for _ in range(PER_NETWORK + 1):
        assert tries.begin("alice", "office") == 0
        tries.passed("alice", "office")


def test_another_address_of_the_same_ipv6_network_is_no_new_beginning() -> None:
    tries = Tries(Clock())
    for each in range(PER_PAIR):
        tries.failed("alice", f"2001:db8:0:1::{each:x}")
    assert tries.wait("alice", "2001:db8:0:1:ffff::9") > 0
    assert tries.wait("alice", "2001:db8:0:2::1") == tries.wait("bob", "2001:db8:0:1::1") == 0
    tries.passed("alice", "2001:db8:0:1::77")
    assert tries.wait("alice", "2001:db8:0:1:ffff::9") == 0
    assert around("::ffff:192.0.2.1") == around("192.0.2.1") == "192.0.2.1" and around("") == ""


def test_what_was_typed_is_not_kept_and_what_is_kept_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tries_module, "HELD", 100)
    tries = Tries()
    for each in range(300):
        tries.failed(f"hunter{each}", f"net {each}")
    assert len(tries._failed) == 100
    assert "hunter" not in repr(tries._failed)


def test_after_a_few_wrong_passwords_the_right_one_waits_too(alice: User) -> None:
    client = Client()
    pages = [enter(client, "alice", "wrong").content.decode() for _ in range(PER_PAIR)]
    assert all("Too many tries" not in page for page in pages)
    assert "Too many tries" in enter(client, "alice", PASSWORD).content.decode()
    assert enter(Client(), "alice", PASSWORD, network="192.0.2.2").status_code == 302


def test_being_told_to_wait_says_nothing_about_an_account(alice: User) -> None:
    seen = {}
    for name in ("alice", "nobody"):
        answers = [enter(Client(), name, "wrong").content.decode() for _ in range(PER_PAIR + 1)]
        seen[name] = ["Too many tries" in answer for answer in answers]
        assert answers[0].count("note-error") == 1
    assert seen["alice"] == seen["nobody"] == [False] * PER_PAIR + [True]


def test_a_failure_is_on_record_without_what_was_typed(alice: User, caplog: pytest.LogCaptureFixture) -> None:
    enter(Client(), "alice", "wrong-secret")
    enter(Client(), "typed-secret", "x")
    first, second = events("signin.failed")
    assert first["about"] == f"gateway.user {alice.pk}" and second["about"] == ""
    assert first["by"]["network"] == "192.0.2.1"
    assert "secret" not in str(events("signin.failed")) + caplog.text


def test_coming_in_forgives_earlier_mistakes(alice: User) -> None:
    for _ in range(3):
        for _ in range(PER_PAIR - 1):
            enter(Client(), "alice", "wrong")
        assert enter(Client(), "alice", PASSWORD).status_code == 302


def test_an_unknown_name_takes_as_long_as_a_wrong_password(alice: User, settings: Any) -> None:
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.ScryptPasswordHasher"]
    alice.set_password(PASSWORD)
    alice.save()
    took = {}
    for name in ("alice", "nobody"):
        begun = time.perf_counter()
        for _ in range(4):
            enter(Client(), name, "wrong")
        took[name] = time.perf_counter() - begun
    assert 0.4 < took["alice"] / took["nobody"] < 2.5


def test_where_passwords_are_not_allowed_the_right_one_does_not_help(alice: User, settings: Any) -> None:
    settings.LOCAL_SIGN_IN = False
    answer = enter(Client(), "alice", PASSWORD)
    page = answer.content.decode()
    assert answer.status_code == 200 and 'name="password"' not in page
    assert "No way to sign in is set up" in page
    assert not SignIn.objects.exists()


def test_an_inactive_person_reads_what_a_wrong_password_gives(alice: User) -> None:
    User.objects.update(is_active=False)
    assert "correct username and password" in enter(Client(), "alice", PASSWORD).content.decode()


def test_guessing_the_old_password_is_limited_as_at_the_door(alice: User) -> None:
    client = Client()
    enter(client, "alice", PASSWORD)
    form = {"new_password1": "another long password", "new_password2": "another long password"}
    for _ in range(PER_PAIR):
        client.post("/account/password/", form | {"old_password": "wrong"})
    answer = client.post("/account/password/", form | {"old_password": PASSWORD})
    assert "Too many tries" in answer.content.decode()
    assert len(events("signin.failed")) == PER_PAIR + 1


def test_the_admin_changes_no_password_past_that(db: None) -> None:
    ada = world.admin()
    ada.set_password(PASSWORD)
    ada.save()
    client = Client()
    enter(client, "ada", PASSWORD)
    form = {"new_password1": "another long password", "new_password2": "another long password"}
    answer = client.post("/admin/password_change/", form | {"old_password": PASSWORD})
    assert (answer.status_code, answer["location"]) == (302, "/account/password/")
    ada.refresh_from_db()
    assert ada.check_password(PASSWORD)


# --- step-up -----------------------------------------------------------------------------------------


@pytest.fixture
def publisher(db: None, settings: Any) -> Client:
    settings.STEP_UP_SECONDS = 900
    ada = world.admin()
    ada.set_password(PASSWORD)
    ada.save()
    client = Client()
    assert enter(client, "ada", PASSWORD).status_code == 302
    return client


def publish(client: Client) -> Any:
    draft = world.draft_schema(f"acme{time.time_ns()}")
    url = f"/admin/policies/schemaversion/{draft.pk}/publish/"
    form = f"http://testserver/admin/policies/schemaversion/{draft.pk}/change/"
    answer = client.post(url, headers={"referer": form})
    draft.refresh_from_db()
    return answer, draft.is_draft, form.removeprefix("http://testserver")


def stale() -> None:
    SignIn.objects.update(authenticated_at=timezone.now() - timedelta(minutes=20))


def test_publishing_goes_on_while_the_proof_is_fresh(publisher: Client) -> None:
    assert publish(publisher)[1] is False


def test_publishing_without_a_fresh_proof_does_nothing_and_asks_for_it(publisher: Client) -> None:
    stale()
    answer, still_draft, form = publish(publisher)
    assert still_draft and answer["location"].startswith("/step-up/?next=")
    page = publisher.get(answer["location"]).content.decode()
    assert "Nothing was done or saved yet" in page and 'name="password"' in page
    assert (
        "not your password"
        in publisher.post("/step-up/", {"password": "wrong", "next": form}).content.decode()
    )
    before = SignIn.objects.get().session_key
    back = publisher.post("/step-up/", {"password": PASSWORD, "next": form})
    assert back["location"] == form
    assert SignIn.objects.get().session_key != before and len(events("signin.renewed")) == 1
    assert publish(publisher)[1] is False


def test_guessing_there_is_limited_too(publisher: Client) -> None:
    for _ in range(PER_PAIR):
        publisher.post("/step-up/", {"password": "wrong"})
    assert "Too many tries" in publisher.post("/step-up/", {"password": PASSWORD}).content.decode()


def test_nobody_is_sent_elsewhere_from_there(publisher: Client) -> None:
    answer = publisher.post("/step-up/", {"password": PASSWORD, "next": "https://evil.example/"})
    assert answer["location"] == "/"
    stale()
    draft = world.draft_schema()
    url = f"/admin/policies/schemaversion/{draft.pk}/publish/"
    assert (
        publisher.post(url, headers={"referer": "https://evil.example/x"})["location"] == "/step-up/?next=%2F"
    )


def test_a_browser_cannot_publish_past_it_through_the_api(publisher: Client) -> None:
    stale()
    draft = world.draft_schema()
    answer = publisher.post(
        f"/api/v1/schema-versions/{draft.pk}/publish", "{}", content_type="application/json"
    )
    assert answer.status_code == 403 and answer.json()["title"] == "Fresh sign-in needed"


def test_no_other_door_leads_past_it_to_issuers_roles_and_people(publisher: Client) -> None:
    """What an administrator does there makes somebody who they like, or lets one person do what takes two."""
    stale()
    made = Issuer.objects.create(name="Okta", issuer="https://okta.example.com")
    one, more = f"/api/v1/issuers/{made.pk}", {"content_type": "application/json"}
    answers = [
        publisher.post("/api/v1/issuers", "{}", **more),
        publisher.patch(one, '{"enabled": false}', **more),
        publisher.delete(one),
        publisher.patch("/api/v1/deployment", '{"key_max_days": 1}', **more),
    ]
    assert [each.json()["title"] for each in answers] == ["Fresh sign-in needed"] * 4
    bob = world.person("bob")
    for page in (
        f"user/{bob.pk}/password/",
        f"user/{bob.pk}/change/",
        "user/add/",
        "rolegrant/",
        "directorytoken/add/",
        "directorygroup/add/",
    ):
        answer = publisher.post(f"/admin/gateway/{page}", {"password1": PASSWORD, "password2": PASSWORD})
        assert answer["location"].startswith("/step-up/"), page
    bob.refresh_from_db()
    assert not bob.check_password(PASSWORD) and Issuer.objects.get().enabled


def test_without_the_setting_nobody_is_asked(publisher: Client, settings: Any) -> None:
    settings.STEP_UP_SECONDS = 0
    stale()
    assert publish(publisher)[1] is False


def test_every_act_has_an_address(publisher: Client) -> None:
    """A name that nothing answers to protects nothing."""
    from django.urls import NoReverseMatch, reverse

    routes = {f"/api/v1/{each.pattern}" for each in urls.urlpatterns}
    missing = []
    for name in (each for act in step_up.ACTS.values() for each in act):
        if name.startswith("/"):
            missing += [name] if name not in routes else []
            continue
        for args in ((), ("x",), ("00000000-0000-0000-0000-000000000000",)):
            try:
                reverse(name, args=args)
                break
            except NoReverseMatch:
                continue
        else:
            missing.append(name)
    assert routes and not missing


@pytest.mark.parametrize(
    ("at", "acr", "enough"),
    [
        (0, "mfa", True),
        (899, "mfa", True),
        (931, "mfa", False),
        (0, "pwd", False),
        (0, "", False),
        (None, "mfa", False),
    ],
)
def test_what_a_provider_says_of_its_proof(settings: Any, at: float | None, acr: str, enough: bool) -> None:
    settings.STEP_UP_SECONDS, settings.STEP_UP_ACR = 900, "mfa"
    now = time.time()
    assert step_up.proves(None if at is None else now - at, acr, now) is enough
    if at is not None:
        row = SignIn(
            method=SignInMethod.OIDC, acr=acr, authenticated_at=timezone.now() - timedelta(seconds=at)
        )
        assert step_up.is_fresh(row, now) is enough
