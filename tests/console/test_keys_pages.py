"""`/keys/`: everybody has their own endpoints, keys and code to copy; whoever may revoke answers to leaks."""

from __future__ import annotations

import ast
import json
import re
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.utils import timezone

from audit.models import Entry
from gateway.console.snippets import snippets
from gateway.identity.authz import role_grant
from gateway.identity.keys import api_key_create, api_key_revoke, digest, has_shape
from gateway.identity.personal import personal_key_create
from gateway.models import AccessRule, ApiKey, Area, EndpointKind, KeyKind, ServiceAccount, User
from tests.gateway import world

pytestmark = pytest.mark.django_db
DAY = timedelta(days=1)
NOBODYS = UUID(int=7)


@pytest.fixture
def alice() -> User:
    """alice of support may call `chat` with one model, and the plain service `notes`."""
    alice, policy = world.person("alice", group="support"), world.published_policy()
    support = Group.objects.get(name="support")
    chat = world.endpoint("chat", ceiling=2)
    notes = world.endpoint("notes", kind=EndpointKind.JSON)
    AccessRule.objects.create(group=support, endpoint=chat, policy=policy, allowed_models=["small"])
    AccessRule.objects.create(group=support, endpoint=notes, policy=policy, allowed_paths=["/classify"])
    return alice


def signed_in(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client


def text_of(response: Any) -> str:
    return str(response.content.decode())


def key_in(response: Any) -> str:
    """The one key that the page shows."""
    found = set(re.findall(r"pst_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}", text_of(response)))
    assert len(found) == 1
    assert "no-store" in response["Cache-Control"]
    return found.pop()


def program(owner: User, area: str = "default") -> tuple[ServiceAccount, ApiKey]:
    account = ServiceAccount.objects.create(area=world.area(area), name=f"job-{area}", owner=owner)
    until = timezone.now() + DAY
    return account, api_key_create(name="job", service_account=account, expires_at=until, by=None)[0]


# --- the page -------------------------------------------------------------------------------------------


def test_a_page_shows_what_is_open_and_code_that_fits_it(alice: User) -> None:
    page = text_of(signed_in(alice).get("/keys/"))
    assert "http://testserver/proxy/chat/v1" in page and "http://testserver/proxy/notes" in page
    assert "small" in page and "badge-confidential" in page
    assert "proxy/notes/classify" in page
    assert "No key yet" in page
    assert "pst_" not in page


def test_a_stranger_finds_out_what_to_do() -> None:
    page = text_of(signed_in(world.person("carol")).get("/keys/"))
    assert "No endpoint is open to you" in page and "No key yet" in page
    assert Client().get("/keys/")["Location"].startswith("/login/")


def test_the_front_page_leads_there(alice: User) -> None:
    page = text_of(signed_in(alice).get("/"))
    assert "Create a key" in page and 'href="/keys/"' in page


def test_a_key_is_made_shown_once_and_listed_without_its_secret(alice: User) -> None:
    client = signed_in(alice)
    support = Group.objects.get(name="support")
    form = {
        "name": "nightly",
        "days": "30",
        "groups": [support.pk],
        "endpoints": ["chat"],
        "models": "small, tiny",
        "networks": "10.0.0.0/8",
        "declared_level": "1",
    }
    key = key_in(client.post("/keys/create/", form))
    row = ApiKey.objects.get(digest=digest(key))
    assert (row.user, row.name, row.created_by, row.group_ids) == (alice, "nightly", alice, [support.pk])
    assert (row.allowed_endpoints, row.allowed_models) == (["chat"], ["small", "tiny"])
    assert (row.networks, row.declared_level) == (["10.0.0.0/8"], 1)
    page = text_of(client.get("/keys/"))
    assert key not in page and row.prefix in page and "from 10.0.0.0/8" in page


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"name": ""}, "required"),
        ({"days": "400"}, "not one of the available choices"),
        ({"endpoints": ["elsewhere"]}, "not one of the available choices"),
        ({"groups": ["0"]}, "not one of the available choices"),
        ({"networks": "here"}, "address ranges"),
        ({"name": "pst_abcdefgh_" + "a" * 43}, "looks like a key"),
    ],
)
def test_a_form_that_does_not_fit_makes_no_key(alice: User, wrong: dict[str, Any], words: str) -> None:
    form = {"name": "x", "days": "30", **wrong}
    response = signed_in(alice).post("/keys/create/", form)
    assert response.status_code == 422
    assert words in text_of(response)
    assert ApiKey.objects.count() == 0


