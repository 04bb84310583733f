"""The calls under way in this process, asked again and again whether they may go on (P12).

A call is let in by the configuration of one moment. Twice a second every call is put to the newest one: it
goes on as long as the same call would still be let in under its rule, and nobody has cut it. A process that
cannot read its configuration ends them all, since a lock might be in what it did not see. What a call was
judged by stays: a policy that is published meanwhile counts for the next call.

To a call this costs entering a table and leaving it; a look that finds no newer snapshot passes over it.
A call that waits, for the model or for an approval, is ended as one that streams: by `Patience.cut`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol
from uuid import UUID

from gateway.proxy.access import Access, misfit, passed_over
from gateway.proxy.errors import CallCut, ProxyError, Unavailable, place_of
from gateway.proxy.ledger import Ledger
from gateway.proxy.patience import Patience
from gateway.proxy.routes import Candidates, Snapshot
from gateway.proxy.snapshot import Snapshots

log = logging.getLogger(__name__)

LOOK: Final = 0.5
"""Seconds between two looks. With the second in which a change is read, a cut has begun within two."""

SLICE: Final = 100
"""Calls that are looked at before others get their turn."""


def locked() -> CallCut:
    return CallCut("cut_locked", "This call was ended: a lock stops it, or its caller may call no more.")


def revoked() -> CallCut:
    return CallCut("cut_revoked", "This call was ended: its credential is not valid any more.")


def closed() -> CallCut:
    return CallCut("cut_closed", "This call was ended: its endpoint takes no calls any more.")


def no_access() -> CallCut:
    return CallCut("cut_no_access", "This call was ended: its access rule does not cover it any more.")


def by_hand() -> CallCut:
    return CallCut("cut_by_hand", "This call was ended by an administrator.")


BECAUSE: Final[Mapping[str, Callable[[], CallCut]]] = {
    "invalid_api_key": revoked,
    "invalid_token": revoked,
    "caller_locked": locked,
    "gateway_locked": locked,
    "endpoint_closed": closed,
    "unknown_endpoint": closed,
}
"""How a call ends that would be refused with this code if it came now; any other: it has no access."""


class Going(Protocol):
    """A call that has been let in."""

    ledger: Ledger
    patience: Patience


Confirmed = tuple[Snapshot | None, float]
"""The snapshot that last let a call go on, and until when it does (Unix seconds)."""

NOT_YET: Final[Confirmed] = (None, 0.0)


class Live:
    """One per process. Lives on the loop that serves the calls."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._calls: dict[Going, Confirmed] = {}
        self._rules: tuple[Snapshot | None, Mapping[UUID, Access]] = (None, {})
        self._task: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._calls)

    def start(self) -> None:
        """Look from now on. Called on the loop."""
        self._task = asyncio.get_running_loop().create_task(self._follow())

    def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def enter(self, call: Going) -> None:
        """Its caller and endpoint are known."""
        self._calls[call] = NOT_YET

    def leave(self, call: Going) -> None:
        """It has come to its end, or was never let in."""
        self._calls.pop(call, None)

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            try:
                await self.look()
            except Exception as error:  # whoever looks must not end before the process does
                log.error("live calls not looked at: %s at %s", type(error).__name__, place_of(error))

    async def look(self) -> None:
        """Cut every call that may not go on."""
        try:
            snapshot = self._snapshots.current()
        except Unavailable as stale:
            for call in [*self._calls]:
                call.patience.cut(stale)
            return
        self._stay_met()
        now, asked = time.time(), 0
        for call, (seen, until) in [*self._calls.items()]:
            if (seen is snapshot and now < until) or call not in self._calls:
                continue
            found = self._asked(call.ledger, snapshot, now)
            if isinstance(found, ProxyError):
                call.patience.cut(found)
            else:
                self._calls[call] = snapshot, found
            asked += 1
            if asked % SLICE == 0:
                await asyncio.sleep(0)

    def _stay_met(self) -> None:
        """Those whose calls go on are not forgotten, however many come meanwhile: the next snapshot would
        have them no more."""
        keys, names = self._snapshots.keys, self._snapshots.met
        if not (keys.is_crowded or names.is_crowded):
            return
        callers = [caller for call in self._calls if (caller := call.ledger.caller) is not None]
        keys.add([each.digest for each in callers if not each.issuer])
        for each in callers:
            if each.issuer:
                names.add([(each.issuer, each.issued_subject), *each.acting])

    def _asked(self, ledger: Ledger, snapshot: Snapshot, now: float) -> ProxyError | float:
        """Why a call may not go on, or until when this snapshot lets it (Unix seconds)."""
        try:
            return self._until(ledger, snapshot, now)
        except CallCut as cut:
            return cut
        except ProxyError as refusal:
            return BECAUSE.get(refusal.code, no_access)()
        except Exception as error:  # doubt ends the call
            log.error("call %s not confirmed: %s at %s", ledger.id, type(error).__name__, place_of(error))
            return Unavailable("internal_error", "The gateway could not handle this call.")

    def _until(self, ledger: Ledger, snapshot: Snapshot, now: float) -> float:
        """Raises what this call would be refused with now, or the cut that says why it may not go on."""
        known, aimed, head = ledger.caller, ledger.target, ledger.head
        assert known is not None and aimed is not None and head is not None  # noqa: S101  it was let in
        if ledger.id in snapshot.cuts:
            raise by_hand()
        caller = snapshot.again(known, now)
        target, path = snapshot.target(head.path)
        if target.id != aimed.id:
            raise closed()
        found, _ = snapshot.candidates(caller, target, path, head.network, now)
        if ledger.route is None or ledger.exchange is None or ledger.exchange.recorded is None:
            return now  # its model is not known yet: the next look asks again
        model = ledger.exchange.shape.model
        caller.scope.check_model(model)
        rule = self._rule(ledger.route.access.id, model, found, snapshot, now)
        if rule is None or misfit(rule, caller.group_ids, path, head.network) is not None:
            raise no_access()
        return min(caller.expires_at, rule.expires_at or float("inf"))

    def _rule(
        self, rule_id: UUID, model: str, found: Candidates, snapshot: Snapshot, now: float
    ) -> Access | None:
        """The rule that let a call in, as long as it allows its model, be it that another comes first by now.

        The index by id is made once per snapshot, and only where somebody asks.
        """
        first = found.choose(model, now)
        if first is not None and first.id == rule_id:
            return first
        if self._rules[0] is not snapshot:
            self._rules = snapshot, {rule.id: rule for rules in snapshot.access.values() for rule in rules}
        rule = self._rules[1].get(rule_id)
        return rule if rule is not None and passed_over(rule, model, now) is None else None
