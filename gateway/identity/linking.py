"""Accounts and identities of one person, put together by a person: four eyes count people, not names.

Accounts that are linked stay accounts: each has its own way in, its groups and its record. They count as one
wherever two people are needed (`policies.persons`), for good unless `accounts_part` says that it was wrong.
Linking is never put off: what is open is counted anew in the same transaction.

LinkRefused     in words for whoever asked
"""

from __future__ import annotations

from django.db import transaction

from approvals.counting import accounts_linked, votes_set_aside_soon
from audit.events import NOBODY
from gateway.identity.sessions import sign_in_end_all
from gateway.models import Identity, User
from policies import persons
from policies.history import attributed
from policies.journal import note, who


class LinkRefused(Exception):
    pass


OF_A_PROGRAM = "This identity is a service account's. Programs and people are never the same."
ONESELF = "Somebody else has to do this: it changes who you are, or who is you."
TAKEN = "This identity is known already: change whose it is instead."
ITSELF = "These are the same account."


@attributed
def identity_add(*, issuer: str, subject: str, user: User, by: User | None) -> Identity:
    """Say beforehand who somebody of a provider is, by the subject that it will name."""
    with transaction.atomic():
        check_add(issuer, subject, user, by)
        identity = Identity(user=user, issuer=issuer, subject=subject)
        identity.save(force_insert=True)
        note(action="identity.added", by=by, target=user, facts=_facts(identity))
    return identity


@attributed
def identity_link(*, identity: Identity, user: User, by: User | None) -> bool:
    """Make an identity that of another account of the same person. Returns whether the old one is inactive
    now, which it is when nothing is left to come in with. Its sign-ins end; what it did stays under its name,
    and both accounts are linked.
    """
    with transaction.atomic():
        persons.hold_alone()  # then identities, then people, then what is open, and the record last
        identity = Identity.objects.select_for_update().get(pk=identity.pk)
        before = check_link(identity, user, by)
        if before.pk == user.pk:
            return False
        _link(before, user, by)
        identity.user = user
        identity.save(update_fields=["user"])
        note(action="identity.left", by=by, target=before, facts=_facts(identity) | {"to": str(user)})
        note(action="identity.linked", by=by, target=user, facts=_facts(identity) | {"from": str(before)})
        sign_in_end_all(user=before, because="identity linked", by=by)
        return _empty(before, by)


@attributed
def accounts_link(*, one: User, other: User, by: User | None) -> bool:
    """Say that two accounts are one person's, whatever they come in with. False where that is known."""
    with transaction.atomic():
        persons.hold_alone()
        check_accounts(one, other, by)
        return _link(one, other, by)


@attributed
def accounts_part(*, user: User, by: User | None) -> bool:
    """Say that this account is somebody else's than those that it was linked with. False where it was with
    none. Votes that waited count again at the next vote."""
    with transaction.atomic():
        persons.hold_alone()
        if by is not None and persons.same(by.pk, user.pk):
            raise LinkRefused(ONESELF)
        others = persons.accounts_of(user.pk) - {user.pk}
        if not persons.part(user.pk):
            return False
        names = User.objects.filter(pk__in=others).order_by("username").values_list("username", flat=True)
        note(action="accounts.parted", by=by, target=user, facts={"name": user.username, "from": list(names)})
    return True


def linked_with(user: User) -> list[User]:
    """The other accounts of the same person, by name."""
    others = persons.accounts_of(user.pk) - {user.pk}
    return list(User.objects.filter(pk__in=others).order_by("username"))


def check_accounts(one: User, other: User, by: User | None) -> None:
    """Raises `LinkRefused` where `accounts_link` would."""
    if one.pk == other.pk:
        raise LinkRefused(ITSELF)
    for each in (one, other):
        _check(by, each, may_be_inactive=True)


def check_add(issuer: str, subject: str, user: User, by: User | None) -> None:
    """Raises `LinkRefused` where `identity_add` would."""
    if Identity.objects.filter(issuer=issuer, subject=subject).exists():
        raise LinkRefused(TAKEN)
    _check(by, user)


def check_link(identity: Identity, user: User, by: User | None) -> User:
    """Whose it is now. Raises `LinkRefused` where `identity_link` would."""
    before = identity.user
    if before is None:
        raise LinkRefused(OF_A_PROGRAM)
    if before.pk != user.pk:
        _check(by, user)
        _check(by, before, may_be_inactive=True)
    return before


def _link(one: User, other: User, by: User | None) -> bool:
    """Before anything is written down."""
    list(User.objects.select_for_update(no_key=True).filter(pk__in=(one.pk, other.pk)).order_by("pk"))
    if not persons.link(one.pk, other.pk):
        return False
    accounts_linked(persons.accounts_of(one.pk), by=who(by) if by else NOBODY)
    facts = {"name": one.username, "with": other.username}
    note(action="accounts.linked", by=by, target=other, facts=facts)
    return True


def _check(by: User | None, user: User, *, may_be_inactive: bool = False) -> None:
    if by is not None and persons.same(by.pk, user.pk):
        raise LinkRefused(ONESELF)
    if by is not None and user.is_superuser and not by.is_superuser:
        raise LinkRefused("Only a superuser says who a superuser is.")
    if not user.is_active and not may_be_inactive:
        raise LinkRefused(f"{user} is not active.")


def _empty(user: User, by: User | None) -> bool:
    if not user.is_active or user.identities.exists() or user.has_usable_password():
        return False
    user.is_active = False
    user.save(update_fields=["is_active"])
    votes_set_aside_soon()
    note(action="person.deactivated", by=by, target=user, facts={"name": str(user), "why": "linked away"})
    return True


def _facts(identity: Identity) -> dict[str, str]:
    return {"issuer": identity.issuer, "subject": identity.subject}
