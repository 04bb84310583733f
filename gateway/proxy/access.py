"""Which access rule decides a call. Pure: the data path asks here, and so does the page that explains.

No rule, no call. Of the rules that fit a call the lowest priority number decides, ties go to the older. A
rule that does not allow this model, path or address does not fit, so that the next one may.

Path and address are known before the body, the model only after it. So `Candidates` are what is left for a
caller at an endpoint, path and address; their model, and the time, pick the one. Where no candidate names
models, the first decides before the body is read.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Final, final
from uuid import UUID

from audit.records import What
from gateway.proxy.meter import Limits
from policies.engine.policy import Policy

Network = IPv4Network | IPv6Network

PLACES: Final = 1024
"""How many (path, address) pairs are remembered per caller groups and endpoint, where rules ask for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One access rule with its compiled policy (None: the policy has no usable version)."""

    id: UUID
    group_id: int
    enabled: bool = True
    models: frozenset[str] = frozenset()  # empty: every model; the same for paths and networks
    paths: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    expires_at: float | None = None  # Unix seconds
    limits: Limits | None = None
    policy: Policy | None
    late: bool = False  # the policy has versions in force, which are still being compiled
    policy_version_id: UUID | None = None
    policy_label: str = ""
    schema_version_id: UUID | None = None
    schema_label: str = ""
    seen: dict[tuple[str, str, bool], What] = field(default_factory=dict, compare=False, repr=False)


class Misfit(StrEnum):
    """Why a rule does not decide a call."""

    DISABLED = "disabled"
    GROUP = "group"
    PATH = "path"
    NETWORK = "network"
    EXPIRED = "expired"
    MODEL = "model"
    LOWER = "lower"  # it fits, but another one comes first


def misfit(rule: Access, groups: frozenset[int], path: str, address: str) -> Misfit | None:
    """Why a rule is no candidate, as far as that is known before the body; None if it is one."""
    if not rule.enabled:
        return Misfit.DISABLED
    if rule.group_id not in groups:
        return Misfit.GROUP
    if rule.paths and not any(_covers(pattern, path) for pattern in rule.paths):
        return Misfit.PATH
    if rule.networks and not within(address, rule.networks):
        return Misfit.NETWORK
    return None


def passed_over(rule: Access, model: str, now: float) -> Misfit | None:
    """Why a candidate does not decide a call; None if it does, unless one before it does."""
    if rule.expires_at is not None and now >= rule.expires_at:
        return Misfit.EXPIRED
    if rule.models and model not in rule.models:
        return Misfit.MODEL
    return None


def considered(
    rules: Iterable[Access], groups: frozenset[int], path: str, address: str, model: str, now: float
) -> list[tuple[Access, Misfit | None]]:
    """Rules in deciding order, each with why it does not decide; None for the one that does.

    The long way to what `Candidates.choose` finds, for whoever wants to know of every rule.
    """
    found: list[tuple[Access, Misfit | None]] = []
    decided = False
    for rule in rules:
        why = misfit(rule, groups, path, address) or passed_over(rule, model, now)
        if why is None and decided:
            why = Misfit.LOWER
        decided = decided or why is None
        found.append((rule, why))
    return found


@final
class Candidates:
    """The rules that may decide, in deciding order. `settled`: the model does not matter."""

    __slots__ = ("_by_model", "_named", "_others", "rules", "settled")

    def __init__(self, rules: Iterable[Access]) -> None:
        self.rules = tuple(_until_certain(rules))
        self._named = frozenset[str]().union(*[rule.models for rule in self.rules])
        self._others = tuple([rule for rule in self.rules if not rule.models])
        self._by_model: dict[str, tuple[Access, ...]] = {}  # no larger than what the rules name
        self.settled = not self._named

    def choose(self, model: str, now: float) -> Access | None:
        """The rule that decides."""
        for rule in self._of(model):
            if passed_over(rule, model, now) is None:
                return rule
        return None

    def first(self, now: float) -> Access | None:
        """The first that has not run out, whatever models it allows."""
        for rule in self.rules:
            if rule.expires_at is None or now < rule.expires_at:
                return rule
        return None

    def _of(self, model: str) -> tuple[Access, ...]:
        """The candidates that allow a model: what a call looks at does not grow with the other models."""
        if model not in self._named:
            return self._others
        found = self._by_model.get(model)
        if found is None:
            fitting = (rule for rule in self.rules if not rule.models or model in rule.models)
            found = self._by_model[model] = tuple(_until_certain(fitting, model))
        return found


@final
class Ladder:
    """One caller's rules at one endpoint, in deciding order; their candidates by path and address."""

    __slots__ = ("_anywhere", "_places", "_rules")

    def __init__(self, rules: Sequence[Access]) -> None:
        self._rules = rules
        self._anywhere = None if any(rule.paths or rule.networks for rule in rules) else Candidates(rules)
        self._places: dict[tuple[str, str], Candidates] = {}

    def at(self, path: str, address: str) -> Candidates:
        return self._anywhere if self._anywhere is not None else self._at((path, address))

    def _at(self, place: tuple[str, str]) -> Candidates:
        found = self._places.get(place)
        if found is None:
            if len(self._places) >= PLACES:
                self._places.clear()
            found = self._places[place] = Candidates(
                [rule for rule in self._rules if misfit(rule, frozenset((rule.group_id,)), *place) is None]
            )
        return found


def ladder(rules: Iterable[Access], groups: frozenset[int]) -> Ladder:
    """Of an endpoint's rules those of a caller in these groups."""
    return Ladder([rule for rule in rules if rule.enabled and rule.group_id in groups])


def _until_certain(rules: Iterable[Access], model: str | None = None) -> Iterator[Access]:
    """Rules up to the first that always decides: nothing after it ever does."""
    for rule in rules:
        yield rule
        if rule.expires_at is None and (not rule.models or model in rule.models):
            return


def _covers(pattern: str, path: str) -> bool:
    return path.startswith(pattern[:-1]) if pattern.endswith("/*") else path == pattern


def within(address: str, networks: Sequence[Network]) -> bool:
    """Whether a peer's address lies in one of the networks. What is no address lies in none."""
    try:
        peer = ip_address(address)
    except ValueError:
        return False
    if isinstance(peer, IPv6Address) and peer.ipv4_mapped is not None:
        peer = peer.ipv4_mapped
    return any(peer.version == network.version and peer in network for network in networks)
