"""Two people: alice proposes, bob confirms, and nothing changes before."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.utils import timezone

from audit.models import Entry
from gateway.access_rules import FIELDS, access_rule_delete, access_rule_save
from gateway.areas import area_save
from gateway.credentials.services import endpoint_attach, endpoint_move, endpoint_save
from gateway.kinds import ENDPOINT_FIELDS
from gateway.models import AccessRule, Area, Endpoint, User
from policies import proposals, services
from policies.content import packed
from policies.grants import NeedsSecondPerson
from policies.models import DataClass, PolicyVersion, Proposal, ProposalState, SchemaVersion, State
from policies.publishing import PublishRefused
from tests.gateway import two, world

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice() -> User:
    return two.official("alice")


@pytest.fixture
def bob() -> User:
    return two.official("bob")


def events() -> list[str]:
    return [json.loads(bytes(entry.meta))["event"] for entry in Entry.objects.order_by("sequence")]


def published(alice: User, draft: SchemaVersion | None = None) -> tuple[SchemaVersion, Proposal]:
    """A draft and alice's proposal to publish it."""
    draft = draft or world.draft_schema()
    two.guarded()
    proposal = proposals.propose(
        kind="schema.publish", target_id=draft.pk, payload={}, by=alice, reason="New badges"
    )
    return draft, proposal


def test_alice_proposes_bob_confirms_and_it_is_published_by_bob(alice: User, bob: User) -> None:
    draft, proposal = published(alice)
    draft.refresh_from_db()
    assert draft.state == State.DRAFT
    two.confirm(proposal, bob)
    draft.refresh_from_db()
    proposal.refresh_from_db()
    assert (draft.state, draft.published_by) == (State.PUBLISHED, bob)
    assert (proposal.state, proposal.decided_by) == (ProposalState.CONFIRMED, bob)
    assert events()[-3:] == ["proposal.opened", "proposal.confirmed", "schema.published"]


def test_alice_cannot_confirm_her_own(alice: User) -> None:
    draft, proposal = published(alice)
    with pytest.raises(proposals.NotAllowed, match="yourself"):
        two.confirm(proposal, alice)
    with pytest.raises(proposals.NotAllowed, match="yourself"):
        proposals.reject(proposal=proposal, by=alice, comment="no")
    draft.refresh_from_db()
    assert draft.is_draft


def test_a_superuser_is_one_person_too() -> None:
    ada = world.admin()
    _, proposal = published(ada)
    with pytest.raises(proposals.NotAllowed, match="yourself"):
        two.confirm(proposal, ada)


def test_the_database_knows_that_one_is_not_two(alice: User) -> None:
    _, proposal = published(alice)
    with pytest.raises(IntegrityError, match="two_people"), transaction.atomic():
        Proposal.objects.filter(pk=proposal.pk).update(
            state=ProposalState.CONFIRMED, decided_by=alice, decided_at=timezone.now()
        )


def test_carol_a_stranger_neither_proposes_nor_confirms(alice: User) -> None:
    carol = world.person("carol")
    draft, proposal = published(alice)
    with pytest.raises(proposals.NotAllowed):
        two.confirm(proposal, carol)
    with pytest.raises(proposals.NotAllowed):
        proposals.propose(kind="schema.publish", target_id=draft.pk, payload={}, by=carol, reason="x")


def test_an_inactive_account_or_a_permission_lost_meanwhile_confirms_nothing(alice: User, bob: User) -> None:
    _, proposal = published(alice)
    bob.groups.clear()
    with pytest.raises(proposals.NotAllowed):
        two.confirm(proposal, bob)
    User.objects.filter(pk=bob.pk).update(is_active=False, is_superuser=True)
    with pytest.raises(proposals.NotAllowed, match="not active"):
        two.confirm(proposal, bob)


def test_what_somebody_proposed_who_may_not_any_more_is_not_confirmed(alice: User, bob: User) -> None:
    draft, proposal = published(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)
    with pytest.raises(proposals.NotAllowed, match="any more"):
        two.confirm(proposal, bob)
    draft.refresh_from_db()
    assert draft.is_draft


