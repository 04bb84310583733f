"""Who is in which group, and what each may do. Set here and nowhere else: each change is on record."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Final
from uuid import UUID

from django.contrib.auth.models import Group, Permission
from django.db import transaction

from gateway.access_rules import access_rules_drop
from gateway.identity.authz import check_joins, hold_groups
from gateway.models import (
    DirectoryGroup,
    HolderKind,
    MemberKind,
    MembershipChange,
    PermissionChange,
    ServiceAccount,
    Source,
    User,
)
from policies import persons
from policies.history import attributed, current_reason
from policies.journal import note

BATCH: Final = 1000
NAMED: Final = 20
"""Members that an event names; the rows of `MembershipChange` name all of them."""


class KeptByDirectory(ValueError):
    """A directory says who is in this group: nobody else changes that. The text names both."""


def membership_set(
    *, member: User | ServiceAccount, groups: Iterable[Group], by: User | None, source: Source = Source.MANUAL
) -> list[MembershipChange]:
    """Make these the member's groups. Returns what changed, which is nothing when they were already.

    Raises `KeptByDirectory` where that would change a group whose members a directory keeps, and `OwnGroup`
    where somebody would put themselves into one that holds a role.
    """
    wanted = {group.pk: group for group in groups}
    with transaction.atomic():
        if by is not None and persons.same(member.pk, by.pk):
            hold_groups(wanted.values())
        held = _held(member)
        joined = [group for pk, group in wanted.items() if pk not in held]
        if isinstance(member, User):
            check_joins(Group.objects.filter(pk__in=[group.pk for group in joined]), member, by)
        left = [group for pk, group in held.items() if pk not in wanted]
        return _changed(member, joined, left, by, source)


def membership_change(
    *,
    member: User | ServiceAccount,
    join: Iterable[Group],
    leave: Collection[int],
    by: User | None,
    source: Source,
) -> list[MembershipChange]:
    """The member joins and leaves these groups; what somebody else changes meanwhile in others stays so.

    `leave` are ids. Returns and raises as `membership_set`.
    """
    with transaction.atomic():
        held = _held(member)
        joined = [group for group in join if group.pk not in held]
        left = [group for pk, group in held.items() if pk in leave]
        return _changed(member, joined, left, by, source)


def _held(member: User | ServiceAccount) -> dict[int, Group]:
    """The member's groups, which nobody who asks here changes before the transaction ends."""
    type(member)._default_manager.select_for_update(no_key=True).get(pk=member.pk)
    return {group.pk: group for group in member.groups.all()}


def _changed(
    member: User | ServiceAccount, joined: list[Group], left: list[Group], by: User | None, source: Source
) -> list[MembershipChange]:
    if not joined and not left:
        return []
    if source is not Source.SCIM:
        refuse_kept([*joined, *left])
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


def group_members_change(
    *,
    group: Group,
    join: Collection[UUID] = (),
    leave: Collection[UUID] = (),
    by: User | None,
    source: Source = Source.MANUAL,
) -> tuple[int, int]:
    """People join and leave one group, thousands of them at once. Returns how many did of each.

    Who is in already does not join, who is not in does not leave, ids of nobody are passed over. Raises
    `KeptByDirectory`.
    """
    with transaction.atomic():
        Group.objects.select_for_update(no_key=True).get(pk=group.pk)
        rows = User.groups.through._default_manager.filter(group_id=group.pk)
        held = set(rows.values_list("user_id", flat=True))
        joined = _named(pk for pk in dict.fromkeys(join) if pk not in held)
        left = _named(pk for pk in dict.fromkeys(leave) if pk in held)
        if not joined and not left:
            return 0, 0
        if source is not Source.SCIM:
            refuse_kept([group])
        new = [User.groups.through(user_id=user.pk, group_id=group.pk) for user in joined]
        User.groups.through._default_manager.bulk_create(new, BATCH, ignore_conflicts=True)
        for some in _batches([user.pk for user in left]):
            rows.filter(user_id__in=some).delete()
        changes = [_row(user, group, True, by, source) for user in joined]
        changes += [_row(user, group, False, by, source) for user in left]
        MembershipChange.objects.bulk_create(changes, BATCH)
        facts = {
            "group": group.name,
            "joined": len(joined),
            "left": len(left),
            "some": [user.username for user in (*joined, *left)[:NAMED]],
            "source": source.value,
        }
        note(action="group.members_changed", by=by, target=group, facts=facts)
    return len(joined), len(left)


