"""The demo's world: complete, made once, and never off loopback."""

from __future__ import annotations

import pytest

from gateway.console.seed import NotEmpty, NotLoopback, SeedResult, seed_world
from gateway.credentials.services import credential_current, credential_reveal_for_origin
from gateway.identity.authz import roles_of
from gateway.identity.keys import digest
from gateway.models import AccessRule, ApiKey, Area, Endpoint, User
from policies import store
from policies.engine.masker import Masker
from policies.engine.types import Direction, Gate
from policies.engine.verdict import decide
from policies.models import Policy, PolicyVersion

pytestmark = pytest.mark.django_db

MODEL = "http://127.0.0.1:8001"


def seeded() -> SeedResult:
    return seed_world(chat_origin=MODEL, classifier_origin="http://localhost:8002", chat_base_path="/v9")


def verdict(policy: str, text: str) -> tuple[str, Gate]:
    compiled = store.load_policy(Policy.objects.get(slug=policy).pk)
    masked = Masker(compiled, Direction.REQUEST).text(text, "text")
    return str(masked.sent), decide(compiled, Direction.REQUEST, masked.findings, ()).gate


def test_everybody_gets_a_password_a_key_and_their_roles() -> None:
    result = seeded()
    assert [person.name for person in result.people] == ["alice", "bob", "carol", "dave", "erin", "admin"]
    for person in result.people:
        user = User.objects.get(username=person.name)
        assert user.check_password(person.password.reveal())
        key = ApiKey.objects.get(digest=digest(result.api_keys[person.name].reveal()))
        assert key.user == user
        assert set(person.roles) <= set(roles_of(user))
    assert [user.username for user in User.objects.filter(is_superuser=True)] == ["admin"]


def test_dave_sees_evidence_and_configuration_and_changes_no_configuration() -> None:
    seeded()
    held = User.objects.get(username="dave").get_all_permissions()
    assert {"audit.view_call", "audit.view_session", "policies.view_policy"} <= held
    assert all(name.split(".")[1].startswith("view_") for name in held if not name.startswith("audit."))


def test_support_and_clinicians_reach_every_endpoint_and_carol_none() -> None:
    seeded()
    rules = AccessRule.objects.values_list("group__name", "endpoint__slug", "policy__slug")
    assert set(rules) == {
        ("support", "chat", "support"),
        ("support", "triage", "support"),
        ("support", "messages", "support"),
        ("clinicians", "chat", "clinicians"),
        ("clinicians", "triage", "clinicians"),
        ("clinicians", "messages", "clinicians"),
    }
    assert not User.objects.get(username="carol").groups.exists()


def test_each_endpoint_opens_its_credential_for_its_own_origin() -> None:
    result = seeded()
    for endpoint in Endpoint.objects.select_related("credential"):
        assert endpoint.credential is not None
        version = credential_current(credential=endpoint.credential)
        secret = credential_reveal_for_origin(version=version, origin=endpoint.origin)
        assert secret == result.upstream_secrets[endpoint.origin]
    assert Endpoint.objects.get(slug="chat").base_path == "/v9"


def test_one_origin_for_both_endpoints_has_one_credential() -> None:
    result = seed_world(chat_origin=MODEL, classifier_origin=MODEL)
    assert list(result.upstream_secrets) == [MODEL]


@pytest.mark.parametrize(
    ("text", "support", "clinicians", "gate"),
    [
        ("mail bob@example.com", "mail ***", "mail [EMAIL]", Gate.ALLOW),
        ("card 4111 1111 1111 1111", "card XXXX XXXX XXXX 1111", "card XXXX XXXX XXXX 1111", Gate.ALLOW),
        ("ssn 536-22-8726", "ssn ***", "ssn [US_SSN]", Gate.HOLD),
        ("MRN 12345678", "***", "[MRN]", Gate.ALLOW),
        ("project bluebird", "***", "[PROJECT]", Gate.ALLOW),
        ("key sk-ant-api03-" + "a1B2c3D4" * 10, "key ***", "key [API_KEY]", Gate.BLOCK),
    ],
)
def test_the_policies_do_what_their_names_say(text: str, support: str, clinicians: str, gate: Gate) -> None:
    seeded()
    assert verdict("support", text)[0] == support
    assert verdict("clinicians", text) == (clinicians, gate)


def test_what_alice_has_to_wait_for_is_decided_by_bob_and_what_bob_has_to_by_erin() -> None:
    seeded()
    assert verdict("support", "card 4111 1111 1111 1111")[1] is not Gate.HOLD
    assert verdict("support", "card 4111 1111 1111 1111 IBAN DE89 3704 0044 0532 0130 00")[1] is Gate.HOLD
    named = [version.reviewers for version in PolicyVersion.objects.all()]
    assert named == [["reviewers"], ["reviewers"]]
    reviewers = User.objects.filter(groups__name="reviewers").values_list("username", flat=True)
    assert set(reviewers) == {"bob", "erin"}


def test_it_is_made_once() -> None:
    seeded()
    with pytest.raises(NotEmpty):
        seeded()


@pytest.mark.parametrize("origin", ["https://api.example.com", "http://192.168.0.7:8000", "http://0.0.0.0:1"])
def test_it_is_refused_off_loopback(origin: str) -> None:
    for origins in ((origin, MODEL), (MODEL, origin)):
        with pytest.raises(NotLoopback):
            seed_world(chat_origin=origins[0], classifier_origin=origins[1])
    assert not Area.objects.exists()


def test_a_remote_chat_model_needs_saying_so() -> None:
    result = seed_world(
        chat_origin="https://api.example.com", classifier_origin=MODEL, chat_may_be_remote=True
    )
    assert {endpoint.slug for endpoint in result.endpoints} == {"chat", "triage", "messages"}


def test_nothing_secret_shows_in_the_result() -> None:
    result = seeded()
    shown = repr(result)
    for secret in (*result.api_keys.values(), *result.upstream_secrets.values()):
        assert secret.reveal() not in shown