def test_a_draft_edited_after_it_was_proposed_makes_it_stale_and_applies_nothing(
    alice: User, bob: User
) -> None:
    draft, proposal = published(alice)
    DataClass.objects.filter(version=draft, slug="BADGE").update(level=0)
    with pytest.raises(proposals.Stale):
        two.confirm(proposal, bob)
    draft.refresh_from_db()
    proposal.refresh_from_db()
    assert (draft.state, proposal.state) == (State.DRAFT, ProposalState.STALE)
    assert events()[-1] == "proposal.stale"


def test_a_draft_that_is_gone_makes_it_stale(alice: User, bob: User) -> None:
    draft, proposal = published(alice)
    draft.delete()
    with pytest.raises(proposals.Stale):
        two.confirm(proposal, bob)


def test_another_version_in_force_makes_it_stale(alice: User, bob: User) -> None:
    schema = world.published_schema()
    draft = services.schema_version_clone_to_draft(version=schema.versions.get(), by=None)
    DataClass.objects.filter(version=draft, slug="BADGE").update(level=3)
    _, proposal = published(alice, draft)
    in_force = schema.versions.get(number=1)
    SchemaVersion.objects.filter(pk=in_force.pk).update(state=State.RETIRED)
    with pytest.raises(proposals.Stale):
        two.confirm(proposal, bob)


def test_what_was_displayed_has_to_be_what_is_proposed(alice: User, bob: User) -> None:
    _, proposal = published(alice)
    with pytest.raises(proposals.NotAsSeen):
        proposals.confirm(proposal=proposal, by=bob, seen="0" * 64)


def test_it_is_decided_once(alice: User, bob: User) -> None:
    _, proposal = published(alice)
    proposals.reject(proposal=proposal, by=bob, comment="Not yet")
    for again in (
        lambda: two.confirm(proposal, bob),
        lambda: proposals.withdraw(proposal=proposal, by=alice),
    ):
        with pytest.raises(proposals.AlreadyDecided):
            again()


def test_alice_withdraws_what_she_proposed_and_nobody_else_does(alice: User, bob: User) -> None:
    _, proposal = published(alice)
    with pytest.raises(proposals.NotAllowed):
        proposals.withdraw(proposal=proposal, by=bob)
    proposals.withdraw(proposal=proposal, by=alice)
    proposal.refresh_from_db()
    assert proposal.state == ProposalState.WITHDRAWN


def test_there_is_one_open_proposal_for_one_change(alice: User, bob: User) -> None:
    draft, _ = published(alice)
    with pytest.raises(proposals.AlreadyProposed):
        proposals.propose(kind="schema.publish", target_id=draft.pk, payload={}, by=bob, reason="me too")


def test_what_cannot_be_published_is_not_proposed(alice: User) -> None:
    draft = services.schema_create(area_id=world.area().pk, slug="empty", name="Empty", by=None)
    with pytest.raises(PublishRefused, match="no data class"):
        proposals.propose(kind="schema.publish", target_id=draft.pk, payload={}, by=alice, reason="x")


def test_a_reason_is_needed_and_scrubbed(alice: User, bob: User) -> None:
    draft = world.draft_schema()
    with pytest.raises(proposals.CannotApply, match="Say why"):
        proposals.propose(kind="schema.publish", target_id=draft.pk, payload={}, by=alice, reason=" ")
    proposal = proposals.propose(
        kind="schema.publish", target_id=draft.pk, payload={}, by=alice, reason="asked by eve@example.com"
    )
    proposals.reject(proposal=proposal, by=bob, comment="4111 1111 1111 1111 says no")
    proposal.refresh_from_db()
    assert (proposal.reason, proposal.decision_note) == ("asked by [EMAIL]", "[CARD] says no")


def test_a_policy_is_published_and_rolled_back_by_two(alice: User, bob: User) -> None:
    policy = world.published_policy()
    draft = services.policy_version_clone_to_draft(version=policy.versions.get(), by=alice)
    draft.approvals_needed = 2
    draft.save()
    two.guarded()
    when = timezone.now() + timedelta(days=1)
    proposal = proposals.propose(
        kind="policy.publish",
        target_id=draft.pk,
        payload={"effective_at": when.isoformat()},
        by=alice,
        reason="Two reviewers",
    )
    assert ["Approvals needed", "1", "2"] in proposal.shown
    two.confirm(proposal, bob)
    draft.refresh_from_db()
    assert (draft.state, draft.effective_at) == (State.PUBLISHED, when)
    SchemaVersion.objects.filter(schema_id=draft.schema_id)
    PolicyVersion.objects.filter(pk=draft.pk).update(state=State.RETIRED)
    with pytest.raises(NeedsSecondPerson):
        services.policy_version_rollback(version=draft, by=bob)
    back = proposals.propose(kind="policy.rollback", target_id=draft.pk, payload={}, by=bob, reason="Again")
    two.confirm(back, alice)
    assert policy.versions.get(number=3).state == State.PUBLISHED


