"""What a signed-in person may do: the roles that their groups hold, per area.

`has_perm(perm)` asks whether they may do it anywhere, `has_perm(perm, row)` whether they may do it to this
row, `areas_with(perm)` where. Permissions given past the roles, straight to a group or a person, count
everywhere.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.db.models import Model, Q, QuerySet

from gateway.identity.authz import ROLES, role_permissions
from gateway.identity.held import Held, grants_of
from gateway.identity.reach import EVERYWHERE, Reach, counts_in_areas
from gateway.models import Area, RoleGrant, User


class RoleBackend(ModelBackend):
    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        if obj is not None and not isinstance(obj, Model):
            return False
        return _held(user_obj, self).has(perm, obj)

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """What they may do anywhere."""
        past_roles: set[str] = super().get_all_permissions(user_obj, obj)
        return past_roles if obj is not None else past_roles | _held(user_obj, self).everything()

    def past_roles(self, person: User) -> set[str]:
        """Permissions that no role gave."""
        return super().get_all_permissions(person)

    def areas_with(self, user_obj: Any, perm: str) -> Reach:
        """Where they may do it."""
        if user_obj.is_active and user_obj.is_superuser:
            return EVERYWHERE
        return _held(user_obj, self).reach(perm)

    def with_perm(
        self, perm: Any, is_active: bool | None = True, include_superusers: bool = True, obj: Any = None
    ) -> QuerySet[User]:
        """The people who may do it anywhere, or to this row."""
        past_roles = super().with_perm(perm, is_active=bool(is_active), include_superusers=include_superusers)
        grants = RoleGrant.objects.filter(role__in=[role for role in ROLES if perm in role_permissions(role)])
        if not counts_in_areas(perm):
            grants = grants.filter(area=None)
        elif obj is not None:
            grants = grants.filter(_reaching(obj))
        people = User.objects.filter(is_active=bool(is_active))
        by_role = Q(groups__role_grants__in=grants)
        return people.filter(Q(pk__in=past_roles.values("pk")) | by_role).distinct()


def _reaching(row: Model) -> Q:
    """The grants that reach a row."""
    inside = [
        area.pk
        for area in Area.objects.all()
        if Reach(False, frozenset({area.pk}), frozenset({area.slug})).covers_row(row)
    ]
    return Q(area=None) | Q(area__in=inside)


def _held(person: Any, backend: RoleBackend) -> Held:
    """Read once per user object, as Django keeps its own permissions."""
    if not isinstance(person, User) or not person.is_active:
        return Held()
    held: Held | None = getattr(person, "_held", None)
    if held is None:
        held = Held(grants_of(person), frozenset(backend.past_roles(person)))
        setattr(person, "_held", held)  # noqa: B010  a cache beside Django's own
    return held
