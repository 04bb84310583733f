"""What a directory shows: `pds_<8 public characters>_<43 secret ones>`. Only the digest of the whole is kept.

Made and looked up like an API key (`gateway.identity.keys`), and good for nothing but the directory's doors.
"""

from __future__ import annotations

import re
import secrets
from datetime import datetime, timedelta
from typing import Final

from django.contrib.auth.models import Group
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from gateway.credentials.secret import Secret
from gateway.identity.authz import holding
from gateway.identity.keys import ALPHABET, SECRET_LENGTH, digest
from gateway.models import DirectoryToken, Issuer, User
from policies import persons
from policies.history import attributed, record
from policies.journal import note

MAX_AGE: Final = timedelta(days=366)
SHAPE: Final = re.compile(r"pds_[0-9A-Za-z]{8}_[0-9A-Za-z]{43}\Z")
USED_EVERY: Final = timedelta(minutes=1)
"""How exact `last_used_at` is: a directory asks thousands of times in a row."""


class TokenRefused(ValueError):
    """The token cannot be made, in words for whoever asked."""


def has_shape(token: str) -> bool:
    """Whether the text can be a directory's token at all."""
    return SHAPE.match(token) is not None


def check_expiry(expires_at: datetime) -> None:
    """Every token ends; raises `TokenRefused` for one that would live too long or not at all."""
    now = timezone.now()
    if not now < expires_at <= now + MAX_AGE:
        raise TokenRefused(f"A directory's token must expire within {MAX_AGE.days} days.")


def _fresh() -> tuple[str, Secret]:
    """A new token and its public part."""
    prefix = f"pds_{_random(8)}"
    return prefix, Secret(f"{prefix}_{_random(SECRET_LENGTH)}")


@attributed
def directory_token_create(
    *, name: str, expires_at: datetime, by: User | None, issuer: Issuer | None = None
) -> tuple[DirectoryToken, Secret]:
    """A new directory and its token, which is returned here and nowhere again."""
    check_expiry(expires_at)
    prefix, token = _fresh()
    with transaction.atomic():
        row = DirectoryToken.objects.create(
            name=name,
            prefix=prefix,
            digest=digest(token.reveal()),
            issuer=issuer,
            created_by=by,
            expires_at=expires_at,
        )
        facts = {
            "name": name,
            "prefix": prefix,
            "issuer": issuer.name if issuer else "",
            "expires_at": expires_at.isoformat(),
        }
        note(action="directory.added", by=by, target=row, facts=facts)
    return row, token


@attributed
def directory_token_replace(*, directory: DirectoryToken, expires_at: datetime, by: User | None) -> Secret:
    """Another token for the same directory; the one before ends now. Whom it keeps stays as it is.

    Raises `TokenRefused`, also for whoever gave a group of this directory a role, or handed one over that
    holds a role: with its token they would fill it as well.
    """
    check_expiry(expires_at)
    prefix, token = _fresh()
    with transaction.atomic():
        row = DirectoryToken.objects.select_for_update().get(pk=directory.pk)
        _check_other(row, by)
        before = row.prefix
        row.prefix, row.digest = prefix, digest(token.reveal())
        row.expires_at, row.revoked_at, row.created_by = expires_at, None, by
        row.save()
        facts = {"name": row.name, "prefix": prefix, "before": before, "expires_at": expires_at.isoformat()}
        note(action="directory.token_replaced", by=by, target=row, facts=facts)
    return token


def _check_other(directory: DirectoryToken, by: User | None) -> None:
    if by is None or by.is_superuser:
        return
    accounts = persons.accounts_of(by.pk)
    theirs = Q(role_grants__created_by__in=accounts) | Q(directory__handed_over_by__in=accounts)
    kept = holding(Group.objects.filter(directory__directory=directory)).filter(theirs)
    if names := sorted(set(kept.values_list("name", flat=True))):
        raise TokenRefused(
            f"You gave a role to {', '.join(names)}, or handed it over: somebody else has to make the token"
            " that fills it."
        )


@attributed
def directory_token_revoke(*, directory: DirectoryToken, by: User | None) -> bool:
    """End the token now; False when it had ended before. Whom the directory keeps stays as it is."""
    with transaction.atomic():
        rows = DirectoryToken.objects.filter(pk=directory.pk)
        updated = rows.filter(revoked_at=None).update(revoked_at=timezone.now())
        if updated:
            record(rows)
            facts = {"name": directory.name, "prefix": directory.prefix}
            note(action="directory.token_revoked", by=by, target=directory, facts=facts)
    return bool(updated)


def directory_of(token: str) -> DirectoryToken | None:
    """The directory that shows this, if the token is in force. Read anew for each request."""
    if not has_shape(token):
        return None
    row = DirectoryToken.objects.select_related("issuer").filter(digest=digest(token)).first()
    now = timezone.now()
    if row is None or row.revoked_at is not None or now >= row.expires_at:
        return None
    if row.last_used_at is None or row.last_used_at < now - USED_EVERY:
        DirectoryToken.objects.filter(pk=row.pk).update(last_used_at=now)
    return row


def _random(length: int) -> str:
    return "".join(secrets.choice(ALPHABET) for _ in range(length))
