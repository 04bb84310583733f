"""The proposal to give a group a role. Registered when the application starts."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.contrib.auth.models import AbstractUser, Group

from gateway.identity.authz import ROLES, check_not_own, hold, role_grant
from gateway.models import Area, RoleGrant, User
from policies.content import unpack
from policies.grants import Grant
from policies.models import Proposal
from policies.proposals import CannotApply, Gone, Kind, Payload, Row, Sight, register

FIELDS = ("group", "role", "area")
EVERYWHERE = "Everywhere, and over what lies in no area"


def register_all() -> None:
    register(
        Kind(
            name="role.grant",
            title="Give a group a role",
            propose=("gateway.add_rolegrant",),
            confirm="policies.confirm_identity",
            look=_look,
            apply=_apply,
            check=_check,
        )
    )


def _row(payload: Payload) -> RoleGrant:
    row = RoleGrant()
    unpack(row, payload, FIELDS)
    if row.role not in ROLES:
        raise CannotApply(["There is no such role."])
    if not Group.objects.filter(pk=row.group_id).exists():
        raise Gone("The group is gone.")
    if row.area_id is not None and not Area.objects.filter(pk=row.area_id).exists():
        raise Gone("The area is gone.")
    return row


def _look(target_id: UUID | None, payload: Payload, lock: bool) -> Sight:
    row = _row(payload)
    members = row.group.user_set.filter(is_active=True).count()
    where = str(row.area) if row.area else EVERYWHERE
    rows: tuple[Row, ...] = (
        ("Group", "–", row.group.name),
        ("Role", "–", ROLES[row.role].title),
        ("Where", "–", where),
        ("People in the group", "–", str(members)),
    )
    if programs := ", ".join(row.group.service_accounts.order_by("name").values_list("name", flat=True)):
        rows += (("Programs in the group", "–", programs),)
    return Sight(area_id=row.area_id, name=f"{row.group}: {ROLES[row.role].title}", rows=rows, state=where)


def _check(target_id: UUID | None, payload: Payload) -> None:
    _row(payload).full_clean()


def _apply(target_id: UUID | None, payload: Payload, grant: Grant, by: AbstractUser) -> object:
    """Neither of the two may be in the group. Their accounts are held: `proposals.confirm` does that."""
    row = _row(payload)
    hold(row.group)  # who joins it at this moment waits
    person = cast(User, by)
    proposal = Proposal.objects.select_related("proposed_by").get(pk=grant.proposal_id)
    for each in (person, proposal.proposed_by):  # who proposed it may have joined since
        check_not_own(row.group, each)
    return role_grant(group=row.group, role=row.role, area=row.area, by=person, grant=grant)
