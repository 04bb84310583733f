"""Who reaches an endpoint, and what one caller reaches: read from the rules and memberships of now.

A page is read in a fixed number of queries, whatever the number of people, rules and groups. Rules that are
switched off or have run out reach nothing and are left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Protocol
from uuid import UUID

from django.contrib.auth.models import Group
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from audit.last_calls import Pair, last_calls
from gateway.access_review.values import KeyFacts, Page, Reached, RuleFacts, Way
from gateway.identity.reach import Reach
from gateway.models import AccessRule, ApiKey, Endpoint, Lock, MembershipChange, ServiceAccount, Source, User
from gateway.models.lock import lock_in_force

SEES: Final = ("gateway.view_accessrule", "gateway.view_serviceaccount")
"""Both are needed where the endpoint lies. Who sees rules alone, a client developer, is not to see who else
holds a key; people lie in no area, so a right about them could not say where.
"""

PAGE: Final = 50
LIMITS: Final = (
    ("requests_per_minute", "calls a minute"),
    ("tokens_per_minute", "tokens a minute"),
    ("tokens_per_day", "tokens a day"),
    ("tokens_per_month", "tokens a month"),
    ("max_concurrent", "calls at once"),
)

Caller = User | ServiceAccount


class Asker(Protocol):
    def areas_with(self, perm: str) -> Reach: ...


def reach_of(asker: Asker) -> Reach:
    """The areas whose endpoints this person or program may review."""
    rules, callers = (asker.areas_with(perm) for perm in SEES)
    if rules.everywhere:
        return callers
    if callers.everywhere:
        return rules
    return Reach(False, rules.ids & callers.ids, rules.slugs & callers.slugs)


def endpoints_in(reach: Reach) -> QuerySet[Endpoint]:
    return Endpoint.objects.filter(reach.q("area")).select_related("area").order_by("slug")


def active_rules(now: datetime) -> QuerySet[AccessRule]:
    """Rules that reach somebody now, in deciding order."""
    running = Q(expires_at=None) | Q(expires_at__gt=now)
    return AccessRule.objects.filter(running, enabled=True).order_by("priority", "id")


def people_in(groups: Collection[int]) -> QuerySet[User]:
    rows = User.groups.through.objects.filter(user_id=OuterRef("pk"), group_id__in=groups)
    return User.objects.filter(Exists(rows)).order_by("username")


def services_in(groups: Collection[int]) -> QuerySet[ServiceAccount]:
    through = ServiceAccount.groups.through
    rows = through._default_manager.filter(serviceaccount_id=OuterRef("pk"), group_id__in=groups)
    return ServiceAccount.objects.filter(Exists(rows)).select_related("owner").order_by("name")


def callers_of(
    endpoint: Endpoint, *, after: str = "", limit: int = PAGE, now: datetime | None = None
) -> Page:
    """People by user name, then service accounts by name. Raises `ValueError` for a place that is none."""
    now = now or timezone.now()
    rules = list(active_rules(now).filter(endpoint=endpoint).select_related("group", "policy"))
    groups = {rule.group_id for rule in rules}
    kind, _, name = after.partition(":")
    if after and kind not in ("user", "service"):
        raise ValueError("no such place")
    callers: list[Caller] = []
    if kind != "service":
        callers += people_in(groups).filter(username__gt=name)[: limit + 1]
    if len(callers) <= limit:
        later = services_in(groups).filter(name__gt=name if kind == "service" else "")
        callers += later[: limit + 1 - len(callers)]
    shown = callers[:limit]
    found = _Facts(shown, [endpoint], rules, now)
    rows = tuple(found.reached(caller, endpoint) for caller in shown)
    return Page(rows, _place(shown[-1]) if len(callers) > limit else "")


def reached_by(caller: Caller, reach: Reach, now: datetime | None = None) -> list[Reached]:
    """Everything in these areas that one caller reaches, by endpoint."""
    now = now or timezone.now()
    groups = list(caller.groups.values_list("pk", flat=True))
    rows = active_rules(now).filter(reach.q("endpoint__area"), group__in=groups)
    rules = list(rows.select_related("group", "policy", "endpoint__area"))
    endpoints = {rule.endpoint_id: rule.endpoint for rule in rules}
    ordered = sorted(endpoints.values(), key=lambda endpoint: endpoint.slug)
    found = _Facts([caller], ordered, rules, now)
    return [found.reached(caller, endpoint) for endpoint in ordered]


def may_see(caller: Caller, reach: Reach) -> bool:
    """A caller shows where they reach something, a program also where it lies. People lie in no area."""
    return _is_ours(caller, reach) or _groups_here(caller, reach).exists()


def groups_seen(caller: Caller, reach: Reach) -> QuerySet[Group]:
    """Of a caller's groups those that open something here; all of a program that lies here."""
    found = caller.groups.all() if _is_ours(caller, reach) else _groups_here(caller, reach)
    return found.order_by("name")


