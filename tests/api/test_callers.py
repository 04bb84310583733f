"""Who is let in: service accounts by key, persons by session; each with exactly what they were given."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.cache import cache
from django.utils import timezone

from audit.models import Entry
from gateway.api.base import ChangeThrottle
from gateway.identity.keys import api_key_revoke
from gateway.models import ApiKey, Lock, ServiceAccount, User
from tests.api import world
from tests.gateway import two
from tests.gateway import world as people

pytestmark = pytest.mark.django_db(transaction=True)
AREAS = "/api/v1/areas"


@pytest.fixture(autouse=True)
def small_world() -> None:
    cache.clear()
    people.area()


@pytest.fixture
def account() -> ServiceAccount:
    return world.program()


def test_nobody_is_told_how_to_come_in() -> None:
    response = world.client().get(AREAS)
    world.problem(response, 401, "not-authenticated")
    assert response["WWW-Authenticate"] == 'Bearer realm="Postern"'


def test_a_service_account_comes_with_either_header(account: ServiceAccount) -> None:
    key = world.key_of(account)[1]
    for client in (world.client(key), world.client(HTTP_X_API_KEY=key)):
        assert client.get(AREAS).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"HTTP_AUTHORIZATION": "Bearer pst_00000000_" + "0" * 43},
        {"HTTP_AUTHORIZATION": "Bearer sk-something"},
        {"HTTP_AUTHORIZATION": "Bearer"},
        {"HTTP_AUTHORIZATION": "Basic YTpi"},
        {"HTTP_AUTHORIZATION": "Bearer \udcff"},
        {"HTTP_X_API_KEY": "hush-hush"},
    ],
)
def test_what_is_no_key_is_not_repeated(headers: dict[str, str]) -> None:
    body = world.problem(world.client(**headers).get(AREAS), 401, "not-authenticated")
    assert "hush" not in str(body) and "sk-" not in str(body)


def test_two_credentials_are_refused(account: ServiceAccount) -> None:
    key = world.key_of(account)[1]
    both = world.client(key, HTTP_X_API_KEY=key)
    world.problem(both.get(AREAS), 401, "not-authenticated")
    person = world.signed_in(people.admin())
    person.credentials(HTTP_AUTHORIZATION=f"Bearer {key}")
    world.problem(person.get(AREAS), 401, "not-authenticated")


def test_a_persons_key_calls_models_only() -> None:
    key = people.key_of(people.admin())[1].reveal()
    body = world.problem(world.client(key).get(AREAS), 403, "not-allowed")
    assert "service account" in body["detail"]


@pytest.mark.parametrize(
    "how", ["revoked", "expired", "inactive", "owner inactive", "locked", "owner locked", "area locked"]
)
def test_what_ends_a_key_ends_it_here_at_once(account: ServiceAccount, how: str) -> None:
    row, key = world.key_of(account)
    client = world.client(key)
    assert client.get(AREAS).status_code == 200
    match how:
        case "revoked":
            api_key_revoke(key=row, by=None)
        case "expired":
            ApiKey.objects.update(expires_at=timezone.now())
        case "inactive":
            ServiceAccount.objects.update(is_active=False)
        case "owner inactive":
            User.objects.update(is_active=False)
        case "locked":
            Lock.objects.create(service_account=account, reason="odd")
        case "owner locked":
            Lock.objects.create(user=account.owner, reason="odd")
        case "area locked":
            Lock.objects.create(area=account.area, reason="odd")
    world.problem(client.get(AREAS), 401, "not-authenticated")


def test_the_owners_rights_are_not_the_programs() -> None:
    account = world.program("reader", roles=("auditor",))
    User.objects.filter(pk=account.owner_id).update(is_superuser=True)
    client = world.client(world.key_of(account)[1])
    assert client.get("/api/v1/endpoints").status_code == 200
    body = world.problem(client.get("/api/v1/policy/export"), 403, "not-allowed")
    assert "gateway.view_credential" in body["detail"]


def test_a_person_comes_by_session_and_changes_with_the_token() -> None:
    person = two.official("edith")
    client = world.signed_in(person)
    assert client.get(AREAS).status_code == 200
    draft = people.draft_schema()
    path = f"/api/v1/schema-versions/{draft.pk}/publish"
    world.problem(client.post(path), 403, "not-allowed")
    client.get("/")
    token = "a" * 32
    client.cookies["csrftoken"] = client.cookies["__Host-csrftoken"] = token
    response = client.post(path, HTTP_X_CSRFTOKEN=token)
    assert response.status_code == 200, response.content
    assert response.json()["published_by"] == "edith"


def test_what_a_program_changes_names_its_key(account: ServiceAccount) -> None:
    row, key = world.key_of(account)
    draft = people.draft_schema()
    response = world.client(key).post(f"/api/v1/schema-versions/{draft.pk}/publish")
    assert response.status_code == 200
    draft.refresh_from_db()
    assert draft.published_by == account.owner
    reasons = set(draft.history.filter(state="published").values_list("history_change_reason", flat=True))
    assert reasons == {f"Through the API by ci, key {row.prefix}…"}
    said = [json.loads(bytes(entry.meta)) for entry in Entry.objects.filter(kind="event")]
    called = next(each["detail"] for each in said if each["event"] == "api.called")
    assert (called["service_account"], called["key"]) == ("ci", row.prefix)
    assert called["about"] == {"pk": str(draft.pk)} and key not in str(said)


def test_too_many_changes_are_told_when_to_come_again(
    account: ServiceAccount, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ChangeThrottle, "rate", "2/min")
    client = world.client(world.key_of(account)[1])
    answers: list[Any] = [client.post("/api/v1/policy/plan") for _ in range(3)]
    world.problem(answers[2], 429, "too-many-requests")
    assert 0 < int(answers[2]["Retry-After"]) <= 61
    assert client.get(AREAS).status_code == 200