def _named(ids: Iterable[UUID]) -> list[User]:
    """These people, with their names alone."""
    found: list[User] = []
    for some in _batches(list(ids)):
        found += User.objects.filter(pk__in=some).only("pk", "username")
    return found


def _batches(ids: list[UUID]) -> Iterator[list[UUID]]:
    for start in range(0, len(ids), BATCH):
        yield ids[start : start + BATCH]


def refuse_kept(groups: Iterable[Group]) -> None:
    """Raises `KeptByDirectory` if a directory keeps any of these groups."""
    rows = DirectoryGroup.objects.filter(group__in=[group.pk for group in groups])
    kept = rows.select_related("group", "directory").first()
    if kept is not None:
        raise KeptByDirectory(
            f"The directory {kept.directory} keeps the group {kept.group}: change it there, or take the"
            " group over first."
        )


@attributed
def group_delete(*, group: Group, by: User | None, source: Source | None = None) -> None:
    """Everybody leaves the group, its access rules go, and then it does.

    Raises `NeedsSecondPerson` if its access rules take two people, and `KeptByDirectory`.
    """
    source = source or (Source.MANUAL if by else Source.SYSTEM)
    with transaction.atomic():
        Group.objects.select_for_update().get(pk=group.pk)
        if source is not Source.SCIM:
            refuse_kept([group])
        access_rules_drop(rules=group.access_rules.all(), by=by)
        members: list[User | ServiceAccount] = [*User.objects.filter(groups=group)]
        members += ServiceAccount.objects.filter(groups=group)
        MembershipChange.objects.bulk_create(
            [_row(each, group, False, by, source) for each in members], BATCH
        )
        facts = {"name": group.name, "left": [str(member) for member in members]}
        note(action="group.deleted", by=by, target=group, facts=facts)
        group.delete()


def permissions_set(
    *, holder: Group | User, permissions: Iterable[Permission], by: User | None
) -> PermissionChange | None:
    """Make these the permissions that a group or a person holds itself. Returns what changed, if anything."""
    held_by = holder.permissions if isinstance(holder, Group) else holder.user_permissions
    wanted = {each.pk: each for each in permissions}
    with transaction.atomic():
        _hold(holder)
        held = {each.pk: each for each in held_by.select_related("content_type")}
        given = [each for pk, each in wanted.items() if pk not in held]
        taken = [each for pk, each in held.items() if pk not in wanted]
        if not given and not taken:
            return None
        held_by.add(*given)
        held_by.remove(*taken)
        change = PermissionChange(
            holder_kind=HolderKind.GROUP if isinstance(holder, Group) else HolderKind.PERSON,
            holder_id=str(holder.pk),
            holder=str(holder),
            given=_codes(given),
            taken=_codes(taken),
            changed_by_id=by.pk if by else None,
            reason=current_reason(),
        )
        change.save(force_insert=True)
        facts = {"holder": str(holder), "given": change.given, "taken": change.taken}
        note(action="permissions.changed", by=by, target=holder, facts=facts)
    return change


def _hold(holder: Group | User) -> None:
    """Lock it until the transaction ends."""
    if isinstance(holder, Group):
        Group.objects.select_for_update(no_key=True).get(pk=holder.pk)
    else:
        User.objects.select_for_update(no_key=True).get(pk=holder.pk)


def _codes(permissions: Iterable[Permission]) -> list[str]:
    """`app.codename` of each, in order."""
    return sorted(f"{each.content_type.app_label}.{each.codename}" for each in permissions)


def membership_sources(member: User | ServiceAccount) -> dict[int, Source]:
    """Where each of the member's present groups comes from, by the group's id; absent if unknown."""
    latest: dict[int, MembershipChange] = {}
    for row in MembershipChange.objects.filter(member_id=member.pk).order_by("id"):
        latest[row.group_id] = row
    return {pk: Source(row.source) for pk, row in latest.items() if row.joined}


def group_sources(group: Group) -> dict[UUID, Source]:
    """Where each present member of a group comes from, by the member's id; absent if unknown."""
    found: dict[UUID, Source] = {}
    rows = MembershipChange.objects.filter(group_id=group.pk).order_by("id")
    for member_id, joined, source in rows.values_list("member_id", "joined", "source").iterator(BATCH):
        found.pop(member_id, None)
        if joined:
            found[member_id] = Source(source)
    return found


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
