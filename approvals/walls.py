"""Who sees an approval, and who may decide about it. Asked anew each time: a role that was lost between the
look and the click decides nothing.

Reviewers hold `approvals.change_approval` in the approval's area and, where the policy names groups, are in
one of them. Nobody decides about a request of their own, of a program they answer for, of one they act
for, or one that came with a key they made; no role and no superuser stands above that (P9). Accounts that
are linked count as the one person they are.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final
from uuid import UUID

from django.db.models import Exists, OuterRef, Q, QuerySet

from approvals.models import Approval, Vote
from approvals.names import NamesOneOf
from policies import persons

DECIDES: Final = "approvals.change_approval"
BREAKS_GLASS: Final = "approvals.break_glass"
VIEWS: Final = "approvals.view_approval"

OWN: Final = "This is your own request. Somebody else decides about it."
OWNED: Final = "You answer for the program that asks. Somebody else decides about it."
ACTING: Final = "You act for whoever asks, or made their key. Somebody else decides about it."
ELSEWHERE: Final = "You do not review in this area."
OTHERS: Final = "The policy leaves this to {}."


def why_not(
    person: Any,
    approval: Approval,
    *,
    emergency: bool = False,
    groups: Collection[str] | None = None,
    accounts: frozenset[UUID] | None = None,
) -> str:
    """Why this person may not decide, in words for them; empty if they may.

    `groups` are theirs by name, `accounts` all of theirs, where a page about many approvals has read them.
    """
    accounts = persons.accounts_of(person.pk) if accounts is None else accounts
    if approval.requester_id in accounts:
        return OWN
    if approval.owner_id in accounts:
        return OWNED
    if not accounts.isdisjoint(map(UUID, approval.barred)):
        return ACTING
    if not person.is_active or not _holds(person, BREAKS_GLASS if emergency else DECIDES, approval.area):
        return ELSEWHERE
    deciding = deciding_groups(approval)
    if (
        emergency
        or not deciding
        or not set(deciding).isdisjoint(groups_of(person) if groups is None else groups)
    ):
        return ""
    return OTHERS.format(", ".join(deciding))


def deciding_groups(approval: Approval) -> list[str]:
    """By name; none: whoever reviews in the area."""
    if not approval.reviewers:
        return []
    return [*approval.reviewers, *(approval.escalate_to if approval.escalated_at else [])]


def concerns(person: Any, approval: Approval) -> bool:
    """Whether it is theirs: they asked, or answer for the program that did."""
    return person.pk in (approval.requester_id, approval.owner_id)


def may_see(person: Any, approval: Approval) -> bool:
    """Reviewers and auditors of its area. What a requester sees is another page."""
    return _holds(person, VIEWS, approval.area)


def seen_by(person: Any) -> QuerySet[Approval]:
    """Every approval of the areas in which this person may look at them."""
    return Approval.objects.filter(_within(person, VIEWS))


def assigned(
    person: Any,
    rows: QuerySet[Approval],
    *,
    groups: Collection[str] | None = None,
    accounts: frozenset[UUID] | None = None,
) -> QuerySet[Approval]:
    """Of these the ones that wait for this person's word: as `why_not` says, and not voted on by them. The
    further arguments are those of `why_not`."""
    names = groups_of(person) if groups is None else groups
    accounts = persons.accounts_of(person.pk) if accounts is None else accounts
    theirs = (
        Q(reviewers=[])
        | Q(NamesOneOf("reviewers", names))
        | Q(escalated_at__isnull=False) & Q(NamesOneOf("escalate_to", names))
    )
    voted = Vote.objects.filter(approval=OuterRef("pk"), person_id__in=accounts)
    return (
        rows.filter(_within(person, DECIDES))
        .exclude(requester_id__in=accounts)
        .filter(Q(owner_id__isnull=True) | ~Q(owner_id__in=accounts))
        .filter(Q(barred=[]) | ~Q(NamesOneOf("barred", map(str, accounts))))
        .filter(theirs)
        .filter(~Exists(voted))
    )


def decides_in(person: Any, area: str) -> bool:
    """Whether this person reviews there at all."""
    return _holds(person, DECIDES, area)


def breaks_glass_in(person: Any, area: str) -> bool:
    return _holds(person, BREAKS_GLASS, area)


def decides_somewhere(person: Any) -> bool:
    return bool(person.areas_with(DECIDES))


def groups_of(person: Any) -> set[str]:
    """By name."""
    return set(person.groups.values_list("name", flat=True))


def _within(person: Any, permission: str) -> Q:
    reach = person.areas_with(permission)
    return Q() if reach.everywhere else Q(area__in=reach.slugs)


def _holds(person: Any, permission: str, area: str) -> bool:
    reach = person.areas_with(permission)
    return bool(reach.everywhere or area in reach.slugs)
