"""Roles as data: each is a set of permissions that a group holds in an area or everywhere (`RoleGrant`).

Nothing here is asked per call.

Access to models is another matter: it is granted by access rules (`gateway.models.access_rule`) only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

from django.apps import apps
from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Model, Q, QuerySet
from django.db.models.options import Options

from gateway.models import Area, Deployment, DirectoryGroup, DirectoryToken, RoleGrant, User
from policies import persons
from policies.grants import Grant, require
from policies.history import attributed
from policies.journal import note
from policies.publishing import PolicyServiceError

TWO_FOR_ROLES = "Giving a role takes two people here."
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


INTERNAL = frozenset({"mailsoff", "revision", "running", "sketch", "told", "usage", "webhooksecret"})
"""Rows that the data path keeps for itself: nobody is given them."""


KEEPING = (
    ("audit", ("view", "add", "change", "delete", "confirm"), ("retentionrule",)),
    ("audit", ("view", "add", "change"), ("legalhold",)),
    ("audit", ("view", "erase"), ("removal",)),
)
"""How long evidence is kept. Whatever lets it go takes two of those who have this."""


@dataclass(frozen=True, slots=True)
class Role:
    """`grants` are (app, verbs, models); no models means every model of the app."""

    title: str
    grants: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...]


ROLES: Mapping[str, Role] = {
    "admin": Role(
        "Administrator",
        (
            ("gateway", (*EDIT, "cut"), ()),
            ("policies", VIEW, ()),
            ("policies", ("confirm",), ("proposal",)),
            ("auth", EDIT, ("group",)),
            ("approvals", VIEW, ("approval",)),
            ("audit", EDIT, ("price",)),
            *KEEPING,
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
            ("audit", VIEW, ("call", "price", "session")),
            ("audit", ("export",), ("call",)),
            ("audit", ("trace",), ("fingerprint",)),
            ("audit", ("handle",), ("flag",)),
            ("audit", ("confirm",), ("reveal",)),  # what another auditor asks for
            *KEEPING,
            ("approvals", VIEW, ("approval",)),
            ("policies", VIEW, ()),
            (
                "gateway",
                VIEW,
                (
                    "accessrule",
                    "apikey",
                    "area",
                    "deployment",
                    "directorygroup",
                    "directorytoken",
                    "directoryuser",
                    "endpoint",
                    "groupmapping",
                    "identity",
                    "issuer",
                    "lock",
                    "membershipchange",
                    "rolegrant",
                    "rotation",
                    "rotationplan",
                    "serviceaccount",
                    "signin",
                    "structuredfield",
                    "user",
                    "webhook",
                    "delivery",
                ),
            ),
            ("auth", VIEW, ("group",)),
        ),
    ),
    "operator": Role(
        "Operator",
        (
            (
                "gateway",
                VIEW,
                (
                    "area",
                    "endpoint",
                    "credential",
                    "accessrule",
                    "user",
                    "serviceaccount",
                    "issuer",
                    "deployment",
                    "rotation",
                    "rotationplan",
                    "signin",
                    "webhook",
                    "delivery",
                ),
            ),
            ("gateway", ("view", "add", "change"), ("lock",)),
            ("gateway", ("view", "change"), ("apikey",)),  # to revoke one that leaked
            ("gateway", ("cut",), ("cut",)),
        ),
    ),
    "client_developer": Role("Client developer", (("gateway", VIEW, ("endpoint", "accessrule")),)),
    "emergency": Role("Emergency approver", (("approvals", ("view", "break"), ("approval",)),)),
}


class OwnGroup(PolicyServiceError):
    """Nobody gives themselves a role."""


def roles_need_two() -> bool:
    """Whether this deployment wants a second person where a role is given."""
    return Deployment.objects.filter(two_person_roles=True).exists()


def check_not_own(group: Group, by: User | None) -> None:
    """Raises `OwnGroup` for a group that this person, by any account, is in or fills: with the token,
    which they made, of the directory that keeps it. A superuser sets up the first roles."""
    if by is None or by.is_superuser:
        return
    accounts = persons.accounts_of(by.pk)
    if group.user_set.filter(pk__in=accounts).exists():
        raise OwnGroup("You are in this group: somebody else has to give it a role.")
    if DirectoryGroup.objects.filter(group=group, directory__created_by__in=accounts).exists():
        raise OwnGroup(
            "You made the token of the directory that says who is in this group: somebody else has to give it"
            " a role."
        )


def check_joins(groups: QuerySet[Group], member: User, by: User | None) -> None:
    """Raises `OwnGroup` where somebody puts themselves, be it another account of theirs, into a group that
    holds a role. A superuser may."""
    if by is None or by.is_superuser or not persons.same(by.pk, member.pk):
        return
    if names := sorted(holding(groups).values_list("name", flat=True)):
        raise OwnGroup(f"Somebody else has to put you into {', '.join(names)}: roles come with it.")


def hold_groups(groups: Iterable[Group]) -> None:
    """Until the transaction ends, whoever gives one of them a role or joins one waits. Of several hands each
    locks groups before people."""
    keys = [group.pk for group in groups]
    list(Group.objects.select_for_update(no_key=True).filter(pk__in=keys).order_by("pk"))


def hold(group: Group) -> None:
    """Whoever joins it, hands it over or makes its directory's token at this moment waits: each of them looks
    whether it holds a role."""
    hold_groups([group])
    DirectoryToken.objects.select_for_update(of=("self",)).filter(groups__group=group).first()


def holding(groups: QuerySet[Group]) -> QuerySet[Group]:
    """Of these groups those that hold a role, or a permission past the roles."""
    return groups.filter(Q(role_grants__isnull=False) | Q(permissions__isnull=False)).distinct()


@attributed
def role_grant(
    *, group: Group, role: str, by: User | None, area: Area | None = None, grant: Grant | None = None
) -> RoleGrant:
    """Give a group a role in an area, or everywhere. One that it has already stays as it is.

    Raises `OwnGroup`, and `NeedsSecondPerson` where giving a role takes two people.
    """
    with transaction.atomic():
        found = RoleGrant.objects.filter(group=group, role=role, area=area).first()
        if found is not None:
            return found
        persons.hold()
        hold(group)
        check_not_own(group, by)
        require(grant, kind="role.grant", target_id=None, needed=roles_need_two(), why=TWO_FOR_ROLES)
        made = RoleGrant(group=group, role=role, area=area, created_by=by)
        made.save(force_insert=True)
        note(action="role.granted", by=by, target=made, facts=_facts(made))
    return made


@attributed
def role_withdraw(*, grant: RoleGrant, by: User | None) -> None:
    """Take a role from a group again. One person is enough, so that nobody keeps what has to go."""
    with transaction.atomic():
        note(action="role.withdrawn", by=by, target=grant, facts=_facts(grant))
        grant.delete()


def _facts(grant: RoleGrant) -> dict[str, str]:
    area = grant.area.slug if grant.area else ""
    return {"group": grant.group.name, "role": grant.role, "area": area}


@cache
def role_permissions(role: str) -> frozenset[str]:
    """The permissions that a role means, as `app.codename`."""
    return frozenset(
        f"{app}.{codename}"
        for app, verbs, models in ROLES[role].grants
        for model in apps.get_app_config(app).get_models()
        if (model._meta.model_name in models if models else model._meta.model_name not in INTERNAL)
        for codename in _codenames(model._meta)
        if codename.startswith(tuple(f"{verb}_" for verb in verbs))
    )


def roles_of(user: User) -> list[str]:
    """The roles that this person holds somewhere."""
    held = set(RoleGrant.objects.filter(group__user=user).values_list("role", flat=True))
    return [role for role in ROLES if role in held]


def _codenames(meta: Options[Model]) -> list[str]:
    return [f"{verb}_{meta.model_name}" for verb in meta.default_permissions] + [
        codename for codename, _ in meta.permissions
    ]
