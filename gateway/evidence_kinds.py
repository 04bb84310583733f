"""Proposals about the evidence: how long it is kept, lifting a legal hold, erasing calls.

Each of them lets something be destroyed sooner than before, so each takes two people, whatever an area says.
Registered when the application starts; nothing else calls the services that carry them out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from functools import partial
from typing import Any, Final, cast
from uuid import UUID

from django.contrib.auth.models import AbstractUser

from audit.models import LegalHold, RetentionRule
from audit.retention import erasure
from audit.retention.changing import rule_check, rule_delete, rule_save
from audit.retention.erasure import ErasureRefused, Selection
from audit.retention.holds import facts, hold_lift
from gateway.models import Area
from policies.content import NOTHING
from policies.grants import Grant
from policies.journal import who
from policies.models import Proposal
from policies.proposals import Apply, CannotApply, Gone, Kind, Look, Payload, Row, Sight, register, there

CONFIRM: Final = "audit.confirm_retentionrule"
ADD, CHANGE, DELETE = (f"audit.{verb}_retentionrule" for verb in ("add", "change", "delete"))
LIFT: Final = "audit.change_legalhold"
ERASE: Final = "audit.erase_removal"

FIELDS: Final = ("name", "area", "endpoint", "policy", "level", "payload_days", "row_days")
_TITLES: Final[Mapping[str, str]] = {
    "name": "Name",
    "area": "Area",
    "endpoint": "Endpoint",
    "policy": "Policy",
    "level": "Level",
    "payload_days": "Payloads are kept",
    "row_days": "The call's row is kept",
}


def register_all() -> None:
    for name, title, propose, look, apply in (
        ("retention.add", "Add a retention rule", ADD, _look_rule, _save_rule),
        ("retention.change", "Change a retention rule", CHANGE, _look_rule, _save_rule),
        ("retention.delete", "Take a retention rule away", DELETE, _look_rule_gone, _delete_rule),
        ("hold.lift", "Lift a legal hold", LIFT, _look_hold, _lift_hold),
        ("evidence.erase", "Erase calls", ERASE, _look_erasure, _begin_erasure),
    ):
        register(_kind(name, title, propose, look, apply))


def _kind(name: str, title: str, propose: str, look: Look, apply: Apply) -> Kind:
    check = _check_rule if name in ("retention.add", "retention.change") else None
    kind = partial(Kind, name=name, title=title, propose=(propose,), confirm=CONFIRM, look=look, apply=apply)
    return kind(check=check) if check else kind()


# --- rules ------------------------------------------------------------------------------------------


def proposed_rule(target_id: UUID | None, payload: Payload) -> tuple[RetentionRule | None, RetentionRule]:
    """The rule as it stands, None where there is none yet, and as it would be."""
    stored = None
    if target_id is not None:
        stored = RetentionRule.objects.filter(pk=target_id).first()
        if stored is None:
            raise Gone("The rule is gone.")
    rule = copy(stored) if stored else RetentionRule()
    for field in FIELDS:
        if field in payload:
            setattr(rule, field, payload[field])
    return stored, rule


def _look_rule(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    stored, rule = proposed_rule(target_id, payload)
    before, after = _said(stored), _said(rule)
    rows = tuple((_TITLES[field], before[field], after[field]) for field in FIELDS)
    areas = [_area_id(rule.area), *([_area_id(stored.area)] if stored else [])]
    changed = tuple(row for row in rows if row[1] != row[2])
    return _sight(areas, name=rule.name or "A rule", rows=changed, state=[before, _beside(rule)])


def _look_rule_gone(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    stored, _ = proposed_rule(there(target_id), {})
    assert stored is not None  # noqa: S101 (it has a target)
    before = _said(stored)
    rows = tuple((_TITLES[field], before[field], NOTHING) for field in FIELDS if before[field] != NOTHING)
    return _sight([_area_id(stored.area)], name=stored.name, rows=rows, state=before)


def _check_rule(target_id: UUID | None, payload: Payload) -> None:
    _, rule = proposed_rule(target_id, payload)
    rule_check(rule)


def _save_rule(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> object:
    _, rule = proposed_rule(target_id, payload)
    return rule_save(rule=rule, by=who(by), proposed_by=_proposer(grant))


def _delete_rule(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> None:
    rule = RetentionRule.objects.get(pk=there(target_id))
    rule_delete(rule=rule, by=who(by), proposed_by=_proposer(grant))


def _said(rule: RetentionRule | None) -> dict[str, str]:
    if rule is None:
        return dict.fromkeys(FIELDS, NOTHING)
    said = {field: str(getattr(rule, field) or "") or "any" for field in FIELDS}
    return said | {field: _days(getattr(rule, field)) for field in ("payload_days", "row_days")}


def _days(days: int | None) -> str:
    return "for ever" if days is None else "1 day" if days == 1 else f"{days} days"


def _beside(rule: RetentionRule) -> list[list[str]]:
    """Other rules decide with it which one wins: two people saw these."""
    others = RetentionRule.objects.exclude(pk=rule.pk).order_by("pk")
    return [list(_said(each).values()) for each in others]


# --- holds ------------------------------------------------------------------------------------------


def _look_hold(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    hold = LegalHold.objects.filter(pk=there(target_id), lifted_at=None).first()
    if hold is None:
        raise Gone("The hold is gone.")
    rows: tuple[Row, ...] = tuple((name.capitalize(), said, NOTHING) for name, said in facts(hold).items())
    rows += (("Placed because", hold.reason, NOTHING), ("Placed by", hold.placed_by, NOTHING))
    return _sight([_area_id(hold.area)], name=str(hold), rows=rows, state=str(hold.pk))


def _lift_hold(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> None:
    hold = LegalHold.objects.get(pk=there(target_id))
    if not hold_lift(hold=hold, by=who(by), proposed_by=_proposer(grant)):
        raise CannotApply(["It was lifted already."])


# --- erasing ----------------------------------------------------------------------------------------


def _look_erasure(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    """The dry run. What retention removes meanwhile changes nothing in it; a hold that is placed does."""
    try:
        selection = Selection.of(payload)
        found = erasure.outlook(selection)
    except ErasureRefused as refusal:
        raise CannotApply([str(refusal)]) from refusal
    rows: tuple[Row, ...] = (
        ("Calls", str(found.calls), f"{found.calls - found.held} erased"),
        ("On legal hold", str(found.held), f"{found.held} stay"),
        ("Days that get new keys", NOTHING, str(found.days)),
    )
    if selection.callers:
        span = (selection.since, selection.until)
        rows += (("Caller", _caller(selection), NOTHING), *_span(span))
    areas = [_area_id(slug) for slug in found.areas]
    name = _caller(selection) if selection.callers else _named(selection.calls)
    return _sight(areas, name=name, rows=rows, state=[selection.as_json(), found.areas])


def _span(span: tuple[Any, Any]) -> tuple[Row, ...]:
    named = zip(("From", "Until"), span, strict=True)
    return tuple((name, f"{moment:%Y-%m-%d %H:%M} UTC", NOTHING) for name, moment in named if moment)


def _caller(selection: Selection) -> str:
    """By the name as far as it may be kept, and by what tells those apart who are masked alike."""
    return f"{selection.named} ({', '.join(map(str, selection.callers))})"[:200]


def _named(calls: tuple[UUID, ...]) -> str:
    return f"call {calls[0]}" if len(calls) == 1 else f"{len(calls)} calls"


def _begin_erasure(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> object:
    name = f"proposal {grant.proposal_id}"
    selection = Selection.of(payload)
    return erasure.begin(selection=selection, by=who(by), proposed_by=_proposer(grant), name=name)


# --- all of them ------------------------------------------------------------------------------------


def _sight(areas: Iterable[UUID | None], *, name: str, rows: tuple[Row, ...], state: object) -> Sight:
    """It reaches into each of these areas; None is what lies in none."""
    first, *others = dict.fromkeys(areas)
    also = cast(tuple[UUID, ...], tuple(others))
    return Sight(area_id=first, name=name, rows=rows, state=state, also=also)


def _area_id(slug: str) -> UUID | None:
    """Rules and calls keep the short name; one that no area has any more lies in none."""
    return Area.objects.filter(slug=slug).values_list("pk", flat=True).first() if slug else None


def _proposer(grant: Grant) -> str:
    proposal = Proposal.objects.select_related("proposed_by").get(pk=grant.proposal_id)
    return who(proposal.proposed_by).name
