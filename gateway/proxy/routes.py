"""Who may call what, as one immutable snapshot that the hot path reads without touching the database.

No I/O here: `snapshot.py` builds it from the database and keeps it current.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple, TypeVar
from uuid import UUID

from audit.records import What, Who
from gateway.credentials.placing import Placed
from gateway.credentials.secret import Secret
from gateway.identity.trust import Trusted
from gateway.proxy import breaker
from gateway.proxy.access import Access as Access  # part of a snapshot
from gateway.proxy.access import Candidates as Candidates  # what a look-up finds
from gateway.proxy.access import Ladder, ladder
from gateway.proxy.admission import RequestHead
from gateway.proxy.distinct import Distinct
from gateway.proxy.errors import (
    BadRequest,
    Forbidden,
    NotFound,
    TokenRefused,
    Unauthenticated,
    Unavailable,
)
from gateway.proxy.operations import METHOD
from gateway.proxy.renewing import AccessTokens
from gateway.proxy.scope import EVERYWHERE, Scope
from gateway.proxy.wire.base import Wire
from policies.engine.policy import Policy
from policies.engine.types import Circumstances, Level

PREFIX: Final = "/proxy/"

LEVELS: Final[Mapping[str, Level]] = {level.name.lower(): level for level in Level}
REMEMBERED: Final = 256
"""How many of a caller's networks, and of the paths and models called under a rule, are kept as the record
wants them: making one anew costs a call 2 and 6 µs."""


Name = tuple[str, str]
"""(issuer, subject): what somebody is called by whoever vouches for them."""

Key = TypeVar("Key")
Value = TypeVar("Value")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """A verified caller and what is known of it."""

    person_id: UUID | None
    subject: str
    name: str
    kind: str  # person | service
    owner_id: UUID | None
    key_id: UUID | None
    key_prefix: str
    groups: tuple[str, ...]
    group_ids: frozenset[int]
    expires_at: float  # Unix seconds
    declared: Level | None = None  # the level that its calls carry, unless one says so itself
    refusal: str = ""  # why it may not call now: revoked, inactive, locked
    scope: Scope = EVERYWHERE  # of its key
    account: str = ""  # whose limits its calls use up: one for all keys of a person
    issuer: str = ""  # who vouches for it, where it came with a token
    issued_subject: str = ""  # its name there
    actor: tuple[str, ...] = ()  # who acts for it, nearest first
    acting: tuple[Name, ...] = ()  # the same, by their names
    since: int = 0  # the revision at which the store was asked; 0: a snapshot has it
    digest: bytes = field(default=b"", repr=False)  # of the key it came with
    maker_id: UUID | None = None  # who made that key, and has seen it
    _seen: dict[str, Who] = field(default_factory=dict, compare=False, repr=False)

    def who(self, network: str) -> Who:
        """The caller as the record has it, calling from this address."""
        who = self._seen.get(network)
        return who if who is not None else _kept(self._seen, network, self._who(network))

    def _who(self, network: str) -> Who:
        return Who(
            person_id=self.person_id,
            subject=self.subject,
            name=self.name,
            kind=self.kind,
            owner_id=self.owner_id,
            key_id=self.key_id,
            key_prefix=self.key_prefix,
            groups=self.groups,
            network=network,
            issuer=self.issuer,
            issued_subject=self.issued_subject,
            actor=self.actor,
        )

    def vouched_for(self, caller: Caller) -> Caller:
        """The same call's caller, who came with a token, as the store has them now."""
        return replace(
            self,
            issuer=caller.issuer,
            issued_subject=caller.issued_subject,
            actor=caller.actor,
            acting=caller.acting,
            expires_at=caller.expires_at,
            since=caller.since,
            _seen={},
        )


class Known(NamedTuple):
    """Whom the store has under one name at one issuer."""

    caller: Caller
    name: str  # as the issuer last gave it