def test_a_policy_that_observes_always_takes_two(monkeypatch: pytest.MonkeyPatch) -> None:
    draft = world.draft_policy(world.published_schema())
    draft.mode, draft.observe_until = "observe", timezone.now() + timedelta(days=7)
    draft.save()
    monkeypatch.setattr(services, "policy_version_check", lambda version: [])
    with pytest.raises(NeedsSecondPerson, match="observes"):
        services.policy_version_publish(version=draft, by=None)
    draft.refresh_from_db()
    assert draft.is_draft


def test_an_access_rule_is_added_changed_and_taken_away_by_two(alice: User, bob: User) -> None:
    rule = two.rule(world.endpoint(), world.published_policy())
    two.guarded()
    values = packed(rule, FIELDS)
    added = proposals.propose(
        kind="access_rule.add", target_id=None, payload=values, by=alice, reason="Support needs it"
    )
    two.confirm(added, bob)
    stored = AccessRule.objects.get()
    changed = proposals.propose(
        kind="access_rule.change",
        target_id=stored.pk,
        payload={"allowed_models": ["small"], "expires_at": "2030-01-01T00:00:00Z"},
        by=bob,
        reason="Small only",
    )
    assert changed.shown[0][1:] == ["–", "small"]
    two.confirm(changed, alice)
    stored.refresh_from_db()
    assert (stored.allowed_models, stored.expires_at is not None) == (["small"], True)
    gone = proposals.propose(
        kind="access_rule.delete", target_id=stored.pk, payload={}, by=alice, reason="Over"
    )
    two.confirm(gone, bob)
    assert not AccessRule.objects.exists()


def test_an_access_rule_that_cannot_be_is_refused_in_words(alice: User, bob: User) -> None:
    endpoint, policy = world.endpoint(), world.published_policy()
    values = packed(two.rule(endpoint, policy), FIELDS)
    for wrong in ({"networks": ["here"]}, {"policy": "nonsense"}, {"id": str(alice.pk)}):
        with pytest.raises(proposals.CannotApply):
            proposals.propose(
                kind="access_rule.add", target_id=None, payload=values | wrong, by=alice, reason="x"
            )
    twice = [
        proposals.propose(kind="access_rule.add", target_id=None, payload=values, by=alice, reason="x")
        for _ in range(2)
    ]
    two.confirm(twice[0], bob)
    with pytest.raises(proposals.CannotApply):
        two.confirm(twice[1], bob)
    twice[1].refresh_from_db()
    assert twice[1].state == ProposalState.OPEN


def test_an_origin_is_moved_by_two_and_the_credential_let_go(alice: User, bob: User) -> None:
    endpoint = world.endpoint()
    endpoint_attach(endpoint=endpoint, credential=world.credential(), by=None)
    two.guarded()
    proposal = proposals.propose(
        kind="endpoint.origin",
        target_id=endpoint.pk,
        payload={"origin": "https://new.example.com"},
        by=alice,
        reason="Moved",
    )
    assert ["Credential", "model key", "–"] in proposal.shown
    two.confirm(proposal, bob)
    endpoint.refresh_from_db()
    assert (endpoint.origin, endpoint.credential) == ("https://new.example.com", None)


def test_a_new_endpoint_whose_credential_was_moved_meanwhile_is_refused_in_words(
    alice: User, bob: User
) -> None:
    two.guarded()
    credential = world.credential()
    values = {"slug": "new", "name": "New", "origin": world.ORIGIN}
    endpoint = Endpoint(area=world.area(), credential=credential, **values)
    payload = packed(endpoint, ENDPOINT_FIELDS)
    proposal = proposals.propose(
        kind="endpoint.add", target_id=None, payload=payload, by=alice, reason="One more"
    )
    moved = proposals.propose(
        kind="credential.origin",
        target_id=credential.pk,
        payload={"origin": "https://new.example.com"},
        by=alice,
        reason="It moves",
    )
    two.confirm(moved, bob)
    with pytest.raises(proposals.CannotApply, match="is sealed for https"):
        two.confirm(proposal, bob)
    proposal.refresh_from_db()
    assert proposal.state == ProposalState.OPEN and not Endpoint.objects.exists()


