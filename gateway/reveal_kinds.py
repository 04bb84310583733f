"""The proposal to look at one call's sealed original. Registered when the application starts.

Neither of the two may be who called, answer for the program that did or have made its key, be it by another
account of theirs: nobody examines themselves.
"""

from __future__ import annotations

from uuid import UUID

from django.contrib.auth.models import AbstractUser

from audit import ids, originals
from audit.models import Call
from gateway.models import ApiKey, Area
from policies import persons
from policies.grants import Grant
from policies.journal import who
from policies.models import Proposal
from policies.proposals import Gone, Kind, NotAllowed, Payload, Row, Sight, register, there

KIND = "original.reveal"
OWN = "You made this call, answer for the program that did or made its key: somebody else has to {}."


def register_all() -> None:
    register(
        Kind(
            name=KIND,
            title="Look at a sealed original",
            propose=("audit.view_call",),
            confirm="audit.confirm_reveal",
            look=_look,
            apply=_apply,
        )
    )


def check_not_own(call: Call, person: AbstractUser, what: str) -> None:
    accounts = persons.accounts_of(person.pk)
    made_key = ApiKey.objects.filter(pk=call.key_id, created_by__in=accounts) if call.key_id else None
    if call.person_id in accounts or call.owner_id in accounts or (made_key and made_key.exists()):
        raise NotAllowed(OWN.format(what))


def _call(target_id: UUID | None) -> Call:
    number = there(target_id)
    try:
        return Call.objects.get(id=number, started_at=ids.time_of(number))
    except (Call.DoesNotExist, ValueError, OverflowError):  # the latter two: an id that holds no time
        raise Gone("There is no such call.") from None


def _look(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    call = _call(target_id)
    kept = originals.digests_of(call)
    if not kept:
        raise Gone("The original of this call was not kept.")
    minutes = int(originals.LASTS.total_seconds() // 60)
    rows: tuple[Row, ...] = (
        ("Call", "–", str(call.id)),
        ("Made at", "–", f"{call.started_at:%d %b %Y %H:%M:%S} UTC"),
        ("Endpoint", "–", call.endpoint or "–"),
        (
            "Original",
            "sealed",
            f"shown to whoever proposed this, for {minutes} minutes after it is confirmed",
        ),
    )
    area = Area.objects.filter(slug=call.area).values_list("pk", flat=True).first()
    return Sight(area_id=area, name=f"Call {call.id}", rows=rows, state=kept)


def _apply(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> object:
    call = _call(target_id)
    proposal = Proposal.objects.select_related("proposed_by").get(pk=grant.proposal_id)
    check_not_own(call, by, "confirm this")
    check_not_own(call, proposal.proposed_by, "ask")
    return originals.reveal_make(
        call=call, person_id=proposal.proposed_by_id, by=who(by), proposal_id=proposal.pk
    )
