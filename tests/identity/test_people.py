"""Whom an issuer vouches for: found by (issuer, subject) or made, with the groups of its latest word."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group

from gateway.identity import people
from gateway.identity.membership import group_members_change, membership_set, membership_sources
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
