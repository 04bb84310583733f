"""Who may do something: the question of `areas_with` asked the other way round, for lists to choose from."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from django.db.models import Q

from gateway.identity.authz import ROLES, role_permissions
from gateway.models import User

MOST: Final = 200
"""People in one list."""


def may_hold(permission: str, areas: Collection[str] | None) -> Q:
    """People who may have it in one of these areas (None: in any). Wider than it may be: `areas_with` has the
    last word."""
    app, _, codename = permission.partition(".")
    roles = [role for role in ROLES if permission in role_permissions(role)]
    grants = Q(groups__role_grants__role__in=roles)
    if areas is not None:
        grants &= Q(groups__role_grants__area=None) | Q(groups__role_grants__area__slug__in=areas)
    named = {"codename": codename, "content_type__app_label": app}
    past_roles = Q(is_superuser=True)
    for way in ("groups__permissions", "user_permissions"):
        past_roles |= Q(**{f"{way}__{name}": value for name, value in named.items()})
    return grants | past_roles


def people_who_may(permission: str, areas: Collection[str] | None) -> list[User]:
    """Whom a list offers, by name, no more than `MOST`. Whoever acts on a choice asks `areas_with`."""
    rows = User.objects.filter(may_hold(permission, areas), is_active=True)
    return list(rows.distinct().order_by("username")[:MOST])
