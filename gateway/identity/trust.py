"""Whom the data path believes, and how: every issuer whose tokens may call models, as one value each.

Read from the store with the configuration; two equal values are one object, so that whatever was verified
under the last configuration can tell at once whether it still holds.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from gateway.credentials.origins import normalise_origin
from gateway.credentials.placing import HEADER
from gateway.credentials.secret import Secret
from gateway.credentials.sending import placed_of
from gateway.credentials.services import NoSecret, credential_current, credential_reveal_for_origin
from gateway.identity.discovery import Place
from gateway.identity.mapping import MappingRule
from gateway.identity.people import groups_named
from gateway.identity.tokens import Terms
from gateway.models import GroupMapping, Issuer, IssuerKind, Overage
from gateway.models.issuer import ALGORITHMS
from policies.engine import jsontext
from policies.engine.errors import EngineError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Introspection:
    """Where opaque tokens are asked about (RFC 7662), and with what header."""

    url: str
    header: str = ""
    value: Secret = field(default=Secret(""), repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trusted:
    """An issuer as the data path needs it."""

    terms: Terms
    place: Place
    max_stale: float  # seconds that its keys count while it cannot be reached
    groups_claim: str  # "": it says nothing of groups
    lookup: str  # who knows the groups that did not fit; "": nobody, such a token is refused
    creates_people: bool
    rules: tuple[MappingRule, ...]
    named: Mapping[str, int] = field(repr=False)  # every group by its name
    introspection: Introspection | None = None


_LAST: Final[dict[str, Trusted]] = {}


def trusted_issuers() -> dict[str, Trusted]:
    """By what tokens carry as `iss`. Reads the store."""
    rows = Issuer.objects.filter(enabled=True, accepts_tokens=True, kind=IssuerKind.OIDC)
    rules: dict[object, list[MappingRule]] = {}
    for rule in GroupMapping.objects.filter(issuer__in=rows).order_by("match", "value", "id"):
        rules.setdefault(rule.issuer_id, []).append(MappingRule(rule.match, rule.value, rule.group_id))
    named = groups_named()
    found: dict[str, Trusted] = {}
    for row in rows.select_related("introspection_credential"):
        try:
            found[row.issuer] = _same(_trusted(row, tuple(rules.get(row.pk, ())), named))
        except (TypeError, ValueError, AttributeError, EngineError) as error:
            # Settings that are no lists or objects: its tokens are refused, everybody else is served.
            log.error("issuer %s cannot be used: %s", row.name, type(error).__name__)
    return found


def _same(now: Trusted) -> Trusted:
    """The object that stood for this before, where nothing has changed."""
    before = _LAST.get(now.terms.issuer)
    if before is not None and before == now and _same_claims(before, now):
        return before
    _LAST[now.terms.issuer] = now
    return now


def _same_claims(before: Trusted, now: Trusted) -> bool:
    """To Python `true` equals 1."""
    return jsontext.same({**before.terms.required_claims}, {**now.terms.required_claims})


def _trusted(row: Issuer, rules: tuple[MappingRule, ...], named: Mapping[str, int]) -> Trusted:
    return Trusted(
        terms=terms_of(row),
        place=Place(row.issuer, row.jwks_uri, row.allow_private),
        max_stale=float(row.max_stale),
        groups_claim=row.groups_claim,
        lookup=row.overage_lookup if row.overage == Overage.LOOKUP else "",
        creates_people=row.creates_people,
        rules=rules,
        named=named,
        introspection=_introspection(row),
    )


def terms_of(row: Issuer) -> Terms:
    """What a token of this issuer must be like."""
    required = {name: jsontext.loads(jsontext.dumps(value)) for name, value in row.required_claims.items()}
    return Terms(
        issuer=row.issuer,
        audiences=_texts(row.audiences),
        authorized_parties=_texts(row.authorized_parties),
        algorithms=_texts(row.algorithms) & frozenset(ALGORITHMS),
        accepts_id_tokens=row.accepts_id_tokens,
        required_claims=required,
        leeway=row.leeway,
        subject_claim=row.subject_claim,
        name_claim=row.name_claim,
    )


def _texts(value: object) -> frozenset[str]:
    """A list of texts. One text alone would be taken for its letters."""
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise TypeError
    return frozenset(value)


def _introspection(row: Issuer) -> Introspection | None:
    """None where there is none, or its credential does not open: opaque tokens are refused then."""
    if not row.introspection_url:
        return None
    credential = row.introspection_credential
    if credential is None:
        return Introspection(row.introspection_url)
    try:
        version = credential_current(credential=credential)
        # For where it is sent, not for what the credential says: that may have moved since.
        secret = credential_reveal_for_origin(version=version, origin=_origin(row.introspection_url))
    except NoSecret as error:
        log.error("issuer %s: its credential cannot be used: %s", row.name, error)
        return None
    placed = placed_of(credential, secret)
    if placed is None or placed.where != HEADER:
        log.error("issuer %s: its credential is not sent in a header", row.name)
        return None
    return Introspection(row.introspection_url, placed.name, placed.value)


def _origin(url: str) -> str:
    parts = urlsplit(url)
    try:
        return normalise_origin(f"{parts.scheme}://{parts.netloc}")
    except ValueError:
        return ""  # sealed for no origin, so it opens nothing
