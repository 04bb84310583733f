"""Whom an issuer vouches for: found by (issuer, subject) or made, with the groups of its latest word."""

from __future__ import annotations

import unicodedata

import pytest
from django.contrib.auth import authenticate
from django.contrib.auth.forms import UsernameField
from django.contrib.auth.models import Group
from django.db import IntegrityError, transaction

from gateway.identity import people
from gateway.identity.membership import group_members_change, membership_set, membership_sources
from gateway.identity.names import canonical, people_named, person_named
from gateway.identity.people import NotVouched, person_vouched
from gateway.models import GroupMapping, Identity, Issuer, Match, Source, User
from tests.gateway import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def okta() -> Issuer:
    issuer = Issuer.objects.create(name="Okta", issuer="https://okta.example.com")
    for name in ("support", "clinicians"):
        group = Group.objects.create(name=name)
        GroupMapping.objects.create(issuer=issuer, match=Match.EXACT, value=f"pst-{name}", group=group)
    return issuer


def vouched(issuer: Issuer, subject: str = "00u1", **said: object) -> User:
    word = {"name": "Alice A.", "username": "alice", "values": ["pst-support"], "source": Source.OIDC, **said}
    return person_vouched(issuer=issuer, subject=subject, **word)  # type: ignore[arg-type]


def names(person: User) -> set[str]:
    return set(person.groups.values_list("name", flat=True))


def test_a_new_person_is_made_once(okta: Issuer) -> None:
    first, again = vouched(okta), vouched(okta)
    assert first == again and names(first) == {"support"}
    assert (first.username, first.get_full_name(), first.has_usable_password()) == (
        "alice",
        "Alice A.",
        False,
    )
    assert membership_sources(first) == {Group.objects.get(name="support").pk: Source.OIDC}


def test_a_name_links_nobody(okta: Issuer) -> None:
    local = world.person("Alice")
    person = vouched(okta)
    assert person != local and person.username.startswith("alice-")
    assert vouched(okta, subject="00u2") not in (local, person)


def test_groups_follow_the_latest_word(okta: Issuer) -> None:
    person = vouched(okta, values=["pst-support", "pst-clinicians", "else"])
    assert names(person) == {"support", "clinicians"}
    assert names(vouched(okta, values=[])) == set()
    assert names(vouched(okta, values=None)) == set()


def test_what_somebody_else_gave_stays(okta: Issuer) -> None:
    person = vouched(okta)
    by_hand = Group.objects.create(name="night shift")
    membership_set(member=person, groups=[*person.groups.all(), by_hand], by=world.admin())
    assert names(vouched(okta, values=[])) == {"night shift"}


def test_nobody_unknown_where_the_issuer_makes_nobody(okta: Issuer) -> None:
    Issuer.objects.update(creates_people=False)
    okta.refresh_from_db()
    with pytest.raises(NotVouched, match="unknown_person"):
        vouched(okta)
    assert not Identity.objects.exists()


def test_an_inactive_person_stays_out(okta: Issuer) -> None:
    User.objects.filter(pk=vouched(okta).pk).update(is_active=False)
    with pytest.raises(NotVouched, match="inactive"):
        vouched(okta)


@pytest.mark.parametrize("values", [["pst-support"], []], ids=["given", "given by hand"])
def test_what_is_taken_away_meanwhile_does_not_come_back(
    okta: Issuer, monkeypatch: pytest.MonkeyPatch, values: list[str]
) -> None:
    person, support = vouched(okta, values=values), Group.objects.get(name="support")
    if not values:
        membership_set(member=person, groups=[support], by=None)

    def taken_away(groups: object) -> frozenset[int]:
        group_members_change(group=support, leave=[person.pk], by=None)
        return free(groups)  # type: ignore[arg-type]

    free = people._free
    monkeypatch.setattr(people, "_free", taken_away)
    assert names(vouched(okta, values=values)) == set()


# --- names that differ by case alone: one name, whatever the store folds ----------------------------------

KELVIN, ANGSTROM, LONG_S = "\u212a", "\u212b", "\u017f"
ONE_NAME = [
    ("kate", f"{KELVIN}ate"),
    ("kate", "KATE"),
    ("\u00e5sa", f"{ANGSTROM}sa"),
    ("\u00e9mile", "\u00c9mile"),
    ("\u00e9mile", "E\u0301mile"),
    ("sam", f"{LONG_S}am"),
    ("\u03bd\u03b9\u03ba\u03bf\u03c2", "\u039d\u0399\u039a\u039f\u03a3"),
    ("\u03bd\u03b9\u03ba\u03bf\u03c2", "\u03bd\u03b9\u03ba\u03bf\u03c3"),
    ("kate", "\uff4b\uff41\uff54\uff45"),  # full width
]


@pytest.mark.database
@pytest.mark.parametrize(("name", "like"), ONE_NAME)
def test_a_name_that_differs_by_case_alone_is_taken_on_every_store(
    okta: Issuer, name: str, like: str
) -> None:
    local = world.person(name)
    person = vouched(okta, username=like)
    assert person != local and canonical(person.username) != canonical(name)
    assert unicodedata.is_normalized("NFKC", person.username)
    assert person_named(like) == local and people_named(like) == [local]


@pytest.mark.database
@pytest.mark.parametrize("other", ["kat", "katee", "\u03bate", "k\u00e1te", "stra\u00dfe"])
def test_another_name_is_another_person(other: str) -> None:
    world.person("kate"), world.person("strasse")
    assert people_named(other) == [] and person_named(other) is None


@pytest.mark.database
def test_of_two_who_were_there_before_the_one_who_is_spelled_so_is_meant() -> None:
    kate, odd = world.person("kate"), world.person("x")
    try:
        with transaction.atomic():
            User.objects.filter(pk=odd.pk).update(username="k\u00e1te")
            kate.username = "K\u00c1TE"
            kate.save()
    except IntegrityError:
        return  # this store would have folded them
    assert person_named("k\u00e1te") == odd and person_named("K\u00c1TE") == kate
    assert person_named("K\u00e1te") is None


@pytest.mark.database
def test_a_sign_in_is_by_the_one_spelling_and_never_another_account() -> None:
    kate = User.objects.create_user("kate", password="a long enough pass phrase")
    form = {"password": "a long enough pass phrase"}
    for typed, found in (("kate", kate), (f"{KELVIN}ate", None), ("\uff4bate", kate), ("Kate", None)):
        given = UsernameField().to_python(typed)
        assert authenticate(None, username=given, **form) == found
