"""Groups whose members a directory keeps, and what an administrator hands over to a directory.

A directory starts with groups of its own making, to which nothing is granted. A group that access rules or
roles hang on is handed over by an administrator. Raises what `gateway.identity.directory` names.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Collection
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Q

from gateway.identity.authz import holding
from gateway.identity.directory import (
    NotThere,
    Taken,
    Unfit,
    because,
    in_words,
    tell,
)
from gateway.identity.membership import BATCH, group_delete, group_members_change
from gateway.identity.names import in_latin
from gateway.models import DirectoryGroup, DirectoryToken, DirectoryUser, Source, User
from policies import persons
from policies.history import acting, attributed
from policies.journal import note

LONGEST: Final = 150
LONGEST_ID: Final = 255


@dataclass(frozen=True, slots=True)
class Members:
    """Who joins and who leaves. `all_others` leave as well where it is a whole new list."""

    join: frozenset[UUID] = frozenset()
    leave: frozenset[UUID] = frozenset()
    all_others: bool = False


@in_words
def group_add(
    *, directory: DirectoryToken, name: str, external_id: str = "", members: Collection[UUID] = ()
) -> DirectoryGroup:
    """A new group of the directory. A name that exists is `Taken`, whatever the group."""
    with acting(None, because(directory)):
        group = Group(name=_name(name))
        _refuse_taken(group)
        group.save()
        kept = DirectoryGroup.objects.create(
            group=group, directory=directory, external_id=_external_id(external_id)
        )
        tell(directory, "directory.group_added", group, name=group.name)
        _apply(kept, Members(join=frozenset(members)))
    return kept


@in_words
def group_save(
    *,
    directory: DirectoryToken,
    kept: DirectoryGroup,
    name: str,
    external_id: str,
    members: Members,
) -> DirectoryGroup:
    """Another name, another external id, other members: each where it differs."""
    with acting(None, because(directory)):
        kept = _held(directory, kept)
        group, before = kept.group, (kept.group.name, kept.external_id)
        if name != group.name:
            group.name = _name(name)
            _refuse_taken(group)
            group.save()
        kept.external_id = _external_id(external_id)
        joined, left = _apply(kept, members)
        if before != (group.name, kept.external_id):
            tell(directory, "directory.group_changed", group, name=group.name, before=before[0])
        elif not joined and not left:
            return kept
        kept.save()
    return kept


@in_words
def group_remove(*, directory: DirectoryToken, kept: DirectoryGroup) -> bool:
    """Everybody leaves. The group itself goes if nothing hangs on it; else it stays, empty and by hand.

    Taking its access rules away with it could take two people, and could let a laxer rule apply to whoever
    is left. Returns whether the group went.
    """
    with acting(None, because(directory)):
        kept = _held(directory, kept)
        group = kept.group
        leave = frozenset(User.objects.filter(groups=group).values_list("pk", flat=True))
        group_members_change(group=group, leave=leave, by=None, source=Source.SCIM)
        stays = hangs_on(group)
        tell(directory, "directory.group_removed", group, name=group.name, stays=stays)
        kept.delete()
        if not stays:
            group_delete(group=group, by=None, source=Source.SCIM)
    return not stays


def hangs_on(group: Group) -> bool:
    """Whether anything is granted to the group, mapped to it, or is in it that no directory knows."""
    return (
        group.access_rules.exists()
        or group.role_grants.exists()
        or group.mappings.exists()
        or group.permissions.exists()
        or group.service_accounts.exists()
    )


def _apply(kept: DirectoryGroup, members: Members) -> tuple[int, int]:
    """Only people of the same directory join."""
    known = _known(kept.directory, members.join)
    if missing := members.join - known:
        some = ", ".join(sorted(map(str, missing))[:3])
        raise Unfit(f"{len(missing)} of the members are not in this directory, such as {some}.")
    _refuse_maker(kept, known)
    leave = members.leave
    if members.all_others:
        there = User.objects.filter(groups=kept.group_id).values_list("pk", flat=True)
        leave = frozenset(there) - members.join
    return group_members_change(
        group=kept.group, join=sorted(known), leave=sorted(leave), by=None, source=Source.SCIM
    )


def _refuse_maker(kept: DirectoryGroup, join: frozenset[UUID]) -> None:
    """Nobody puts themselves into a group that holds a role, by a directory whose token they made neither."""
    maker = kept.directory.created_by
    if maker is None or not _holds(kept.group):
        return
    joining = persons.accounts_of(maker.pk) & join
    if joining - set(kept.group.user_set.filter(pk__in=joining).values_list("pk", flat=True)):
        raise Unfit(
            f"{maker} made this directory's token, and the group holds a role. Let somebody else make another"
            " token first."
        )


def _holds(group: Group) -> bool:
    return holding(Group.objects.filter(pk=group.pk)).exists()


def _known(directory: DirectoryToken, ids: frozenset[UUID]) -> frozenset[UUID]:
    wanted, found = sorted(ids), set[UUID]()
    for start in range(0, len(wanted), BATCH):
        rows = DirectoryUser.objects.filter(directory=directory, pk__in=wanted[start : start + BATCH])
        found.update(rows.values_list("pk", flat=True))
    return frozenset(found)


def _held(directory: DirectoryToken, kept: DirectoryGroup) -> DirectoryGroup:
    rows = DirectoryGroup.objects.select_for_update(of=("self",)).select_related("group")
    found = rows.filter(directory=directory, pk=kept.pk).first()
    if found is None:
        raise NotThere("There is no such group in this directory.")
    return found


def _refuse_taken(group: Group) -> None:
    same = Q(name__iexact=group.name)
    if latin := in_latin(group.name):
        same |= Q(name__iexact=latin)
    if Group.objects.filter(same).exclude(pk=group.pk).exists():
        raise Taken(
            "A group has this name, or one that looks like it. An administrator can hand that group over to"
            " this directory."
        )


def _name(value: str) -> str:
    name = unicodedata.normalize("NFKC", value).strip()
    if not name or len(name) > LONGEST or not name.isprintable():
        raise Unfit(f"A group's name has 1 to {LONGEST} characters that print.")
    return name


def _external_id(value: str) -> str:
    text = value.strip()
    if len(text) > LONGEST_ID or not text.isprintable():
        raise Unfit(f"An external id has at most {LONGEST_ID} characters that print.")
    return text


# --- what an administrator hands over ---------------------------------------------------------------


@attributed
def person_hand_over(*, user: User, directory: DirectoryToken, by: User | None) -> DirectoryUser:
    """From now on the directory keeps this person, and finds them by name. Raises `Taken` and `Unfit`."""
    if user.is_superuser:
        raise Unfit("A superuser is kept by hand: no directory may switch the last door off.")
    with transaction.atomic():
        if DirectoryUser.objects.select_for_update().filter(user=user).exists():
            raise Taken("A directory keeps this person already.")
        kept = DirectoryUser.objects.create(user=user, directory=directory)
        facts = {"name": user.username, "directory": directory.name}
        note(action="directory.person_handed_over", by=by, target=user, facts=facts)
    return kept


@attributed
def person_take_back(*, kept: DirectoryUser, by: User | None) -> None:
    """The directory knows the person no longer; nothing else changes."""
    with transaction.atomic():
        facts = {"name": kept.user.username, "directory": kept.directory.name}
        note(action="directory.person_taken_back", by=by, target=kept.user, facts=facts)
        kept.delete()


def check_group(group: Group, directory: DirectoryToken, by: User | None) -> None:
    """Raises `Unfit` for a group that service accounts are in, since no directory knows those, and for one
    that holds a role where `by` made the directory's token: they would fill it alone."""
    if group.service_accounts.exists():
        raise Unfit("Service accounts are in this group, and no directory knows them. Move them first.")
    made_it = by is not None and not by.is_superuser and persons.same(directory.created_by_id, by.pk)
    if made_it and _holds(group):
        raise Unfit(
            "You made this directory's token, and the group holds a role: somebody else has to hand it over."
        )


