"""From a verified assertion to the person it is about, by what the issuer's row says of its claims."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from gateway.identity.mapping import TooManyGroups, claim_values
from gateway.identity.saml.reasons import SamlRefused
from gateway.models import Issuer

if TYPE_CHECKING:  # it needs the extra
    from gateway.identity.saml.assertion import Said

PERSISTENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent"
TRANSIENT: Final = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient"
LONGEST_SUBJECT: Final = 255
GROUPS_LEFT_OUT: Final = "http://schemas.microsoft.com/claims/groups.link"
"""Entra sends this instead of groups where there are more than 150."""
EMAILS: Final = (
    "email",
    "mail",
    "urn:oid:0.9.2342.19200300.100.1.3",
    "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/emailaddress",
)
SUBJECT_IS_NAME: Final = ("sub", "")
SUBJECT_IS_ANY_NAME: Final = "NameID"
"""As an issuer's `subject_claim`: its NameID whatever the format, except one that changes each time."""


@dataclass(frozen=True, slots=True)
class About:
    """`values` None: the issuer is not asked for groups."""

    subject: str
    name: str
    email: str
    values: list[str] | None


def about(said: Said, issuer: Issuer) -> About:
    """Raises `SamlRefused`: no_subject | subject_* | too_many_groups | groups_left_out."""
    return About(
        subject=_subject(said, issuer.subject_claim),
        name=_first(said, issuer.name_claim),
        email=next(filter(None, (_first(said, name) for name in EMAILS)), ""),
        values=_groups(said, issuer.groups_claim),
    )


def wants_persistent(issuer: Issuer) -> bool:
    """Whether the provider is asked for a name that lasts."""
    return issuer.subject_claim in SUBJECT_IS_NAME


def _subject(said: Said, claim: str) -> str:
    if claim in SUBJECT_IS_NAME:
        found = [said.name_id] if said.name_id else []
        if found and said.name_id_format == TRANSIENT:
            raise SamlRefused("subject_transient")
        if found and said.name_id_format != PERSISTENT:
            raise SamlRefused("subject_unstable")
    elif claim == SUBJECT_IS_ANY_NAME:
        found = [said.name_id] if said.name_id else []
        if found and said.name_id_format == TRANSIENT:
            raise SamlRefused("subject_transient")
    else:
        found = said.attributes.get(claim, [])
    if not found:
        raise SamlRefused("no_subject")
    if len(found) > 1 or not _is_clear(found[0]):
        raise SamlRefused("subject_unclear")
    return found[0]


def _is_clear(subject: str) -> bool:
    """No space around it, nothing invisible in it, and room for it."""
    return subject == subject.strip() and subject.isprintable() and 0 < len(subject) <= LONGEST_SUBJECT


def _first(said: Said, name: str) -> str:
    return next(iter(said.attributes.get(name, [])), "").strip() if name else ""


def _groups(said: Said, claim: str) -> list[str] | None:
    if not claim:
        return None
    if GROUPS_LEFT_OUT in said.attributes:
        raise SamlRefused("groups_left_out")
    try:
        return claim_values(said.attributes, claim)
    except TooManyGroups as error:
        raise SamlRefused("too_many_groups") from error
