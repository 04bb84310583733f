"""What people do about flagged calls: assign, note, close, reopen. Nothing else changes a flag.

Each is one transaction with its event, and an update that names the turn that was seen and counts its rows:
of two people who act at once, the second one is told what the first has done. Words come scrubbed.

ActRefused         in words for whoever asked
├── Missed         it has moved since they looked
├── Own            it is about a call of theirs
└── Incomplete     something is missing in what they sent
"""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

from django.db import transaction
from django.db.models import F, QuerySet

from audit import ids
from audit.events import event
from audit.models import Flag, FlagAct
from audit.models.flag import FlagState, Outcome
from audit.records import Recordable, Who

LONGEST: Final = 1000
"""Characters of a note or a reason. A longer one is refused: half of a value is found by no detector."""

MOST_NOTES: Final = 100
"""About one call."""


class ActRefused(Exception):
    """In words for whoever asked."""


class Missed(ActRefused):
    pass


class Own(ActRefused):
    pass


class Incomplete(ActRefused):
    pass


def flag_assign(*, flag_id: UUID, turn: int, by: Who, to: UUID | None, name: str) -> None:
    """Give an open flag to somebody, or to nobody (`to` None)."""
    about = name[:150] if to else ""
    sets = {"assignee_id": to, "assignee": about}
    _move(flag_id, turn, FlagState.OPEN, "assigned", by, sets=sets, about=about)


def flag_note(*, flag_id: UUID, by: Who, words: Recordable) -> None:
    """Say something about a flag, open or closed. Notes stand beside each other, so no turn is asked for."""
    if not words.data:
        raise Incomplete("Write something first.")
    with transaction.atomic():
        _changed(flag_id, Flag.objects.filter(pk=flag_id), {})
        if FlagAct.objects.filter(flag_id=flag_id, kind="noted").count() >= MOST_NOTES:
            raise Incomplete(f"There are {MOST_NOTES} notes about this call already.")
        _tell(Flag.objects.get(pk=flag_id), "noted", by, words=words)


def flag_close(*, flag_id: UUID, turn: int, by: Who, outcome: Outcome, words: Recordable) -> None:
    """Done, with an outcome and why."""
    if not words.data:
        raise Incomplete("Say why: the outcome is read by others later.")
    sets = {"state": FlagState.CLOSED, "outcome": outcome}
    _move(flag_id, turn, FlagState.OPEN, "closed", by, sets=sets, about=outcome, words=words)


def flag_reopen(*, flag_id: UUID, turn: int, by: Who, words: Recordable) -> None:
    """Take a closing back. What was said then stays."""
    sets = {"state": FlagState.OPEN, "outcome": ""}
    _move(flag_id, turn, FlagState.CLOSED, "reopened", by, sets=sets, words=words)


def _move(
    flag_id: UUID,
    turn: int,
    state: FlagState,
    kind: str,
    by: Who,
    *,
    sets: dict[str, Any],
    about: str = "",
    words: Recordable | None = None,
) -> None:
    with transaction.atomic():
        _changed(flag_id, Flag.objects.filter(pk=flag_id, state=state, turn=turn), sets)
        flag = Flag.objects.get(pk=flag_id)
        if kind == "closed" and by.person_id in (flag.person_id, flag.owner_id):
            raise Own(
                "This is a call of your own, or of a program that you answer for: somebody else closes it."
            )
        _tell(flag, kind, by, about=about, words=words)


def _changed(flag_id: UUID, rows: QuerySet[Flag], sets: dict[str, Any]) -> None:
    """The update is also the lock: whoever comes second waits here and then finds no row."""
    if not rows.update(turn=F("turn") + 1, changed_at=ids.now(), **sets):
        raise Missed(_meanwhile(flag_id))


def _tell(flag: Flag, kind: str, by: Who, *, about: str = "", words: Recordable | None = None) -> None:
    """The act in the flag's own history, and as an event of the record."""
    if by.person_id is None:
        raise Incomplete("Only people do this.")
    FlagAct.objects.create(
        flag_id=flag.pk,
        at=ids.now(),
        kind=kind,
        person_id=by.person_id,
        name=by.name[:150],
        about=about,
        text=words.data.decode()[:LONGEST] if words else "",
    )
    event(
        f"flag.{kind}",
        by=by,
        area=flag.area,
        about=f"call {flag.pk}",
        call_id=flag.pk,
        detail={"turn": flag.turn, **_facts(flag, kind, about)},
        note=words,
    )


def _facts(flag: Flag, kind: str, about: str) -> dict[str, str]:
    if kind == "assigned":
        return {"to": str(flag.assignee_id or ""), "name": about}
    return {"outcome": about} if kind == "closed" else {}


def _meanwhile(flag_id: UUID) -> str:
    """What somebody did last, for whoever came too late."""
    if not Flag.objects.filter(pk=flag_id).exists():
        return "What the call held was removed, and with it this has left the inbox."
    last = FlagAct.objects.filter(flag_id=flag_id).order_by("-id").first()
    if last is None:
        return "It has changed since you opened the page."
    return f"{last.name} {said(last)} meanwhile. Look at it again."


def said(act: FlagAct) -> str:
    """An act as the end of a sentence that begins with whose it was."""
    if act.kind == "assigned":
        return f"gave it to {act.about}" if act.about else "left it to nobody in particular"
    if act.kind == "closed":
        return f"closed it: {Outcome(act.about).label.lower()}"
    return {"noted": "wrote a note about it", "reopened": "opened it again"}[act.kind]
