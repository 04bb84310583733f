"""Issuers and the deployment's rules in the admin, and the page that tries a token."""

from __future__ import annotations

import json
import threading
from base64 import urlsafe_b64encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

import pytest
from django.contrib.auth.models import Group
from django.test import Client
from django.urls import reverse

from audit.models import Entry
from gateway.deployment import deployment_now, deployment_save
from gateway.identity.authz import role_grant
from gateway.models import Deployment, GroupMapping, Identity, Issuer, User
from policies.models import Proposal
from tests.gateway import two, world
from tests.gateway.test_issuers import group, issuer, rule, saved

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada() -> User:
    return world.admin()


@pytest.fixture
def client(ada: User) -> Client:
    browser = Client()
    browser.force_login(ada)
    return browser


def url(page: str, *args: object, model: str = "issuer") -> str:
    return reverse(f"admin:gateway_{model}_{page}", args=args)


def form(*rules: tuple[str, str, str], **values: Any) -> dict[str, Any]:
    """An issuer's form with its rules, each (match, value, the group's name), as a browser posts it."""
    rows: dict[str, Any] = {"mappings-TOTAL_FORMS": len(rules), "mappings-INITIAL_FORMS": 0}
    for number, (match, value, name) in enumerate(rules):
        to = Group.objects.get(name=name).pk if name else ""
        rows |= {
            f"mappings-{number}-{key}": v for key, v in (("match", match), ("value", value), ("group", to))
        }
    return {
        "name": "Okta",
        "kind": "oidc",
        "issuer": "https://login.example.com/tenant",
        "enabled": "on",
        "accepts_tokens": "on",
        "audiences": "postern, other",
        "algorithms": ["RS256", "ES256"],
        "required_claims": "",
        "leeway": 30,
        "max_stale": 3600,
        "subject_claim": "sub",
        "name_claim": "name",
        "groups_claim": "groups",
        "overage": "refuse",
        "creates_people": "on",
        **rows,
        **values,
    }


def errors_of(answer: Any) -> str:
    context = answer.context
    told = [str(context["errors"])] if context else []
    for formset in context["inline_admin_formsets"] if context else ():
        told += [str(formset.formset.errors), str(formset.formset.non_form_errors())]
    return " ".join(told)


def test_an_issuer_and_its_rules_are_saved_by_one_form(client: Client) -> None:
    group()
    answer = client.post(url("add"), form(("exact", "pst-support", "support"), ("prefix", "x-", "")))
    assert answer.status_code == 302, errors_of(answer)
    made = Issuer.objects.get()
    assert (made.audiences, made.algorithms, made.required_claims) == (
        ["postern", "other"],
        ["RS256", "ES256"],
        {},
    )
    assert made.mappings.count() == 2
    told = [json.loads(bytes(entry.meta))["event"] for entry in Entry.objects.all()]
    assert told.count("issuer.added") == 1
    page = client.get(url("changelist")).content.decode()
    assert "https://login.example.com/tenant" in page and ">On<" in page


def test_rules_are_changed_and_deleted_in_the_form(client: Client) -> None:
    made = saved()
    group("ops")
    kept = made.mappings.get()
    rows = {
        "mappings-TOTAL_FORMS": 2,
        "mappings-INITIAL_FORMS": 1,
        "mappings-0-id": str(kept.pk),
        "mappings-0-issuer": str(made.pk),
        "mappings-0-match": "exact",
        "mappings-0-value": kept.value,
        "mappings-0-group": kept.group_id,
        "mappings-0-DELETE": "on",
        "mappings-1-match": "exact",
        "mappings-1-value": "ops",
        "mappings-1-group": Group.objects.get(name="ops").pk,
        "mappings-1-issuer": str(made.pk),
    }
    answer = client.post(url("change", made.pk), {**form(), **rows})
    assert answer.status_code == 302, errors_of(answer)
    assert [each.value for each in made.mappings.all()] == ["ops"]


@pytest.mark.parametrize(
    ("rules", "values", "words"),
    [
        ((), {"issuer": "http://login.example.com"}, "Use https"),
        ((), {"audiences": ""}, "meant for"),
        ((), {"algorithms": ["HS256"]}, "This is not one of"),
        ((), {"required_claims": "[1]"}, "Write an object"),
        ((("regex", "(a+)+", ""),), {}, "repeat within a repeat"),
        ((("exact", "x", ""),), {}, "Choose the group"),
    ],
)
def test_what_is_refused_is_told_at_its_field(client: Client, rules: Any, values: Any, words: str) -> None:
    answer = client.post(url("add"), form(*rules, **values))
    assert answer.status_code == 200 and words in errors_of(answer)
    assert not Issuer.objects.exists() and not GroupMapping.objects.exists()


def test_a_rule_that_makes_administrators_is_saved_with_a_warning(client: Client) -> None:
    role_grant(group=group("chiefs"), role="admin", by=None)
    page = client.post(url("add"), form(("exact", "boss", "chiefs")), follow=True).content.decode()
    assert "Makes administrators: chiefs has that role" in page


