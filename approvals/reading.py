"""What the page about one approval says beside the request itself: how it stands, and what whoever looks may
do about it. Read again whenever something changes, without opening the record again.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from django.db.models import Count, Q

from approvals import counting, walls
from approvals.counting import Weighed
from approvals.models import Approval, Comment, Status
from approvals.queue import overdue, shown_status
from approvals.services import MOST_COMMENTS
from audit.inert import Segment, segments
from audit.listing import Found, found_of
from policies import persons

HISTORY: Final = timedelta(days=30)
VOTED: Final = "You have voted on this request."


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """A vote or a comment."""

    name: str
    at: datetime
    text: tuple[Segment, ...]
    choice: str = ""  # approve | deny; empty: a comment
    choice_text: str = ""
    emergency: bool = False
    of_requester: bool = False
    why_not: str = ""  # why a vote does not count


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How it stands, for one person. `why_not`: why they may not decide, where nothing else says so."""

    status: str
    status_text: str
    pending: bool
    unused: bool
    in_favour: int
    needed: int
    votes: tuple[Said, ...]
    comments: tuple[Said, ...]
    why_not: str
    may_decide: bool
    may_break_glass: bool
    may_revoke: bool
    may_look_at: bool
    look_overdue: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """What became of somebody's requests in the last 30 days."""

    approved: int
    denied: int
    expired: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Points:
    points: int
    text: str


def standing_of(person: Any, approval: Approval, now: datetime) -> Standing:
    status, words = shown_status(approval, now)
    alive = approval.expires_at > now
    pending = approval.status == Status.PENDING and alive
    unused = approval.status == Status.APPROVED and alive
    votes = counting.weighed([approval])[approval.pk]
    accounts = persons.accounts_of(person.pk)
    voted = any(each.vote.person_id in accounts for each in votes)
    why_not = walls.why_not(person, approval, accounts=accounts)
    alone = not walls.why_not(person, approval, emergency=True, accounts=accounts)
    unseen = approval.emergency and approval.looked_at is None
    return Standing(
        status=status,
        status_text=words,
        pending=pending,
        unused=unused,
        in_favour=counting.count(votes),
        needed=approval.needed,
        votes=tuple(map(_vote, votes)),
        comments=tuple(_comment(each) for each in Comment.objects.filter(approval=approval)[:MOST_COMMENTS]),
        why_not=VOTED if voted and not why_not else why_not,
        may_decide=pending and not why_not and not voted,
        may_break_glass=pending and alone and not voted,
        may_revoke=unused and (not why_not or alone),
        may_look_at=unseen and not why_not and approval.decided_by not in accounts,
        look_overdue=unseen and overdue(approval.decided_at, now),
    )


def history_of(person: Any, requester_id: UUID, now: datetime, *, but: UUID) -> History:
    """Of whoever asks, without the request that is looked at; as far as `person` may look."""
    rows = walls.seen_by(person).filter(requester_id=requester_id, created_at__gte=now - HISTORY)
    rows = rows.exclude(pk=but)
    decided = Q(decided_at__isnull=False)
    counts = rows.aggregate(
        approved=Count("pk", filter=decided & ~Q(status=Status.DENIED)),
        denied=Count("pk", filter=Q(status=Status.DENIED)),
        expired=Count("pk", filter=Q(status=Status.EXPIRED) & ~decided),
        waiting=Count("pk", filter=Q(status=Status.PENDING)),
    )
    return History(**counts)


def facts_of(approval: Approval) -> dict[str, Any]:
    """What was found and why it waits, as the page prints it."""
    return {
        "approval": approval,
        "found": _found(approval.counts),
        "score": [_points(line) for line in approval.score if isinstance(line, list) and len(line) == 2],
        "purpose": segments(approval.purpose),
        "deciding": walls.deciding_groups(approval),
        "reason_needed": approval.highest == "restricted",
    }


def _found(counts: Any) -> tuple[Found, ...]:
    return found_of(counts) if isinstance(counts, dict) else ()


def _points(line: Iterable[Any]) -> Points:
    points, text = line
    return Points(points if isinstance(points, int) else 0, str(text))


def _vote(weighed: Weighed) -> Said:
    vote = weighed.vote
    return Said(
        name=vote.name,
        at=vote.at,
        text=segments(vote.reason),
        choice=vote.choice,
        choice_text="Approved" if vote.choice == "approve" else "Denied",
        emergency=vote.emergency,
        why_not=weighed.why_not,
    )


def _comment(comment: Comment) -> Said:
    text = segments(comment.text)
    return Said(name=comment.name, at=comment.at, text=text, of_requester=comment.of_requester)
