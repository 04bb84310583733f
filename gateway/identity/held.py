"""What somebody holds: roles in areas, and permissions that count everywhere. People and programs alike.

A key of a program does nothing that whoever made the key may not do as well: they saw it, and could use it.
Nor does it what its program could not do when it was made: its maker may have given it to somebody else.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from django.contrib.auth.models import Group, Permission
from django.db.models import Max, Model, QuerySet

from gateway.identity.authz import role_permissions
from gateway.identity.reach import EVERYWHERE, NOWHERE, Reach, counts_in_areas
from gateway.identity.scope import groups_carried
from gateway.models import ApiKey, MembershipChange, RoleGrant, User


@dataclass(frozen=True, slots=True)
class Held:
    """`past_roles` are permissions (`app.codename`) given straight to a group or a person."""

    grants: tuple[RoleGrant, ...] = ()
    past_roles: frozenset[str] = field(default_factory=frozenset)

    def everything(self) -> frozenset[str]:
        """What may be done somewhere."""
        return self.past_roles.union(*[_meant(grant) for grant in self.grants])

    def reach(self, perm: str) -> Reach:
        """Where it may be done."""
        if perm in self.past_roles:
            return EVERYWHERE
        areas = [grant.area for grant in self.grants if perm in role_permissions(grant.role)]
        if None in areas:
            return EVERYWHERE
        inside = [area for area in areas if area is not None]
        if not counts_in_areas(perm):
            return NOWHERE
        return Reach(False, frozenset(area.pk for area in inside), frozenset(area.slug for area in inside))

    def has(self, perm: str, row: Model | None = None) -> bool:
        """Whether it may be done: anywhere, or to this row."""
        return bool(self.reach(perm)) if row is None else self.reach(perm).covers_row(row)


def _meant(grant: RoleGrant) -> frozenset[str]:
    """In an area a role means nothing for what lies in no area."""
    permissions = role_permissions(grant.role)
    if grant.area_id is None:
        return permissions
    return frozenset(perm for perm in permissions if counts_in_areas(perm))


def held_by_program(groups: Iterable[Group]) -> Held:
    """What a program may do by the groups that its key carries, never by its owner."""
    groups = list(groups)
    rows = Permission.objects.filter(group__in=groups).order_by()
    names = rows.values_list("content_type__app_label", "codename")
    past_roles = frozenset(f"{app}.{codename}" for app, codename in names)
    return Held(_grants(RoleGrant.objects.filter(group__in=groups)), past_roles)


@dataclass(frozen=True, slots=True)
class Lent:
    """What a program's key does: what the groups that it carries hold, and its maker holds as well.

    Asked anew for each request, so no order of steps is a way around it. A key that nobody made in their own
    name (another program asked for it) does nothing of it.
    """

    held: Held
    maker: User | None

    def reach(self, perm: str) -> Reach:
        return NOWHERE if self.maker is None else self.held.reach(perm) & self.maker.areas_with(perm)

    def has(self, perm: str, row: Model | None = None) -> bool:
        return bool(self.reach(perm)) if row is None else self.reach(perm).covers_row(row)


def lent_by(key: ApiKey) -> Lent:
    """Of what its program holds that which it held when the key was made: its maker knew of nothing else, and
    somebody who was given the key could add to it."""
    groups = _joined_before(key, list(groups_carried(key)))
    held = held_by_program(groups)
    grants = tuple([grant for grant in held.grants if grant.created_at <= key.created_at])
    return Lent(Held(grants, held.past_roles), key.created_by)


def _joined_before(key: ApiKey, groups: list[Group]) -> list[Group]:
    """Those that its program was not put into after the key was made. Services write down each joining."""
    if not groups or key.service_account_id is None:
        return []
    rows = MembershipChange.objects.filter(
        member_id=key.service_account_id, group_id__in=[group.pk for group in groups], joined=True
    )
    joined = dict(rows.order_by("group_id").values_list("group_id").annotate(Max("at")))
    return [group for group in groups if group.pk not in joined or joined[group.pk] <= key.created_at]


def more_than(maker: User | None, groups: Iterable[Group]) -> list[str]:
    """Names of the groups that hold anything which this person does not hold as far as they do."""
    return sorted(group.name for group in groups if _holds_more(held_by_program([group]), maker))


def _holds_more(held: Held, maker: User | None) -> bool:
    return any(
        maker is None or not maker.areas_with(perm).includes(held.reach(perm)) for perm in held.everything()
    )


def grants_of(person: User) -> tuple[RoleGrant, ...]:
    """The roles that a person's groups hold."""
    return _grants(RoleGrant.objects.filter(group__user=person))


def _grants(rows: QuerySet[RoleGrant]) -> tuple[RoleGrant, ...]:
    return tuple(rows.select_related("area").distinct())