def test_letting_go_of_the_requirement_takes_two_and_asking_for_it_one(alice: User, bob: User) -> None:
    area = world.area()
    area.two_person_access = True
    area_save(area=area, by=alice)
    area.two_person_access, area.two_person_publish = False, True
    with pytest.raises(NeedsSecondPerson):
        area_save(area=area, by=alice)
    assert Area.objects.get(pk=area.pk).two_person_access
    proposal = proposals.propose(
        kind="area.two_person",
        target_id=area.pk,
        payload={"two_person_access": False},
        by=alice,
        reason="Too slow",
    )
    two.confirm(proposal, bob)
    assert not Area.objects.get(pk=area.pk).two_person_access


def _publish_schema() -> Callable[[], Any]:
    draft = world.draft_schema()
    return lambda: services.schema_version_publish(version=draft, by=world.admin())


def _publish_policy() -> Callable[[], Any]:
    draft = world.draft_policy(world.published_schema())
    return lambda: services.policy_version_publish(version=draft, by=world.admin())


def _roll_back() -> Callable[[], Any]:
    schema = world.published_schema()
    version = schema.versions.get()
    SchemaVersion.objects.filter(pk=version.pk).update(state=State.RETIRED)
    return lambda: services.schema_version_rollback(version=version, by=None)


def _add_rule() -> Callable[[], Any]:
    rule = two.rule(world.endpoint(), world.published_policy())
    return lambda: access_rule_save(rule=rule, by=world.admin())


def _stored_rule() -> AccessRule:
    rule = two.rule(world.endpoint(), world.published_policy())
    rule.save()
    return rule


def _change_rule() -> Callable[[], Any]:
    rule = _stored_rule()
    rule.enabled = False
    return lambda: access_rule_save(rule=rule, by=None)


def _move_rule_away() -> Callable[[], Any]:
    rule, other = _stored_rule(), world.area("other")
    draft = services.policy_create(
        area_id=other.pk, slug="p", name="P", schema=world.published_schema("s"), by=None
    )
    rule.endpoint, rule.policy = world.endpoint("elsewhere", area=other), draft.policy
    return lambda: access_rule_save(rule=rule, by=None)


def _delete_rule() -> Callable[[], Any]:
    rule = _stored_rule()
    return lambda: access_rule_delete(rule=rule, by=None)


def _move_endpoint() -> Callable[[], Any]:
    endpoint = world.endpoint()
    return lambda: endpoint_move(endpoint=endpoint, origin="https://new.example.com", by=None)


def _save_endpoint() -> Callable[[], Any]:
    endpoint = world.endpoint()
    endpoint.base_path = "/elsewhere"
    return lambda: endpoint_save(endpoint=endpoint, by=None)


def _add_endpoint() -> Callable[[], Any]:
    endpoint = Endpoint(area=world.area(), slug="new", name="New", origin=world.ORIGIN)
    return lambda: endpoint_save(endpoint=endpoint, by=None)


@pytest.mark.parametrize(
    "way",
    [
        _publish_schema,
        _publish_policy,
        _roll_back,
        _add_rule,
        _change_rule,
        _move_rule_away,
        _delete_rule,
        _move_endpoint,
        _save_endpoint,
        _add_endpoint,
    ],
)
def test_no_service_goes_around_it(way: Callable[[], Callable[[], Any]]) -> None:
    act = way()
    two.guarded()
    before = _everything()
    with pytest.raises(NeedsSecondPerson):
        act()
    assert _everything() == before
    Area.objects.update(two_person_publish=False, two_person_access=False, two_person_origin=False)
    User.objects.all().delete()
    act()
    assert _everything() != before


def _everything() -> list[list[dict[str, Any]]]:
    models = (SchemaVersion, PolicyVersion, AccessRule, Endpoint)
    return [list(model._default_manager.order_by("pk").values()) for model in models]