def test_the_identifier_of_an_issuer_is_shown_and_not_edited(client: Client) -> None:
    made = saved()
    client.post(url("change", made.pk), form(issuer="https://elsewhere.example.com", name="Renamed"))
    made.refresh_from_db()
    assert (made.name, made.issuer) == ("Renamed", "https://login.example.com/tenant")


def test_where_it_takes_two_the_form_proposes_and_nothing_is_saved(client: Client) -> None:
    deployment_save(deployment=Deployment(two_person_issuers=True), by=None)
    group()
    rules = (("exact", "pst-support", "support"),)
    assert "takes two people here" in errors_of(client.post(url("add"), form(*rules)))
    answer = client.post(url("add"), form(*rules, reason="new provider"))
    proposal = Proposal.objects.get()
    assert answer["Location"] == reverse("proposal", args=[proposal.pk])
    assert not Issuer.objects.exists()
    page = client.get(reverse("proposal", args=[proposal.pk])).content.decode()
    assert "The whole deployment" in page and "pst-support" in page
    assert "whole deployment" in client.get(reverse("proposals")).content.decode()
    two.confirm(proposal, two.official("bob"))
    assert Issuer.objects.get().mappings.count() == 1


def test_where_it_takes_two_one_person_still_switches_an_issuer_off(client: Client) -> None:
    made = saved()
    deployment_save(deployment=Deployment(two_person_issuers=True), by=None)
    kept = made.mappings.get()
    rows = {
        "mappings-TOTAL_FORMS": 1,
        "mappings-INITIAL_FORMS": 1,
        "mappings-0-id": str(kept.pk),
        "mappings-0-issuer": str(made.pk),
        "mappings-0-match": kept.match,
        "mappings-0-value": kept.value,
        "mappings-0-group": kept.group_id,
    }
    values = {"enabled": "", "audiences": "postern", "algorithms": ["RS256"], "required_claims": "{}"}
    answer = client.post(url("change", made.pk), {**form(), **rows, **values})
    assert answer.status_code == 302, errors_of(answer)
    made.refresh_from_db()
    assert not made.enabled and not Proposal.objects.exists()


def test_where_it_takes_two_a_deletion_is_proposed(client: Client) -> None:
    made = saved()
    deployment_save(deployment=Deployment(two_person_issuers=True), by=None)
    assert client.post(url("delete", made.pk), {"post": "yes"}).status_code == 403
    page = client.get(url("change", made.pk)).content.decode()
    new = reverse("proposal_new", args=["issuer.delete", made.pk])
    assert new in page and client.get(new).status_code == 200
    client.post(new, {"reason": "we left them"})
    two.confirm(Proposal.objects.get(), two.official("bob"))
    assert not Issuer.objects.exists()


def test_where_one_is_enough_it_is_deleted(client: Client) -> None:
    made = saved()
    assert client.post(url("delete", made.pk), {"post": "yes"}).status_code == 302
    assert not Issuer.objects.exists()


def test_an_administrator_of_one_area_sees_and_changes_no_issuer() -> None:
    made = saved()
    warden = world.person("wendy", is_staff=True, group="wardens")
    role_grant(group=Group.objects.get(name="wardens"), role="admin", area=world.area(), by=None)
    browser = Client()
    browser.force_login(warden)
    pages = [url("changelist"), url("add"), url("change", made.pk), url("delete", made.pk)]
    pages += [
        url("changelist", model="deployment"),
        url("change", 1, model="deployment"),
        reverse("issuers_try"),
    ]
    assert [browser.get(page).status_code for page in pages] == [403] * len(pages)
    assert browser.post(url("discovery", made.pk)).status_code == 403


# --- the deployment ---------------------------------------------------------------------------------


def test_the_deployments_rules_are_one_form(client: Client) -> None:
    page = url("change", 1, model="deployment")
    assert client.get(url("changelist", model="deployment"))["Location"] == page
    assert client.get(page).status_code == 200 and not Deployment.objects.exists()
    client.post(page, {"two_person_issuers": "on", "key_max_days": 90, "personal_key_hours": 8})
    now = deployment_now()
    assert (now.two_person_issuers, now.key_max_days, now.personal_key_hours) == (True, 90, 8)
    refused = client.post(page, {"key_max_days": 30, "personal_key_hours": 8})
    assert "takes two people here" in errors_of(refused)
    client.post(page, {"key_max_days": 30, "personal_key_hours": 8, "reason": "too slow"})
    now = deployment_now()
    assert (now.two_person_issuers, now.key_max_days) == (True, 30)
    two.confirm(Proposal.objects.get(), two.official("bob"))
    assert not deployment_now().two_person_issuers


# --- discovery --------------------------------------------------------------------------------------


class Provider(BaseHTTPRequestHandler):
    answer: ClassVar[tuple[int, bytes]] = (200, b"{}")

    def do_GET(self) -> None:
        status, body = self.answer
        self.send_response(status if self.path == "/.well-known/openid-configuration" else 404)
        self.send_header("Location", "http://169.254.169.254/")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def provider(settings: Any) -> Iterator[str]:
    settings.PLAIN_HTTP = True
    with ThreadingHTTPServer(("127.0.0.1", 0), Provider) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def discovered(client: Client, made: Issuer) -> str:
    page = url("discovery", made.pk)
    assert client.get(page).status_code == 405
    assert page in client.get(url("change", made.pk)).content.decode()
    return client.post(page).content.decode()


