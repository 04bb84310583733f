"""Builds the snapshot of `routes.py` from the database and keeps it current: the proxy's only ORM reader.

A thread reads one revision row each second and rebuilds when it moved; `compiling.py` has others for what
takes long. A process that could not read it for `MAX_AGE` seconds refuses calls, since a lock might be in
what it did not see.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from typing import Final, NoReturn
from uuid import UUID

from django.db import close_old_connections, connection
from django.db.models import Q, QuerySet
from django.db.utils import Error as DatabaseError

from gateway.identity.trust import trusted_issuers
from gateway.models import (
    AccessRule,
    ApiKey,
    Cut,
    Endpoint,
    Revision,
)
from gateway.proxy.breaker import Limits as BreakerLimits
from gateway.proxy.compiling import Compiling, NotReady
from gateway.proxy.errors import Unavailable
from gateway.proxy.holders import Groups
from gateway.proxy.keyholders import keyholder, keyholders
from gateway.proxy.known import known
from gateway.proxy.locking import Locks, locks_at
from gateway.proxy.met import MetKeys, MetNames
from gateway.proxy.meter import Limits
from gateway.proxy.opening import Held, Opening
from gateway.proxy.renewing import Renewing
from gateway.proxy.routes import Access, Name, Snapshot, Target
from policies.engine.policy import Policy
from policies.engine.types import Level
from policies.store import NotInForce, in_force, load_versions
from policies.versions import next_change_at

log = logging.getLogger(__name__)

POLL: Final = 1.0
MAX_AGE: Final = 5.0
STEADY: Final = 1.0
"""Seconds by which the clock may go wrong from one look to the next and counts as the same."""

ERA: Final = 1 << 48
"""More than the revisions that a store comes to."""

CUT_KEPT: Final = timedelta(minutes=10)
"""How long a cut is told to processes. One that has not read it by then has been stale for long, and has
ended all its calls."""


class Snapshots:
    """Keeps the current snapshot; one thread per process."""

    def __init__(self) -> None:
        self.met = MetNames()
        self.keys = MetKeys()
        self._snapshot: Snapshot | None = None
        self._read_at = float("-inf")
        self._era = 0  # how often the store or the clock was set back
        self._clock: float | None = None  # the clock of the calendar less the one that only runs
        self._stopped = False
        self._wake = threading.Event()
        self._compiling = Compiling(self._wake.set)
        self.tokens = Renewing()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Read once in the calling thread, then follow. A store that is down delays calls, not the start."""
        self.refresh()
        self.tokens.start()
        self._thread = threading.Thread(target=self._follow, name="postern-snapshots", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopped = True
        self._wake.set()
        self.tokens.stop()
        if self._thread is not None:
            self._thread.join(timeout=5)

    def current(self) -> Snapshot:
        """The snapshot, if it was confirmed lately."""
        if self._snapshot is None or time.monotonic() - self._read_at > MAX_AGE:
            _stale()
        return self._snapshot

    @property
    def latest(self) -> Snapshot | None:
        """The last one, however old: for what decides nothing about a call."""
        return self._snapshot

    @property
    def age(self) -> float:
        """Seconds since the configuration was last confirmed; infinite before the first time."""
        return time.monotonic() - self._read_at

    def refresh(self) -> None:
        """Confirm or rebuild the snapshot; on a database error leave it to grow old."""
        asked_at = time.monotonic()
        clock = time.time() - asked_at
        try:
            now = self.number()
            if self._was_set(now, clock):
                self._era += 1
                now = self.number()
            if self._outdated(now):
                self._compiling.begin(patient=self._snapshot is None)
                self._snapshot = build(now, self._compiling, self.met.names(), self.keys.names(), self.tokens)
            self._read_at, self._clock = asked_at, clock
        except DatabaseError as error:
            log.warning("configuration could not be read: %s", type(error).__name__)

    def number(self) -> int:
        """The store's revision as this process counts: higher than any before, also after a backup was
        restored. Reads the store."""
        era = self._era  # of before the store is asked: an answer that comes late is an old one
        return era * ERA + revision()

    def _was_set(self, now: int, clock: float) -> bool:
        """Whether a backup was restored, or somebody set the clock: what was read by the other one, such as
        that a lock had ended, counts no more."""
        if self._snapshot is None or self._clock is None:
            return False
        return now < self._snapshot.revision or abs(clock - self._clock) > STEADY

    def _outdated(self, now: int) -> bool:
        snapshot = self._snapshot
        if snapshot is None or now != snapshot.revision or self._compiling.pending:
            return True
        return time.time() >= snapshot.valid_until

    def _follow(self) -> None:
        while True:
            self._wake.wait(POLL)
            self._wake.clear()
            if self._stopped:
                break
            close_old_connections()  # one that failed is not asked again
            try:
                self.refresh()
            except Exception as error:  # the view grows stale and refuses; the next look may be better
                log.error("the configuration could not be built: %s", type(error).__name__)
        connection.close()


def _stale() -> NoReturn:
    raise Unavailable("configuration_stale", "The gateway cannot read its configuration. Try again shortly.")


def revision() -> int:
    """The number that every configuration change raises."""
    return Revision.objects.values_list("value", flat=True).filter(pk=1).first() or 0


def build(
    number: int,
    compiling: Compiling | None = None,
    names: Collection[Name] | None = None,
    digests: Collection[bytes] | None = None,
    tokens: Renewing | None = None,
) -> Snapshot:
    """Everything a call's routing needs, read at one revision, and whoever bears these names at an issuer or
    holds the API keys of these digests.

    Without `compiling` it compiles before it returns, without `names` and `digests` it has everybody, without
    `tokens` nobody fetches access tokens.
    """
    now = datetime.now(UTC)
    locks = locks_at(now)
    endpoints = Endpoint.objects.select_related("area", "credential", "client_certificate")
    secrets = Opening(tokens)
    policies = _Policies(compiling)
    groups = Groups()
    return Snapshot(
        revision=number,
        callers=keyholders(locks, now, digests, groups),
        targets=_targets(endpoints, locks, secrets),
        access=_access(policies, now),
        valid_until=min([*locks.ends, *policies.changes, *secrets.again], default=float("inf")),
        issuers=trusted_issuers(),
        known=known(locks, names, groups),
        locked=locks.everything,
        locked_groups=locks.groups,
        cuts=frozenset(Cut.objects.filter(created_at__gt=now - CUT_KEPT).values_list("call_id", flat=True)),
    )


def part(*, key: ApiKey, endpoint: Endpoint, now: datetime) -> Snapshot:
    """One caller, under the empty digest, and one endpoint without its rules: for whoever explains a call."""
    locks = locks_at(now)
    return Snapshot(
        revision=0,
        callers={b"": keyholder(key, locks)},
        targets=_targets([endpoint], locks, Opening(None)),
        access={},
        locked=locks.everything,
        locked_groups=locks.groups,
    )


def _targets(endpoints: Iterable[Endpoint], locks: Locks, secrets: Opening) -> dict[str, Target]:
    found = {each.slug: _target(each, locks, secrets.of(each)) for each in endpoints}
    secrets.done()
    return found


def _target(endpoint: Endpoint, locks: Locks, held: Held) -> Target:
    refusal = held.refusal
    if not endpoint.enabled:
        refusal = "disabled"
    elif locks.on("endpoint", endpoint.id) or locks.on("area", endpoint.area_id):
        refusal = "locked"
    return Target(
        id=endpoint.id,
        slug=endpoint.slug,
        area=endpoint.area.slug,
        kind=endpoint.kind,
        origin=endpoint.origin,
        base_path=endpoint.base_path,
        allow_private=endpoint.allow_private,
        credential=held.credential,
        certificate=held.certificate,
        max_body=endpoint.max_body_bytes,
        connect_timeout=endpoint.connect_timeout,
        first_byte_timeout=endpoint.first_byte_timeout,
        idle_timeout=endpoint.idle_timeout,
        authorities=endpoint.ca_certificates,
        breaker=BreakerLimits(
            endpoint.breaker_failures, endpoint.breaker_rate, float(endpoint.breaker_seconds)
        ),
        ceiling=Level(endpoint.ceiling),
        refusal=refusal,
    )


class _Policies:
    """Compiled policies of one build; several rules share one."""

    def __init__(self, compiling: Compiling | None) -> None:
        self._compiling = compiling
        self._loaded: dict[UUID, Policy | None] = {}
        self.late: set[UUID] = set()
        moment = next_change_at()
        self.changes = [moment.timestamp()] if moment else []

    def get(self, policy_id: UUID) -> Policy | None:
        if policy_id not in self._loaded:
            self._loaded[policy_id] = self._load(policy_id)
        return self._loaded[policy_id]

    def _load(self, policy_id: UUID) -> Policy | None:
        try:
            versions = in_force(policy_id)
            if self._compiling is None:
                return load_versions(*versions)
            return self._compiling.get(policy_id, *versions)
        except NotReady:
            self.late.add(policy_id)
            return None
        except NotInForce as error:
            log.error("policy %s cannot be used: %s", policy_id, error)
            return None


def _access(policies: _Policies, now: datetime) -> dict[UUID, list[Access]]:
    rules = AccessRule.objects.filter(Q(expires_at=None) | Q(expires_at__gt=now), enabled=True)
    table: dict[UUID, list[Access]] = {}
    for rule in in_deciding_order(rules):
        access = _rule(rule, policies.get(rule.policy_id), late=rule.policy_id in policies.late)
        table.setdefault(rule.endpoint_id, []).append(access)
    return table


def in_deciding_order(rules: QuerySet[AccessRule]) -> QuerySet[AccessRule]:
    """Lowest number first, then the older: ids begin with their time."""
    return rules.order_by("priority", "id")


def _rule(rule: AccessRule, policy: Policy | None, *, late: bool) -> Access:
    schema = policy.schema.spec if policy else None
    limits = _limits(rule)
    return Access(
        id=rule.id,
        group_id=rule.group_id,
        enabled=rule.enabled,
        models=frozenset(rule.allowed_models),
        paths=tuple(rule.allowed_paths),
        networks=tuple([ip_network(network, strict=False) for network in rule.networks]),
        expires_at=rule.expires_at.timestamp() if rule.expires_at else None,
        limits=limits if limits else None,
        policy=policy,
        late=late,
        policy_version_id=UUID(policy.spec.version_id) if policy else None,
        policy_label=f"{policy.spec.name}@{policy.spec.number}" if policy else "",
        schema_version_id=UUID(schema.version_id) if schema else None,
        schema_label=f"{schema.name}@{schema.number}" if schema else "",
    )


def access_of(rule: AccessRule, policy: Policy | None) -> Access:
    """A row as the data path has it."""
    return _rule(rule, policy, late=False)


def _limits(rule: AccessRule) -> Limits:
    return Limits(
        calls_per_minute=rule.requests_per_minute,
        tokens_per_minute=rule.tokens_per_minute,
        tokens_per_day=rule.tokens_per_day,
        tokens_per_month=rule.tokens_per_month,
        at_once=rule.max_concurrent,
    )
