"""Callers and endpoints by the names that people write.

LookupError
└── NotFound        no such caller or endpoint; `field` says which, the text what to write
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from gateway.identity.keys import has_shape
from gateway.identity.names import person_named
from gateway.identity.reach import EVERYWHERE, Reach
from gateway.models import ApiKey, Endpoint, ServiceAccount, User

Subject = ApiKey | ServiceAccount | User

NO_SUCH: Final = "There is no such API key, service account or person."

PREFIX_LENGTH: Final = 12
"""Characters of an API key that are no secret: `pst_` and eight more."""


class NotFound(LookupError):
    def __init__(self, field: str, words: str) -> None:
        super().__init__(words)
        self.field = field


def caller_named(text: str, among: Reach = EVERYWHERE) -> Subject:
    """`key:pst_…`, `service:name` or `user:name`; without the kind where only one has that name.

    `among`: keys and service accounts elsewhere are not there. People lie in no area: all may name them.
    """
    kind, colon, name = text.strip().partition(":")
    if not colon or kind not in _KINDS:
        kind, name = "", text.strip()
    name = without_secret(name)
    finds = [find for each, find in _KINDS.items() if kind in ("", each)] if name.isprintable() else []
    rows = [row for find in finds if (row := find(name)) is not None]
    found = [row for row in rows if isinstance(row, User) or among.covers_row(row)]
    if len(found) > 1:
        raise NotFound("caller", "A person and a service account have this name: write user:… or service:….")
    if not found:
        raise NotFound("caller", NO_SUCH)
    return found[0]


def without_secret(name: str) -> str:
    """Of a whole API key its public prefix; anything else as it is."""
    return name[:PREFIX_LENGTH] if has_shape(name) else name


def endpoint_named(slug: str, among: Reach = EVERYWHERE) -> Endpoint:
    rows = Endpoint.objects.filter(among.q_of(Endpoint)).select_related("area", "credential")
    found = (
        rows.filter(slug=slug.strip()).first() if slug.isprintable() else None
    )  # NUL is no text to PostgreSQL
    if found is None:
        raise NotFound("endpoint", "There is no such endpoint.")
    return found


def reference(subject: Subject) -> str:
    """A caller as `caller_named` reads it."""
    if isinstance(subject, ApiKey):
        return f"key:{subject.prefix}"
    return f"service:{subject.name}" if isinstance(subject, ServiceAccount) else f"user:{subject.username}"


def _key_named(name: str) -> Subject | None:
    return ApiKey.objects.select_related("user", "service_account__owner").filter(prefix=name).first()


def _service_named(name: str) -> Subject | None:
    return ServiceAccount.objects.select_related("owner").filter(name=name).first()


def _user_named(name: str) -> Subject | None:
    return person_named(name)


_KINDS: Final = {"key": _key_named, "service": _service_named, "user": _user_named}


def any_key(subject: ServiceAccount | User, moment: datetime) -> ApiKey:
    """Stands for any valid key of a caller; never stored."""
    until = moment + timedelta(days=1)
    if isinstance(subject, ServiceAccount):
        return ApiKey(service_account=subject, expires_at=until)
    return ApiKey(user=subject, expires_at=until)


def has_key(subject: ServiceAccount | User, moment: datetime) -> bool:
    return subject.api_keys.filter(revoked_at=None, expires_at__gt=moment).exists()
