"""What somebody hostile tries with approvals, and what becomes of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from django.contrib.auth.models import Group

from approvals import services
from approvals.models import Approval, Comment, Status, Vote
from approvals.queue import filters_of, queue_page
from approvals.reading import history_of, standing_of
from approvals.services import ApprovalRefused, NotYours
from audit import ids
from gateway.identity.accounts import service_account_change
from gateway.identity.authz import role_grant
from gateway.models import Area, ServiceAccount, User
from policies.engine.types import Holding

from . import world
from .ward import browser

pytestmark = pytest.mark.django_db(transaction=True)
CARD = "4111 1111 1111 1111"


@pytest.fixture
def store(transactional_db: None) -> Iterator[Any]:
    with world.recorder_store() as made:
        yield made


def robots(store: Any, owner: User, **more: Any) -> tuple[ServiceAccount, Approval]:
    """A program of this person's, and its held request."""
    area = Area.objects.get_or_create(slug="clinic", defaults={"name": "Clinic"})[0]
    robot = ServiceAccount.objects.create(area=area, name="robot", owner=owner)
    asked = world.asked(robot.pk, requester_kind="service", requester_name="robot", owner_id=owner.pk, **more)
    return robot, world.opened(store, asked)


def test_who_takes_a_program_over_does_not_decide_about_what_it_asked_before(store: Any) -> None:
    bob, olga = world.reviewers("bob", "olga")
    robot, approval = robots(store, olga)
    service_account_change(account=robot, owner=bob, by=None)
    with pytest.raises(NotYours):
        world.vote(approval, bob)
    with pytest.raises(NotYours):
        world.vote(approval, olga)


@pytest.mark.parametrize("needed", [1, 2])
def test_who_has_voted_and_takes_the_program_over_makes_the_approval_void(store: Any, needed: int) -> None:
    bob, olga = world.reviewers("bob", "olga")
    robot, approval = robots(store, olga, holding=Holding(reviewers=("reviewers",), needed=needed))
    world.vote(approval, bob)
    service_account_change(account=robot, owner=bob, by=None)
    approval.refresh_from_db()
    assert approval.status == Status.SUPERSEDED
    assert not world.consumed(store, approval)


@pytest.mark.parametrize("at", range(980, 1001, 4))
def test_no_half_of_a_value_is_kept_where_words_are_cut(store: Any, at: int) -> None:
    (bob,) = world.reviewers("bob")
    approval = world.opened(store)
    text = "x " * (at // 2) + CARD + " please"
    with pytest.raises(ApprovalRefused, match="1000"):
        services.approval_comment(approval_id=approval.pk, by=bob, text=text)
    with pytest.raises(ApprovalRefused, match="1000"):
        world.vote(approval, bob, reason=text)
    assert not Comment.objects.exists() and not Vote.objects.exists()


def test_a_flood_of_comments_ends(store: Any) -> None:
    (bob,) = world.reviewers("bob")
    alice = User.objects.create_user("alice")
    approval = world.opened(store, world.asked(alice.pk))
    now = ids.now()
    Comment.objects.bulk_create(
        Comment(approval=approval, person_id=alice.pk, name="alice", of_requester=True, text="hurry", at=now)
        for _ in range(services.MOST_COMMENTS // 2)
    )
    with pytest.raises(ApprovalRefused, match="already"):
        services.approval_comment(approval_id=approval.pk, by=alice, text="hurry")
    said = services.approval_comment(approval_id=approval.pk, by=bob, text="wait")
    shown = standing_of(bob, approval, now).comments
    assert said.text in {"".join(part.text for part in each.text[0].parts) for each in shown}


@pytest.mark.parametrize("act", ["comment", "vote"])
def test_the_character_nul_is_no_outage(store: Any, act: str) -> None:
    (bob,) = world.reviewers("bob")
    approval = world.opened(store)
    if act == "vote":
        world.vote(approval, bob, reason="fine\0then")
        assert "\0" not in Vote.objects.get().reason
    else:
        services.approval_comment(approval_id=approval.pk, by=bob, text="fine\0then")
        assert "\0" not in Comment.objects.get().text


def test_what_somebody_asked_behind_a_wall_is_not_counted(store: Any) -> None:
    bob = User.objects.create_user("bob")
    group = Group.objects.create(name="clinicians")
    role_grant(group=group, role="reviewer", by=None, area=Area.objects.create(slug="clinic", name="Clinic"))
    bob.groups.add(group)
    alice = User.objects.create_user("alice")
    here = world.opened(store, world.asked(alice.pk))
    world.opened(store, world.asked(alice.pk, area="bank"))
    assert history_of(bob, alice.pk, ids.now(), but=here.pk).waiting == 0
    world.opened(store, world.asked(alice.pk))
    assert history_of(bob, alice.pk, ids.now(), but=here.pk).waiting == 1


def test_a_purpose_or_a_filter_with_nul_is_no_outage(store: Any) -> None:
    alice = User.objects.create_user("alice")
    assert "\0" not in world.opened(store, world.asked(alice.pk, purpose="a\0b")).purpose
    wanted = filters_of({"status": "waiting", "everyone": "1", "requester": "a\0", "area": "\0"})
    assert len(queue_page(User.objects.create_superuser("root"), wanted, None, ids.now()).rows) == 1


def test_what_hides_in_words_is_seen_by_the_requester_as_well(store: Any) -> None:
    bob, alice = *world.reviewers("bob"), User.objects.create_user("alice")
    approval = world.opened(store, world.asked(alice.pk, purpose="a\u202eb"))
    services.approval_comment(approval_id=approval.pk, by=bob, text="c\u202ed")
    world.vote(approval, bob, services.Choice.DENY, reason="e\u202ef")
    page = browser(alice).get(f"/approvals/{approval.pk}", headers={"accept": "text/html"}).content.decode()
    assert "\u202e" not in page and page.count("RIGHT-TO-LEFT OVERRIDE") == 3
