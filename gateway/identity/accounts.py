"""Service accounts: made, handed over, closed. The owner answers for it and never approves its calls."""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import Group
from django.core.exceptions import ValidationError
from django.db import transaction

from approvals.moves import bar_from_all
from gateway.identity.beyond import beyond
from gateway.identity.membership import membership_set
from gateway.identity.reach import Reach
from gateway.models import Area, ServiceAccount, User
from policies.history import attributed
from policies.journal import note


@attributed
def service_account_create(
    *,
    area: Area,
    name: str,
    owner: User,
    by: User | None,
    description: str = "",
    groups: Iterable[Group] = (),
) -> ServiceAccount:
    """Raises `ValidationError`."""
    account = ServiceAccount(area=area, name=name, owner=owner, description=description)
    _check_owner(owner)
    account.full_clean()
    with transaction.atomic():
        account.save(force_insert=True)
        facts = {"name": name, "area": area.slug, "owner": owner.username}
        note(action="serviceaccount.added", by=by, target=account, facts=facts)
        membership_set(member=account, groups=groups, by=by)
    return account


@attributed
def service_account_change(
    *,
    account: ServiceAccount,
    by: User | None,
    owner: User | None = None,
    description: str | None = None,
    is_active: bool | None = None,
    groups: Iterable[Group] | None = None,
) -> ServiceAccount:
    """What is None stays. Another owner, and being closed or opened, are events. Raises `ValidationError`."""
    with transaction.atomic():
        row = ServiceAccount.objects.select_for_update().get(pk=account.pk)
        before, changed = row.owner, []
        wanted = {"owner": owner, "description": description, "is_active": is_active}
        for name, value in wanted.items():
            if value is not None and getattr(row, name) != value:
                setattr(row, name, value)
                changed.append(name)
        if changed:
            row.full_clean()
            row.save(update_fields=changed)
            note(
                action="serviceaccount.changed",
                by=by,
                target=row,
                facts={"name": row.name, "fields": changed, "active": row.is_active},
            )
        owner_handed_over(account=row, before=before, by=by)
        if groups is not None:
            membership_set(member=row, groups=groups, by=by)
    return row


def owner_handed_over(*, account: ServiceAccount, before: User, by: User | None) -> None:
    """Note that another person answers for the account from now on, and have them decide about nothing that
    it has asked already (P9); nothing if nobody else does. In the caller's transaction."""
    if account.owner_id == before.pk:
        return
    _check_owner(account.owner)
    bar_from_all(account.pk, account.owner.pk)
    facts = {"name": account.name, "from": before.username, "to": account.owner.username}
    note(action="serviceaccount.owner_changed", by=by, target=account, facts=facts)


def _check_owner(owner: User) -> None:
    if not owner.is_active:
        raise ValidationError({"owner": "The owner has to be somebody who is active."})


def groups_beyond(groups: Iterable[Group], reach: Reach) -> list[str]:
    """Names of the groups that open more than lies in reach: other areas' endpoints or roles, or all areas'.

    Whoever administers one area neither puts a program into these nor makes a key that carries them: it
    would be a way around the wall.
    """
    return sorted(group.name for group in beyond(groups, reach))
