"""Nobody comes to a role by doing both of two things at once that exclude each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Barrier

import pytest
from django.contrib.auth.models import Group
from django.db import connections
from django.utils import timezone

from approvals.services import ApprovalRefused
from gateway.identity.authz import OwnGroup, role_grant
from gateway.identity.directory import DirectoryRefused
from gateway.identity.directory_groups import group_hand_over
from gateway.identity.directory_tokens import TokenRefused, directory_token_create, directory_token_replace
from gateway.identity.membership import membership_set
from gateway.identity.people import person_vouched
from gateway.models import Deployment, GroupMapping, Identity, Issuer, Source, User
from policies import proposals
from tests.gateway import two
from tests.gateway.world import person

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.database]

ROUNDS = 25
REFUSALS = (OwnGroup, DirectoryRefused, TokenRefused, proposals.ProposalError, ApprovalRefused)
Act = Callable[[], object]


@contextmanager
def hands() -> Iterator[Callable[[Act, Act], list[bool]]]:
    """Does two things at once; whether each was let."""
    barrier = Barrier(2)

    def tried(act: Act) -> bool:
        barrier.wait(20)
        try:
            act()
        except REFUSALS:
            return False
        return True

    def close() -> None:
        barrier.wait(20)
        connections.close_all()

    with ThreadPoolExecutor(2) as pool:
        yield lambda first, second: [
            each.result() for each in [pool.submit(tried, first), pool.submit(tried, second)]
        ]
        for done in [pool.submit(close), pool.submit(close)]:
            done.result()


def soon() -> datetime:
    return timezone.now() + timedelta(days=5)


def holds(who: User, group: Group) -> bool:
    return group.role_grants.exists() and who.groups.filter(pk=group.pk).exists()


def test_who_gives_a_group_a_role_does_not_join_it_at_that_moment() -> None:
    bob = person("bob")
    with hands() as at_once:
        for number in range(ROUNDS):
            group = Group.objects.create(name=f"shift {number}")
            let = at_once(
                lambda group=group: role_grant(group=group, role="auditor", by=bob),  # type: ignore[misc]
                lambda group=group: membership_set(  # type: ignore[misc]
                    member=User.objects.get(pk=bob.pk), groups=[group], by=User.objects.get(pk=bob.pk)
                ),
            )
            assert sum(let) == 1 and not holds(bob, group)
            membership_set(member=bob, groups=[], by=None)


def test_who_proposed_a_role_for_a_group_does_not_join_it_as_it_is_confirmed() -> None:
    bob, grace = two.official("bob", "admin"), two.official("grace", "admin")
    Deployment.objects.update_or_create(pk=1, defaults={"two_person_roles": True})
    own = list(bob.groups.all())
    with hands() as at_once:
        for number in range(ROUNDS):
            group = Group.objects.create(name=f"shift {number}")
            payload = {"group": group.pk, "role": "auditor", "area": None}
            opened = proposals.propose(
                kind="role.grant", target_id=None, payload=payload, by=bob, reason="the night"
            )
            let = at_once(
                lambda opened=opened: proposals.confirm(proposal=opened, by=grace, seen=opened.basis),  # type: ignore[misc]
                lambda group=group: membership_set(  # type: ignore[misc]
                    member=User.objects.get(pk=bob.pk), groups=[*own, group], by=User.objects.get(pk=bob.pk)
                ),
            )
            assert sum(let) == 1 and not holds(bob, group)
            membership_set(member=bob, groups=own, by=None)


def test_who_gives_a_role_does_not_sign_in_to_it_at_that_moment() -> None:
    bob = person("bob")
    issuer = Issuer.objects.create(name="House", issuer="https://id.example", audiences=["postern"])
    Identity.objects.create(issuer=issuer.issuer, subject="bob", user=bob)
    with hands() as at_once:
        for number in range(ROUNDS):
            group = Group.objects.create(name=f"shift {number}")
            GroupMapping.objects.create(issuer=issuer, value=group.name, group=group)
            at_once(
                lambda group=group: role_grant(group=group, role="auditor", by=bob),  # type: ignore[misc]
                lambda group=group: person_vouched(  # type: ignore[misc]
                    issuer=issuer, subject="bob", values=[group.name], source=Source.OIDC
                ),
            )
            assert not holds(bob, group)


def test_who_gives_a_role_or_hands_over_does_not_take_the_token_at_that_moment() -> None:
    bob, ada = person("bob"), person("ada")
    with hands() as at_once:
        for number in range(ROUNDS):
            directory, _ = directory_token_create(name=f"Okta {number}", expires_at=soon(), by=ada)
            group = Group.objects.create(name=f"shift {number}")
            if number % 2:
                role_grant(group=group, role="auditor", by=ada)
                first: Act = lambda: group_hand_over(group=group, directory=directory, by=bob)  # noqa: B023, E731
            else:
                group_hand_over(group=group, directory=directory, by=ada)
                first = lambda: role_grant(group=group, role="auditor", by=bob)  # noqa: B023, E731
            let = at_once(
                first,
                lambda: directory_token_replace(directory=directory, expires_at=soon(), by=bob),  # noqa: B023
            )
            assert sum(let) == 1
