"""Changes that take two people: one proposes, another confirms, and only then does anything change.

`KINDS` says for each kind how to look at its target, how to apply it and which permissions it takes. Apps
above `policies` register theirs when they start. The state machine is the one of `Proposal`; each step is a
compare-and-set update with the row count checked, in one transaction with what it applies and its event.
What they refuse is in `policies.proposal_errors`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import AbstractUser, UserManager
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.db.models import Q
from django.utils import timezone

from audit.records import Recordable
from policies import persons
from policies.grants import Grant, NeedsSecondPerson
from policies.history import acting
from policies.journal import note
from policies.models import Proposal, ProposalState
from policies.proposal_errors import AlreadyDecided as AlreadyDecided
from policies.proposal_errors import AlreadyProposed as AlreadyProposed
from policies.proposal_errors import CannotApply as CannotApply
from policies.proposal_errors import Gone as Gone
from policies.proposal_errors import NotAllowed as NotAllowed
from policies.proposal_errors import NotAsSeen as NotAsSeen
from policies.proposal_errors import ProposalError as ProposalError
from policies.proposal_errors import Stale as Stale
from policies.reach import reach
from policies.services import scrub

Payload = Mapping[str, Any]
Row = tuple[str, str, str]
"""A field, its value before and its value after, for people."""

LONGEST = 300
VALID = timedelta(days=14)
"""How long a proposal can be confirmed. What was right a month ago is to be looked at again by two people."""

MOVED = "It changed after this was proposed."
RAN_OUT = f"It was open for {VALID.days} days and ran out."


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """The target as it stands, and what the change would make of it.

    `state` is everything the proposer relied on, as plain JSON values: if it moves, the proposal is stale.
    `area_id` None: it lies in no area, and takes roles that are held everywhere.
    """

    area_id: UUID | None
    name: str
    rows: tuple[Row, ...]
    state: object
    also: tuple[UUID, ...] = ()  # areas that it reaches into as well: it moves there

    @property
    def areas(self) -> tuple[UUID | None, ...]:
        return (self.area_id, *self.also)


Look = Callable[[UUID | None, Payload, bool], Sight]
Apply = Callable[[UUID | None, Payload, Grant, AbstractUser], object]
Check = Callable[[UUID | None, Payload], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """`propose` lists permissions of which one is enough; `confirm` is one permission.

    `look` raises `Gone`; with `lock` it holds the target until the transaction ends. `check` runs before the
    transaction and raises what speaks against the change; what it compiles is then warm.
    """

    name: str
    title: str
    propose: tuple[str, ...]
    confirm: str
    look: Look
    apply: Apply
    check: Check = lambda target_id, payload: None


KINDS: dict[str, Kind] = {}


def register(kind: Kind) -> None:
    """Called while the applications start; a kind is registered once."""
    if kind.name in KINDS:
        raise ValueError(f"{kind.name} is registered already")
    KINDS[kind.name] = kind


def there(target_id: UUID | None) -> UUID:
    """The target of a change to something that exists."""
    if target_id is None:
        raise Gone("There is nothing to change.")
    return target_id


def propose(
    *, kind: str, target_id: UUID | None, payload: Payload, by: AbstractUser, reason: str
) -> Proposal:
    """Open a proposal. Nothing changes yet; `reason` is scrubbed before it is kept."""
    known = KINDS.get(kind)
    if known is None:
        raise CannotApply([f"There are no proposals of the kind {kind!r}."])
    person = _present(by)
    words = _scrubbed(reason, "Say why: whoever confirms it reads this.")
    _checked(known, target_id, payload, person)
    with transaction.atomic():
        sight = known.look(target_id, payload, False)
        _require_one(person, known.propose, sight)
        if not sight.rows:
            raise CannotApply(["This changes nothing."])
        proposal = Proposal(
            area_id=sight.area_id,
            kind=kind,
            target_id=target_id,
            target=sight.name[:200],
            payload=dict(payload),
            shown=[list(row) for row in sight.rows],
            basis=basis(known, target_id, payload, sight),
            reason=_text(words),
            proposed_by_id=by.pk,
        )
        _open(proposal)
        note(action="proposal.opened", by=by, target=proposal, facts=_facts(proposal), words=words)
    return proposal


def confirm(*, proposal: Proposal, by: AbstractUser, seen: str, comment: str = "") -> Proposal:
    """Apply what was proposed, if it is still what was seen. `seen` is the basis that was displayed.

    Raises `Stale` once the proposal has been closed because its target moved.
    """
    known = KINDS[proposal.kind]
    words = _scrubbed(comment) if comment.strip() else None
    if proposal.state == ProposalState.OPEN and not _moved(known, proposal):
        _checked(known, proposal.target_id, proposal.payload)
    try:
        with transaction.atomic():
            decided = _confirm(known, proposal, by, seen, words)
    except ValidationError as refusal:
        raise CannotApply(refusal.messages) from refusal
    except IntegrityError as refusal:
        raise CannotApply(["The database refused it: it contradicts something that is there."]) from refusal
    if decided.state == ProposalState.STALE:
        raise Stale(f"{decided.target}: {decided.decision_note} Nothing was applied.")
    return decided


def reject(*, proposal: Proposal, by: AbstractUser, comment: str) -> Proposal:
    """Turn a proposal down, with a reason."""
    words = _scrubbed(comment, "Say why it is turned down.")
    with transaction.atomic():
        persons.hold()
        current = _locked(proposal)
        _require_other(current, by, KINDS[current.kind])
        return _decide(current, ProposalState.REJECTED, by, words=words)


def withdraw(*, proposal: Proposal, by: AbstractUser) -> Proposal:
    """Take back what one proposed oneself."""
    with transaction.atomic():
        current = _locked(proposal)
        if _present(by).pk != current.proposed_by_id:
            raise NotAllowed("Only whoever proposed it can withdraw it.")
        return _decide(current, ProposalState.WITHDRAWN, by)


def basis(kind: Kind, target_id: UUID | None, payload: Payload, sight: Sight) -> str:
    """A digest (64 hex digits) of the change and of everything it was made against."""
    facts = [kind.name, str(target_id), dict(payload), sight.state, [list(row) for row in sight.rows]]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def runs_out(proposal: Proposal) -> datetime:
    """Until when it can be confirmed."""
    return proposal.proposed_at + VALID


def has_run_out(proposal: Proposal) -> bool:
    """Whether it is still marked open, but can no longer be confirmed."""
    return proposal.state == ProposalState.OPEN and runs_out(proposal) <= timezone.now()


def has_moved(proposal: Proposal) -> bool:
    """Whether confirming would find another state than the one it was proposed against. Changes nothing."""
    return _moved(KINDS[proposal.kind], proposal)


def hindrance(proposal: Proposal, person: AbstractUser) -> str:
    """Why this person may not confirm or reject it; empty when they may."""
    try:
        _require_other(proposal, person, KINDS[proposal.kind])
    except NotAllowed as refusal:
        return str(refusal)
    return ""


def waiting_for(person: AbstractUser) -> Q:
    """Open proposals that this person could confirm."""
    mine = Q(pk__in=[])
    for kind in KINDS.values():
        if found := reach(person, kind.confirm):
            mine |= Q(kind=kind.name) & found.q_of(Proposal)
    recent = Q(proposed_at__gt=timezone.now() - VALID)
    return Q(state=ProposalState.OPEN) & mine & recent & ~Q(proposed_by__in=persons.accounts_of(person.pk))


def confirmers(proposal: Proposal) -> list[AbstractUser]:
    """The active people who may confirm it, in order of their names."""
    people = cast(UserManager[AbstractUser], get_user_model()._default_manager)
    able = people.with_perm(KINDS[proposal.kind].confirm, backend=settings.ROLE_BACKEND, obj=proposal)
    return list(able.exclude(pk__in=persons.accounts_of(proposal.proposed_by_id)).order_by("username"))


def _confirm(
    known: Kind, proposal: Proposal, by: AbstractUser, seen: str, words: Recordable | None
) -> Proposal:
    """Inside the transaction: whoever holds the row decides, and everybody else finds it decided."""
    persons.hold()  # whose accounts become one person's at this moment waits, or has been
    current = _locked(proposal)
    _require_other(current, by, known)
    if seen != current.basis:
        raise NotAsSeen("This is not what you were shown. Look at it again.")
    if has_run_out(current):
        return _decide(current, ProposalState.STALE, by, why=RAN_OUT)
    try:
        sight = known.look(current.target_id, current.payload, True)
    except Gone:
        sight = None
    if sight is None or basis(known, current.target_id, current.payload, sight) != current.basis:
        return _decide(current, ProposalState.STALE, by, why=MOVED)
    _require_sides(current, by, known, sight)
    decided = _decide(current, ProposalState.CONFIRMED, by, words=words)
    grant = Grant(proposal_id=current.pk, kind=current.kind, target_id=current.target_id)
    with acting(by, f"Proposed by {current.proposed_by}: {current.reason}"):
        known.apply(current.target_id, current.payload, grant, by)
    return decided


def _decide(
    proposal: Proposal,
    state: ProposalState,
    by: AbstractUser | None,
    *,
    words: Recordable | None = None,
    why: str = "",
) -> Proposal:
    """open -> `state`, once: the update counts the row that it found open. `why` is our own reason."""
    text, now = _text(words) if words else why, timezone.now()
    found = Proposal.objects.filter(pk=proposal.pk, state=ProposalState.OPEN)
    if not found.update(state=state, decided_by=by, decided_at=now, decision_note=text):
        raise AlreadyDecided("It has been decided already.")
    proposal.state, proposal.decided_at, proposal.decision_note = state, now, text
    proposal.decided_by_id = by.pk if by else None
    note(action=f"proposal.{state.value}", by=by, target=proposal, facts=_facts(proposal), words=words)
    return proposal


def _locked(proposal: Proposal) -> Proposal:
    """The row, held until the transaction ends; on SQLite the transaction itself holds the store."""
    current = Proposal.objects.select_for_update().filter(pk=proposal.pk, state=ProposalState.OPEN).first()
    if current is None:
        raise AlreadyDecided("It has been decided already.")
    return current


def _open(proposal: Proposal) -> None:
    same = Proposal.objects.filter(kind=proposal.kind, state=ProposalState.OPEN)
    for other in same.filter(target_id=proposal.target_id) if proposal.target_id else ():
        if not has_run_out(other):
            raise AlreadyProposed("There is an open proposal for this already.")
        _decide(other, ProposalState.STALE, None, why=RAN_OUT)
    try:
        with transaction.atomic():
            proposal.save(force_insert=True)
    except IntegrityError as raced:
        raise AlreadyProposed("There is an open proposal for this already.") from raced


def _moved(known: Kind, proposal: Proposal) -> bool:
    try:
        sight = known.look(proposal.target_id, proposal.payload, False)
    except Gone:
        return True
    return basis(known, proposal.target_id, proposal.payload, sight) != proposal.basis


def _present(person: AbstractUser) -> AbstractUser:
    """The person as the store knows them now: neither a cached permission nor a closed account counts."""
    found = get_user_model()._default_manager.filter(pk=person.pk, is_active=True).first()
    if found is None:
        raise NotAllowed("This account is not active.")
    return found


def _require_one(person: AbstractUser, permissions: Iterable[str], sight: Sight) -> None:
    """One of these permissions wherever the change reaches."""
    held = [reach(person, each) for each in permissions]
    if not all(any(each.covers(area) for each in held) for area in sight.areas):
        raise NotAllowed("You may not propose this.")


def _require_other(proposal: Proposal, by: AbstractUser, known: Kind) -> None:
    """Superusers included: neither every permission nor another account makes one person two."""
    person = _present(by)
    if persons.same(person.pk, proposal.proposed_by_id):
        raise NotAllowed("You proposed this yourself. Somebody else has to decide.")
    if not person.has_perm(known.confirm, proposal):
        raise NotAllowed("You may not decide about this.")


def _require_sides(proposal: Proposal, by: AbstractUser, known: Kind, sight: Sight) -> None:
    """Wherever the change reaches, two people want it now, not one now and another once."""
    confirming = reach(_present(by), known.confirm)
    if not all(confirming.covers(area) for area in sight.areas):
        raise NotAllowed("It reaches into an area where you may not decide.")
    try:
        _require_one(_present(proposal.proposed_by), known.propose, sight)
    except NotAllowed as refusal:
        text = "Whoever proposed this may not propose it any more. Reject it and propose it anew."
        raise NotAllowed(text) from refusal


def _checked(
    known: Kind, target_id: UUID | None, payload: Payload, proposer: AbstractUser | None = None
) -> None:
    """Whatever the payload holds: a value of the wrong shape is a refusal in words. Who may not propose it is
    told nothing about it.
    """
    try:
        sight = known.look(target_id, payload, False)
        if proposer is not None:
            _require_one(proposer, known.propose, sight)
        known.check(target_id, payload)
    except ValidationError as refusal:
        raise CannotApply(refusal.messages) from refusal


def _scrubbed(text: str, missing: str = "") -> Recordable:
    """Before any transaction: what scrubs may have to be compiled first."""
    text = text.strip()
    if not text and missing:
        raise CannotApply([missing])
    if len(text) > LONGEST:
        raise CannotApply([f"Use at most {LONGEST} characters."])
    return scrub(text)


def _text(words: Recordable) -> str:
    return words.data.decode("utf-8", "replace")[:LONGEST]


def _facts(proposal: Proposal) -> dict[str, object]:
    return {
        "kind": proposal.kind,
        "target": proposal.target,
        "target_id": str(proposal.target_id or ""),
        "area": str(proposal.area_id or ""),
        "basis": proposal.basis,
        "proposed_by": str(proposal.proposed_by_id),
    }


__all__ = ["KINDS", "Gone", "Kind", "NeedsSecondPerson", "Sight", "confirm", "propose", "reject", "withdraw"]
