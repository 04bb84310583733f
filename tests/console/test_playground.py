"""The playground's page: who may open it, what it shows, and that nothing of a payload stays behind."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from gateway.console.playing import MAX_BYTES
from gateway.identity.keys import api_key_create
from gateway.models import AccessRule, ApiKey, Endpoint, User
from policies.models import DetectorKind, PolicyVersion
from tests.console import world as trials
from tests.console.world import BADGE, EMAIL, answer, chat
from tests.gateway import world

pytestmark = pytest.mark.django_db

CANARY = "xq7-canary-words"


@pytest.fixture
def eve(client: Client) -> Client:
    client.force_login(trials.editor())
    return client


def fields(version: PolicyVersion | None = None, **more: Any) -> dict[str, Any]:
    chosen = {"version": version.pk} if version else {}
    given = {"payload": chat(f"mail {EMAIL}"), "form": "json", "family": "openai", "direction": "request"}
    return {**given, **chosen, **more}


def tried(client: Client, version: PolicyVersion | None = None, status: int = 200, **more: Any) -> str:
    response = client.post("/playground/", fields(version, **more))
    assert response.status_code == status
    return response.content.decode()


def test_only_who_may_see_policies_comes_in(client: Client) -> None:
    assert client.get("/playground/").headers["Location"].startswith("/login/")
    client.force_login(world.person("carol"))
    assert client.get("/playground/").status_code == 403
    assert client.post("/playground/", fields()).status_code == 403
    client.force_login(trials.holder("dave", "auditor"))
    assert client.get("/playground/").status_code == 200
    assert 'href="/playground/"' in client.get("/playground/").content.decode()


def test_the_empty_page_says_what_to_do(eve: Client) -> None:
    assert "Nothing tried yet" in eve.get("/playground/").content.decode()


def test_a_post_without_the_token_is_refused() -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(trials.editor())
    assert client.post("/playground/", fields()).status_code == 403


def test_it_shows_findings_the_verdict_and_what_would_leave(eve: Client) -> None:
    version, _ = trials.published()
    page = tried(eve, version, payload=chat(f"mail {EMAIL}, badge {BADGE}"))
    assert f'title="EMAIL, confidential, masked: redact">{EMAIL}</mark>' in page
    assert "EMAIL ×1" in page and "BADGE ×1" in page
    assert "mail <mark" in page and "***" in page and "[BADGE]" in page
    assert "badge-masked" in page and "Acme v1" in page


def test_nothing_is_stored_and_nothing_is_logged(eve: Client, caplog: pytest.LogCaptureFixture) -> None:
    version, _ = trials.published()
    draft = trials.draft_of(version)
    before = trials.rows()
    caplog.set_level(logging.DEBUG)
    caplog.set_level(logging.INFO, logger="django.db.backends")
    with CaptureQueriesContext(connection) as queries:
        for payload in (chat(f"{CANARY} {EMAIL}"), f"{CANARY} no json", "{" + CANARY):
            eve.post("/playground/", fields(version, against=draft.pk, payload=payload))
    assert trials.rows() == before
    reads = ("SELECT", "BEGIN", "SAVEPOINT", "RELEASE", "DECLARE", "FETCH", "CLOSE")
    assert [q["sql"] for q in queries if not q["sql"].startswith(reads)] == []
    assert not [q for q in queries if CANARY in q["sql"] or EMAIL in q["sql"]]
    said = [record.getMessage() for record in caplog.records]
    assert not [line for line in said if CANARY in line or EMAIL in line]


def test_no_cache_keeps_the_page(eve: Client) -> None:
    version, _ = trials.published()
    assert "no-store" in eve.post("/playground/", fields(version)).headers["Cache-Control"]
    assert "no-store" in eve.get("/playground/").headers["Cache-Control"]


@pytest.mark.parametrize(
    ("payload", "code", "words"),
    [
        ("no json", "invalid_json", "not valid JSON"),
        ('{"a": 1, "a": 2}', "duplicate_key", "the same key twice"),
        ('{"messages": []}', "missing_model", "must be a non-empty string"),
    ],
)
def test_what_cannot_be_read_is_refused_in_the_data_paths_words(
    eve: Client, payload: str, code: str, words: str
) -> None:
    version, _ = trials.published()
    page = tried(eve, version, payload=payload)
    assert f"<code>{code}</code>" in page and words in page
    assert "never forwarded" in page


def test_too_much_is_refused_with_the_limit(eve: Client) -> None:
    version, _ = trials.published()
    assert "larger than 256 KB" in tried(eve, version, payload="x" * (MAX_BYTES + 1), status=422)
    assert "larger than 256 KB" in tried(eve, version, payload="x" * (5 * MAX_BYTES), status=413)


def test_a_draft_is_compared_with_the_published_version(eve: Client) -> None:
    version, _ = trials.published()
    draft = trials.draft_of(version)
    page = tried(eve, version, against=draft.pk)
    assert "From A to B" in page
    assert (
        '<span class="badge badge-masked">masked</span> → <span class="badge badge-held">held</span>' in page
    )
    assert "approval_required" in page


def test_masked_payloads_are_compared_line_by_line(eve: Client) -> None:
    version, _ = trials.published()
    page = tried(eve, version, against=trials.passing(version).pk)
    assert "diff-gone" in page and "diff-new" in page
    assert "passes in clear" in page
    assert "has its own masking" in page


def test_an_answer_is_tried_as_an_answer(eve: Client) -> None:
    version, _ = trials.published()
    page = tried(eve, version, direction="response", payload=answer(f"write to {EMAIL}"))
    assert "turn-assistant" in page and "badge-masked" in page


def test_a_caller_and_an_endpoint_choose_the_policy(client: Client) -> None:
    client.force_login(world.admin())
    _, key, endpoint = house()
    page = tried(client, caller=key.pk, endpoint=endpoint.pk)
    assert "groups: support" in page and "with the policy House" in page
    assert "above_ceiling" in page, "the endpoint takes internal data at most"
    assert "above_ceiling" not in tried(client, caller=key.pk, endpoint=endpoint.pk, ceiling="3")


def test_the_keys_declared_level_counts_unless_another_is_chosen(client: Client) -> None:
    client.force_login(world.admin())
    version, key, endpoint = house()
    ApiKey.objects.filter(pk=key.pk).update(declared_level=3)
    said = "declared restricted"
    assert said in tried(client, version, caller=key.pk, endpoint=endpoint.pk, payload=chat("hi"))
    other = tried(client, version, caller=key.pk, endpoint=endpoint.pk, payload=chat("hi"), declared="0")
    assert said not in other


def test_no_access_rule_is_said(client: Client) -> None:
    client.force_login(world.admin())
    _, key, endpoint = house()
    AccessRule.objects.update(enabled=False)
    page = tried(client, status=422, caller=key.pk, endpoint=endpoint.pk)
    assert "No access rule lets this caller use this model at this endpoint." in page
    version = PolicyVersion.objects.get()
    page = tried(client, version, caller=key.pk, endpoint=endpoint.pk)
    assert "a call would be refused before anything below" in page


def test_the_model_chooses_among_rules_as_in_the_data_path(client: Client) -> None:
    client.force_login(world.admin())
    version, key, endpoint = house()
    other = world.published_policy(version.schema, "special")
    group = key.user.groups.get() if key.user else None
    AccessRule.objects.create(
        group=group, endpoint=endpoint, policy=other, priority=1, allowed_models=["big"]
    )
    chosen = {"caller": key.pk, "endpoint": endpoint.pk}
    assert "with the policy House" in tried(client, **chosen)
    assert "with the policy Special" in tried(client, **chosen, payload=chat("hi", model="big"))


def test_another_api_than_the_endpoints_is_refused(client: Client) -> None:
    client.force_login(world.admin())
    version, key, endpoint = house()
    page = tried(client, version, status=422, caller=key.pk, endpoint=endpoint.pk, family="json")
    assert "This endpoint speaks OpenAI API." in page


def test_nothing_chosen_says_what_is_missing(eve: Client) -> None:
    assert "Choose a version, or a caller and an endpoint." in tried(eve, status=422)


def test_callers_and_endpoints_are_offered_to_those_who_may_see_them(eve: Client) -> None:
    house()
    page = eve.get("/playground/").content.decode()
    assert 'name="caller"' not in page and 'name="endpoint"' not in page


def test_a_draft_that_does_not_compile_names_the_reason(eve: Client) -> None:
    version, schema = trials.published()
    draft = world.services.schema_version_clone_to_draft(version=schema, by=None)
    world.data_class(draft, "BROKEN", DetectorKind.REGEX, "(unclosed")
    assert "BROKEN" in tried(eve, version, status=422, schema=draft.pk)


def test_a_schema_of_another_policy_is_refused(eve: Client) -> None:
    version, _ = trials.published()
    other = world.published_schema("other").versions.get()
    assert "goes by the schema Acme" in tried(eve, version, status=422, schema=other.pk)


def test_hostile_text_stays_text(eve: Client) -> None:
    version, _ = trials.published()
    page = tried(eve, version, payload=chat("<script>x</script> \u202e"))
    assert "<script>x" not in page
    assert "U+202E" in page


def house() -> tuple[PolicyVersion, ApiKey, Endpoint]:
    """alice may use the chat endpoint through the group support."""
    version, _ = trials.published()
    alice: User = world.person("alice", group="support")
    endpoint = world.endpoint(ceiling=1)
    AccessRule.objects.create(group=alice.groups.get(), endpoint=endpoint, policy=version.policy)
    key, _ = api_key_create(name="laptop", user=alice, expires_at=timezone.now() + timedelta(days=1), by=None)
    return version, key, endpoint
