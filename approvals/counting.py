"""Which votes count towards an approval.

One person's votes count once, whichever accounts they came from; whoever asked, answers for it or stands
behind it counts not at all, also where that became known after the vote; and who is locked or made inactive
before the decision has no vote in it. What is decided stands.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.db import transaction

from approvals import hints
from approvals.models import OPEN, Approval, Because, Choice, SetAside, Status, Vote
from approvals.moves import moved, tell
from audit import ids
from audit.events import NOBODY
from audit.records import Who
from policies import persons

STANDS_BEHIND: Final = "This does not count: the same person asked, or stands behind the request."
ONCE: Final = "This counts as one with another vote of the same person."
ASIDE: Final = "This does not count: they were {} before it was decided."
ONE_PERSON: Final = "accounts that voted, or asked, turned out to be one person's"


@dataclass(frozen=True, slots=True)
class Weighed:
    """A vote; `why_not`: why it does not count, empty where it does."""

    vote: Vote
    why_not: str


def weighed(approvals: Collection[Approval]) -> Mapping[UUID, Sequence[Weighed]]:
    """The votes on each of these, oldest first. Two queries, however many there are."""
    votes: defaultdict[UUID, list[Vote]] = defaultdict(list)
    given = Vote.objects.filter(approval__in=[each.pk for each in approvals])
    for vote in given.select_related("set_aside").order_by("at", "pk"):
        votes[vote.approval_id].append(vote)
    behind = {each.pk: _behind(each) for each in approvals}
    voters = {vote.person_id for each in votes.values() for vote in each}
    persons_of = persons.persons_of(voters.union(*behind.values())) if voters else {}
    return {each.pk: _weighed(votes[each.pk], behind[each.pk], persons_of) for each in approvals}


def in_favour(approval: Approval) -> int:
    """How many persons have approved."""
    return count(weighed([approval])[approval.pk])


def count(votes: Sequence[Weighed]) -> int:
    return sum(each.vote.choice == Choice.APPROVE and not each.why_not for each in votes)


def votes_set_aside() -> int:
    """Set aside the votes of all who are locked or inactive, where nothing is decided yet; returns how many.

    Each approval in a transaction of its own. Whatever locks somebody or makes them inactive asks for it
    (`votes_set_aside_soon`), a sweep does for what did not, such as a lock on a group that somebody joins,
    and a decision looks itself.
    """
    open_votes = Vote.objects.filter(approval__status=Status.PENDING, set_aside=None)
    stopped = persons.stopped(set(open_votes.values_list("person_id", flat=True)))
    if not stopped:
        return 0
    about = open_votes.filter(person_id__in=stopped).order_by("approval_id")
    return sum(map(votes_set_aside_on, about.values_list("approval_id", flat=True).distinct()))


def votes_set_aside_soon() -> None:
    """After the commit: an event was written already, and who decides takes the approval before its event."""
    transaction.on_commit(votes_set_aside, robust=True)


def votes_set_aside_on(approval_id: UUID) -> int:
    """The same of one approval; nothing where it is decided."""
    with transaction.atomic():
        mine = Approval.objects.filter(pk=approval_id, status=Status.PENDING)
        open_votes = Vote.objects.filter(approval__in=mine, set_aside=None)
        if not open_votes.exists() or not mine.update(changed_at=ids.now()):  # the update is the lock
            return 0
        row, votes = mine.get(), list(open_votes)
        stopped = persons.stopped([vote.person_id for vote in votes])
        gone = [vote for vote in votes if vote.person_id in stopped]
        for vote in gone:
            _set_aside(row, vote, Because(stopped[vote.person_id]))
    return len(gone)


def accounts_linked(accounts: Collection[UUID], *, by: Who = NOBODY) -> None:
    """In the transaction in which these became one person's, before its first event: count anew wherever one
    of them has voted.

    What is not decided yet waits for another person. What too few have approved and nobody has used is void.
    """
    voted = Approval.objects.filter(status__in=OPEN, votes__person_id__in=accounts)
    for row in _taken(set(voted.values_list("pk", flat=True))):
        _counted_anew(row, by)


def _taken(approval_ids: Collection[UUID]) -> list[Approval]:
    """Those that are still open, ours until the transaction ends: all of them before the first event, whose
    place in the record somebody who holds one of them may wait for."""
    rows = Approval.objects.filter(pk__in=approval_ids, status__in=OPEN).order_by("pk")
    held = [row.pk for row in rows.select_for_update(no_key=True)]
    Approval.objects.filter(pk__in=held).update(changed_at=ids.now())
    return list(rows.filter(pk__in=held))


def _counted_anew(row: Approval, by: Who) -> None:
    found = in_favour(row)
    facts = {"because": ONE_PERSON, "in_favour": found, "needed": row.needed}
    if row.status == Status.PENDING:
        tell("approval.recounted", row, by=by, facts=facts)
        hints.changed(row.pk)
    elif found < (1 if row.emergency else row.needed):
        moved(row, Status.SUPERSEDED, by=by, facts=facts)


def _set_aside(row: Approval, vote: Vote, because: Because) -> None:
    SetAside.objects.create(vote=vote, because=because, at=ids.now())
    tell("approval.vote_set_aside", row, facts={"voter": vote.name, "because": because.label})
    hints.changed(row.pk)


def _behind(approval: Approval) -> set[UUID]:
    """Whoever may not decide, by the accounts on record."""
    own = {each for each in (approval.requester_id, approval.owner_id) if each is not None}
    return own.union(map(UUID, approval.barred))


def _weighed(votes: Sequence[Vote], behind: set[UUID], persons_of: Mapping[UUID, UUID]) -> list[Weighed]:
    own = {persons_of[each] for each in behind} if votes else set()
    counted: set[UUID] = set()
    found = []
    for vote in votes:
        person = persons_of[vote.person_id]
        why_not = _why_not(vote, person, own, counted)
        if not why_not:
            counted.add(person)
        found.append(Weighed(vote, why_not))
    return found


def _why_not(vote: Vote, person: UUID, own: set[UUID], counted: set[UUID]) -> str:
    aside: SetAside | None = getattr(vote, "set_aside", None)
    if aside is not None:
        return ASIDE.format(aside.get_because_display())
    if person in own:
        return STANDS_BEHIND
    return ONCE if person in counted else ""
