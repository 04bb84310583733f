"""Why a call would be let in or not: which access rule decides, under which versions and limits. Reads only.

Decided by the data path's own code over the rows of now: the rule is the one that `gateway.proxy.access`
chooses, a refusal is the error that the caller would get. The payload is not part of the question: what is
in it is judged by the policy, for which there is the playground.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Final

from gateway.callers import Subject, any_key, caller_named, endpoint_named, has_key
from gateway.explanation import Considered, Explanation, Limit, Values
from gateway.identity.reach import EVERYWHERE, Reach
from gateway.identity.scope import groups_carried
from gateway.models import AccessRule, ApiKey, Endpoint
from gateway.proxy import routes, used
from gateway.proxy.access import Access, Misfit, considered
from gateway.proxy.errors import ProxyError
from gateway.proxy.meter import Account, moment
from gateway.proxy.operations import MAIN_PATHS, METHOD, operation
from gateway.proxy.routes import Caller, Target
from gateway.proxy.snapshot import access_of, in_deciding_order, part
from policies.engine.policy import Policy
from policies.engine.types import Level
from policies.store import NotInForce, load_policy

SHOWN: Final = 200
"""Rules of groups that the caller is not in are listed up to this many; those of its groups all are."""


def explain(
    *,
    caller: Subject | str,
    endpoint: Endpoint | str,
    model: str,
    path: str = "",
    address: str = "",
    now: datetime | None = None,
    among: Reach = EVERYWHERE,
) -> Explanation:
    """What a call of this caller to this endpoint would get. Names are looked up `among` what the asker may
    see; raises `NotFound`.

    `path`: below the endpoint; empty: the one path of an API that has one, else none in particular.
    `now` moves what depends on the rules' own times, not the versions: those are in force or not.
    """
    subject = caller_named(caller, among) if isinstance(caller, str) else caller
    endpoint = endpoint_named(endpoint, among) if isinstance(endpoint, str) else endpoint
    at = now or datetime.now(UTC)
    asked = _Asked(
        subject, endpoint, model.strip(), _path(endpoint, path.strip()), address.strip(), at, among
    )
    return asked.explanation()


def _path(endpoint: Endpoint, path: str) -> str:
    """As the data path sees it; a client's whole path is taken too."""
    whole = f"{routes.PREFIX}{endpoint.slug}/"
    if path.startswith(whole):
        path = "/" + path.removeprefix(whole)
    return path or MAIN_PATHS.get(endpoint.kind, "")


