"""A whole sign-in by SAML: what lets somebody in, what does not, and what stays behind."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone
from lxml import etree

from audit.models import Entry
from gateway.identity import failures
from gateway.identity.saml import metadata as metadata_module
from gateway.identity.saml.pending import cookie_name
from gateway.identity.seen import seen_first, seen_sweep
from gateway.models import (
    GroupMapping,
    Identity,
    Issuer,
    IssuerKind,
    Lock,
    Match,
    SeenToken,
    ServiceAccount,
    SignIn,
    User,
)
from tests.gateway import world
from tests.identity.saml.provider import Answer, pair
from tests.identity.saml.server import SamlProvider, request_of

pytestmark = pytest.mark.django_db

ALICE = {"name": ["Alice A."], "email": ["alice@example.com"], "groups": ["pst-support", "else"]}


@pytest.fixture
def okta() -> Iterator[SamlProvider]:
    provider = SamlProvider()
    provider.people["P-00u1"] = dict(ALICE)
    yield provider
    provider.server.server_close()


@pytest.fixture
def issuer(okta: SamlProvider) -> Issuer:
    row = Issuer.objects.create(
        name="Okta", kind=IssuerKind.SAML, issuer=okta.entity_id, metadata=okta.metadata()
    )
    group = Group.objects.create(name="support")
    GroupMapping.objects.create(issuer=row, match=Match.EXACT, value="pst-support", group=group)
    return row


@pytest.fixture
def browser() -> Client:
    return Client(enforce_csrf_checks=True)


def begun(browser: Client, issuer: Issuer, **query: str) -> Any:
    """The request that goes to the provider."""
    response = browser.get(f"/saml/login/{issuer.pk}", query)
    assert response.status_code == 302
    return request_of(response["Location"])


def answered(browser: Client, answer: str) -> HttpResponse:
    """The provider's POST, and the one of our own page that follows it."""
    page = Client(enforce_csrf_checks=True).post(
        "/saml/acs", {"SAMLResponse": answer}
    )  # no cookies come along
    assert page.status_code == 200 and not page.cookies
    sent_on = re.search(r'name="SAMLResponse" value="([^"]*)"', page.content.decode())
    assert sent_on
    return browser.post("/saml/finish", {"SAMLResponse": sent_on[1]})  # type: ignore[return-value]


def signed_in(browser: Client, okta: SamlProvider, issuer: Issuer, person: str = "P-00u1") -> HttpResponse:
    return answered(browser, okta.answer(begun(browser, issuer), person))


def code_of(response: HttpResponse) -> str:
    assert response.status_code == 403
    found = re.search(r"<code>(\w+)</code>", response.content.decode())
    assert found
    return found[1]


def events(name: str) -> list[dict[str, Any]]:
    rows = [json.loads(bytes(row.meta)) for row in Entry.objects.filter(kind="event").order_by("id")]
    return [row for row in rows if row["event"] == name]


def test_a_person_signs_in_and_is_who_the_provider_says(
    browser: Client, okta: SamlProvider, issuer: Issuer
) -> None:
    response = signed_in(browser, okta, issuer)
    assert (response.status_code, response["Location"]) == (302, "/")
    person = User.objects.get(username="alice@example.com")
    assert person.get_full_name() == "Alice A." and not person.has_usable_password()
    assert list(person.groups.values_list("name", flat=True)) == ["support"]
    row = SignIn.objects.get()
    assert (row.user, row.method, row.issuer, row.subject) == (person, "saml", okta.entity_id, "P-00u1")
    assert (row.sid, row.acr.rpartition(":")[2]) == ("s-1", "PasswordProtectedTransport")
    assert timedelta(seconds=4) < row.started_at - row.authenticated_at < timedelta(minutes=1)
    assert browser.get("/account/").status_code == 200
    assert cookie_name() not in {name for name, cookie in browser.cookies.items() if cookie.value}


def test_what_goes_out_asks_for_a_lasting_name_and_tells_nothing(
    browser: Client, okta: SamlProvider, issuer: Issuer
) -> None:
    response = browser.get(f"/saml/login/{issuer.pk}", {"next": "/audit/"})
    assert response["Location"].startswith(f"{okta.url}/sso?SAMLRequest=")
    assert "audit" not in response["Location"] and "RelayState" not in response["Location"]
    asked = request_of(response["Location"])
    assert asked.get("Destination") == f"{okta.url}/sso"
    assert "nameid-format:persistent" in etree.tostring(asked).decode()
    cookie = response.cookies[cookie_name()]
    assert (cookie["samesite"], cookie["httponly"], cookie["path"]) == ("Lax", True, "/")
    assert cookie["secure"] and cookie_name().startswith("__Host-")