class Certificate(NamedTuple):
    """What an endpoint's connections show of the gateway; the same version is the same certificate."""

    version_id: UUID
    pem: Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """An endpoint as the proxy needs it."""

    id: UUID
    slug: str
    area: str
    kind: str
    origin: str
    base_path: str
    allow_private: bool
    credential: Placed | AccessTokens | None
    max_body: int
    connect_timeout: float
    first_byte_timeout: float
    idle_timeout: float
    authorities: str = ""  # in PEM, who alone vouch for it
    breaker: breaker.Limits = breaker.USUAL
    certificate: Certificate | None = None
    ceiling: Level = Level.RESTRICTED  # the highest level of data that it takes
    refusal: str = ""  # why it takes no calls now: disabled, locked, credential not usable


class Route(NamedTuple):
    """Where a call goes and under what."""

    target: Target
    wire: Wire
    path: str  # below the endpoint, as sent upstream
    access: Access
    policy: Policy

    def what(self, model: str, streaming: bool) -> What:
        """An inspected call as the record has it."""
        key = (self.path, model, streaming)
        what = self.access.seen.get(key)
        if what is not None:
            return what
        return _kept(self.access.seen, key, self.known(path=self.path, model=model, streaming=streaming))

    def known(self, **inspected: Any) -> What:
        """What is known before the inspection, and what `inspected` adds."""
        target, access = self.target, self.access
        return What(
            area=target.area,
            endpoint_id=target.id,
            endpoint=target.slug,
            api=self.wire.api,
            method=METHOD,
            access_rule_id=access.id,
            policy_version_id=access.policy_version_id,
            policy=access.policy_label,
            schema_version_id=access.schema_version_id,
            schema=access.schema_label,
            **inspected,
        )


class Undecided(NamedTuple):
    """A call that waits for the model that its body will name: rules, or the key, are for certain ones."""

    candidates: Candidates
    target: Target
    wire: Wire
    path: str
    now: float
    scope: Scope

    def under(self, model: str) -> Route:
        self.scope.check_model(model)
        access = choose(self.candidates, model, self.now)
        return Route(self.target, self.wire, self.path, access, policy_of(access))


