"""Who is in which group. Set here and nowhere else, so that each change is on record with its source."""

from __future__ import annotations

from collections.abc import Iterable
from uuid import UUID

from django.contrib.auth.models import Group
from django.db import transaction

from gateway.models import MemberKind, MembershipChange, ServiceAccount, Source, User
from policies.history import current_reason
from policies.journal import note


def membership_set(
    *, member: User | ServiceAccount, groups: Iterable[Group], by: User | None, source: Source = Source.MANUAL
) -> list[MembershipChange]:
    """Make these the member's groups. Returns what changed, which is nothing when they were already."""
    wanted = {group.pk: group for group in groups}
    with transaction.atomic():
        type(member)._default_manager.select_for_update().get(pk=member.pk)
        held = {group.pk: group for group in member.groups.all()}
        joined = [group for pk, group in wanted.items() if pk not in held]
        left = [group for pk, group in held.items() if pk not in wanted]
        if not joined and not left:
            return []
        member.groups.add(*joined)
        member.groups.remove(*left)
        rows = [_row(member, group, True, by, source) for group in joined]
        rows += [_row(member, group, False, by, source) for group in left]
        MembershipChange.objects.bulk_create(rows)
        facts = {
            "member": str(member),
            "joined": [group.name for group in joined],
            "left": [group.name for group in left],
            "source": source.value,
        }
        note(action="membership.changed", by=by, target=member, facts=facts)
    return rows


def membership_sources(member: User | ServiceAccount) -> dict[int, Source]:
    """Where each of the member's present groups comes from, by the group's id; absent if unknown."""
    latest: dict[int, MembershipChange] = {}
    for row in MembershipChange.objects.filter(member_id=member.pk).order_by("id"):
        latest[row.group_id] = row
    return {pk: Source(row.source) for pk, row in latest.items() if row.joined}


def _row(
    member: User | ServiceAccount, group: Group, joined: bool, by: User | None, source: Source
) -> MembershipChange:
    kind = MemberKind.PERSON if isinstance(member, User) else MemberKind.SERVICE_ACCOUNT
    member_id: UUID = member.pk
    return MembershipChange(
        member_kind=kind,
        member_id=member_id,
        member=str(member),
        group_id=group.pk,
        group=group.name,
        joined=joined,
        source=source,
        changed_by_id=by.pk if by else None,
        reason=current_reason(),
    )