def _is_ours(caller: Caller, reach: Reach) -> bool:
    return reach.everywhere or (isinstance(caller, ServiceAccount) and reach.covers(caller.area_id))


def _groups_here(caller: Caller, reach: Reach) -> QuerySet[Group]:
    rules = active_rules(timezone.now()).filter(reach.q("endpoint__area")).order_by()
    return caller.groups.filter(pk__in=rules.values("group"))


def locks_on(endpoint: Endpoint, now: datetime) -> list[Lock]:
    """Locks that stop every call to it."""
    on = Q(endpoint=endpoint) | Q(area=endpoint.area_id) | Q(everything=True)
    return list(Lock.objects.filter(on, lock_in_force(now)).select_related("endpoint", "area"))


def rule_facts(rule: AccessRule) -> RuleFacts:
    limits = [(getattr(rule, name), words) for name, words in LIMITS]
    return RuleFacts(
        id=str(rule.pk),
        priority=rule.priority,
        policy=rule.policy.name,
        models=tuple(rule.allowed_models),
        paths=tuple(rule.allowed_paths),
        networks=tuple(rule.networks),
        limits=tuple(f"{value} {words}" for value, words in limits if value is not None),
        until=rule.expires_at,
        note=rule.note,
    )


def _named(caller: Caller) -> tuple[str, str, str, str]:
    """Kind, what it is called, its name for people, its owner."""
    if isinstance(caller, User):
        return "person", caller.username, caller.get_full_name(), ""
    return "service", caller.name, caller.description, caller.owner.username


def _place(caller: Caller) -> str:
    return f"user:{caller.username}" if isinstance(caller, User) else f"service:{caller.name}"