def test_one_goes_where_one_wanted_to_go_if_that_is_here(
    browser: Client, okta: SamlProvider, issuer: Issuer
) -> None:
    for wanted, goes in (
        ("/audit/?q=1", "/audit/?q=1"),
        ("https://evil.example.com/", "/"),
        ("//evil.example.com/", "/"),
        ("/\\evil.example.com/", "/"),
        ("javascript:alert(1)", "/"),
        ("/" + "x" * 600, "/"),
    ):
        request = begun(browser, issuer, next=wanted)
        assert answered(browser, okta.answer(request, "P-00u1"))["Location"] == goes


def test_groups_follow_at_the_next_sign_in(okta: SamlProvider, issuer: Issuer) -> None:
    signed_in(Client(), okta, issuer)
    okta.people["P-00u1"]["groups"] = []
    signed_in(Client(), okta, issuer)
    assert not User.objects.get().groups.exists()
    okta.people["P-00u1"]["groups"] = ["pst-support"]
    signed_in(Client(), okta, issuer)
    assert User.objects.get().groups.count() == 1


def test_groups_stay_where_the_issuer_is_not_asked_for_them(okta: SamlProvider, issuer: Issuer) -> None:
    signed_in(Client(), okta, issuer)
    Issuer.objects.update(groups_claim="")
    okta.people["P-00u1"]["groups"] = []
    signed_in(Client(), okta, issuer)
    assert User.objects.get().groups.count() == 1


def test_a_name_links_nobody(browser: Client, okta: SamlProvider, issuer: Issuer) -> None:
    local = world.person("alice@example.com")
    signed_in(browser, okta, issuer)
    assert SignIn.objects.get().user != local


def test_an_answer_counts_once(browser: Client, okta: SamlProvider, issuer: Issuer) -> None:
    request = begun(browser, issuer)
    cookies = browser.cookies[cookie_name()].value
    answer = okta.answer(request, "P-00u1")
    assert answered(browser, answer).status_code == 302
    assert code_of(answered(browser, answer)) == "unsolicited"
    browser.cookies[cookie_name()] = cookies  # a thief has the cookie as well
    assert code_of(answered(browser, answer)) == "replayed"
    another = okta.answer(request, "P-00u1")
    browser.cookies[cookie_name()] = cookies
    assert code_of(answered(browser, another)) == "replayed", "one request is answered once"
    assert SignIn.objects.count() == 1


def test_one_assertion_in_answer_to_two_requests_counts_for_neither_but_its_own(
    browser: Client, okta: SamlProvider, issuer: Issuer
) -> None:
    first = begun(browser, issuer)
    okta.change = lambda answer: replace(answer, assertion_id="_the_same")
    assert answered(browser, okta.answer(first, "P-00u1")).status_code == 302
    assert code_of(answered(browser, okta.answer(begun(browser, issuer), "P-00u1"))) == "replayed"


def test_nobody_is_signed_in_who_did_not_ask(browser: Client, okta: SamlProvider, issuer: Issuer) -> None:
    """The attacker's own answer, posted by the victim's browser: nothing, whether or not it began one too."""
    attackers = okta.answer(begun(Client(), issuer), "P-00u1")
    assert code_of(answered(browser, attackers)) == "unsolicited"
    begun(browser, issuer)
    assert code_of(answered(browser, attackers)) == "in_response_to"
    okta.change = lambda answer: replace(answer, request_id=None)
    assert code_of(answered(browser, okta.answer(begun(browser, issuer), "P-00u1"))) == "unsolicited"
    assert not SignIn.objects.exists() and not Identity.objects.exists()


def test_a_changed_or_old_cookie_is_none(browser: Client, okta: SamlProvider, issuer: Issuer) -> None:
    answer = okta.answer(begun(browser, issuer), "P-00u1")
    right = browser.cookies[cookie_name()].value
    for wrong in (right[:-1], right + "x", "", "W10:1:x", right.replace(":", ".")):
        browser.cookies[cookie_name()] = wrong
        assert code_of(answered(browser, answer)) == "unsolicited"


def test_three_tabs_sign_in_beside_each_other(browser: Client, okta: SamlProvider, issuer: Issuer) -> None:
    requests = [begun(browser, issuer) for _ in range(4)]
    assert code_of(answered(browser, okta.answer(requests[0], "P-00u1"))) == "in_response_to"
    for request in reversed(requests[1:]):
        assert answered(browser, okta.answer(request, "P-00u1")).status_code == 302