def _kept(seen: dict[Key, Value], key: Key, value: Value) -> Value:
    if len(seen) < REMEMBERED:
        seen[key] = value
    return value


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The configuration at one revision. Look-ups cost the same however large it is."""

    revision: int
    callers: Mapping[bytes, Caller]  # by key digest, of those who called lately
    targets: Mapping[str, Target]  # by slug
    access: Mapping[UUID, Sequence[Access]]  # by endpoint, in deciding order
    valid_until: float = float("inf")  # Unix seconds: a lock ends, a version takes effect
    issuers: Mapping[str, Trusted] = field(default_factory=dict)  # whose tokens are believed
    known: Mapping[Name, Known] = field(default_factory=dict)  # of those who came with tokens lately
    locked: bool = False  # everything is
    locked_groups: frozenset[int] = frozenset()
    cuts: frozenset[UUID] = frozenset()  # calls that somebody ended of late
    _memo: dict[tuple[str, frozenset[int]], Ladder] = field(default_factory=dict)

    def caller(self, digest: bytes, now: float) -> Caller:
        """The caller who holds this key, or a refusal that does not say which part was wrong."""
        return let_in(self.callers.get(digest), now)

    def vouched(self, caller: Caller) -> Caller:
        """A caller who came with a token as they are in this snapshot, or the refusal of their next call.

        That the token has expired meanwhile is no reason: it let the call in, and nobody took it back.
        """
        if self.revision < caller.since:
            return caller
        known = self.known.get((caller.issuer, caller.issued_subject))
        unchanged = known is None and self.revision == caller.since  # read after this was built
        if caller.issuer not in self.issuers or not (known or unchanged):
            raise TokenRefused("invalid_token", "The bearer token is not accepted.", "taken_back")
        if (known and known.caller.refusal) or self.is_out(caller.acting):
            raise _locked_out()
        return known.caller.vouched_for(caller) if known else caller

    def is_out(self, acting: Iterable[Name]) -> bool:
        """Whether one of those who act for somebody may not call: who is known here must be allowed to."""
        return any(known.caller.refusal for name in acting if (known := self.known.get(name)) is not None)

    def again(self, caller: Caller, now: float) -> Caller:
        """A caller of an earlier snapshot as it is in this one, or the refusal that its next call would get.

        Asked of every live call: whatever kind of credential a caller came with is looked up again here.
        """
        if caller.issuer:
            return self.vouched(caller)
        if self.revision < caller.since:
            return let_in(caller, now)
        held = self.callers.get(caller.digest)
        unchanged = held is None and self.revision == caller.since  # read after this was built
        return let_in(caller if unchanged else held, now)

    def target(self, path: str) -> tuple[Target, str]:
        """The endpoint and the API's own path of `/proxy/<endpoint>/<path>`."""
        slug, slash, rest = path.removeprefix(PREFIX).partition("/")
        target = self.targets.get(slug)
        if target is None:
            raise NotFound("unknown_endpoint", "There is no such endpoint.")
        return target, slash + rest

    def candidates(
        self, caller: Caller, target: Target, path: str, address: str, now: float
    ) -> tuple[Candidates, Access]:
        """The rules that may decide a call, and the first of them. No rule, no call."""
        if self.locked:
            raise Forbidden("gateway_locked", "All calls are stopped now. Ask an administrator.")
        if not self.locked_groups.isdisjoint(caller.group_ids):
            raise _locked_out()
        if caller.scope is not EVERYWHERE:
            caller.scope.check_place(target.slug, address)
        if target.refusal:
            raise Forbidden("endpoint_closed", "This endpoint takes no calls now. Ask an administrator.")
        found = self._ladder(caller, target).at(path, address)
        first = found.first(now)
        if first is None:
            raise Forbidden(
                "no_access", "No access rule lets you call this path of this endpoint from your address."
            )
        return found, first

    def grant(
        self, caller: Caller, target: Target, path: str, address: str, model: str, now: float
    ) -> Access:
        """The rule that decides a call whose model is known."""
        found, _ = self.candidates(caller, target, path, address, now)
        caller.scope.check_model(model)
        return choose(found, model, now)

    def _ladder(self, caller: Caller, target: Target) -> Ladder:
        key = (target.slug, caller.group_ids)
        found = self._memo.get(key)
        if found is None:
            found = ladder(self.access.get(target.id, ()), caller.group_ids)
            if len(self._memo) < 10_000:
                self._memo[key] = found
        return found


def let_in(caller: Caller | None, now: float) -> Caller:
    """The holder of a key, or a refusal that does not say whether there was one."""
    if caller is None or caller.refusal == "revoked" or now >= caller.expires_at:
        raise Unauthenticated("invalid_api_key", "The API key is unknown, expired or revoked.")
    if caller.refusal:
        raise _locked_out()
    return caller


def _locked_out() -> Forbidden:
    return Forbidden("caller_locked", "This caller may not make calls now. Ask an administrator.")


def choose(candidates: Candidates, model: str, now: float) -> Access:
    """The candidate that decides, or a refusal."""
    access = candidates.choose(model, now)
    if access is None:
        raise Forbidden("model_not_allowed", "No access rule lets you use this model.")
    return access


def declared_level(said: str, caller: Caller) -> Level | None:
    """The level that a call declares: in its own header, else by its key."""
    if not said:
        return caller.declared
    level = LEVELS.get(said.lower())
    if level is None:
        raise BadRequest("invalid_classification", f"Declare one of these levels: {', '.join(LEVELS)}.")
    return level


def policy_of(access: Access) -> Policy:
    if access.late:
        raise Unavailable(
            "configuration_stale", "The gateway is still preparing a policy. Try again shortly."
        )
    if access.policy is None:
        raise Forbidden("no_policy", "The policy for this endpoint has no published version.")
    return access.policy


def schema_of(policy: Policy) -> UUID:
    return UUID(policy.schema.spec.schema_id)


def circumstances(
    head: RequestHead, caller: Caller, target: Target, now: float, distinct: Distinct | None
) -> Circumstances:
    """What the verdict depends on beside the payload."""
    declared = declared_level(head.text(b"x-postern-classification"), caller)
    return Circumstances(now, declared, target.ceiling, distinct)
