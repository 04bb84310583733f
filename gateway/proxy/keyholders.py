"""Who holds which API key: read with the snapshot for those who call, and for one who comes anew."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from datetime import datetime
from ipaddress import ip_network
from typing import Any, Final, NamedTuple
from uuid import UUID

from django.db.models import Q, TextField
from django.db.models.functions import Cast

from gateway.identity.keys import living
from gateway.models import ApiKey
from gateway.proxy.access import Network
from gateway.proxy.holders import COLUMNS, Groups, Holder, batches
from gateway.proxy.locking import Locks
from gateway.proxy.routes import Caller
from gateway.proxy.scope import EVERYWHERE, Scope
from policies.engine.types import Level

PLAIN: Final = ("id", "digest", "prefix", "expires_at", "revoked_at", "declared_level")
LISTS: Final = ("group_ids", "allowed_endpoints", "allowed_models", "networks")
TEXTS: Final = {f"{name}_text": Cast(name, TextField()) for name in LISTS}
"""The lists as JSON text: nearly all are empty, and need no parser then."""


class _Key(NamedTuple):
    """As `PLAIN` and `LISTS` have it."""

    id: UUID
    digest: bytes
    prefix: str
    expires_at: datetime
    revoked_at: datetime | None
    declared_level: int | None
    group_ids: list[int]
    endpoints: list[str]
    models: list[str]
    networks: list[str]


def keyholders(
    locks: Locks, now: datetime, digests: Collection[bytes] | None = None, groups: Groups | None = None
) -> dict[bytes, Caller]:
    """Who holds these keys, by digest; without any, all. Those that open nothing are unknown: their number
    grows with every day."""
    asked = [Q()] if digests is None else [Q(digest__in=some) for some in batches(list(digests))]
    every = ApiKey.objects.filter(living(now)).annotate(**TEXTS).order_by()
    rows = [row for each in asked for row in every.filter(each).values_list(*PLAIN, *TEXTS, *COLUMNS)]
    if not rows:
        return {}
    first, last = len(PLAIN), len(PLAIN) + len(LISTS)
    keys = [_Key(*row[:first], *[_list(text) for text in row[first:last]]) for row in rows]
    holders = [Holder(*row[last:]) for row in rows]
    groups = groups or Groups()
    groups.read(holders, everybody=digests is None)
    return {
        bytes(key.digest): _caller(key, holder, groups, locks)
        for key, holder in zip(keys, holders, strict=True)
    }


def living_digests(now: datetime, digests: Collection[bytes]) -> list[bytes]:
    """Of these the digests of keys that open something."""
    keys = ApiKey.objects.filter(living(now)).order_by()
    return [
        bytes(digest)
        for some in batches(list(digests))
        for digest in keys.filter(digest__in=some).values_list("digest", flat=True)
    ]


def keyholder(key: ApiKey, locks: Locks) -> Caller:
    """The same for a key that is here, whether it opens something or not, and be it in no store."""
    account, user = key.service_account, key.user
    holder = Holder(
        user_id=user.pk if user else None,
        username=user.username if user else "",
        first_name=user.first_name if user else "",
        last_name=user.last_name if user else "",
        user_active=bool(user and user.is_active),
        account_id=account.pk if account else None,
        account=account.name if account else "",
        account_active=bool(account and account.is_active),
        area_id=account.area_id if account else None,
        owner_id=account.owner_id if account else None,
        owner_active=bool(account and account.owner.is_active),
    )
    groups = Groups()
    groups.read([holder])
    return _caller(_Key(*[getattr(key, name) for name in (*PLAIN, *LISTS)]), holder, groups, locks)


def _caller(key: _Key, holder: Holder, groups: Groups, locks: Locks) -> Caller:
    every = groups.of(holder)
    held = groups.held(every.intersection(key.group_ids) if key.group_ids else every)
    return Caller(
        person_id=holder.id,
        subject=holder.subject,
        name=holder.shown,
        kind=holder.kind,
        owner_id=holder.owner_id,
        key_id=key.id,
        key_prefix=key.prefix,
        groups=held.names,
        group_ids=held.ids,
        expires_at=key.expires_at.timestamp(),
        declared=None if key.declared_level is None else Level(key.declared_level),
        refusal=_refusal(key, holder, every, locks),
        scope=_scope(key),
        account=str(holder.id) if holder.id else "",
        digest=bytes(key.digest),
    )


def _list(text: str) -> Any:
    return [] if text == "[]" else json.loads(text)


def _refusal(key: _Key, holder: Holder, groups: frozenset[int], locks: Locks) -> str:
    """A lock on a group counts for all who are in it, also where their key does not carry it."""
    if key.revoked_at is not None:
        return "revoked"
    refusal = holder.refusal(groups, locks)
    return "locked" if not refusal and locks.on("api_key", key.id) else refusal


def _scope(key: _Key) -> Scope:
    if not (key.endpoints or key.models or key.networks):
        return EVERYWHERE
    return Scope(
        endpoints=frozenset(key.endpoints),
        models=frozenset(key.models),
        networks=_networks(key.networks),
    )


def _networks(networks: Iterable[str]) -> tuple[Network, ...]:
    return tuple([ip_network(network, strict=False) for network in networks])