class _Facts:
    """What is known of some callers at some endpoints, read at once."""

    def __init__(
        self,
        callers: Sequence[Caller],
        endpoints: Sequence[Endpoint],
        rules: Iterable[AccessRule],
        now: datetime,
    ) -> None:
        self._rules: defaultdict[UUID, list[AccessRule]] = defaultdict(list)
        for rule in rules:
            self._rules[rule.endpoint_id].append(rule)
        self._facts = {rule.pk: rule_facts(rule) for each in self._rules.values() for rule in each}
        groups = {rule.group_id for each in self._rules.values() for rule in each}
        ids = [caller.pk for caller in callers]
        self._groups = _memberships(callers, groups)
        self._joined = _joined(ids, groups)
        self._keys = _keys(ids, now)
        self._locks = _locked(now)
        self._last: Mapping[Pair, datetime] = last_calls(
            callers=ids, endpoints=[endpoint.pk for endpoint in endpoints]
        )

    def reached(self, caller: Caller, endpoint: Endpoint) -> Reached:
        held = self._groups[caller.pk]
        rules = [rule for rule in self._rules[endpoint.pk] if rule.group_id in held]
        kind, called, name, owner = _named(caller)
        return Reached(
            kind=kind,
            id=str(caller.pk),
            caller=called,
            name=name,
            owner=owner,
            states=tuple(self._states(caller)),
            endpoint_id=str(endpoint.pk),
            endpoint=endpoint.slug,
            area=endpoint.area.slug,
            ways=tuple(self._way(caller, rule) for rule in rules),
            keys=tuple(self._keys_at(caller, endpoint, {rule.group_id for rule in rules})),
            last_call=self._last.get((caller.pk, endpoint.pk)),
        )

    def _way(self, caller: Caller, rule: AccessRule) -> Way:
        joined = self._joined.get((caller.pk, rule.group_id))
        source = Source(joined.source) if joined else None
        return Way(
            group=rule.group.name,
            source=source.value if source else "",
            source_words=source.label if source else "Not known",
            since=joined.at if joined else None,
            group_locked=("group", rule.group_id) in self._locks,
            rule=self._facts[rule.pk],
        )

    def _keys_at(self, caller: Caller, endpoint: Endpoint, groups: Collection[int]) -> Iterable[KeyFacts]:
        for key in self._keys[caller.pk]:
            if key.allowed_endpoints and endpoint.slug not in key.allowed_endpoints:
                continue
            if key.group_ids and not set(key.group_ids) & set(groups):
                continue
            yield KeyFacts(
                prefix=key.prefix,
                name=key.name,
                kind="locked" if ("api_key", key.pk) in self._locks else key.kind,
                expires_at=key.expires_at,
            )

    def _states(self, caller: Caller) -> Iterable[str]:
        if not caller.is_active:
            yield "inactive"
        if isinstance(caller, User):
            if ("user", caller.pk) in self._locks:
                yield "locked"
            return
        if not caller.owner.is_active:
            yield "owner inactive"
        if ("service_account", caller.pk) in self._locks:
            yield "locked"
        if ("user", caller.owner_id) in self._locks:
            yield "owner locked"


def _memberships(callers: Sequence[Caller], groups: Collection[int]) -> defaultdict[UUID, set[int]]:
    """Of these groups those that each caller is in."""
    found: defaultdict[UUID, set[int]] = defaultdict(set)
    kinds: tuple[tuple[Any, str, type[Caller]], ...] = (
        (User.groups.through, "user_id", User),
        (ServiceAccount.groups.through, "serviceaccount_id", ServiceAccount),
    )
    for through, column, kind in kinds:
        ids = [caller.pk for caller in callers if isinstance(caller, kind)]
        if ids:
            rows = through._default_manager.filter(**{f"{column}__in": ids}, group_id__in=groups)
            for pk, group in rows.values_list(column, "group_id"):
                found[pk].add(group)
    return found


def _joined(ids: Collection[UUID], groups: Collection[int]) -> dict[tuple[UUID, int], MembershipChange]:
    """The change by which each caller came into each group, last."""
    rows = MembershipChange.objects.filter(member_id__in=ids, group_id__in=groups).order_by("id")
    latest = {(row.member_id, row.group_id): row for row in rows}
    return {pair: row for pair, row in latest.items() if row.joined}


def _keys(ids: Collection[UUID], now: datetime) -> defaultdict[UUID, list[ApiKey]]:
    found: defaultdict[UUID, list[ApiKey]] = defaultdict(list)
    holders = Q(user_id__in=ids) | Q(service_account_id__in=ids)
    for key in ApiKey.objects.filter(holders, revoked_at=None, expires_at__gt=now).order_by("prefix"):
        holder = key.user_id or key.service_account_id
        if holder is not None:
            found[holder].append(key)
    return found


def _locked(now: datetime) -> set[tuple[str, object]]:
    """What is locked, as (kind, key)."""
    kinds = ("user", "service_account", "api_key", "group")
    rows = Lock.objects.filter(lock_in_force(now)).values_list(*(f"{kind}_id" for kind in kinds))
    return {(kind, pk) for row in rows for kind, pk in zip(kinds, row, strict=True) if pk is not None}
