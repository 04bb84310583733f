"""Roles as data: each is a set of permissions that a group can be given. Nothing here is asked per call.

Access to models is another matter: it is granted by access rules (`gateway.models.access_rule`) only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.db.models import Q

from gateway.identity.membership import permissions_set
from gateway.models import User
from policies.history import attributed
from policies.journal import note

VIEW = ("view",)
EDIT = ("view", "add", "change", "delete")
POLICY_MODELS = (
    "schema",
    "schemaversion",
    "dataclass",
    "detector",
    "example",
    "policy",
    "policyversion",
    "rule",
)


@dataclass(frozen=True, slots=True)
class Role:
    """`grants` are (app, verbs, models); no models means every model of the app."""

    title: str
    grants: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]


ROLES: Mapping[str, Role] = {
    "admin": Role(
        "Administrator",
        (
            ("gateway", EDIT, ()),
            ("policies", VIEW, ()),
            ("policies", ("confirm",), ("proposal",)),
            ("auth", EDIT, ("group",)),
            ("approvals", VIEW, ()),
        ),
    ),
    "policy_editor": Role(
        "Policy editor",
        (
            ("policies", EDIT, POLICY_MODELS),
            ("policies", VIEW, ("proposal",)),
            ("gateway", VIEW, ("membershipchange",)),
            ("gateway", ("view", "change"), ("structuredfield",)),
        ),
    ),
    "publisher": Role(
        "Publisher",
        (
            ("policies", VIEW, ()),
            ("policies", ("publish",), ("schemaversion", "policyversion")),
            ("gateway", VIEW, ("membershipchange",)),
        ),
    ),
    "reviewer": Role("Reviewer", (("approvals", ("view", "change"), ("approval",)),)),
    "auditor": Role(
        "Auditor",
        (
            ("audit", VIEW, ()),
            ("approvals", VIEW, ()),
            ("policies", VIEW, ()),
            (
                "gateway",
                VIEW,
                (
                    "area",
                    "endpoint",
                    "accessrule",
                    "lock",
                    "user",
                    "serviceaccount",
                    "membershipchange",
                    "structuredfield",
                ),
            ),
        ),
    ),
}


@attributed
def role_grant(*, group: Group, role: str, by: User | None) -> None:
    """Give a group everything that the role may do; what it has already stays."""
    with transaction.atomic():
        held = group.permissions.select_related("content_type")
        permissions_set(holder=group, permissions=[*held, *permissions(role)], by=by)
        note(action="role.granted", by=by, target=group, facts={"group": group.name, "role": role})


def permissions(role: str) -> list[Permission]:
    """The permissions that a role means in this deployment."""
    wanted = Q(pk__in=[])
    for app, verbs, models in ROLES[role].grants:
        wanted |= _wanted(app, verbs, models)
    return list(Permission.objects.filter(wanted).select_related("content_type"))


def roles_of(user: User) -> list[str]:
    """The roles whose every permission this person has."""
    held = user.get_all_permissions()
    return [role for role in ROLES if _names(permissions(role)) <= held]


def _wanted(app: str, verbs: Iterable[str], models: Iterable[str]) -> Q:
    verb = Q()
    for each in verbs:
        verb |= Q(codename__startswith=f"{each}_")
    named = Q(content_type__model__in=list(models)) if models else Q()
    return Q(content_type__app_label=app) & verb & named


def _names(found: Iterable[Permission]) -> set[str]:
    return {f"{each.content_type.app_label}.{each.codename}" for each in found}
