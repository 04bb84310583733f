"""Rules, holds and erasures by their pages: ada and bob are two people, carol may nothing, the auditor of one
area stays in it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from audit import ids
from audit.models import Call, Job, LegalHold, RetentionRule, Store
from audit.records import Recordable, Who
from audit.retention import erasure
from audit.retention.changing import rule_save
from audit.retention.holds import HoldRefused, hold_place
from gateway.identity.authz import role_grant
from gateway.models import Area, User
from policies import proposals
from policies.models import Proposal, ProposalState
from tests.gateway import two, world
from tests.stored import stored

pytestmark = pytest.mark.django_db(transaction=True)
CAROL = UUID(int=0xCA701)
RULE = {"name": "all calls", "payload_days": "30", "reason": "what the policy says"}


@pytest.fixture
def alice() -> User:
    return two.official("alice", "admin", "auditor")


@pytest.fixture
def bob() -> User:
    return two.official("bob", "auditor", "publisher")


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def auditor_of(area: Area) -> User:
    person, group = world.person(f"auditor-{area.slug}"), Group.objects.create(name=f"audit {area.slug}")
    role_grant(group=group, role="auditor", by=None, area=area)
    person.groups.add(group)
    return person


def call_in(area: Area, *, days: int = 0, subject: str = "local:carol") -> Call:
    Store.objects.get_or_create(pk=1, defaults={"key_check": bytes(32), "created_at": timezone.now()})
    number = ids.uuid7(ids.milliseconds_of(ids.new()) - days * 86_400_000, 7 + Call.objects.count())
    return Call.objects.create(
        id=number,
        started_at=ids.time_of(number),
        closed_at=timezone.now(),
        status=200,
        complete=True,
        instance_id=ids.new(),
        stream_id=ids.new(),
        person_id=CAROL if subject == "local:carol" else ids.new(),
        subject=subject,
        name="carol",
        kind="person",
        groups=[],
        area=area.slug,
        endpoint="chat",
        api="openai",
        method="POST",
        policy="default@3",
        streaming=False,
        action="masked",
        reasons=[],
        rules=[],
        counts={},
        highest="confidential",
        request_hmac=bytes(32),
        sent_digest=bytes(32),
        request_size=1,
    )


def asked(user: User, name: str, said: dict[str, Any], *args: object) -> Proposal:
    answer = browser(user).post(reverse(name, args=args), {**said, "propose": "1"})
    found = Proposal.objects.filter(state=ProposalState.OPEN).latest("proposed_at")
    assert answer["Location"] == reverse("proposal", args=[found.pk])
    return found


# --- rules ------------------------------------------------------------------------------------------
def test_a_rule_is_in_force_once_a_second_person_has_confirmed_it(alice: User, bob: User) -> None:
    proposal = asked(alice, "retention_new", RULE)
    assert not RetentionRule.objects.exists()
    with pytest.raises(proposals.NotAllowed, match="Somebody else"):
        two.confirm(proposal, alice)
    two.confirm(proposal, bob)
    rule = RetentionRule.objects.get()
    assert (rule.name, rule.payload_days, rule.row_days, rule.area) == ("all calls", 30, None, "")


def test_nobody_becomes_two_people_by_being_a_superuser() -> None:
    ada = world.admin()
    with pytest.raises(proposals.NotAllowed):
        two.confirm(asked(ada, "retention_new", RULE), ada)
    assert not RetentionRule.objects.exists()


def test_the_form_shows_what_would_go_before_anything_is_proposed(alice: User) -> None:
    call_in(world.area(), days=40)
    call_in(world.area(), days=4)
    answer = browser(alice).post(reverse("retention_new"), RULE)
    shown = answer.content.decode()
    assert answer.status_code == 200 and "With this rule" in shown and ">1</td>" in shown
    assert not Proposal.objects.exists()


def test_the_page_counts_what_each_open_proposal_would_remove(alice: User, bob: User) -> None:
    call_in(world.area(), days=40)
    proposal = asked(alice, "retention_new", RULE)
    page = browser(bob).get(reverse("retention")).content.decode()
    assert f"Add a retention rule: {proposal.target}" in page and ">1</td>" in page
    assert "No rule: everything is kept for ever" in page


def test_a_rule_is_changed_and_taken_away_by_two_as_well(alice: User, bob: User) -> None:
    two.confirm(asked(alice, "retention_new", RULE), bob)
    rule = RetentionRule.objects.get()
    change = asked(bob, "retention_rule", {**RULE, "payload_days": "90"}, rule.pk)
    assert change.shown == [["Payloads are kept", "30 days", "90 days"]]
    two.confirm(change, alice)
    rule.refresh_from_db()
    assert rule.payload_days == 90
    browser(alice).post(reverse("proposal_new", args=["retention.delete", rule.pk]), {"reason": "keep all"})
    two.confirm(Proposal.objects.get(kind="retention.delete"), bob)
    assert not RetentionRule.objects.exists()


def test_what_was_confirmed_is_what_was_seen(alice: User, bob: User) -> None:
    """Another rule came in between: which one wins is another question now."""
    proposal = asked(alice, "retention_new", RULE)
    RetentionRule.objects.create(name="other", payload_days=3650, level="restricted")
    with pytest.raises(proposals.Stale):
        two.confirm(proposal, bob)
    assert not RetentionRule.objects.filter(name="all calls").exists()


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"payload_days": "0"}, "greater than or equal to 1"),
        ({"payload_days": "30", "row_days": "7"}, "at least as long as the payloads"),
        ({"payload_days": "", "row_days": "7"}, "at least as long as the payloads"),
        ({"name": ""}, "required"),
        ({"reason": "", "propose": "1"}, "Say why"),
        ({"level": "secret"}, "not one of the available choices"),
    ],
)
def test_a_form_that_makes_no_sense_says_so(alice: User, said: dict[str, str], words: str) -> None:
    answer = browser(alice).post(reverse("retention_new"), {**RULE, **said})
    assert answer.status_code == 400 and words in answer.content.decode()
    assert not Proposal.objects.exists()


def test_an_auditor_of_one_area_stays_in_it(alice: User) -> None:
    here, there = world.area("clinic"), world.area("bank")
    mine, theirs = call_in(here, days=40), call_in(there, days=40)
    RetentionRule.objects.create(name="of the bank", payload_days=30, area=there.slug)
    RetentionRule.objects.create(name="of the clinic", payload_days=30, area=here.slug)
    local = auditor_of(here)
    page = browser(local).get(reverse("retention")).content.decode()
    assert "of the clinic" in page and "of the bank" not in page and "bank" not in page
    answer = browser(local).post(reverse("retention_new"), {**RULE, "area": there.slug, "propose": "1"})
    assert answer.status_code == 400
    answer = browser(local).post(reverse("retention_new"), {**RULE, "area": "", "propose": "1"})
    assert answer.status_code == 400 and not Proposal.objects.exists()
    for said in ({"calls": str(theirs.pk)}, {"subject": "local:nobody"}):
        answer = browser(local).post(reverse("erasure_new"), said)
        assert answer.status_code == 400 and "There are no such calls" in answer.content.decode()
    answer = browser(local).post(reverse("erasure_new"), {"subject": "local:carol"})
    assert "1 erased" in answer.content.decode()
    assert mine.area == here.slug


# --- holds ------------------------------------------------------------------------------------------
def test_one_person_places_a_hold_and_two_lift_it(alice: User, bob: User) -> None:
    call_in(world.area())
    said = {"subject": "local:carol", "reason": "case 7, mail to carol@example.com"}
    assert browser(alice).post(reverse("hold_new"), said)["Location"] == reverse("holds")
    hold = LegalHold.objects.get()
    assert hold.placed_by == "alice" and "carol@example.com" not in hold.reason
    page = browser(bob).get(reverse("holds")).content.decode()
    assert "caller local:carol" in page and ">1</td>" in page
    browser(bob).post(reverse("proposal_new", args=["hold.lift", hold.pk]), {"reason": "settled"})
    proposal = Proposal.objects.get()
    with pytest.raises(proposals.NotAllowed):
        two.confirm(proposal, bob)
    hold.refresh_from_db()
    assert hold.lifted_at is None
    two.confirm(proposal, alice)
    hold.refresh_from_db()
    assert hold.lifted_at is not None and hold.lifted_by == "bob and alice"


@pytest.mark.parametrize(
    "said",
    [
        {"reason": "case 7"},
        {"subject": "local:carol"},
        {"reason": "case 7", "since": "2026-02-01 08:00", "until": "2026-01-01 08:00"},
        {"reason": "case 7", "call_id": "nonsense"},
    ],
)
def test_a_hold_says_what_it_holds_and_why(alice: User, said: dict[str, str]) -> None:
    assert browser(alice).post(reverse("hold_new"), said).status_code == 400
    assert not LegalHold.objects.exists()


# --- erasures ---------------------------------------------------------------------------------------
def test_calls_are_erased_when_a_second_person_has_confirmed_it(alice: User, bob: User) -> None:
    gone, held = call_in(world.area(), days=2), call_in(world.area(), days=2)
    browser(alice).post(reverse("hold_new"), {"call_id": str(held.pk), "reason": "case 7"})
    said = {"subject": "local:carol", "reason": "request 12"}
    dry = browser(alice).post(reverse("erasure_new"), said).content.decode()
    assert "1 erased" in dry and "1 stay" in dry and not Proposal.objects.exists()
    proposal = asked(alice, "erasure_new", said)
    assert ["Calls", "2", "1 erased"] in proposal.shown and ["On legal hold", "1", "1 stay"] in proposal.shown
    with pytest.raises(proposals.NotAllowed):
        two.confirm(proposal, alice)
    assert not Job.objects.exists()
    two.confirm(proposal, bob)
    erasure.sweep()
    gone.refresh_from_db()
    held.refresh_from_db()
    assert gone.removal_id is not None and held.removal_id is None
    page = browser(bob).get(reverse("erasures")).content.decode()
    assert "local:carol" in page and "erased" in page and f"{gone.started_at:%Y-%m-%d}" in page


def test_the_page_says_how_many_exports_were_taken_back(alice: User, bob: User) -> None:
    call = call_in(world.area())
    two.confirm(asked(alice, "erasure_new", {"calls": str(call.pk), "reason": "request 12"}), bob)
    erasure.sweep()
    job = Job.objects.get()
    assert job.result is not None and job.result["exports"] == 0
    assert "taken back" not in browser(bob).get(reverse("erasures")).content.decode()
    Job.objects.update(result={**job.result, "exports": 2})
    assert "2 exports taken back" in browser(bob).get(reverse("erasures")).content.decode()


def test_a_hold_that_is_placed_after_the_proposal_makes_it_stale(alice: User, bob: User) -> None:
    call = call_in(world.area())
    proposal = asked(alice, "erasure_new", {"calls": str(call.pk), "reason": "request 12"})
    browser(bob).post(reverse("hold_new"), {"call_id": str(call.pk), "reason": "case 7"})
    with pytest.raises(proposals.Stale):
        two.confirm(proposal, bob)
    assert not Job.objects.exists()


def test_later_calls_of_the_caller_are_not_meant(alice: User, bob: User) -> None:
    call_in(world.area())
    proposal = asked(alice, "erasure_new", {"subject": "local:carol", "reason": "request 12"})
    later = call_in(world.area(), days=-1)
    two.confirm(proposal, bob)
    erasure.sweep()
    later.refresh_from_db()
    assert later.removal_id is None


def test_the_store_itself_refuses_a_confirmation_by_the_proposer(alice: User) -> None:
    call = call_in(world.area())
    proposal = asked(alice, "erasure_new", {"calls": str(call.pk), "reason": "request 12"})
    with pytest.raises(IntegrityError), transaction.atomic():
        Proposal.objects.filter(pk=proposal.pk).update(
            state=ProposalState.CONFIRMED, decided_by=alice, decided_at=timezone.now()
        )


@pytest.mark.parametrize(
    "calls",
    ["nonsense", "7c9e6679-7425-40de-944b-e07fc1f90ae7", "ffffffff-ffff-7fff-bfff-ffffffffffff"],
)
def test_ids_that_no_call_can_have_are_said_to_be_none(alice: User, calls: str) -> None:
    call = call_in(world.area())
    for said in ({}, {"propose": "1", "reason": "request 12"}):
        answer = browser(alice).post(reverse("erasure_new"), {"calls": f"{call.pk} {calls}", **said})
        assert answer.status_code == 400
        assert "One of these is no id of a call." in answer.content.decode()
    assert not Proposal.objects.exists()


def test_a_stranger_sees_and_does_nothing() -> None:
    carol = browser(world.person("carol"))
    for name in ("retention", "retention_new", "holds", "hold_new", "erasures", "erasure_new"):
        assert carol.get(reverse(name)).status_code == 403
        assert carol.post(reverse(name), {}).status_code in (403, 405)


def test_hostile_words_stay_words(alice: User, bob: User) -> None:
    two.confirm(asked(alice, "retention_new", {**RULE, "name": "<script>x</script>"}), bob)
    browser(alice).post(reverse("hold_new"), {"subject": "<img src=x>", "reason": "<b>case</b>"})
    for name in ("retention", "holds"):
        page = browser(bob).get(reverse(name)).content.decode()
        assert "<script>x" not in page and "<img src=x" not in page and "<b>case" not in page


def test_the_page_says_when_something_is_overdue(alice: User) -> None:
    call = call_in(world.area(), days=40)
    RetentionRule.objects.create(name="all", payload_days=30)
    page = browser(alice).get(reverse("retention")).content.decode()
    assert "past its time" in page and f"{call.started_at:%Y-%m-%d}" in page
    assert timezone.now() - call.started_at > timedelta(days=39)


# --- what somebody types ----------------------------------------------------------------------------
CARD, MAIL = "4111 1111 1111 1111", "dora.example@example.com"
TYPED = pytest.mark.parametrize(
    ("typed", "needle"),
    [(CARD, b"1111 1111"), (CARD.replace(" ", ""), b"11111111"), (MAIL, b"dora.example@")],
)
ADA = Who(subject="local:ada", name="ada", kind="person", person_id=UUID(int=0xADA))


@TYPED
def test_a_rule_s_name_that_would_be_masked_is_refused(alice: User, typed: str, needle: bytes) -> None:
    said = {**RULE, "name": f"of {typed}"}
    for more in ({}, {"propose": "1"}):
        answer = browser(alice).post(reverse("retention_new"), {**said, **more})
        assert answer.status_code == 400 and "holds what would be masked" in answer.content.decode()
    payload = {"name": f"of {typed}", "payload_days": 30}
    with pytest.raises((ValidationError, proposals.CannotApply)):
        proposals.propose(kind="retention.add", target_id=None, payload=payload, by=alice, reason="x")
    with pytest.raises(ValidationError):
        rule_save(rule=RetentionRule(name=typed, payload_days=30), by=ADA, proposed_by="bob")
    assert not RetentionRule.objects.exists() and needle not in stored()


@TYPED
def test_a_hold_keeps_nothing_as_it_was_typed(alice: User, typed: str, needle: bytes) -> None:
    call = call_in(world.area())
    place = browser(alice).post
    for said in ({"endpoint": typed}, {"subject": typed}, {"subject": f"local:{typed}"}):
        answer = place(reverse("hold_new"), {**said, "reason": "case 7"})
        assert answer.status_code == 400 and not LegalHold.objects.exists()
    for hold in (LegalHold(endpoint=typed), LegalHold(subject=typed)):
        with pytest.raises(HoldRefused):
            hold_place(hold=hold, by=ADA, why=Recordable(b"case 7"))
    hold = LegalHold(subject=typed, caller_id=CAROL)
    hold_place(hold=hold, by=ADA, why=Recordable(b"case 7"))
    place(reverse("hold_new"), {"call_id": str(call.pk), "reason": f"case of {typed}"})
    assert LegalHold.objects.count() == 2 and needle not in stored()


@TYPED
def test_an_erasure_keeps_nothing_as_it_was_typed(alice: User, typed: str, needle: bytes) -> None:
    call_in(world.area())
    for said in ({"subject": typed}, {"subject": typed, "propose": "1"}, {"calls": typed, "propose": "1"}):
        answer = browser(alice).post(reverse("erasure_new"), {**said, "reason": "request 12"})
        assert answer.status_code == 400 and not Proposal.objects.exists()
    asked(alice, "erasure_new", {"subject": "local:carol", "reason": f"request of {typed}"})
    assert needle not in stored()


def test_a_caller_whose_name_is_a_mail_address_is_held_and_erased_by_it(alice: User, bob: User) -> None:
    """The name stands in the calls themselves, and nowhere else."""
    named = f"local:{MAIL}"
    mine, other = call_in(world.area(), subject=named), call_in(world.area())
    browser(alice).post(reverse("hold_new"), {"subject": named, "reason": "case 7"})
    hold = LegalHold.objects.get()
    assert hold.caller_id == mine.person_id and "dora" not in hold.subject
    page = browser(bob).get(reverse("holds")).content.decode()
    assert str(mine.person_id) in page and ">1</td>" in page
    browser(bob).post(reverse("proposal_new", args=["hold.lift", hold.pk]), {"reason": "settled"})
    two.confirm(Proposal.objects.get(), alice)
    two.confirm(asked(alice, "erasure_new", {"subject": named, "reason": "request 12"}), bob)
    assert b"dora.example@" not in stored(but=[Call])
    erasure.sweep()
    mine.refresh_from_db()
    other.refresh_from_db()
    assert mine.removal_id is not None and other.removal_id is None
    assert b"dora.example@" not in stored(but=[Call])


def test_an_account_that_was_made_anew_under_its_name_is_held_and_erased_whole(
    alice: User, bob: User
) -> None:
    both = [call_in(world.area(), subject="service:nightly") for _ in range(2)]
    browser(alice).post(reverse("hold_new"), {"subject": "service:nightly", "reason": "case 7"})
    assert {hold.caller_id for hold in LegalHold.objects.all()} == {call.person_id for call in both}
    LegalHold.objects.update(lifted_at=timezone.now(), lifted_by="two")
    two.confirm(asked(alice, "erasure_new", {"subject": "service:nightly", "reason": "request 12"}), bob)
    assert erasure.sweep() == 2


def test_somebody_who_has_not_called_yet_can_be_held(alice: User, bob: User) -> None:
    said = {"subject": "local:bob", "reason": "case 7"}
    assert browser(alice).post(reverse("hold_new"), said).status_code == 302
    assert LegalHold.objects.get().caller_id == bob.pk
    here = world.area("clinic")
    answer = browser(auditor_of(here)).post(reverse("hold_new"), {**said, "area": here.slug})
    assert answer.status_code == 400 and "Nobody has called by this name here" in answer.content.decode()


def test_an_endpoint_that_is_on_record_is_held_whatever_it_is_called(alice: User) -> None:
    call = call_in(world.area())
    Call.objects.filter(pk=call.pk).update(endpoint="4111111111111111")
    said = {"endpoint": "4111111111111111", "reason": "case 7"}
    assert browser(alice).post(reverse("hold_new"), said).status_code == 302
    assert LegalHold.objects.get().endpoint == "4111111111111111"
