"""People whom a company's directory keeps: it adds them, changes their names, stops them and lets them go.

A directory touches nobody else. It gives no permission, sets no password and never keeps a superuser. Nobody
is deleted: evidence and owners name people, so whom the directory lets go stays, switched off.

DirectoryRefused(ValueError)
├── Unfit           a value that cannot be kept
├── Taken           somebody or something else has this name or external id
└── NotThere        no such person or group in this directory
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import Final, ParamSpec, TypeVar

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import Model

from approvals.counting import votes_set_aside_soon
from gateway.identity.keys import api_key_revoke
from gateway.identity.membership import group_members_change
from gateway.identity.names import UnfitName, lookalike, normal_name, people_named
from gateway.identity.sessions import sign_in_end_all
from gateway.models import (
    DirectoryToken,
    DirectoryUser,
    Identity,
    Source,
    User,
)
from policies.history import acting, history_of
from policies.journal import note

P = ParamSpec("P")
R = TypeVar("R")

LONGEST_NAME: Final = 150
LONGEST_ID: Final = 255
BECAUSE: Final = "deactivated by the directory"


class DirectoryRefused(ValueError):
    """What the directory wants cannot be done; the text says why."""


class Unfit(DirectoryRefused):
    pass


class Taken(DirectoryRefused):
    pass


class NotThere(DirectoryRefused):
    pass


@dataclass(frozen=True, slots=True)
class Facts:
    """What a directory says of a person."""

    user_name: str
    external_id: str = ""
    given_name: str = ""
    family_name: str = ""
    email: str = ""
    active: bool = True


def in_words(service: Callable[P, R]) -> Callable[P, R]:
    """The whole service or nothing of it; what the store refuses as a duplicate is `Taken`."""

    @wraps(service)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            with transaction.atomic():
                return service(*args, **kwargs)
        except IntegrityError:
            raise Taken("Another one has this name or this external id.") from None

    return inner


def tell(directory: DirectoryToken, action: str, target: Model, **facts: object) -> None:
    """An event of the directory: it is no person, so nobody stands as the actor."""
    note(action=action, by=None, target=target, facts={"directory": directory.name, **facts})


def because(directory: DirectoryToken) -> str:
    """The reason on what history keeps."""
    return f"Directory {directory.name}"


@in_words
def person_add(*, directory: DirectoryToken, facts: Facts) -> DirectoryUser:
    """A new person of the directory, or one whom the directory's issuer names by this external id already.

    Raises `Unfit` and `Taken`.
    """
    with acting(None, because(directory)):
        user = _vouched(directory, facts.external_id)
        known = user is not None
        if user is None:
            user = User()
            user.set_unusable_password()
        _write(user, facts)
        user.save()
        if not user.is_active:
            _end_access(user)
        kept = DirectoryUser.objects.create(
            user=user, directory=directory, external_id=_external_id(facts.external_id)
        )
        _identify(kept, "")
        tell(directory, "directory.person_added", user, name=user.username, known=known)
    return kept


@in_words
def person_save(*, directory: DirectoryToken, kept: DirectoryUser, facts: Facts) -> DirectoryUser:
    """Make this what is known of the person. Switched off means stopped, everywhere and now.

    Raises `Unfit`, `Taken` and `NotThere`.
    """
    with acting(None, because(directory)):
        kept = _held(directory, kept)
        user = User.objects.select_for_update(no_key=True).get(pk=kept.user_id)
        before = _state(user, kept)
        _write(user, facts)
        external_id, was = _external_id(facts.external_id), kept.external_id
        changed = [name for name, value in _state(user, kept, external_id).items() if before[name] != value]
        if not changed:
            return kept
        user.save()
        kept.user, kept.external_id = user, external_id
        kept.save()
        _identify(kept, was)
        tell(directory, "directory.person_changed", user, name=user.username, fields=changed)
        if "active" in changed:
            _switched(directory, user)
    return kept


@in_words
def person_remove(*, directory: DirectoryToken, kept: DirectoryUser) -> None:
    """Let a person go: switched off, out of the directory's groups, keys revoked; the row stays.

    Their identity at the issuer stays as well, so that signing in there finds somebody switched off and not
    a newcomer.
    """
    with acting(None, because(directory)):
        kept = _held(directory, kept)
        user = User.objects.select_for_update(no_key=True).get(pk=kept.user_id)
        if user.is_active:
            user.is_active = False
            user.save()
        _end_access(user)
        for key in user.api_keys.filter(revoked_at=None):
            api_key_revoke(key=key, by=None)
        for group in user.groups.filter(directory__directory=directory):
            group_members_change(group=group, leave=[user.pk], by=None, source=Source.SCIM)
        kept.delete()
        tell(directory, "directory.person_removed", user, name=user.username)


def _held(directory: DirectoryToken, kept: DirectoryUser) -> DirectoryUser:
    rows = DirectoryUser.objects.select_for_update(of=("self",)).filter(directory=directory)
    found = rows.filter(pk=kept.pk).first()
    if found is None:
        raise NotThere("There is no such person in this directory.")
    return found


def _vouched(directory: DirectoryToken, external_id: str) -> User | None:
    """Who signs in at the directory's issuer under this id. The issuer's word links them, no name does."""
    if directory.issuer is None or not external_id:
        return None
    rows = Identity.objects.filter(issuer=directory.issuer.issuer, subject=external_id)
    identity = rows.select_related("user__directory").first()
    if identity is None:
        return None
    user = identity.user
    if user is None or user.is_superuser or DirectoryUser.objects.filter(user=user).exists():
        raise Taken("Whoever signs in with this external id cannot be kept by this directory.")
    if not user.is_active and _last_reason(user) != because(directory):
        raise Taken(
            "Whoever signs in with this external id was switched off here. An administrator can hand"
            " that person over to this directory."
        )
    return User.objects.select_for_update(no_key=True).get(pk=user.pk)


def _last_reason(user: User) -> str:
    """Why the person was changed last: a directory brings back whom it let go itself, and nobody else."""
    rows = history_of(User).filter(id=user.pk).order_by("-history_id")
    return str(rows.values_list("history_change_reason", flat=True).first() or "")


def _write(user: User, facts: Facts) -> None:
    user.username = _user_name(user, facts.user_name)
    user.first_name = _text(facts.given_name, "given name", LONGEST_NAME)
    user.last_name = _text(facts.family_name, "family name", LONGEST_NAME)
    user.email = _email(facts.email)
    user.is_active = facts.active


def _user_name(user: User, text: str) -> str:
    if user.username and text == user.username:
        return text
    try:
        name = normal_name(text)
    except UnfitName as refusal:
        raise Unfit(str(refusal)) from None
    others = [*people_named(name), lookalike(name)]
    if any(other is not None and other.pk != user.pk for other in others):
        raise Taken(
            "Somebody else has this user name, or one that looks like it. An administrator can hand that"
            " person over to this directory."
        )
    return name


def _text(value: str, what: str, longest: int) -> str:
    text = value.strip()
    if len(text) > longest:
        raise Unfit(f"The {what} has more than {longest} characters.")
    if not text.isprintable():
        raise Unfit(f"The {what} has characters that do not print.")
    return text


def _external_id(value: str) -> str:
    return _text(value, "external id", LONGEST_ID)


def _email(value: str) -> str:
    text = _text(value, "e-mail address", 254)
    try:
        if text:
            validate_email(text)
    except ValidationError:
        raise Unfit("The e-mail address is none.") from None
    return text


def _state(user: User, kept: DirectoryUser, external_id: str | None = None) -> dict[str, object]:
    return {
        "user name": user.username,
        "given name": user.first_name,
        "family name": user.last_name,
        "e-mail": user.email,
        "active": user.is_active,
        "external id": kept.external_id if external_id is None else external_id,
    }


def _identify(kept: DirectoryUser, was: str) -> None:
    """The external id is the person's subject at the directory's issuer; what it was before is nobody's.

    Once the issuer itself has vouched for a person, the directory cannot make somebody else of them.
    """
    issuer = kept.directory.issuer
    if issuer is None or kept.external_id == was:
        return
    theirs = Identity.objects.filter(issuer=issuer.issuer, user=kept.user_id)
    if theirs.exclude(subject=kept.external_id).filter(vouching__isnull=False).exists():
        raise Taken(
            "This person signs in with another external id already. An administrator can remove that"
            " identity."
        )
    theirs.filter(subject=was).delete()
    if not kept.external_id:
        return
    rows = Identity.objects.filter(issuer=issuer.issuer, subject=kept.external_id)
    found = rows.first()
    if found is None:
        Identity.objects.create(user=kept.user, issuer=issuer.issuer, subject=kept.external_id)
    elif found.user_id != kept.user_id:
        raise Taken("Somebody else signs in with this external id.")


def _switched(directory: DirectoryToken, user: User) -> None:
    if user.is_active:
        tell(directory, "directory.person_activated", user, name=user.username)
        return
    _end_access(user)
    tell(directory, "directory.person_deactivated", user, name=user.username)


def _end_access(user: User) -> None:
    """Browsers are signed out for good: switching the person on again brings no old session back, and no vote
    on what was open. Keys and tokens stop with `is_active`, which every process reads each second."""
    sign_in_end_all(user=user, because=BECAUSE, by=None)
    votes_set_aside_soon()
