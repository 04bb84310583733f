"""The calls under way in this process, asked again and again whether they may go on (P12).

A call is let in by the configuration of one moment. Twice a second every call is put to the newest one: it
goes on as long as the same call would still be let in under its rule, and nobody has cut it. A process that
cannot read its configuration ends them all, since a lock might be in what it did not see. What a call was
judged by stays: a policy that is published meanwhile counts for the next call.

To a call this costs entering a set and leaving it. A call that waits, for the model or for an approval, is
ended the same way as one that streams: `Patience.cut`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping
from typing import Final, Protocol
from uuid import UUID

from gateway.proxy.access import Access, misfit, passed_over
from gateway.proxy.errors import CallCut, ProxyError, Unavailable, place_of
from gateway.proxy.ledger import Ledger
from gateway.proxy.patience import Patience
from gateway.proxy.routes import Caller, Candidates, Snapshot
from gateway.proxy.snapshot import Snapshots

log = logging.getLogger(__name__)

LOOK: Final = 0.5
"""Seconds between two looks. With the second in which a change is read, a cut has begun within two."""

SLICE: Final = 100
"""Calls that are looked at before others get their turn."""

LOCKED: Final = (
    "cut_locked",
    "This call was ended: a lock stops it, or its caller may not make calls any more.",
)
REVOKED: Final = (
    "cut_revoked",
    "This call was ended: the credential that it came with is not valid any more.",
)
CLOSED: Final = ("cut_closed", "This call was ended: its endpoint takes no calls any more.")
NO_ACCESS: Final = ("cut_no_access", "This call was ended: its access rule does not cover it any more.")
BY_HAND: Final = ("cut_by_hand", "This call was ended by an administrator.")
BECAUSE: Final[Mapping[str, tuple[str, str]]] = {
    "invalid_api_key": REVOKED,
    "caller_locked": LOCKED,
    "gateway_locked": LOCKED,
    "endpoint_closed": CLOSED,
    "unknown_endpoint": CLOSED,
}
"""How a call ends that would be refused with this code if it came now; any other: it has no access."""


class Going(Protocol):
    """A call that has been let in."""

    ledger: Ledger
    patience: Patience


class Live:
    """One per process. Lives on the loop that serves the calls."""

    def __init__(self, snapshots: Snapshots) -> None:
        self._snapshots = snapshots
        self._calls: set[Going] = set()
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
        self._calls.add(call)

    def leave(self, call: Going) -> None:
        """It has come to its end, or was never let in."""
        self._calls.discard(call)

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
        now = time.time()
        for number, call in enumerate([*self._calls], 1):
            if call in self._calls and (why := self._why(call.ledger, snapshot, now)) is not None:
                call.patience.cut(why)
            if number % SLICE == 0:
                await asyncio.sleep(0)

    def _why(self, ledger: Ledger, snapshot: Snapshot, now: float) -> ProxyError | None:
        """Why a call may not go on; None if it may."""
        try:
            self._confirm(ledger, snapshot, now)
        except CallCut as cut:
            return cut
        except ProxyError as refusal:
            return CallCut(*BECAUSE.get(refusal.code, NO_ACCESS))
        except Exception as error:  # doubt ends the call
            log.error(
                "call %s cannot be confirmed: %s at %s", ledger.id, type(error).__name__, place_of(error)
            )
            return Unavailable("internal_error", "The gateway could not handle this call.")
        return None

    def _confirm(self, ledger: Ledger, snapshot: Snapshot, now: float) -> None:
        """Raise what this call would be refused with, or the cut that says why it may not go on."""
        known, aimed, head = ledger.caller, ledger.target, ledger.head
        assert known is not None and aimed is not None and head is not None  # noqa: S101  it was let in
        if ledger.id in snapshot.cuts:
            raise CallCut(*BY_HAND)
        caller = snapshot.again(known, now)
        target, path = snapshot.target(head.path)
        if target.id != aimed.id:
            raise CallCut(*CLOSED)
        candidates, _ = snapshot.candidates(caller, target, path, head.network, now)
        if ledger.route is not None and not self._covers(ledger, snapshot, candidates, caller, path, now):
            raise CallCut(*NO_ACCESS)

    def _covers(
        self, ledger: Ledger, snapshot: Snapshot, found: Candidates, caller: Caller, path: str, now: float
    ) -> bool:
        """Whether the rule that let the call in still fits it, be it that another comes first by now."""
        route, call = ledger.route, ledger.exchange
        assert route is not None  # noqa: S101  asked for those that have one
        if call is None or call.recorded is None:
            return True  # its model is not known yet: the next look sees
        model = call.shape.model
        first = found.choose(model, now)
        if first is not None and first.id == route.access.id:
            return True
        rule = self._rule(snapshot, route.access.id)
        return (
            rule is not None
            and misfit(rule, caller.group_ids, path, ledger.network) is None
            and passed_over(rule, model, now) is None
        )

    def _rule(self, snapshot: Snapshot, rule_id: UUID) -> Access | None:
        """A rule by its id; the index is made once per snapshot, and only where somebody asks."""
        if self._rules[0] is not snapshot:
            self._rules = snapshot, {rule.id: rule for rules in snapshot.access.values() for rule in rules}
        return self._rules[1].get(rule_id)
