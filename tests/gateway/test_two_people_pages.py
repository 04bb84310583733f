"""The pages of proposals and of the history: alice proposes, bob decides, carol may not look, dave reads."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries

from gateway.areas import area_save
from gateway.identity.authz import role_grant
from gateway.identity.membership import membership_set, permissions_set
from gateway.models import AccessRule, Area, User
from policies import proposals, services
from policies.models import Proposal, ProposalState, SchemaVersion, State
from tests.gateway import two, world

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice() -> User:
    return two.official("alice")


@pytest.fixture
def bob() -> User:
    return two.official("bob")


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def proposed(alice: User) -> Proposal:
    two.guarded("two_person_publish")
    draft = world.draft_schema()
    page = reverse("proposal_new", args=["schema.publish", draft.pk])
    assert "BADGE" in browser(alice).get(page).content.decode()
    answer = browser(alice).post(page, {"reason": "badges are new"})
    found = Proposal.objects.get()
    assert answer["Location"] == reverse("proposal", args=[found.pk])
    return found


def text(user: User, name: str, *args: object) -> str:
    answer = browser(user).get(reverse(name, args=args))
    assert answer.status_code == 200
    return answer.content.decode()


def test_alice_proposes_bob_sees_what_changes_and_confirms(alice: User, bob: User) -> None:
    proposal = proposed(alice)
    assert "1 proposal waits for you" in text(bob, "home")
    assert "proposal waits for you" not in text(alice, "home")
    assert "waits for you" in text(bob, "proposals")
    page = text(bob, "proposal", proposal.pk)
    assert "badges are new" in page and "BADGE" in page and "Confirm" in page
    browser(bob).post(reverse("proposal_confirm", args=[proposal.pk]), {"seen": proposal.basis})
    proposal.refresh_from_db()
    assert (proposal.state, proposal.decided_by) == (ProposalState.CONFIRMED, bob)
    assert SchemaVersion.objects.get().state == State.PUBLISHED
    assert "confirmed" in text(alice, "proposals").lower()


def test_alice_is_offered_to_withdraw_and_not_to_confirm(alice: User, bob: User) -> None:
    proposal = proposed(alice)
    page = text(alice, "proposal", proposal.pk)
    assert "Withdraw" in page and "proposal_confirm" not in page and "It can be confirmed by bob" in page
    answer = browser(alice).post(
        reverse("proposal_confirm", args=[proposal.pk]), {"seen": proposal.basis}, follow=True
    )
    assert "You proposed this yourself" in answer.content.decode()
    browser(alice).post(reverse("proposal_withdraw", args=[proposal.pk]))
    proposal.refresh_from_db()
    assert proposal.state == ProposalState.WITHDRAWN
    assert SchemaVersion.objects.get().state == State.DRAFT


def test_turning_down_takes_a_reason(alice: User, bob: User) -> None:
    proposal = proposed(alice)
    url = reverse("proposal_reject", args=[proposal.pk])
    assert "Say why" in browser(bob).post(url, {"comment": " "}, follow=True).content.decode()
    browser(bob).post(url, {"comment": "not before Monday"})
    assert "not before Monday" in text(alice, "proposal", proposal.pk)


def test_what_has_moved_is_said_and_not_confirmed(alice: User, bob: User) -> None:
    proposal = proposed(alice)
    world.data_class(SchemaVersion.objects.get(), "MORE", "terms", "bluebird")  # type: ignore[arg-type]
    page = text(bob, "proposal", proposal.pk)
    assert "has changed since it was proposed" in page
    url = reverse("proposal_confirm", args=[proposal.pk])
    answer = browser(bob).post(url, {"seen": proposal.basis}, follow=True)
    assert "Nothing was applied" in answer.content.decode()
    assert SchemaVersion.objects.get().state == State.DRAFT


def test_a_reading_changes_nothing_and_needs_a_permission(alice: User) -> None:
    proposal = proposed(alice)
    carol = browser(world.person("carol"))
    for name in ("proposals", "history"):
        assert carol.get(reverse(name)).status_code == 403
    for name in ("proposal_confirm", "proposal_reject", "proposal_withdraw"):
        assert browser(alice).get(reverse(name, args=[proposal.pk])).status_code == 405
        assert carol.post(reverse(name, args=[proposal.pk])).status_code == 403


def test_only_what_starts_on_a_page_is_proposed_on_one(alice: User) -> None:
    url = reverse("proposal_new", args=["area.two_person", world.area().pk])
    assert browser(alice).get(url).status_code == 404
    gone = reverse("proposal_new", args=["schema.publish", world.area().pk])
    assert browser(alice).get(gone).status_code == 404


def test_a_time_that_is_none_is_said(alice: User) -> None:
    draft = world.draft_schema()
    url = reverse("proposal_new", args=["schema.publish", draft.pk])
    answer = browser(alice).post(url, {"reason": "x", "effective_at": "soon"})
    assert answer.status_code == 400 and "2030-01-31" in answer.content.decode()
    browser(alice).post(url, {"reason": "x", "effective_at": "2031-02-03 04:05"})
    assert Proposal.objects.get().payload == {"effective_at": "2031-02-03T04:05:00+00:00"}


def test_a_time_with_a_zone_is_that_moment(alice: User) -> None:
    url = reverse("proposal_new", args=["schema.publish", world.draft_schema().pk])
    browser(alice).post(url, {"reason": "x", "effective_at": "2031-02-03T04:05:00+02:00"})
    assert Proposal.objects.get().payload == {"effective_at": "2031-02-03T02:05:00+00:00"}


def test_the_list_says_what_changes_until_when_and_who_may_confirm(alice: User, bob: User) -> None:
    proposed(alice)
    page = text(alice, "proposals")
    assert "at once" in page and "v1" in page and "It can be confirmed by bob" in page and "until" in page


def test_what_ran_out_is_listed_so_and_nobody_is_asked(alice: User, bob: User) -> None:
    proposal = proposed(alice)
    Proposal.objects.update(proposed_at=timezone.now() - proposals.VALID)
    assert "proposal waits for you" not in text(bob, "home")
    listed = text(bob, "proposals")
    assert "Ran out" in listed and "Nothing waits" in listed and "waits for you" not in listed
    assert "can no longer be confirmed" in text(bob, "proposal", proposal.pk)
    url = reverse("proposal_confirm", args=[proposal.pk])
    answer = browser(bob).post(url, {"seen": proposal.basis}, follow=True)
    assert "ran out. Nothing was applied" in answer.content.decode()


def test_the_empty_pages_say_so(alice: User) -> None:
    assert "Nothing waits" in text(alice, "proposals")


def test_the_timeline_tells_before_and_after_by_whom_and_why(alice: User, bob: User) -> None:
    services.schema_version_publish(version=world.draft_schema(), by=bob)
    area = world.area()
    area.name = "Clinic"
    area_save(area=area, by=alice)
    page = text(alice, "history")
    assert "Default" in page and "Clinic" in page and "alice" in page and "bob" in page
    one = browser(alice).get(reverse("history"), {"kind": "area", "object": str(area.pk)}).content.decode()
    assert "Clinic" in one and "BADGE" not in one


def test_membership_is_in_the_timeline_with_its_source(alice: User) -> None:
    group = alice.groups.get()
    membership_set(member=alice, groups=[], by=None)
    alice.is_superuser = True
    alice.save()
    page = browser(alice).get(reverse("history"), {"kind": "membership"}).content.decode()
    assert group.name in page and "By hand" in page and "Postern itself" in page


def test_the_timeline_goes_on_and_comes_to_an_end(alice: User) -> None:
    area = Area.objects.create(slug="busy", name="0")
    for number in range(1, 120):
        area.name = f"name-{number:03}"
        area.save()
    where = {"kind": "area", "object": str(area.pk)}
    seen: list[str] = []
    for _ in range(4):
        answer = browser(alice).get(reverse("history"), where)
        seen += [line.rows[0][2] for line in answer.context["lines"]]
        if answer.context["older"] is None:
            break
        where["before"] = str(answer.context["older"])
    assert len(seen) == len(set(seen)) == 120


def narrowed(user: User, **query: object) -> list[tuple[str, str, str]]:
    """(kind, what happened, to what) of each line."""
    lines = browser(user).get(reverse("history"), query).context["lines"]
    return [(line.kind, line.word, line.name) for line in lines]


def test_a_group_has_its_members_and_permissions_in_its_own_timeline(alice: User, bob: User) -> None:
    group = Group.objects.create(name="ward")
    role_grant(group=group, role="publisher", by=bob)
    membership_set(member=bob, groups=[*bob.groups.all(), group], by=alice)
    assert narrowed(alice, kind="group", object=group.pk) == [
        ("Group membership", "joined", "bob"),
        ("Group", "added", "ward"),
    ]
    assert ("Group membership", "joined", "bob") in narrowed(alice, kind="user", object=bob.pk)
    permissions_set(
        holder=group, permissions=Permission.objects.filter(codename="publish_policyversion"), by=bob
    )
    assert narrowed(alice, kind="permissions", person=bob.pk) == [("Permissions", "changed", "ward")]
    page = browser(alice).get(reverse("history"), {"kind": "permissions"}).content.decode()
    assert "policies.publish_policyversion" in page


def test_a_publish_is_called_so(alice: User, bob: User) -> None:
    version = services.schema_version_publish(version=world.draft_schema(), by=bob)
    told = narrowed(alice, kind="schemaversion", object=version.pk)
    assert [word for _, word, _ in told] == ["published", "added"]


def test_days_narrow_it(alice: User) -> None:
    world.area()
    today = timezone.now().date()
    day = timedelta(days=1)
    assert narrowed(alice, kind="area", since=today, until=today)
    assert not narrowed(alice, kind="area", until=today - day)
    assert not narrowed(alice, kind="area", since=today + day)
    empty = browser(alice).get(reverse("history"), {"since": today + day}).content.decode()
    assert "Nothing" in empty and "Show everything" in empty


def test_a_page_of_the_timeline_takes_a_bounded_number_of_queries(
    alice: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    policy, endpoint = world.published_policy(), world.endpoint()
    for number in range(60):
        group = Group.objects.create(name=f"group {number}")
        AccessRule.objects.create(group=group, endpoint=endpoint, policy=policy)
    client = browser(alice)
    with django_assert_max_num_queries(120):
        answer = client.get(reverse("history"))
    assert len(answer.context["lines"]) == 50


@pytest.mark.parametrize("key", ["9" * 30, "0", "-1"])
def test_a_key_that_nothing_has_shows_nothing(alice: User, key: str) -> None:
    assert narrowed(alice, kind="group", object=key) == []


def test_secrets_are_not_even_read(alice: User) -> None:
    key, _ = world.key_of(alice)
    with CaptureQueriesContext(connection) as asked:
        page = browser(alice).get(reverse("history"), {"kind": "apikey"}).content.decode()
    assert key.prefix in page
    history = [each["sql"] for each in asked if "historicalapikey" in each["sql"]]
    assert history and not any("digest" in each["sql"] for each in asked)


@pytest.mark.parametrize(
    "query",
    [
        "kind=permissions&object=1",
        "since=9999-12-31",
        "kind=nothing",
        "before=x",
        "object=1",
        "until=x",
        "kind=area&object=x",
    ],
)
def test_a_query_that_no_link_says_is_refused(alice: User, query: str) -> None:
    assert browser(alice).get(f"{reverse('history')}?{query}").status_code == 400


def test_what_is_gone_is_still_told(alice: User) -> None:
    policy = world.published_policy()
    rule = AccessRule.objects.create(group=alice.groups.get(), endpoint=world.endpoint(), policy=policy)
    rule.delete()
    rule_group = alice.groups.get()
    page = browser(alice).get(reverse("history"), {"kind": "accessrule"}).content.decode()
    assert "deleted" in page and rule_group.name in page


def test_an_object_leads_to_its_own_history(alice: User) -> None:
    area = world.area()
    page = browser(alice).get(reverse("admin:gateway_area_change", args=[area.pk])).content.decode()
    assert f"{reverse('history')}?kind=area&amp;object={area.pk}" in page