def test_a_grant_for_one_thing_does_nothing_for_another(alice: User, bob: User) -> None:
    rule = _stored_rule()
    two.guarded()
    grant = proposals.Grant(proposal_id=alice.pk, kind="access_rule.change", target_id=bob.pk)
    rule.enabled = False
    with pytest.raises(NeedsSecondPerson):
        access_rule_save(rule=rule, by=bob, grant=grant)


def test_nobody_confirms_what_ran_out_and_it_is_proposed_anew(alice: User, bob: User) -> None:
    draft, proposal = published(alice)
    Proposal.objects.update(proposed_at=timezone.now() - proposals.VALID)
    assert not Proposal.objects.filter(proposals.waiting_for(bob)).exists()
    with pytest.raises(proposals.Stale, match=r"ran out\. Nothing was applied"):
        two.confirm(proposal, bob)
    proposal.refresh_from_db()
    assert (proposal.state, proposal.decision_note) == (ProposalState.STALE, proposals.RAN_OUT)
    draft.refresh_from_db()
    assert draft.state == State.DRAFT


def test_what_ran_out_is_not_in_the_way_of_another(alice: User, bob: User) -> None:
    draft, first = published(alice)
    Proposal.objects.update(proposed_at=timezone.now() - proposals.VALID)
    _, second = published(bob, draft)
    first.refresh_from_db()
    assert (first.state, first.decided_by) == (ProposalState.STALE, None)
    assert second.state == ProposalState.OPEN
    assert events()[-2:] == ["proposal.stale", "proposal.opened"]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("attempt", range(3))
def test_confirming_turning_down_and_withdrawing_at_once_do_one_of_them(attempt: int) -> None:
    alice, bob, carol = (two.official(name) for name in ("alice", "bob", "carol"))
    draft, proposal = published(alice)
    found = Proposal.objects.get(pk=proposal.pk)
    steps: list[Callable[[], Proposal]] = [
        lambda: two.confirm(found, bob),
        lambda: proposals.reject(proposal=found, by=carol, comment="no"),
        lambda: proposals.withdraw(proposal=found, by=alice),
    ]
    outcomes = at_once(steps)
    assert outcomes["AlreadyDecided"] == 2
    proposal.refresh_from_db()
    draft.refresh_from_db()
    confirmed = proposal.state == ProposalState.CONFIRMED
    assert draft.state == (State.PUBLISHED if confirmed else State.DRAFT)
    assert events().count("schema.published") == confirmed
    assert sum(name.startswith("proposal.") for name in events()) == 2


@pytest.mark.django_db(transaction=True)
def test_a_draft_edited_while_it_is_confirmed_is_published_as_seen_or_not_at_all() -> None:
    alice, bob = two.official("alice"), two.official("bob")
    draft, proposal = published(alice)

    def edit() -> object:
        return DataClass.objects.filter(version=draft, slug="BADGE").update(level=4)

    at_once([lambda: two.confirm(proposal, bob), edit])
    proposal.refresh_from_db()
    level = DataClass.objects.get(version=draft, slug="BADGE").level
    assert (proposal.state, level) in {(ProposalState.CONFIRMED, 2), (ProposalState.STALE, 4)}


def at_once(steps: list[Callable[[], Any]]) -> Counter[str]:
    """Each step in a thread of its own; what became of them, by outcome or by the refusal's name."""
    start, outcomes = threading.Barrier(len(steps)), list[str]()

    def run(step: Callable[[], Any]) -> None:
        start.wait()
        try:
            step()
        except (proposals.ProposalError, DatabaseError) as error:
            outcomes.append(type(error).__name__)
        else:
            outcomes.append("done")
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == len(steps)
    return Counter(outcomes)


@pytest.mark.django_db(transaction=True)
def test_eight_people_who_confirm_at_once_confirm_once() -> None:
    alice = two.official("alice")
    people = [two.official(f"bob{number}") for number in range(8)]
    draft, proposal = published(alice)

    def decide(person: User) -> Callable[[], Proposal]:
        return lambda: two.confirm(Proposal.objects.get(pk=proposal.pk), person)

    assert at_once([decide(person) for person in people]) == {"done": 1, "AlreadyDecided": 7}
    draft.refresh_from_db()
    assert draft.state == State.PUBLISHED
    assert events().count("schema.published") == 1