def test_the_discovery_document_is_read_and_compared(client: Client, provider: str) -> None:
    document = {
        "issuer": provider,
        "jwks_uri": f"{provider}/keys",
        "token_endpoint": f"{provider}/token<script>",
        "id_token_signing_alg_values_supported": ["RS256"],
        "claims_supported": ["sub", "groups"],
    }
    Provider.answer = (200, json.dumps(document).encode())
    made = saved(issuer=provider, allow_private=True)
    page = discovered(client, made)
    assert "It fits what was entered here" in page and "/token&lt;script&gt;" in page
    Issuer.objects.update(algorithms=["ES256"], jwks_uri=f"{provider}/other", groups_claim="roles")
    Provider.answer = (200, json.dumps({**document, "issuer": "https://evil.example.com"}).encode())
    page = discovered(client, made)
    for words in (
        "its tokens would be refused",
        "you accept ES256",
        "and you entered",
        "does not list the claim",
    ):
        assert words in page, words


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((404, b""), "It answered 404"),
        ((302, b""), "a redirect, which is not followed"),
        ((200, b"<html>"), "no JSON object"),
        ((200, b"[]"), "no JSON object"),
        ((200, b" " * 300_000), "larger than 256 KB"),
    ],
)
def test_a_provider_that_answers_something_else_is_told_of(
    client: Client, provider: str, answer: tuple[int, bytes], words: str
) -> None:
    Provider.answer = answer
    assert words in discovered(client, saved(issuer=provider, allow_private=True))


def test_an_address_that_may_not_be_connected_to_is_not(client: Client, provider: str) -> None:
    assert "may not be connected to" in discovered(client, saved(issuer=provider))


# --- trying a token ---------------------------------------------------------------------------------


def part(value: object) -> str:
    return urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def tries(client: Client, made: Issuer, text: str) -> str:
    return client.post(reverse("issuers_try"), {"issuer": str(made.pk), "token": text}).content.decode()


def test_claims_are_tried_by_the_rules_of_the_data_path(client: Client) -> None:
    made = saved()
    GroupMapping.objects.create(issuer=made, match="prefix", value="ward-")
    GroupMapping.objects.create(issuer=made, match="exact", value="OPS", group=group("ops"))
    group("icu")
    claims = {"sub": "u1", "name": "Al", "groups": ["support", "ward-icu", "ward-none", "other", "ops"]}
    page = tries(client, made, json.dumps(claims | {"secret": "canary-4711"}))
    assert "A new person would be made" in page and "canary-4711" not in page
    for words in (
        "is “support” → support",
        "No group of that name",
        "begins with “ward-” → the group of that name",
    ):
        assert words in page, words
    assert "differs in upper and lower case only" in page
    assert not User.objects.filter(identities__isnull=False).exists()


def test_a_token_is_read_without_its_signature_and_that_is_said(client: Client) -> None:
    made = saved()
    token = ".".join([part({"alg": "RS256", "kid": "k"}), part({"sub": "u1", "groups": "support"}), "c2ln"])
    page = tries(client, made, token)
    assert "It would be refused:" in page and token not in page and "c2ln" not in page
    assert "is “support” → support" in page
    claims = {
        "iss": made.issuer,
        "sub": "u1",
        "aud": "postern",
        "exp": 9e9,
        "iat": 1,
        "scope": "x",
        "groups": [],
    }
    token = ".".join([part({"alg": "RS256", "kid": "k", "typ": "at+jwt"}), part(claims), "c2ln"])
    assert "was not checked" in tries(client, made, token)


@pytest.mark.parametrize(
    "text", ["", "[1]", "{", "opaque-token-4711", "a.b.c", '{"sub": 1, "sub": 2}', "{" * 70_000]
)
def test_what_cannot_be_read_is_said_and_not_repeated(client: Client, text: str) -> None:
    made = saved()
    answer = client.post(reverse("issuers_try"), {"issuer": str(made.pk), "token": text})
    assert answer.status_code == 422 and "4711" not in answer.content.decode()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("known", "alice, who is known already"),
        ("inactive", "alice is known, and inactive"),
        ("not made", "Refused: nobody is known by it"),
        ("no subject", "Nobody: the claim"),
    ],
)
def test_who_it_would_be_is_said(client: Client, how: str, words: str) -> None:
    made = saved(creates_people=how != "not made")
    if how in ("known", "inactive"):
        alice = world.person("alice", is_active=how == "known")
        Identity.objects.create(user=alice, issuer=made.issuer, subject="u1")
    claims = {} if how == "no subject" else {"sub": "u1"}
    assert words in tries(client, made, json.dumps(claims))


def test_without_an_issuer_there_is_a_way_on(client: Client) -> None:
    assert "No issuers yet" in client.get(reverse("issuers_try")).content.decode()
    assert issuer().name and rule("x").value  # the small world's own
