"""A command line is let in by a person: the device flow of RFC 8628, answer by answer."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.test import Client
from django.utils import timezone

from audit.models import Entry
from gateway.console import device
from gateway.identity import devices, keys
from gateway.identity.keys import digest
from gateway.models import ApiKey, DeviceGrant, DeviceState, KeyKind, User
from tests.gateway import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    cache.clear()
    return world.person("alice", group="support")


@pytest.fixture
def browser(alice: User) -> Client:
    client = Client()
    client.force_login(alice)
    return client


def post(path: str, **form: str) -> tuple[int, dict[str, Any]]:
    """As the program: a form, no session, no CSRF token."""
    response = Client(enforce_csrf_checks=True).post(path, form)
    assert "no-store" in response["Cache-Control"]
    return response.status_code, response.json()


def begin(client: str = "acme-cli") -> dict[str, Any]:
    status, said = post("/device/authorize", client_id=client)
    assert status == 200, said
    return said


def poll(device_code: str, client: str = "acme-cli") -> tuple[int, dict[str, Any]]:
    form = {"grant_type": device.GRANT, "device_code": device_code, "client_id": client}
    return post("/device/token", **form)


def rest() -> None:
    """Five seconds go by."""
    DeviceGrant.objects.update(asked_at=None)


def decide(browser: Client, code: str, decision: str) -> Any:
    return browser.post("/device/decide/", {"code": code, "decision": decision}, follow=True)


def events() -> list[str]:
    found = [
        json.loads(bytes(each.meta))["event"] for each in Entry.objects.filter(kind="event").order_by("id")
    ]
    return [name for name in found if name.startswith("device.")]


def test_a_person_lets_a_program_in_and_it_gets_one_personal_key(alice: User, browser: Client) -> None:
    said = begin()
    assert (said["expires_in"], said["interval"]) == (600, 5)
    assert said["verification_uri"].endswith("/device/") and "verification_uri_complete" not in said
    assert poll(said["device_code"]) == (400, {"error": "authorization_pending"})
    shown = browser.post("/device/", {"code": said["user_code"].lower().replace("-", " ")})
    assert b"acme-cli" in shown.content and b"127.0.0.1" in shown.content
    done = decide(browser, said["user_code"], "approve")
    assert b"Let in: acme-cli" in done.content
    rest()
    status, token = poll(said["device_code"])
    assert (status, token["token_type"]) == (200, "Bearer")
    key = ApiKey.objects.get(digest=digest(token["access_token"]))
    assert (key.user, key.kind, key.name) == (alice, KeyKind.PERSONAL, "acme-cli")
    assert 11 * 3600 < token["expires_in"] <= 12 * 3600
    rest()
    assert poll(said["device_code"])[1]["error"] == "invalid_grant"
    assert ApiKey.objects.count() == 1
    assert events() == ["device.approved", "device.used"]


def test_codes_are_kept_as_digests_only() -> None:
    said = begin()
    row = DeviceGrant.objects.get()
    code = devices.normalised(said["user_code"])
    assert len(code) == devices.LENGTH and set(code) <= set(devices.LETTERS)
    stored = str(vars(row)) + str(bytes(row.user_code)) + str(bytes(row.device_code))
    assert code not in stored and said["device_code"] not in stored


def test_a_person_turns_a_program_away(browser: Client) -> None:
    said = begin()
    assert b"Turned away" in decide(browser, said["user_code"], "deny").content
    assert poll(said["device_code"]) == (400, {"error": "access_denied"})
    assert b"No program waits" in decide(browser, said["user_code"], "approve").content
    assert events() == ["device.denied"]


def test_polling_too_fast_is_told() -> None:
    said = begin()
    assert poll(said["device_code"])[1]["error"] == "authorization_pending"
    assert poll(said["device_code"])[1]["error"] == "slow_down"
    DeviceGrant.objects.update(asked_at=timezone.now() - timedelta(seconds=4.5))
    assert poll(said["device_code"])[1]["error"] == "authorization_pending"


def test_a_code_runs_out(browser: Client) -> None:
    said = begin()
    decide(browser, said["user_code"], "approve")
    DeviceGrant.objects.update(expires_at=timezone.now())
    assert poll(said["device_code"])[1]["error"] == "expired_token"
    again = begin()
    DeviceGrant.objects.update(expires_at=timezone.now())
    assert decide(browser, again["user_code"], "approve").status_code == 422
    assert ApiKey.objects.count() == 0


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({}, "unsupported_grant_type"),
        ({"grant_type": "client_credentials"}, "unsupported_grant_type"),
        ({"grant_type": device.GRANT}, "invalid_request"),
        ({"grant_type": device.GRANT, "device_code": "x"}, "invalid_request"),
        ({"grant_type": device.GRANT, "device_code": "x", "client_id": "acme-cli"}, "invalid_grant"),
        ({"grant_type": device.GRANT, "device_code": "\udcff", "client_id": "acme-cli"}, "invalid_grant"),
    ],
)
def test_errors_are_those_of_the_rfc(form: dict[str, str], error: str) -> None:
    form = {name: value.encode("utf-8", "replace").decode() for name, value in form.items()}
    status, said = post("/device/token", **form)
    assert (status, said["error"]) == (400, error)


def test_another_program_does_not_get_the_key(browser: Client) -> None:
    said = begin()
    decide(browser, said["user_code"], "approve")
    assert poll(said["device_code"], client="other")[1]["error"] == "invalid_grant"


@pytest.mark.parametrize("client", ["", " ", "x" * 101, "evil\u202ecli", "pst_abcdefgh_"])
def test_a_program_says_what_it_is(client: str) -> None:
    assert post("/device/authorize", client_id=client)[1]["error"] == "invalid_request"


def test_a_flood_of_requests_is_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "WAITING_THERE", 2)
    begin()
    begin()
    status, said = post("/device/authorize", client_id="acme-cli")
    assert (status, said["error"]) == (429, "temporarily_unavailable")
    long_ago = timezone.now() - timedelta(hours=1)
    DeviceGrant.objects.update(expires_at=long_ago)
    begin()
    assert DeviceGrant.objects.count() == 1  # what ran out is gone


def test_one_ipv6_network_does_not_fill_the_queue_of_everybody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices, "WAITING_THERE", 2)
    for each in (1, 2):
        devices.device_begin(client="cli", address=f"2001:db8::{each}")
    with pytest.raises(devices.DeviceError):
        devices.device_begin(client="cli", address="2001:db8::3")
    devices.device_begin(client="cli", address="2001:db8:0:1::3")


def test_guessing_codes_ends_soon(browser: Client) -> None:
    said = begin()
    for _ in range(device.TRIES):
        assert b"No program waits" in browser.post("/device/", {"code": "BBBB-BBBB"}).content
    for path in ("/device/", "/device/decide/"):
        answer = browser.post(path, {"code": said["user_code"], "decision": "approve"})
        assert (answer.status_code, b"Too many codes" in answer.content) == (422, True)
    assert DeviceGrant.objects.get().state == DeviceState.PENDING


def test_whoever_is_deactivated_after_approving_lets_nobody_in(alice: User, browser: Client) -> None:
    said = begin()
    decide(browser, said["user_code"], "approve")
    User.objects.update(is_active=False)
    assert poll(said["device_code"])[1]["error"] == "access_denied"
    assert ApiKey.objects.count() == 0


def test_whoever_signs_out_everywhere_after_approving_lets_nobody_in(alice: User, browser: Client) -> None:
    asked = begin()
    decide(browser, asked["user_code"], "approve")
    browser.post("/account/sign-ins/end/")
    assert poll(asked["device_code"]) == (400, {"error": "access_denied"})
    assert not ApiKey.objects.exists()


def test_too_many_keys_leave_the_approval_unused(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    said = begin()
    decide(browser, said["user_code"], "approve")
    with monkeypatch.context() as full:
        full.setattr(keys, "MOST", 0)
        assert poll(said["device_code"])[1]["error"] == "access_denied"
    rest()
    assert poll(said["device_code"])[0] == 200


def test_two_polls_at_once_get_one_key(alice: User, browser: Client) -> None:
    """The second read the row before the first one's update: its own update finds nothing to move."""
    said = begin()
    decide(browser, said["user_code"], "approve")
    seen = DeviceGrant.objects.select_related("user").get()
    devices._key(seen, timezone.now())
    with pytest.raises(devices.DeviceError, match="invalid_grant"):
        devices._key(seen, timezone.now())
    first = DeviceGrant.objects.get()
    devices._pace(first, timezone.now())
    with pytest.raises(devices.DeviceError, match="slow_down"):
        devices._pace(first, timezone.now())
    assert ApiKey.objects.count() == 1


def test_two_people_at_once_decide_once(alice: User) -> None:
    begin()
    grant = DeviceGrant.objects.get()
    assert devices.device_decide(grant=grant, by=alice, approve=True)
    assert not devices.device_decide(grant=grant, by=world.person("bob"), approve=False)
    assert DeviceGrant.objects.get().user == alice


def test_the_page_wants_somebody_who_is_signed_in_and_changes_nothing_on_a_get(browser: Client) -> None:
    said = begin()
    assert Client().get("/device/")["Location"].startswith("/login/")
    assert Client().post("/device/decide/", {"code": said["user_code"]}).status_code == 302
    assert browser.get(f"/device/?code={said['user_code']}").status_code == 200
    assert browser.get("/device/decide/").status_code == 405
    assert Client().get("/device/token").status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get())
    form = {"code": said["user_code"], "decision": "approve"}
    assert strict.post("/device/decide/", form).status_code == 403
    assert DeviceGrant.objects.get().state == DeviceState.PENDING
