"""Signing in with a provider: alice comes back from it, and every way that this can fail."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from django.contrib.auth.models import Group
from django.test import Client

from audit.models import Entry
from gateway.identity import discovery, failures, oidc_provider
from gateway.identity.id_token import LOGOUT_EVENT
from gateway.identity.membership import membership_set
from gateway.models import GroupMapping, Identity, Issuer, Match, ServiceAccount, SignIn, User
from gateway.services import lock_set
from tests.gateway import world
from tests.identity.oidc_world import CLIENT, ISSUER, OTHER, Provider, claims, published, signed

pytestmark = pytest.mark.django_db
SECRET = "a client secret & more"
SESSION = 36_000


@pytest.fixture
def okta(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Provider]:
    from gateway.credentials.secret import Secret

    settings.OIDC_ISSUER, settings.OIDC_CLIENT_ID = ISSUER, CLIENT
    settings.OIDC_CLIENT_SECRET, settings.LOCAL_SIGN_IN = Secret(SECRET), False
    made = Provider()
    monkeypatch.setattr(discovery, "fetch", made.fetch)
    monkeypatch.setattr(oidc_provider, "fetch", made.fetch)
    monkeypatch.setattr(failures, "_noted", failures._Noted())
    oidc_provider.forget()
    issuer = Issuer.objects.create(name="Okta", issuer=ISSUER)
    group = Group.objects.create(name="reviewers")
    GroupMapping.objects.create(issuer=issuer, match=Match.EXACT, value="pst-reviewers", group=group)
    yield made
    oidc_provider.forget()


def events(name: str) -> list[dict[str, Any]]:
    rows = [orjson.loads(bytes(row.meta)) for row in Entry.objects.filter(kind="event").order_by("id")]
    return [row for row in rows if row["event"] == name]


def is_in(client: Client) -> bool:
    return client.get("/account/").status_code == 200


def refused(answer: Any, code: str, detail: str = "") -> None:
    page = answer.content.decode()
    assert answer.status_code in (403, 502, 503), page
    assert f"<code>{code}{':' + detail if detail else ''}" in page
    (event,) = events("signin.failed")
    assert (event["detail"]["code"], event["detail"]["issuer"]) == (code, ISSUER)
    assert not is_in(answer.wsgi_request and answer.client)


def test_a_reviewer_signs_in(okta: Provider, caplog: pytest.LogCaptureFixture) -> None:
    client = Client()
    page = client.get("/login/?next=/account/").content.decode()
    assert "Log in with Okta" in page and 'name="password"' not in page
    assert "/oidc/start/?next=%2Faccount%2F" in page
    answer = okta.sign_in(client, "?next=/account/")
    assert (answer.status_code, answer["location"]) == (302, "/account/")
    row, alice = SignIn.objects.get(), User.objects.get()
    assert (row.method, row.issuer, row.subject, row.sid) == ("oidc", ISSUER, "00u1", "s-1")
    assert abs(row.authenticated_at.timestamp() - time.time()) < 5
    assert [group.name for group in alice.groups.all()] == ["reviewers"]
    assert is_in(client) and client.session.get_expiry_age() == SESSION
    assert okta.nonce not in caplog.text and "eyJ" not in caplog.text


def test_what_is_sent(okta: Provider) -> None:
    client = Client()
    sent = okta.begin(client)
    assert {
        name: sent[name] for name in ("response_type", "client_id", "scope", "code_challenge_method")
    } == {
        "response_type": "code",
        "client_id": CLIENT,
        "scope": "openid profile email",
        "code_challenge_method": "S256",
    }
    assert sent["redirect_uri"] == "http://testserver/oidc/callback/"
    assert len(sent["state"]) >= 32 and len(sent["nonce"]) >= 32
    okta.come_back(client, sent)
    _, form, headers = next(each for each in okta.asked if each[0] == "/token")
    assert len(form["code_verifier"]) >= 43 and "client_secret" not in form
    assert headers["authorization"].startswith("Basic ") and SECRET not in str(form)
    assert "/userinfo" not in [asked[0] for asked in okta.asked], "the ID token said everything"


def test_a_provider_may_want_the_secret_in_the_form(okta: Provider) -> None:
    okta.document["token_endpoint_auth_methods_supported"] = ["client_secret_post"]
    assert okta.sign_in(Client()).status_code == 302
    _, form, headers = next(each for each in okta.asked if each[0] == "/token")
    assert (form["client_secret"], form["client_id"]) == (SECRET, CLIENT) and "authorization" not in headers


def test_groups_follow_each_sign_in_and_those_given_by_hand_stay(okta: Provider) -> None:
    client = Client()
    okta.sign_in(client)
    alice, hand = User.objects.get(), Group.objects.create(name="by hand")
    membership_set(member=alice, groups=[*alice.groups.all(), hand], by=None)
    okta.said = {"groups": []}
    okta.sign_in(Client())
    assert [group.name for group in alice.groups.all()] == ["by hand"]
    assert User.objects.count() == 1


def test_groups_may_come_from_userinfo_whose_subject_must_be_the_same(okta: Provider) -> None:
    okta.said = {"groups": ..., "name": ...}
    okta.userinfo = {"sub": "00u1", "name": "Alice", "groups": ["pst-reviewers"]}
    assert okta.sign_in(Client()).status_code == 302
    assert User.objects.get().groups.count() == 1
    okta.userinfo["sub"] = "00u2"
    refused(okta.sign_in(Client()), "token", "userinfo_subject")


def test_a_name_or_an_address_links_nobody(okta: Provider) -> None:
    ada = world.admin()
    User.objects.filter(pk=ada.pk).update(email="ada@example.com")
    okta.said = {"preferred_username": "ada", "email": "ada@example.com", "email_verified": True}
    okta.sign_in(Client())
    assert SignIn.objects.get().user != ada


@pytest.mark.parametrize(
    "target", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:1"]
)
def test_nobody_is_sent_elsewhere(okta: Provider, target: str) -> None:
    assert okta.sign_in(Client(), f"?next={target}")["location"] == "/"


def test_a_provider_that_is_away(okta: Provider) -> None:
    okta.down = {"/.well-known/openid-configuration"}
    refused(Client().get("/oidc/start/"), "away", "timeout")


@pytest.mark.parametrize("path", ["/token", "/keys"])
def test_a_provider_that_goes_away_midway(okta: Provider, path: str) -> None:
    client = Client()
    sent = okta.begin(client)
    okta.down = {path}
    refused(okta.come_back(client, sent), "away")


def test_a_provider_that_is_not_set_up_here(okta: Provider) -> None:
    Issuer.objects.update(enabled=False)
    answer = Client().get("/oidc/start/")
    assert ISSUER in answer.content.decode()
    refused(answer, "not_set_up")


def test_a_document_of_another_issuer(okta: Provider) -> None:
    okta.document["issuer"] = "https://evil.example"
    refused(Client().get("/oidc/start/"), "provider", "other_issuer")


def test_a_token_address_without_tls(okta: Provider) -> None:
    okta.document["token_endpoint"] = "http://idp.example.com/token"
    refused(Client().get("/oidc/start/"), "provider", "not_https")


@pytest.mark.parametrize(
    ("error", "code"),
    [("access_denied", "refused"), ("temporarily_unavailable", "away"), ("<b>made up</b>", "provider")],
)
def test_a_provider_that_says_no(okta: Provider, error: str, code: str) -> None:
    client = Client()
    sent = okta.begin(client)
    answer = client.get("/oidc/callback/", {"state": sent["state"], "error": error})
    assert "made up" not in answer.content.decode()
    refused(answer, code)


def test_a_state_counts_once_in_its_own_browser_and_not_for_long(okta: Provider) -> None:
    alice, mallory = Client(), Client()
    sent = okta.begin(alice)
    assert okta.come_back(mallory, sent).status_code == 403
    session = alice.session
    session["oidc_states"][sent["state"]]["added_on"] -= 601
    session.save()
    assert okta.come_back(alice, sent).status_code == 403
    sent = okta.begin(alice)
    assert okta.come_back(alice, sent).status_code == 302
    assert okta.come_back(alice, sent).status_code == 403, "used"
    assert [event["detail"]["code"] for event in events("signin.failed")] == ["state"] * 3
    assert is_in(alice) and not is_in(mallory)


def test_an_answer_of_another_provider(okta: Provider) -> None:
    client = Client()
    refused(okta.come_back(client, okta.begin(client), iss="https://evil.example"), "state", "other_issuer")


def test_an_answer_that_must_name_its_provider(okta: Provider) -> None:
    okta.document["authorization_response_iss_parameter_supported"] = True
    client = Client()
    assert okta.come_back(client, okta.begin(client), iss=ISSUER).status_code == 302
    refused(okta.come_back(other := Client(), okta.begin(other)), "state", "other_issuer")


LATER: dict[str, Any] = {}
"""Said to be issued in a quarter of an hour."""


@pytest.mark.parametrize(
    ("said", "code", "detail"),
    [
        ({"nonce": "another"}, "token", "nonce"),
        ({"aud": "another"}, "token", "audience"),
        ({"iss": "https://evil.example"}, "token", "issuer"),
        ({"exp": 1, "iat": 1}, "clock", "expired"),
        (LATER, "clock", "issued_in_future"),
        ({"_claim_names": {"groups": "src1"}}, "groups", "overage"),
    ],
)
def test_a_token_that_is_not_for_this_sign_in(
    okta: Provider, said: dict[str, Any], code: str, detail: str
) -> None:
    now = int(time.time())  # not when tests are collected: they may run for longer than that is ahead
    okta.said = {"iat": now + 900, "exp": now + 999} if said is LATER else said
    refused(okta.sign_in(Client()), code, detail)
    assert User.objects.count() == 0


def test_a_token_signed_by_somebody_else(okta: Provider) -> None:
    client = Client()
    sent = okta.begin(client)
    okta.token = signed(claims(nonce=okta.nonce), key=OTHER)
    refused(okta.come_back(client, sent), "token", "signature")


def test_a_new_key_is_asked_for(okta: Provider, monkeypatch: pytest.MonkeyPatch) -> None:
    assert okta.sign_in(Client()).status_code == 302
    monkeypatch.setattr("gateway.identity.key_source.APART", 0.0)
    okta.keys = [published(kid="k2", key=OTHER)]
    client = Client()
    sent = okta.begin(client)
    okta.token = signed(claims(nonce=okta.nonce), key=OTHER, kid="k2")
    assert okta.come_back(client, sent).status_code == 302


def test_a_code_that_the_provider_refuses(okta: Provider) -> None:
    okta.status["/token"] = 400
    refused(okta.sign_in(Client()), "code", "status")


def test_somebody_who_has_no_account(okta: Provider) -> None:
    Issuer.objects.update(creates_people=False)
    refused(okta.sign_in(Client()), "unknown_person")


def test_somebody_who_is_inactive_or_locked(okta: Provider) -> None:
    okta.sign_in(Client())
    alice = User.objects.get()
    lock_set(by=None, reason="looked at", user=alice)
    refused(okta.sign_in(Client()), "locked")
    User.objects.update(is_active=False)
    answer = okta.sign_in(Client())
    assert "not active" in answer.content.decode()


def test_a_program_does_not_sign_in(okta: Provider) -> None:
    account = ServiceAccount.objects.create(area=world.area(), name="robot", owner=world.person("bob"))
    Identity.objects.create(service_account=account, issuer=ISSUER, subject="00u1")
    refused(okta.sign_in(Client()), "not_a_person")


def test_a_flood_of_failures_is_counted_and_not_written(okta: Provider) -> None:
    client = Client()
    for _ in range(failures.MOST + 20):
        client.get("/oidc/callback/?state=x&code=y")
    assert len(events("signin.failed")) == failures.MOST


def test_signing_out_goes_on_to_the_provider(okta: Provider) -> None:
    client = Client()
    okta.sign_in(client)
    assert "eyJ" not in str(dict(client.session)), "sealed"
    page = client.post("/logout/").content.decode()
    assert f"{ISSUER}/end_session?client_id=postern" in page and "id_token_hint=eyJ" in page
    assert "post_logout_redirect_uri=http%3A%2F%2Ftestserver%2Flogin%2F" in page
    assert not is_in(client)


def test_signing_out_ends_here_when_the_provider_offers_nothing_or_is_away(okta: Provider) -> None:
    okta.document["end_session_endpoint"] = ""
    client = Client()
    okta.sign_in(client)
    assert client.post("/logout/")["location"] == "/login/" and not is_in(client)
    okta.sign_in(client)
    oidc_provider.forget()
    okta.down = {"/.well-known/openid-configuration"}
    assert client.post("/logout/")["location"] == "/login/" and not is_in(client)


def logout_token(**more: Any) -> str:
    said = {"jti": "j-1", "events": {LOGOUT_EVENT: {}}, "nonce": ..., "auth_time": ..., **more}
    return signed(claims(**said), typ="logout+jwt")


def back_channel(token: str) -> int:
    strict = Client(enforce_csrf_checks=True)
    return strict.post("/oidc/backchannel-logout", {"logout_token": token}).status_code


def test_the_provider_ends_the_session_it_names(okta: Provider) -> None:
    here, there = Client(), Client()
    okta.sign_in(here)
    okta.said = {"sid": "s-2"}
    okta.sign_in(there)
    assert back_channel(logout_token()) == 200
    assert not is_in(here) and is_in(there)
    assert SignIn.objects.get(sid="s-1").ended_because == "signed out at the provider"
    assert back_channel(logout_token()) == 400, "once"
    assert back_channel(logout_token(jti="j-2", sid=...)) == 200
    assert not is_in(there)


def test_the_provider_ends_nobody_elses(okta: Provider) -> None:
    here = Client()
    okta.sign_in(here)
    local = Client()
    local.force_login(world.person("bob"))
    assert back_channel(logout_token(sid=..., sub="00u2")) == 200
    assert back_channel(logout_token(jti="j-3", sub="00u2")) == 200
    assert is_in(here) and is_in(local)


def test_an_evil_logout_token_ends_nothing(okta: Provider) -> None:
    here = Client()
    okta.sign_in(here)
    assert back_channel("") == 400
    assert back_channel(signed(claims(jti="j", events={LOGOUT_EVENT: {}}), typ="logout+jwt")) == 400
    assert back_channel(logout_token(aud="other")) == 400
    assert Client().get("/oidc/backchannel-logout").status_code == 405
    assert is_in(here)


def test_a_proof_is_fetched_from_the_provider_again(okta: Provider, settings: Any) -> None:
    settings.STEP_UP_SECONDS, settings.STEP_UP_ACR = 900, "mfa"
    client = Client()
    assert okta.begin(client)["max_age"] == str(settings.SESSION_COOKIE_AGE)
    okta.sign_in(client)
    assert f"{ISSUER}" not in client.get("/step-up/?next=/account/").content.decode()
    sent = okta.begin(client, "?again=1&next=/account/")
    assert (sent["prompt"], sent["max_age"], sent["acr_values"]) == ("login", "900", "mfa")
    for said in ({"acr": "pwd"}, {"acr": "mfa", "auth_time": int(time.time()) - 3600}, {"auth_time": ...}):
        okta.said = said
        answer = okta.sign_in(client, "?again=1&next=/account/")
        assert "That proof is not enough" in answer.content.decode() and is_in(client)
    okta.said = {"acr": "mfa"}
    assert okta.sign_in(client, "?again=1&next=/account/")["location"] == "/account/"
    row = SignIn.objects.get()
    assert row.acr == "mfa" and len(events("signin.renewed")) == 1


def test_confirming_as_somebody_else_changes_nothing(okta: Provider, settings: Any) -> None:
    settings.STEP_UP_SECONDS = 900
    client = Client()
    okta.sign_in(client)
    okta.said = {"sub": "00u2"}
    answer = okta.sign_in(client, "?again=1")
    assert "That was somebody else" in answer.content.decode()
    assert SignIn.objects.get().subject == "00u1" and is_in(client)


def test_a_provider_that_does_not_say_when_proves_nothing_fresh(okta: Provider, settings: Any) -> None:
    settings.STEP_UP_SECONDS = 900
    okta.said = {"auth_time": ...}
    okta.sign_in(Client())
    assert SignIn.objects.get().authenticated_at.year == 1970
