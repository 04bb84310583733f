"""Whose credential this is, off the data path: an API key of anybody, or a token of a trusted issuer.

It says who may ask about what is their own, and gives no rights beyond that. Everything is read anew, so
that locks, revocations and closed accounts count at once. Opaque tokens are not asked about here: anybody
can make them up, and each would be a question to the issuer.

CredentialRefused        one answer, whatever was wrong
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from ipaddress import ip_address, ip_network
from typing import Any, Final

from django.db.models import Q
from django.utils import timezone

from gateway.identity import tokens
from gateway.identity.jwks import Key, KeySet
from gateway.identity.key_source import KeySource
from gateway.identity.keys import digest, has_shape
from gateway.identity.last_used import key_used
from gateway.identity.tokens import TokenError, Unverified, Vouched
from gateway.identity.trust import Trusted, trusted_issuers
from gateway.models import ApiKey, Identity, Lock, ServiceAccount, User
from gateway.models.lock import lock_in_force

Holder = User | ServiceAccount

_SOURCES: Final[dict[str, KeySource]] = {}
_lock = threading.Lock()


class CredentialRefused(Exception):
    pass


def holder_of(credential: str, address: str) -> Holder:
    """Who stands behind a credential that came from this address. Raises `CredentialRefused`."""
    return _of_key(credential, address) if has_shape(credential) else _of_token(credential)


def is_locked(holder: Holder, key: ApiKey | None = None) -> bool:
    """Whether a lock names them, their area, a group of theirs or this key. One on everything stops calls to
    models, not the question how a call stands, nor the program that lifts it."""
    on = Q(api_key=key) if key is not None else Q(pk__in=[])
    on |= Q(group__in=holder.groups.all())
    if isinstance(holder, ServiceAccount):
        on |= Q(service_account=holder) | Q(user=holder.owner_id) | Q(area=holder.area_id)
    else:
        on |= Q(user=holder)
    return Lock.objects.filter(on, lock_in_force(timezone.now())).exists()


def _of_key(presented: str, address: str) -> Holder:
    now = timezone.now()
    rows = ApiKey.objects.select_related("service_account__owner", "user")
    row = rows.filter(digest=digest(presented)).first()
    if row is None or not row.is_valid_at(now) or not _from(address, row.networks):
        raise CredentialRefused
    holder = _may_ask(row.service_account or row.user, row)
    key_used(key=row, address=address, now=now)
    return holder


def _may_ask(holder: Any, key: ApiKey | None = None) -> Holder:
    active = holder is not None and holder.is_active
    if isinstance(holder, ServiceAccount):
        active = active and holder.owner.is_active
    if not active or is_locked(holder, key):
        raise CredentialRefused
    found: Holder = holder
    return found


def _from(address: str, networks: list[str]) -> bool:
    if not networks:
        return True
    try:
        peer = ip_address(address)
    except ValueError:
        return False
    peer = getattr(peer, "ipv4_mapped", None) or peer
    return any(peer in ip_network(network) for network in networks)


# --- tokens -----------------------------------------------------------------------------------------


def _of_token(presented: str) -> Holder:
    try:
        vouched = _verified(presented)
    except TokenError:
        raise CredentialRefused from None
    for actor in vouched.actors:  # who acts for them may be locked out, and may not be known
        known = _known(actor.issuer or vouched.issuer, actor.subject)
        if known is not None:
            _may_ask(known)
    return _may_ask(_known(vouched.issuer, vouched.subject))


def _known(issuer: str, subject: str) -> Holder | None:
    rows = Identity.objects.select_related("user", "service_account__owner")
    row = rows.filter(issuer=issuer, subject=subject).first()
    return (row.user or row.service_account) if row else None


def _verified(presented: str) -> Vouched:
    token = tokens.read(presented)
    trusted = trusted_issuers().get(token.issuer)
    if trusted is None:
        raise tokens.UnknownIssuer("unknown_issuer")
    tokens.check_header(token, trusted.terms)
    tokens.check_signature(token, _key(token, trusted))
    return tokens.vouched(token, trusted.terms, time.time())


def _key(token: Unverified, trusted: Trusted) -> Key:
    """The key that signed it. The issuer is asked again for one that is not known, as often as
    `KeySource.refresh` allows."""
    source = _source(trusted)
    if source.due:
        source.refresh()
    try:
        return tokens.find_key(token, _keys(source, trusted, source.refresh))
    except tokens.UnknownKey:
        source.refresh()
        return tokens.find_key(token, _keys(source, trusted, source.refresh))


def _keys(source: KeySource, trusted: Trusted, ask: Callable[[], None]) -> KeySet:
    if (keys := source.keys(trusted.max_stale)) is None:
        ask()
        keys = source.keys(trusted.max_stale)
    if keys is None:
        raise CredentialRefused
    return keys


def _source(trusted: Trusted) -> KeySource:
    with _lock:
        source = _SOURCES.get(trusted.terms.issuer)
        if source is None or source.place != trusted.place:
            source = _SOURCES[trusted.terms.issuer] = KeySource(trusted.place)
        return source