class _Asked:
    """One question, and what was found so far."""

    def __init__(
        self,
        subject: Subject,
        endpoint: Endpoint,
        model: str,
        path: str,
        address: str,
        at: datetime,
        among: Reach,
    ) -> None:
        self.subject, self.endpoint, self.moment, self.among = subject, endpoint, at, among
        self.model, self.path, self.address = model, path, address
        self.now = at.timestamp()
        self.key = subject if isinstance(subject, ApiKey) else any_key(subject, at)
        self.known = part(key=self.key, endpoint=endpoint, now=at)
        self.caller: Caller = self.known.callers[b""]
        self.target: Target = self.known.targets[endpoint.slug]
        self.notes: list[str] = []

    def explanation(self) -> Explanation:
        rows, left_out = self._rows()
        rules = [access_of(row, None) for row in rows]
        verdicts = considered(rules, self.caller.group_ids, self.path, self.address, self.model, self.now)
        policy, account = None, None
        for at, (rule, why) in enumerate(verdicts):
            if why is None:
                policy = self._policy(rows[at])
                rules[at] = rule = access_of(rows[at], policy)
                account = self._account(rule)
        refusal = self._refusal(rules, account)
        told = [self._told(row, why) for row, (_, why) in zip(rows, verdicts, strict=True)]
        self._remark({why for _, why in verdicts})
        plain = Explanation(
            at=self.moment,
            caller=self.caller.name,
            key=self.subject.prefix if isinstance(self.subject, ApiKey) else "",
            groups=self._groups_told(rows),
            endpoint=self.endpoint.slug,
            model=self.model,
            path=self.path,
            address=self.address,
            allowed=refusal is None,
            code=refusal.code if refusal else "",
            words=refusal.message if refusal else "",
            rule=next((each for each in told if not each.why), None),
            others=tuple(each for each in told if each.why),
            left_out=left_out,
            declared=_level(self.caller.declared),
            ceiling=_level(self.target.ceiling),
            limits=_limits(account) if account else (),
            notes=tuple(self.notes),
        )
        return plain if policy is None else self._under(plain, policy)

    def _under(self, plain: Explanation, policy: Policy) -> Explanation:
        spec, schema = policy.spec, policy.schema.spec
        until = spec.observe_until if policy.at(self.now).observing else None
        return replace(
            plain,
            policy=f"{spec.name}@{spec.number}",
            policy_version_id=spec.version_id,
            schema=f"{schema.name}@{schema.number}",
            schema_version_id=schema.version_id,
            observes_until=moment(until) if until is not None else None,
            values=tuple(_values(each) for each in used.different(policy, self.caller.account, self.now)),
        )

    def _rows(self) -> tuple[list[AccessRule], int]:
        """The endpoint's rules in deciding order, and how many of strange groups were left out."""
        rows = AccessRule.objects.filter(endpoint=self.endpoint).select_related("group", "policy")
        ours, strange = (
            rows.filter(group__in=self.caller.group_ids),
            rows.exclude(group__in=self.caller.group_ids),
        )
        shown = list(in_deciding_order(strange)[:SHOWN])
        left_out = strange.count() - len(shown) if len(shown) == SHOWN else 0
        return sorted([*ours, *shown], key=lambda row: (row.priority, row.id)), left_out

    def _groups_told(self, rows: Sequence[AccessRule]) -> tuple[str, ...]:
        """The caller's groups; in an area those that this endpoint's rules name."""
        named = {row.group.name for row in rows}
        return tuple(name for name in self.caller.groups if self.among.everywhere or name in named)

    def _policy(self, row: AccessRule) -> Policy | None:
        try:
            return load_policy(row.policy_id)
        except NotInForce as error:
            self.notes.append(f"{row.policy}: {error}.")
            return None

    def _account(self, rule: Access) -> Account | None:
        if rule.limits is None:
            return None
        return used.account_of(rule.id, self.caller.account, rule.limits, self.now)

    def _refusal(self, rules: Sequence[Access], account: Account | None) -> ProxyError | None:
        """The error that the call would get before its payload is judged, in the data path's order."""
        known = replace(self.known, access={self.endpoint.id: rules})
        try:
            caller = known.caller(b"", self.now)
            if self.path:
                operation(self.target.kind, METHOD, self.path)
            granted = known.grant(caller, self.target, self.path, self.address, self.model, self.now)
            routes.policy_of(granted)
        except ProxyError as error:
            return error
        return account.reached() if account else None

    def _told(self, row: AccessRule, why: Misfit | None) -> Considered:
        return Considered(
            id=str(row.id),
            group=row.group.name,
            policy=row.policy.name,
            priority=row.priority,
            note=row.note,
            why=why.value if why else "",
            words=_why(row, why),
        )

    def _remark(self, misfits: Collection[Misfit | None]) -> None:
        for asked, misfit, what in (
            (self.model, Misfit.MODEL, "model"),
            (self.path, Misfit.PATH, "path"),
            (self.address, Misfit.NETWORK, "address"),
        ):
            if not asked and misfit in misfits:
                self.notes.append(f"No {what} was named: rules for certain ones do not fit.")
        if self.caller.declared is not None and self.caller.declared > self.target.ceiling:
            self.notes.append(
                "This key declares more than the endpoint takes: calls that do not declare less are refused."
            )
        self._remark_scope()
        if self.address and not _is_address(self.address):
            self.notes.append("The address is no IP address: rules that name networks do not fit.")
        if not isinstance(self.subject, ApiKey) and not has_key(self.subject, self.moment):
            self.notes.append("This caller holds no valid API key, so there is nothing to call with yet.")

    def _endpoints_told(self) -> list[str]:
        """The endpoints that the key is for, as far as the asker sees them."""
        named = self.key.allowed_endpoints
        if not named or self.among.everywhere:
            return list(named)
        rows = Endpoint.objects.filter(self.among.q(), slug__in=named).order_by("slug")
        seen = list(rows.values_list("slug", flat=True))
        return seen if len(seen) == len(named) else [*seen, "others elsewhere"]

    def _remark_scope(self) -> None:
        """What the key is restricted to, whether or not that is the reason."""
        for what, names in (
            ("the groups", [each.name for each in groups_carried(self.key)] if self.key.group_ids else []),
            ("the endpoints", self._endpoints_told()),
            ("the models", self.key.allowed_models),
            ("calls from", self.key.networks),
        ):
            if names:
                self.notes.append(f"This key is only for {what} {_listed(names)}.")
        if self.key.group_ids and not self.caller.groups:
            self.notes.append("Its holder has left all groups that this key carries.")


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _why(row: AccessRule, why: Misfit | None) -> str:
    """Why a rule does not decide, for people."""
    match why:
        case None:
            return "It fits and comes first."
        case Misfit.DISABLED:
            return "It is disabled."
        case Misfit.GROUP:
            return f"The caller is not in {row.group}."
        case Misfit.PATH:
            return f"It is only for {_listed(row.allowed_paths)}."
        case Misfit.NETWORK:
            return f"It is only for calls from {_listed(row.networks)}."
        case Misfit.EXPIRED:
            return (
                f"It ran out on {row.expires_at.astimezone(UTC):%d %b %Y %H:%M} UTC."
                if row.expires_at
                else ""
            )
        case Misfit.MODEL:
            return f"It is only for {_listed(row.allowed_models)}."
        case Misfit.LOWER:
            return "It would fit, but another comes first."


def _listed(names: Sequence[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _limits(account: Account) -> tuple[Limit, ...]:
    found = []
    for name, limit in account.limits.by_name().items():
        if limit is None:
            continue
        what, _, window = name.partition("_per_")
        count = account.counts.get(window)
        running = account.running + account.others_running
        number = running if count is None else count.used_calls if what == "calls" else count.used_tokens
        found.append(
            Limit(
                name=name,
                words=f"{what.capitalize()} per {window}" if window else "Calls at the same time",
                limit=limit,
                used=number,
                ends_at=moment(count.ends) if count else None,
            )
        )
    return tuple(found)


def _values(found: used.Different) -> Values:
    rule = found.rule
    return Values(
        rule=rule.name,
        gate=rule.gate.name.lower(),
        value=rule.value,
        window=rule.window,
        limit=rule.at_least or 1,
        used=found.seen,
        ends_at=moment(found.ends),
    )


def _level(level: Level | None) -> str:
    return "" if level is None else level.name.lower()