def test_the_answer_of_one_provider_is_none_to_another(
    browser: Client, okta: SamlProvider, issuer: Issuer
) -> None:
    """Both are known, both sign truly. The one that was asked must answer."""
    other = SamlProvider(pair("mallory"))
    other.server.server_close()
    other.people = okta.people
    second = Issuer.objects.create(
        name="Other", kind=IssuerKind.SAML, issuer=other.entity_id, metadata=other.metadata()
    )
    assert code_of(answered(browser, other.answer(begun(browser, issuer), "P-00u1"))) == "wrong_issuer"
    other.change = lambda answer: replace(answer, issuer=okta.entity_id)
    assert code_of(answered(browser, other.answer(begun(browser, issuer), "P-00u1"))) == "bad_signature"
    other.change = lambda answer: answer
    assert answered(browser, other.answer(begun(browser, second), "P-00u1")).status_code == 302
    assert Identity.objects.get().issuer == other.entity_id


def test_keys_roll_over_by_importing_again(okta: SamlProvider, issuer: Issuer) -> None:
    old, new = okta.keys, pair("new")
    issuer.metadata = okta.metadata(old, new)
    issuer.save()
    assert signed_in(Client(), okta, issuer).status_code == 302
    okta.keys = new
    assert signed_in(Client(), okta, issuer).status_code == 302
    issuer.metadata = okta.metadata(new)
    issuer.save()
    assert signed_in(Client(), okta, issuer).status_code == 302
    okta.keys = old
    assert code_of(signed_in(Client(), okta, issuer)) == "bad_signature"


def test_a_session_ends_with_the_providers(browser: Client, okta: SamlProvider, issuer: Issuer) -> None:
    okta.change = lambda answer: replace(answer, session_end=timedelta(minutes=20))
    signed_in(browser, okta, issuer)
    assert SignIn.objects.get().expires_at < timezone.now() + timedelta(minutes=21)
    SignIn.objects.update(expires_at=timezone.now())
    assert browser.get("/account/").status_code == 302


def test_a_fresh_proof_renews_the_sign_in(browser: Client, okta: SamlProvider, issuer: Issuer) -> None:
    signed_in(browser, okta, issuer)
    before = SignIn.objects.get()
    okta.change = lambda answer: replace(answer, proven=timedelta(hours=-2))
    request = begun(browser, issuer, again="1")
    assert request.get("ForceAuthn") == "true"
    assert code_of(answered(browser, okta.answer(request, "P-00u1"))) == "too_old"
    okta.change = lambda answer: replace(answer, proven=timedelta(0))
    answer = okta.answer(begun(browser, issuer, again="1", next="/account/"), "P-00u1")
    assert answered(browser, answer)["Location"] == "/account/"
    after = SignIn.objects.get()
    assert after.pk == before.pk and after.authenticated_at > before.authenticated_at


@pytest.mark.parametrize("code", ["inactive", "locked", "unknown_person", "not_a_person"])
def test_a_known_provider_does_not_let_everybody_in(okta: SamlProvider, issuer: Issuer, code: str) -> None:
    signed_in(Client(), okta, issuer)
    person = User.objects.get()
    if code == "inactive":
        User.objects.update(is_active=False)
    elif code == "locked":
        Lock.objects.create(user=person, reason="lost laptop")
    elif code == "not_a_person":
        program = ServiceAccount.objects.create(name="nightly", owner=person, area=world.area())
        Identity.objects.update(user=None, service_account=program)
    else:
        Identity.objects.all().delete()
        Issuer.objects.update(creates_people=False)
    browser = Client()
    request = begun(browser, issuer)
    answer = okta.answer(request, "P-00u1")
    assert code_of(answered(browser, answer)) == code
    assert SignIn.objects.count() == 1
    assert SeenToken.objects.filter(token_id=f"request {request.get('ID')}").exists(), "used up all the same"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"enabled": False}, "no_such_provider"),
        ({"kind": IssuerKind.OIDC}, "no_such_provider"),
        ({"metadata": "<x/>"}, "bad_metadata"),
        ({"issuer": "https://else.example.com"}, "bad_metadata"),
    ],
)
def test_a_provider_that_changed_meanwhile_signs_nobody_in(
    browser: Client, okta: SamlProvider, issuer: Issuer, fields: dict[str, Any], code: str
) -> None:
    answer = okta.answer(begun(browser, issuer), "P-00u1")
    Issuer.objects.filter(pk=issuer.pk).update(**fields)
    assert code_of(answered(browser, answer)) == code
    assert code_of(browser.get(f"/saml/login/{issuer.pk}")) == code  # type: ignore[arg-type]