@attributed
def group_hand_over(*, group: Group, directory: DirectoryToken, by: User | None) -> DirectoryGroup:
    """From now on the directory says who is in this group. Whoever it does not keep leaves.

    Raises `Taken`, and `Unfit` where `check_group` does.
    """
    with transaction.atomic():
        Group.objects.select_for_update(no_key=True).get(pk=group.pk)
        directory = DirectoryToken.objects.select_for_update().get(pk=directory.pk)  # whose token it is now
        check_group(group, directory, by)
        if DirectoryGroup.objects.filter(group=group).exists():
            raise Taken("A directory keeps this group already.")
        others = User.objects.filter(groups=group).exclude(directory__directory=directory)
        leave = list(others.values_list("pk", flat=True))
        group_members_change(group=group, leave=leave, by=by)
        kept = DirectoryGroup.objects.create(group=group, directory=directory, handed_over_by=by)
        facts = {"name": group.name, "directory": directory.name, "left": len(leave)}
        note(action="directory.group_handed_over", by=by, target=group, facts=facts)
    return kept


@attributed
def group_take_back(*, kept: DirectoryGroup, by: User | None) -> None:
    """The group is kept by hand again, with the members that it has."""
    with transaction.atomic():
        facts = {"name": kept.group.name, "directory": kept.directory.name}
        note(action="directory.group_taken_back", by=by, target=kept.group, facts=facts)
        kept.delete()