def test_a_personal_key_takes_one_click_and_all_end_with_another(alice: User) -> None:
    client = signed_in(alice)
    row = ApiKey.objects.get(digest=digest(key_in(client.post("/keys/personal/"))))
    assert (row.kind, row.user) == (KeyKind.PERSONAL, alice)
    client.post("/keys/personal/")
    assert "End all personal keys" in text_of(client.get("/keys/"))
    client.post("/keys/personal/end/")
    assert ApiKey.objects.filter(revoked_at=None).count() == 0


def test_a_key_is_rotated_and_both_are_told_apart(alice: User) -> None:
    client, (old, _) = signed_in(alice), world.key_of(alice)
    shown = client.post(f"/keys/{old.pk}/rotate/", {"overlap": "24"})
    new = ApiKey.objects.get(digest=digest(key_in(shown)))
    assert new.rotated_from == old and f"{old.prefix}…" in text_of(shown)
    again = client.post(f"/keys/{old.pk}/rotate/", {"overlap": "24"})
    assert (again.status_code, "successor" in text_of(again)) == (422, True)
    assert client.post(f"/keys/{new.pk}/rotate/", {"overlap": "9999"}).status_code == 422


def test_a_key_is_revoked_with_a_reason(alice: User) -> None:
    client, (row, _) = signed_in(alice), world.key_of(alice)
    assert client.post(f"/keys/{row.pk}/revoke/", {"because": "boredom"}).status_code == 422
    client.post(f"/keys/{row.pk}/revoke/", {"because": "misused"})
    row.refresh_from_db()
    assert row.revoked_because == "misused"


def test_keys_of_others_are_out_of_reach(alice: User) -> None:
    row, _ = world.key_of(alice)
    client = signed_in(world.admin())
    for path in (f"/keys/{row.pk}/rotate/", f"/keys/{row.pk}/revoke/", f"/keys/{NOBODYS}/revoke/"):
        assert client.post(path, {"overlap": "24", "because": "misused"}).status_code == 404
    row.refresh_from_db()
    assert row.revoked_at is None
    assert row.prefix not in text_of(client.get("/keys/"))


def test_whoever_answers_for_a_program_may_stop_it_and_mint_nothing(alice: User) -> None:
    account, row = program(alice)
    client = signed_in(alice)
    assert account.name in text_of(client.get("/keys/"))
    assert client.post(f"/keys/{row.pk}/rotate/", {"overlap": "24"}).status_code == 404
    client.post(f"/keys/{row.pk}/revoke/", {"because": "leaked"})
    row.refresh_from_db()
    assert row.revoked_because == "leaked"


@pytest.mark.parametrize(
    "path", ["create/", "personal/", "personal/end/", f"{NOBODYS}/rotate/", "leaked/revoke/"]
)
def test_nothing_changes_by_a_get_or_without_the_token(alice: User, path: str) -> None:
    admin = world.admin()
    assert signed_in(admin).get(f"/keys/{path}").status_code == 405
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(admin)
    assert strict.post(f"/keys/{path}").status_code == 403


def test_the_state_of_each_key_is_a_word(alice: User) -> None:
    rows = [world.key_of(alice)[0] for _ in range(4)]
    now = timezone.now()
    ApiKey.objects.filter(pk=rows[1].pk).update(expires_at=now + DAY)
    ApiKey.objects.filter(pk=rows[2].pk).update(expires_at=now - DAY)
    api_key_revoke(key=rows[3], by=alice)
    personal_key_create(user=alice, by=alice)
    ApiKey.objects.filter(pk=rows[0].pk).update(last_used_at=now, last_used_from="192.0.2.77")
    page = text_of(signed_in(alice).get("/keys/"))
    for words in (">Active<", ">Expires soon<", ">Expired<", ">Revoked<", "192.0.2.77", "never"):
        assert words in page
    assert page.count(">Rotate<") == 2  # what ended and what lives for hours is not rotated


# --- leaks ----------------------------------------------------------------------------------------------


def events(name: str) -> list[dict[str, Any]]:
    rows = [json.loads(bytes(entry.meta)) for entry in Entry.objects.filter(kind="event").order_by("id")]
    return [row["detail"] for row in rows if row["event"] == name]


