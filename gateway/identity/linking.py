"""Identities of one person at several providers, put together by a person: four eyes count people, not names.

LinkRefused     in words for whoever asked
"""

from __future__ import annotations

from django.db import transaction

from approvals.moves import approvals_in_flight
from gateway.identity.sessions import sign_in_end_all
from gateway.models import Identity, User
from policies.history import attributed
from policies.journal import note
from policies.models import Proposal
from policies.models.proposal import ProposalState


class LinkRefused(Exception):
    pass


OF_A_PROGRAM = "This identity is a service account's. Programs and people are never the same."
ONESELF = "Somebody else has to do this: it changes who you are, or who is you."
TAKEN = "This identity is known already: change whose it is instead."
OPEN = (
    "{} or {} has a proposal open, and one person could then confirm their own. Decide or withdraw it first."
)

WAITING = (
    "{} or {} has asked for an approval that is open, or has voted on one: as one person they would decide "
    "about their own request. Let it be decided, used or withdrawn first."
)


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
    now, which it is when nothing is left to come in with. Its sign-ins end; what it did stays under its name.
    """
    with transaction.atomic():
        identity = Identity.objects.select_for_update().get(pk=identity.pk)
        before = check_link(identity, user, by)
        if before.pk == user.pk:
            return False
        identity.user = user
        identity.save(update_fields=["user"])
        note(action="identity.left", by=by, target=before, facts=_facts(identity) | {"to": str(user)})
        note(action="identity.linked", by=by, target=user, facts=_facts(identity) | {"from": str(before)})
        sign_in_end_all(user=before, because="identity linked", by=by)
        return _empty(before, by)


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
        if Proposal.objects.filter(proposed_by__in=(before, user), state=ProposalState.OPEN).exists():
            raise LinkRefused(OPEN.format(before, user))
        if approvals_in_flight((before.pk, user.pk)):
            raise LinkRefused(WAITING.format(before, user))
    return before


def _check(by: User | None, user: User, *, may_be_inactive: bool = False) -> None:
    if by is not None and by.pk == user.pk:
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
    note(action="person.deactivated", by=by, target=user, facts={"name": str(user), "why": "linked away"})
    return True


def _facts(identity: Identity) -> dict[str, str]:
    return {"issuer": identity.issuer, "subject": identity.subject}
