"""What people do about approvals: vote, comment, withdraw, take back, look at an emergency afterwards.

Each is one transaction with its event. Reasons and comments pass the engine before they are kept.

ApprovalRefused        in words for whoever asked
├── NotYours           they may not decide about this one
├── TooLate            it is decided, has run out, or was changed since the page was shown
└── ReasonRefused
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from django.db import IntegrityError, transaction

from approvals import counting, hints, walls
from approvals.digests import seen_digest
from approvals.models import OPEN, Approval, Choice, Comment, Status, Vote
from approvals.moves import epoch, find, moved, tell
from audit import ids
from audit.records import Recordable, Who
from policies import persons
from policies.journal import who
from policies.services import scrub

LONGEST: Final = 1000
"""Characters of a reason or a comment. A longer one is refused: half of a value is found by no detector."""

MOST_COMMENTS: Final = 200
"""Of one approval, half of them of each side; as many as its page shows."""

LOOK_WITHIN: Final = timedelta(hours=24)
"""Somebody else looks at an emergency within this time."""


STOPPED: Final = "Your account is locked or inactive: it decides about nothing."
VOTED: Final = "You have voted on this request already."


class ApprovalRefused(Exception):
    """In words for whoever asked."""


class NotYours(ApprovalRefused):
    pass


class TooLate(ApprovalRefused):
    pass


class ReasonRefused(ApprovalRefused):
    pass


def approval_decide(
    *, approval_id: UUID, by: Any, choice: Choice, reason: str, seen: bytes, emergency: bool = False
) -> Approval:
    """One person's vote on what they were shown (`seen`); returns the approval as it stands after it.

    One denial decides. Approvals count by distinct persons, see `counting`. The row is taken before anything
    is asked, so that reviewers who decide at the same moment come one after another, on either database
    (P10); and the links between accounts before it, so that nobody becomes two at that moment.
    """
    words = _reason(reason)
    with transaction.atomic():
        persons.hold()
        approval = _taken(approval_id, by)
        if persons.stopped([by.pk]):
            raise NotYours(STOPPED)
        if refusal := walls.why_not(by, approval, emergency=emergency):
            raise NotYours(refusal)
        if seen != seen_digest(approval):
            raise TooLate("This request has changed since you opened it. Look at it again.")
        if not words.data and (choice is Choice.DENY or emergency or approval.highest == "restricted"):
            raise ReasonRefused("Say why: denials, restricted data and emergencies need a reason.")
        _vote(approval, by, choice, words, seen, emergency)
        tell(
            "approval.voted",
            approval,
            by=who(by),
            facts={"choice": choice.value, "emergency": emergency, "seen": seen.hex()},
            words=words,
        )
        _settle(approval, by, choice, emergency)
        approval.refresh_from_db()
    return approval


def approval_comment(*, approval_id: UUID, by: Any, text: str, said_by: Who | None = None) -> Comment:
    """A word between reviewers and requester. `said_by` names a program, which is no person."""
    words = _reason(text)
    if not words.data:
        raise ReasonRefused("Write something first.")
    with transaction.atomic():
        approval = _found(approval_id)
        own = walls.concerns(by, approval)
        if not own and not walls.may_see(by, approval):
            raise NotYours(walls.ELSEWHERE)
        if Comment.objects.filter(approval=approval, of_requester=own).count() >= MOST_COMMENTS // 2:
            raise TooLate(f"There are {MOST_COMMENTS // 2} comments already. Talk to each other elsewhere.")
        comment = Comment.objects.create(
            approval=approval,
            person_id=by.pk,
            name=_name(by),
            of_requester=own,
            text=_kept(words),
            at=ids.now(),
        )
        Approval.objects.filter(pk=approval.pk).update(changed_at=ids.now())
        tell("approval.commented", approval, by=said_by or who(by), words=words)
        hints.changed(approval.pk)
    return comment


def approval_withdraw(*, approval_id: UUID, by: Who, requester_ids: Sequence[UUID]) -> None:
    """The requester, or who answers for the program that asks, needs it no more."""
    approval = _found(approval_id)
    if approval.requester_id not in requester_ids and approval.owner_id not in requester_ids:
        raise NotYours("Only whoever asked can withdraw it.")
    if approval.status != Status.PENDING or not moved(approval, Status.WITHDRAWN, by=by):
        raise TooLate(_stands(approval))


def approval_revoke(*, approval_id: UUID, by: Any, reason: str) -> None:
    """Take an approval back that nobody has used yet. Whoever may decide may do that, once more alone."""
    words = _reason(reason)
    if not words.data:
        raise ReasonRefused("Say why it is taken back.")
    with transaction.atomic():
        persons.hold()
        approval = _found(approval_id)
        refusal = walls.why_not(by, approval)
        if refusal and walls.why_not(by, approval, emergency=True):
            raise NotYours(refusal)
        if approval.status != Status.APPROVED or not moved(approval, Status.REVOKED, by=who(by), words=words):
            raise TooLate(_stands(approval))


def emergency_look_at(*, approval_id: UUID, by: Any, note: str) -> None:
    """Somebody else has looked at what one person let through alone."""
    words = _reason(note)
    with transaction.atomic():
        persons.hold()
        approval = _found(approval_id)
        if refusal := walls.why_not(by, approval):
            raise NotYours(refusal)
        if approval.decided_by in persons.accounts_of(by.pk):
            raise NotYours("You let it through yourself: somebody else looks at it.")
        looked = Approval.objects.filter(pk=approval.pk, emergency=True, looked_at=None)
        if not looked.update(looked_at=ids.now(), looked_by=by.pk, changed_at=ids.now()):
            raise TooLate("There is nothing to look at any more.")
        tell("approval.emergency_reviewed", approval, by=who(by), words=words)


# --- deciding ---------------------------------------------------------------------------------------


def _taken(approval_id: UUID, by: Any) -> Approval:
    """The approval, if it is pending, locked until the transaction ends: `select_for_update` is nothing on
    SQLite, an update is a lock on both."""
    now = ids.now()
    rows = Approval.objects.filter(pk=approval_id, epoch=epoch())
    taken = rows.filter(status=Status.PENDING, expires_at__gt=now).update(changed_at=now)
    if taken:
        return rows.get()
    approval = _found(approval_id)
    if not walls.may_see(by, approval):
        raise NotYours(walls.ELSEWHERE)
    raise TooLate(_stands(approval))


def _vote(
    approval: Approval, by: Any, choice: Choice, words: Recordable, seen: bytes, emergency: bool
) -> None:
    if Vote.objects.filter(approval=approval, person_id__in=persons.accounts_of(by.pk)).exists():
        raise TooLate(VOTED)
    try:
        with transaction.atomic():
            Vote.objects.create(
                approval=approval,
                person_id=by.pk,
                name=_name(by),
                choice=choice,
                reason=_kept(words),
                seen_digest=seen,
                emergency=emergency,
                requester_id=approval.requester_id,
                owner_id=approval.owner_id,
                at=ids.now(),
            )
    except IntegrityError:
        raise TooLate(VOTED) from None


def _settle(approval: Approval, by: Any, choice: Choice, emergency: bool) -> None:
    """Whether this vote decides. The row is ours until the transaction ends."""
    now = ids.now()
    sets = {"decided_at": now, "decided_by": by.pk}
    if choice is Choice.DENY:
        moved(approval, Status.DENIED, by=who(by), **sets)
        return
    counting.votes_set_aside_on(approval.pk)
    if emergency or counting.in_favour(approval) >= approval.needed:
        until = now + timedelta(minutes=approval.valid_minutes)
        moved(approval, Status.APPROVED, by=who(by), expires_at=until, emergency=emergency, **sets)
    else:
        hints.changed(approval.pk)


# --- beside -----------------------------------------------------------------------------------------


def _found(approval_id: UUID) -> Approval:
    approval = find(approval_id)
    if approval is None:
        raise TooLate("There is no such approval any more.")
    return approval


def _reason(text: str) -> Recordable:
    text = text.replace("\0", "\ufffd").strip()  # PostgreSQL takes no NUL
    if len(text) > LONGEST:
        raise ReasonRefused(f"Say it in {LONGEST} characters.")
    return scrub(text) if text else Recordable(b"")


def _kept(words: Recordable) -> str:
    """Labels may have made it longer."""
    return words.data.decode()[:LONGEST]


def _stands(approval: Approval) -> str:
    if approval.status in OPEN and approval.expires_at <= ids.now():
        return "Too late: it has run out."
    return f"Too late: it is {approval.get_status_display().lower()} already."


def _name(person: Any) -> str:
    return str(person.get_full_name() or person.get_username())[:150]