def test_a_pasted_text_finds_keys_and_one_more_post_ends_them(alice: User, caplog: Any) -> None:
    client = signed_in(world.admin())
    (whole, secret), (bare, _) = world.key_of(alice), world.key_of(alice)
    text = f"password: hunter2 {secret.reveal()} and {bare.prefix}"
    page = text_of(client.post("/keys/leaked/", {"text": text}))
    assert "hunter2" not in page and secret.reveal() not in page
    assert re.search(f'value="{whole.pk}"[^>]* checked', page)
    assert not re.search(f'value="{bare.pk}"[^>]* checked', page) and str(bare.pk) in page
    assert "With its secret" in page and "Only its prefix" in page and "alice" in page
    assert {each["prefix"] for each in events("api_key.leak_looked_up")} == {whole.prefix, bare.prefix}
    assert ApiKey.objects.filter(revoked_at=None).count() == 2  # looking changes nothing
    client.post("/keys/leaked/revoke/", {"key": [whole.pk, bare.pk]})
    assert set(ApiKey.objects.values_list("revoked_because", flat=True)) == {"leaked"}
    assert len(events("api_key.revoked")) == 2
    recorded = b"".join(bytes(each.meta) for each in Entry.objects.all())
    assert b"hunter2" not in recorded and secret.reveal().encode() not in recorded
    assert "hunter2" not in caplog.text


def test_a_text_without_keys_says_so(alice: User) -> None:
    page = text_of(signed_in(world.admin()).post("/keys/leaked/", {"text": "nothing here"}))
    assert "No key of ours" in page


def test_too_long_a_text_is_refused_in_words() -> None:
    response = signed_in(world.admin()).post("/keys/leaked/", {"text": "x" * (1024 * 1024 + 1)})
    assert response.status_code == 422 and "Paste at most" in text_of(response)


@pytest.mark.parametrize("chosen", [[], ["no-id"], [str(NOBODYS)]])
def test_choosing_no_key_revokes_none(alice: User, chosen: list[str]) -> None:
    world.key_of(alice)
    page = signed_in(world.admin()).post("/keys/leaked/revoke/", {"key": chosen}, follow=True)
    assert "No key was chosen" in text_of(page)
    assert ApiKey.objects.filter(revoked_at=None).count() == 1


def test_an_administrator_of_one_area_answers_for_its_programs_only(alice: User) -> None:
    here, there = program(alice, "clinic")[1], program(alice, "bank")[1]
    mine, _ = world.key_of(alice)
    bob = world.person("bob", group="clinic admins")
    role_grant(group=bob.groups.get(), role="admin", area=Area.objects.get(slug="clinic"), by=None)
    client = signed_in(bob)
    page = text_of(client.post("/keys/leaked/", {"text": f"{here.prefix} {there.prefix} {mine.prefix}"}))
    assert here.prefix in page and there.prefix not in page and mine.prefix not in page
    client.post("/keys/leaked/revoke/", {"key": [here.pk, there.pk, mine.pk]})
    assert list(ApiKey.objects.filter(revoked_because="leaked")) == [here]


def test_nobody_else_may_look_keys_up(alice: User) -> None:
    client = signed_in(alice)
    assert client.get("/keys/leaked/").status_code == 403
    assert client.post("/keys/leaked/", {"text": "x"}).status_code == 403
    assert client.post("/keys/leaked/revoke/", {"key": []}).status_code == 403
    assert "A key has leaked" not in text_of(client.get("/keys/"))


# --- code to copy ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["", "small", 'it\'s "odd" \\ ünïcode'])
def test_snippets_are_code_that_reads_the_key_from_the_environment(model: str) -> None:
    for kind in EndpointKind.values:
        for snippet in snippets(kind=kind, base_url="https://h.example/proxy/chat/v1", model=model):
            assert snippet.text or snippet.note
            assert "POSTERN_KEY" in snippet.text or not snippet.text
            if snippet.text and snippet.name != "curl":
                ast.parse(snippet.text)


def test_no_snippet_is_offered_for_an_api_that_is_not_spoken() -> None:
    chat = {each.name: each for each in snippets(kind=EndpointKind.OPENAI, base_url="https://h/v1")}
    assert set(chat) == {"curl", "python-requests", "openai", "anthropic", "ollama", "langchain"}
    assert [name for name, each in chat.items() if not each.text] == ["anthropic", "ollama"]
    plain = snippets(kind=EndpointKind.JSON, base_url="https://h")
    assert [each.name for each in plain if each.text] == ["curl", "python-requests"]


def test_a_made_key_looks_like_one(alice: User) -> None:
    assert has_shape(key_in(signed_in(alice).post("/keys/personal/")))