def test_a_refusal_says_why_and_keeps_nothing_of_the_document(
    browser: Client, okta: SamlProvider, issuer: Issuer, caplog: pytest.LogCaptureFixture
) -> None:
    def elsewhere(answer: Answer) -> Answer:
        return replace(answer, audience="https://else.example.com/kumquat")

    okta.change = elsewhere
    with caplog.at_level(logging.DEBUG):
        response = signed_in(browser, okta, issuer)
    assert code_of(response) == "wrong_audience"
    assert b"meant for somebody else" in response.content
    (failed,) = events("signin.failed")
    assert (failed["detail"]["method"], failed["detail"]["code"]) == ("saml", "wrong_audience")
    assert failed["about"] == f"gateway.issuer {issuer.pk}"
    for said in ("kumquat", "P-00u1", "alice", "Assertion"):
        assert said not in caplog.text and said not in json.dumps(failed)
        assert said.encode() not in response.content


def test_failures_are_few_on_record(browser: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failures, "MOST", 3)
    monkeypatch.setattr(failures, "_noted", failures._Noted())
    for _ in range(5):
        assert browser.post("/saml/finish", {"SAMLResponse": "x"}).status_code == 403
    assert len(events("signin.failed")) == 3


def test_the_provider_s_post_is_only_sent_on(browser: Client, okta: SamlProvider, issuer: Issuer) -> None:
    """Even from the same site, with all cookies: the first POST reads nothing and lets nobody in."""
    answer = okta.answer(begun(browser, issuer), "P-00u1")
    page = browser.post("/saml/acs", {"SAMLResponse": answer, "RelayState": "https://evil.example.com/"})
    assert page.status_code == 200 and b"evil" not in page.content
    assert not SignIn.objects.exists()
    hostile = browser.post("/saml/acs", {"SAMLResponse": '"><script>alert(1)</script>'})
    assert b"<script>alert" not in hostile.content
    assert code_of(browser.post("/saml/acs", {"SAMLResponse": "A" * 500_000})) == "too_large"  # type: ignore[arg-type]
    assert browser.get("/saml/acs").status_code == 405
    assert browser.get("/saml/finish").status_code == 405


def test_our_metadata_is_what_a_provider_needs(browser: Client) -> None:
    response = browser.get("/saml/metadata", secure=True)
    root = etree.fromstring(response.content)
    assert root.get("entityID") == "https://testserver/saml/metadata"
    assert root.get("validUntil") is None
    text = response.content.decode()
    assert 'Location="https://testserver/saml/acs"' in text and 'WantAssertionsSigned="true"' in text


def test_the_sign_in_page_offers_each_enabled_provider(browser: Client, issuer: Issuer) -> None:
    link = f"/saml/login/{issuer.pk}?next=%2Faudit%2F"
    assert link in browser.get("/login/", {"next": "/audit/"}).content.decode()
    Issuer.objects.update(enabled=False)
    assert "/saml/login/" not in browser.get("/login/").content.decode()


def test_without_the_extra_it_says_so_and_the_rest_works(
    browser: Client, issuer: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata_module, "find_spec", lambda name: None)
    assert browser.get("/login/").status_code == 200
    assert "/saml/login/" not in browser.get("/login/").content.decode()
    for path in ("/saml/metadata", f"/saml/login/{issuer.pk}"):
        assert code_of(browser.get(path)) == "not_installed"  # type: ignore[arg-type]
    assert urlsplit(issuer.issuer).scheme == "http"


def test_what_was_used_is_forgotten_when_it_is_too_old_to_be_used() -> None:
    now = timezone.now()
    assert seen_first(issuer="i", token_id="old", expires_at=now - timedelta(seconds=1))
    assert seen_first(issuer="i", token_id="new", expires_at=now + timedelta(seconds=60))
    assert not seen_first(issuer="i", token_id="new", expires_at=now + timedelta(seconds=60))
    assert seen_first(issuer="j", token_id="new", expires_at=now + timedelta(seconds=60))
    assert seen_sweep(now=now) == 1
    assert not seen_first(issuer="i", token_id="new", expires_at=now)


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_one_is_first() -> None:
    def first(_: int) -> bool:
        try:
            until = timezone.now() + timedelta(minutes=1)
            return seen_first(issuer="i", token_id="assertion _a", expires_at=until)
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(first, range(16))) == 1


def test_somebody_else_s_proof_renews_nothing(browser: Client, okta: SamlProvider, issuer: Issuer) -> None:
    okta.people["P-bob"] = {"name": ["Bob"]}
    signed_in(browser, okta, issuer)
    before = SignIn.objects.get()
    request = begun(browser, issuer, again="1")
    assert code_of(answered(browser, okta.answer(request, "P-bob"))) == "other_person"
    assert SignIn.objects.get().authenticated_at == before.authenticated_at
    assert browser.get("/account/").status_code == 200, "still signed in as before"


def test_nobody_proves_again_who_is_not_signed_in(browser: Client, issuer: Issuer) -> None:
    assert begun(browser, issuer, again="1").get("ForceAuthn") is None
