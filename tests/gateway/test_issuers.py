"""Issuers and the deployment's own rules: what is refused, in which words, and what takes two people."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError

from audit.models import Entry
from gateway.deployment import TARGET, deployment_now, deployment_save
from gateway.identity.expressions import expression_problem
from gateway.identity.issuer_checks import warnings
from gateway.identity.kinds import issuer_payload
from gateway.issuers import FIELDS, issuer_delete, issuer_save
from gateway.models import (
    Deployment,
    DirectoryToken,
    GroupMapping,
    Issuer,
    IssuerKind,
    Match,
    User,
)
from policies import proposals
from policies.grants import NeedsSecondPerson
from policies.history import history_of
from policies.models import Proposal, ProposalState
from tests.gateway import two, world
from tests.identity.saml.test_attacks import ENTITY, provider

pytestmark = pytest.mark.django_db
URL = "https://login.example.com/tenant"


@pytest.fixture
def alice() -> User:
    return two.official("alice")


@pytest.fixture
def bob() -> User:
    return two.official("bob")


def issuer(**fields: Any) -> Issuer:
    return Issuer(**{"name": "Okta", "issuer": URL, "audiences": ["postern"], **fields})


def group(name: str = "support") -> Group:
    return Group.objects.get_or_create(name=name)[0]


def rule(value: str = "support", match: str = Match.EXACT, to: Group | None = None) -> GroupMapping:
    return GroupMapping(match=match, value=value, group=to)


def saved(**fields: Any) -> Issuer:
    return issuer_save(issuer=issuer(**fields), mappings=[rule(to=group())], by=None)


def two_people(**flags: bool) -> None:
    deployment_save(deployment=Deployment(**(flags or {"two_person_issuers": True})), by=None)


def events() -> list[dict[str, Any]]:
    return [json.loads(bytes(entry.meta)) for entry in Entry.objects.order_by("sequence")]


def test_an_issuer_comes_with_its_rules_and_one_event(alice: User) -> None:
    made = issuer_save(issuer=issuer(), mappings=[rule(to=group())], by=alice)
    assert [str(each) for each in made.mappings.all()] == ["is “support” → support"]
    event = events()[-1]
    assert event["event"] == "issuer.added" and event["by"]["name"] == "alice"
    assert event["detail"]["rules_added"] == ["is “support” → support"]
    line = history_of(GroupMapping).get()
    assert line.history_user_id == alice.pk


def test_rules_are_all_of_them_and_what_stays_is_not_written_again() -> None:
    made = saved()
    kept = made.mappings.get().pk
    more = [rule(to=group()), rule("ward-", Match.PREFIX)]
    issuer_save(issuer=made, mappings=more, by=None)
    assert kept in made.mappings.values_list("pk", flat=True) and made.mappings.count() == 2
    before = len(events())
    issuer_save(issuer=made, mappings=more, by=None)
    issuer_save(issuer=made, by=None)
    assert made.mappings.count() == 2 and len(events()) == before
    issuer_save(issuer=made, mappings=[], by=None)
    assert not made.mappings.exists()
    assert len(events()[-1]["detail"]["rules_taken"]) == 2


REFUSED: list[tuple[str, Any, str]] = [
    ("issuer", "http://login.example.com", "Use https"),
    ("issuer", "http://127.0.0.1:9", "Use https"),
    ("issuer", "login.example.com", "full address"),
    ("issuer", "ftp://login.example.com", "full address"),
    ("issuer", "https://", "full address"),
    ("issuer", "https://me:pw@login.example.com", "user names"),
    ("issuer", "https://login.example.com/#x", "fragment"),
    ("issuer", "https://login.example.com/?x=1", "query"),
    ("issuer", "https://login.exämple.com/", "ASCII"),
    ("issuer", "https://login.example.com/a b", "ASCII"),
    ("issuer", "https://login.example.com:99999999/", "no address"),
    ("jwks_uri", "http://login.example.com/keys", "Use https"),
    ("jwks_uri", "https://u@login.example.com/keys", "user names"),
    ("introspection_url", "https://login.example.com/i#f", "fragment"),
    ("audiences", [], "meant for"),
    ("audiences", "postern", "list of words"),
    ("audiences", [""], "list of words"),
    ("audiences", [3], "list of words"),
    ("audiences", ["a", "a"], "twice"),
    ("authorized_parties", [" a"], "list of words"),
    ("algorithms", [], "blank"),
    ("algorithms", ["HS256"], "Not accepted"),
    ("algorithms", ["RS256", "none"], "Not accepted"),
    ("algorithms", ["RS256", "RS256"], "twice"),
    ("algorithms", [["RS256"]], "Not accepted"),
    ("required_claims", [], "object"),
    ("required_claims", {"tenant": ["a"]}, "the value is"),
    ("required_claims", {"aud": "x"}, "checked anyway"),
    ("groups_claim", "realm..roles", "single dots"),
    ("groups_claim", ".roles", "single dots"),
    ("groups_claim", "roles ", "spaces"),
    ("subject_claim", "", "blank"),
    ("subject_claim", " ", "tells people apart"),
    ("overage", "lookup", "lookup that is asked"),
    ("leeway", 61, "60"),
    ("max_stale", 5, "60"),
    ("metadata", "<x/>", "Only SAML"),
    ("kind", "ldap", "not a valid choice"),
    ("kind", "saml", "Paste the provider's metadata"),
]


@pytest.mark.parametrize(("field", "value", "words"), REFUSED)
def test_what_an_issuer_may_not_say_is_refused_in_words(field: str, value: Any, words: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        issuer_save(issuer=issuer(**{field: value}), by=None)
    assert words in " ".join(refusal.value.messages)
    assert not Issuer.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"issuer": "http://127.0.0.1:8080/realm"},
        {"issuer": "http://localhost:9", "jwks_uri": "http://[::1]:9/keys"},
    ],
)
def test_without_tls_only_this_machine_and_only_where_plain_http_is_set(
    settings: Any, fields: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError, match="Use https"):
        saved(**fields)
    settings.PLAIN_HTTP = True
    saved(**fields)
    with pytest.raises(ValidationError, match="Use https"):
        saved(issuer="http://10.0.0.1/", name="other")


@pytest.mark.parametrize(
    "fields",
    [
        {"jwks_uri": "https://login.example.com/keys?appid=1"},
        {"groups_claim": "realm_access.roles"},
        {"groups_claim": "https://acme.example.com/groups"},
        {"groups_claim": ""},
        {"accepts_tokens": False, "audiences": []},
        {"required_claims": {"tenant": "acme", "email_verified": True, "level": 2}},
        {"kind": IssuerKind.SAML, "issuer": ENTITY, "audiences": [], "metadata": provider().metadata()},
    ],
)
def test_what_is_fine_is_stored(fields: dict[str, Any]) -> None:
    assert saved(**fields) == Issuer.objects.get()


def test_the_credential_of_an_introspection_is_sealed_for_its_origin() -> None:
    credential = world.credential()
    with pytest.raises(ValidationError, match="another origin"):
        saved(introspection_url="https://login.example.com/i", introspection_credential=credential)
    with pytest.raises(ValidationError, match="name its address"):
        saved(introspection_credential=credential)
    saved(introspection_url=f"{world.ORIGIN}/i", introspection_credential=credential)


def test_an_issuer_keeps_its_identifier_since_people_are_known_by_it() -> None:
    made = saved()
    made.issuer = "https://elsewhere.example.com"
    with pytest.raises(ValidationError, match="keeps identifier"):
        issuer_save(issuer=made, by=None)


RULES: list[tuple[str, str, str]] = [
    (Match.EXACT, "support", "Choose the group"),
    (Match.EXACT, "", "Say which value"),
    (Match.PREFIX, "", "Say which value"),
    (Match.PREFIX, "x" * 301, "at most 300"),
    (Match.REGEX, "(", "no expression: missing )"),
    (Match.REGEX, "[[a]", "no expression that is read in one way"),
    (Match.REGEX, "(a+)+b", "repeat within a repeat"),
    (Match.REGEX, "(a|a)*b", "choice within one"),
    (Match.REGEX, "(?:(?:a?){50}){50}(a)", "repeat within"),
    (Match.REGEX, "(.*).*.*x", "several ways"),
    (Match.REGEX, "(a?)" * 30, "several ways"),
    (Match.REGEX, "(?=a)(a)", "Looking ahead"),
    (Match.REGEX, r"(a)\1", "Looking ahead"),
    ("glob", "a*", "Choose how"),
]


@pytest.mark.parametrize(("match", "value", "words"), RULES)
def test_rules_that_cannot_work_are_refused_in_words(match: str, value: str, words: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        issuer_save(issuer=issuer(), mappings=[rule(value, match)], by=None)
    assert refusal.value.messages[0].startswith("Rule 1: ")
    assert words in " ".join(refusal.value.messages)


@pytest.mark.parametrize(
    "expression", ["ward-(.+)", "(?:app|team)-(.+)-(?:rw|ro)", r"CN=([^,]+),.*", "(?i)x-([a-z0-9_]{1,40})"]
)
def test_expressions_of_every_day_are_accepted(expression: str) -> None:
    assert expression_problem(expression) == ""


def test_a_rule_that_is_there_twice_or_names_no_group_is_refused() -> None:
    with pytest.raises(ValidationError, match="there twice"):
        issuer_save(issuer=issuer(), mappings=[rule(to=group()), rule(to=group())], by=None)
    with pytest.raises(ValidationError, match="no such group"):
        issuer_save(issuer=issuer(), mappings=[GroupMapping(value="a", group_id=987654)], by=None)


def test_rules_that_open_doors_or_never_match_are_warned_of(alice: User) -> None:
    admins = group("alices group")
    told = warnings(
        issuer(groups_claim=""), [rule(to=admins), rule("support ", to=group()), rule("x-", Match.PREFIX)]
    )
    assert told == [
        "No claim says the groups, so no rule ever matches.",
        "Rule 1: Makes administrators: alices group has that role.",
        "Rule 2: The value begins or ends with a space, as claims hardly do: it may never match.",
        "Rule 3: Can make administrators: what the issuer says may name a group with that role.",
    ]
    assert warnings(issuer(), [rule(to=group())]) == []


def test_an_issuer_that_a_directory_relies_on_stays() -> None:
    made = saved()
    DirectoryToken.objects.create(
        name="Entra", prefix="p", digest=b"d", issuer=made, expires_at="2099-01-01T00:00Z"
    )
    with pytest.raises(ValidationError, match="Entra"):
        issuer_delete(issuer=made, by=None)


# --- two people -------------------------------------------------------------------------------------


def test_where_it_takes_two_no_service_goes_around_it(alice: User) -> None:
    made = saved()
    two_people()
    made.leeway = 5
    with pytest.raises(NeedsSecondPerson) as refusal:
        issuer_save(issuer=made, by=alice)
    assert (refusal.value.kind, refusal.value.target_id) == ("issuer.change", made.pk)
    with pytest.raises(NeedsSecondPerson):
        issuer_save(issuer=Issuer.objects.get(), mappings=[], by=alice)
    with pytest.raises(NeedsSecondPerson):
        issuer_save(issuer=issuer(name="New", issuer="https://new.example.com"), by=alice)
    with pytest.raises(NeedsSecondPerson):
        issuer_delete(issuer=made, by=alice)
    assert Issuer.objects.get().leeway == 30 and made.mappings.count() == 1


def test_switching_an_issuer_off_takes_one_person_and_on_again_two(alice: User) -> None:
    made = saved()
    two_people()
    made.enabled = False
    issuer_save(issuer=made, by=alice)
    for change in ({"enabled": True}, {"leeway": 5}):
        made = Issuer.objects.get()
        for name, value in change.items():
            setattr(made, name, value)
        with pytest.raises(NeedsSecondPerson):
            issuer_save(issuer=made, by=alice)
    Issuer.objects.update(enabled=True)
    made = Issuer.objects.get()
    made.enabled = False
    with pytest.raises(NeedsSecondPerson):
        issuer_save(issuer=made, mappings=[], by=alice)
    issuer_save(issuer=made, mappings=[rule(to=group())], by=alice)
    assert not Issuer.objects.get().enabled


def proposed(by: User, kind: str, target: Any, payload: dict[str, Any]) -> Proposal:
    return proposals.propose(kind=kind, target_id=target, payload=payload, by=by, reason="new tenant")


def test_alice_proposes_an_issuer_and_bob_confirms_it(alice: User, bob: User) -> None:
    two_people()
    payload = issuer_payload(issuer(), FIELDS, [rule(to=group())])
    proposal = proposed(alice, "issuer.add", None, payload)
    assert proposal.area is None and not Issuer.objects.exists()
    assert ["Rule: is “support” → support", "–", "Yes"] in proposal.shown
    assert not [row for row in proposal.shown if row[0] == "Mind"]
    with pytest.raises(proposals.NotAllowed, match="yourself"):
        two.confirm(proposal, alice)
    two.confirm(proposal, bob)
    assert Issuer.objects.get().mappings.get().group == group()
    assert [each["event"] for each in events()][-2:] == ["proposal.confirmed", "issuer.added"]


def test_who_confirms_is_told_of_the_doors(alice: User) -> None:
    payload = issuer_payload(issuer(), FIELDS, [rule(to=group("alices group"))])
    proposal = proposed(alice, "issuer.add", None, payload)
    assert ["Mind", "–", "Rule 1: Makes administrators: alices group has that role."] in proposal.shown


def test_a_changed_rule_and_a_deletion_are_proposed_too(alice: User, bob: User) -> None:
    made = saved()
    two_people()
    payload = issuer_payload(made, ("leeway",), [rule("ops", to=group("ops"))]) | {"leeway": 10}
    two.confirm(proposed(alice, "issuer.change", made.pk, payload), bob)
    made.refresh_from_db()
    assert made.leeway == 10 and [each.value for each in made.mappings.all()] == ["ops"]
    two.confirm(proposed(alice, "issuer.delete", made.pk, {}), bob)
    assert not Issuer.objects.exists() and not GroupMapping.objects.exists()


@pytest.mark.parametrize("how", ["another rule", "group renamed", "issuer gone"])
def test_what_moved_since_is_not_confirmed(alice: User, bob: User, how: str) -> None:
    made = saved()
    proposal = proposed(alice, "issuer.change", made.pk, {"leeway": 10})
    if how == "another rule":
        GroupMapping.objects.create(issuer=made, value="x", group=group())
    elif how == "group renamed":
        Group.objects.filter(name="support").update(name="renamed")
    else:
        issuer_delete(issuer=made, by=None)
    with pytest.raises(proposals.Stale):
        two.confirm(proposal, bob)
    assert Proposal.objects.get().state == ProposalState.STALE


@pytest.mark.parametrize(
    "payload",
    [
        {"name": ""},
        {"algorithms": ["HS256"]},
        {"id": "x"},
        {"mappings": "all"},
        {"mappings": [{"match": "exact", "value": "x"}]},
        {"mappings": [{"match": "exact", "value": "x", "group": True}]},
        {"mappings": [{"match": "exact", "value": "x", "group": "1"}]},
        {"mappings": [{"match": "regex", "value": "(a+)+", "group": None}]},
        {"mappings": [{"match": "exact", "value": "x", "group": 1, "more": 1}]},
        {"mappings": [3]},
    ],
)
def test_a_payload_of_the_wrong_shape_is_refused_in_words(alice: User, payload: dict[str, Any]) -> None:
    with pytest.raises(proposals.CannotApply):
        proposed(alice, "issuer.change", saved().pk, payload)


def test_only_who_may_confirm_identity_confirms(alice: User) -> None:
    carol = two.official("carol", "publisher")
    proposal = proposed(alice, "issuer.change", saved().pk, {"leeway": 10})
    with pytest.raises(proposals.NotAllowed, match="may not decide"):
        two.confirm(proposal, carol)


# --- the deployment ---------------------------------------------------------------------------------


def test_the_deployments_rules_are_made_when_first_set(alice: User) -> None:
    assert deployment_now().key_max_days == 366 and not Deployment.objects.exists()
    deployment_save(deployment=Deployment(key_max_days=90), by=alice)
    assert deployment_now().key_max_days == 90
    assert events()[-1]["detail"] == {"fields": ["key_max_days"], "key_max_days": 90}
    assert history_of(Deployment).get().history_user_id == alice.pk
    deployment_save(deployment=deployment_now(), by=alice)
    assert history_of(Deployment).count() == 1


@pytest.mark.parametrize(
    "fields",
    [{"key_max_days": 0}, {"key_max_days": 367}, {"personal_key_hours": 0}, {"personal_key_hours": 13}],
)
def test_the_deployments_bounds_hold(fields: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        deployment_save(deployment=Deployment(**fields), by=None)


def test_asking_for_two_takes_one_and_letting_go_takes_two(alice: User, bob: User) -> None:
    two_people(two_person_issuers=True, two_person_roles=True)
    looser = deployment_now()
    looser.two_person_issuers = False
    with pytest.raises(NeedsSecondPerson) as refusal:
        deployment_save(deployment=looser, by=alice)
    assert (refusal.value.kind, refusal.value.target_id) == ("deployment.two_person", TARGET)
    proposal = proposed(alice, "deployment.two_person", TARGET, {"two_person_issuers": False})
    with pytest.raises(proposals.AlreadyProposed):
        proposed(alice, "deployment.two_person", TARGET, {"two_person_issuers": False})
    two.confirm(proposal, bob)
    now = deployment_now()
    assert (now.two_person_issuers, now.two_person_roles) == (False, True)
    with pytest.raises(proposals.CannotApply, match="cannot be set"):
        proposed(alice, "deployment.two_person", TARGET, {"key_max_days": 3})
