"""A call that its policy holds: asks for a person's decision, waits for it, leaves under it or not at all.

Nothing here decides. A grant is looked for, or asked for, by whose request it is and which; before it is used
the call is judged anew by the configuration of now, and a grant that was given for anything else is void
(P12). It is used up in the transaction of the entry that lets the call out (P8), so that no two calls leave
under one, whichever process they came to.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Final, Protocol, final
from uuid import UUID

from approvals import guards
from approvals.broker import ApprovalsUnavailable, Broker
from approvals.models import Status
from approvals.standing import Binding, Opening, Request, Standing
from audit import ids
from audit.recorder import GuardFailed, Recorder
from audit.records import Guard, Recordable
from gateway.proxy import approving, routes
from gateway.proxy.bearer import Bearer
from gateway.proxy.digests import DigestKeys, sent_digest
from gateway.proxy.distinct import Distinct
from gateway.proxy.errors import BadRequest, LimitReached, TokenRefused, Unauthenticated, Unavailable
from gateway.proxy.exchange import INLINE_BYTES, Exchange
from gateway.proxy.inspecting import check_path, inspect
from gateway.proxy.keeping import Kept
from gateway.proxy.ledger import LEVELS, Ledger, action_of, enforce
from gateway.proxy.operations import operation
from gateway.proxy.patience import Patience
from gateway.proxy.patient import patience_of, wish_of
from gateway.proxy.pools import Turn
from gateway.proxy.routes import Caller, Route
from gateway.proxy.snapshot import Snapshots
from gateway.proxy.upstream import Upstream
from policies.engine.types import Gate, Holding

ROUNDS: Final = 8
"""How often a call looks again because somebody was faster; then the store is in trouble."""

SIGN_OF_LIFE: Final = 10.0
"""Seconds between two comments in a stream that waits."""

PURPOSE_AT_MOST: Final = 500


class Held(Protocol):
    """The call, as far as it is needed here."""

    ledger: Ledger
    patience: Patience
    recorder: Recorder
    distinct: Distinct | None
    admitted: bool
    turn: Turn | None

    async def say_alive(self, comment: bytes) -> None: ...


class Process(Protocol):
    """The process's parts that are needed here."""

    broker: Broker
    upstream: Upstream
    bearer: Bearer
    snapshots: Snapshots
    keys: DigestKeys
    public_url: str
    open_approvals: int


@final
class Hold:
    """From the verdict to the release of one call."""

    def __init__(self, call: Held, proxy: Process, kept: Kept) -> None:
        self._call, self._proxy, self._kept = call, proxy, kept
        self._broker = proxy.broker
        self._ledger = ledger = call.ledger
        head, caller = ledger.head, ledger.caller
        assert head is not None and caller is not None  # noqa: S101  it was inspected
        self._head, self._caller = head, caller
        self._wish = wish_of(head)
        holding = self._holding
        self._kept_alive = holding.keeps_alive and self._exchange.shape.streaming and self._wish.wait is None
        patience = patience_of(head, self._wish, holding.seconds, kept_alive=self._kept_alive)
        self._deadline = asyncio.get_running_loop().time() + patience
        self._waited = False

    async def let_through(self) -> None:
        """Returns when the call may leave and the record says so; raises what it is answered with."""
        try:
            for _ in range(ROUNDS):
                if await self._look():
                    self._ledger.lap("admit")
                    return
        except ApprovalsUnavailable:
            raise _unavailable() from None
        raise _unavailable()

    async def _look(self) -> bool:
        """Whether it may leave; False: somebody was faster, look again."""
        verdict = self._exchange.verdict
        enforce(verdict)
        if verdict.gate is not Gate.HOLD:
            await self._go_free()
            return True
        standing = await self._broker.find(self._request)
        if standing is not None and standing.binding != self._binding:
            if standing.status is not Status.DENIED:
                await self._broker.supersede(standing.id, "the request is judged otherwise now")
            standing = None
        if standing is None:
            return await self._ask()
        self._ledger.approval = standing.id
        if standing.status is not Status.DENIED and not await self._bar(standing):
            return False
        if standing.status is Status.DENIED:
            raise approving.denied(standing, self._proxy.public_url)
        if standing.status is Status.APPROVED:
            return await self._use(standing)
        if not self._call.admitted:
            await self._admit("held", standing.id)
        await self._wait(standing)
        return False

    async def _bar(self, standing: Standing) -> bool:
        """Who stands behind this call does not decide about it, be it that another call has asked."""
        more = [each for each in barred(self._caller, self._proxy.snapshots) if each not in standing.barred]
        return not more or await self._broker.bar(standing.id, more)

    # --- asking -----------------------------------------------------------------------------------------

    async def _ask(self) -> bool:
        """Open an approval. Another process may open the same at this moment: then it is joined."""
        if self._waited:
            raise approving.used_or_void(self._ledger.approval, self._proxy.public_url)
        purpose = await self._purpose()
        if await self._broker.open_of(self._request.requester_id) >= self._proxy.open_approvals:
            limit = f"{self._proxy.open_approvals} open approvals"
            raise LimitReached("too_many_approvals", limit, approving.LATER)
        approval_id = ids.new()
        at_most = self._proxy.open_approvals  # asked above, to say so; counted where it is opened
        guard = guards.opening(approval_id, self._opening(purpose), ids.now(), at_most=at_most)
        self._ledger.approval = approval_id
        with suppress(GuardFailed):
            await self._admit("held", approval_id, guard=guard, view=True)
            self._broker.opened(approval_id)
        return False

    async def _purpose(self) -> str:
        """What the caller says that this is for, as it may be kept."""
        said = self._head.text(b"x-postern-purpose") or self._exchange.purpose(await self._kept.plain())
        if len(said) > PURPOSE_AT_MOST:
            raise BadRequest("purpose_too_long", f"State the purpose in {PURPOSE_AT_MOST} characters.")
        if said:
            return (await self._broker.scrubbed(said))[:PURPOSE_AT_MOST]
        if self._holding.purpose_required:
            raise BadRequest(
                "purpose_required",
                "This request needs an approval. Say what it is for in the header X-Postern-Purpose.",
            )
        return ""

    def _opening(self, purpose: str) -> Opening:
        route, verdict, caller = self._route, self._exchange.verdict, self._caller
        highest = verdict.highest
        return Opening(
            call_id=self._ledger.id,
            request=self._request,
            binding=self._binding,
            requester_kind=caller.kind,
            requester_name=caller.name,
            owner_id=caller.owner_id,
            key_id=caller.key_id,
            barred=barred(caller, self._proxy.snapshots),
            area=route.target.area,
            endpoint=route.target.slug,
            policy=route.access.policy_label,
            schema=route.access.schema_label,
            reasons=tuple(dict.fromkeys(reason.text for reason in verdict.reasons)),
            counts=dict(verdict.counts),
            highest=LEVELS[highest] if highest is not None else "",
            risk=verdict.risk,
            score=tuple((part.points, part.text) for part in verdict.risk_parts),
            purpose=purpose,
            holding=self._holding,
        )

    # --- waiting ----------------------------------------------------------------------------------------

    async def _wait(self, standing: Standing) -> None:
        """Until somebody has decided; then the call is judged anew. Raises what ends the waiting."""
        self._call.patience.watch()
        self._ledger.lap("admit")
        self._exchange.rest()
        decided = await self._decided(standing)
        self._ledger.lap("hold", away=True)
        url = self._proxy.public_url
        if decided is None or decided.status is Status.PENDING:
            verdict = self._exchange.verdict
            raise approving.pending(standing, verdict, url, self._wish, late=decided is not None)
        if decided.status is Status.DENIED:
            self._ledger.standing = "denied"
            raise approving.denied(decided, url)
        if decided.status in (Status.EXPIRED, Status.WITHDRAWN, Status.REVOKED):
            raise approving.over(decided, url)
        self._waited = True
        await self._judge()

    async def _decided(self, standing: Standing) -> Standing | None:
        """None: the caller cannot wait any longer."""
        requester = self._request.requester_id
        if self._left() <= 0 or not self._broker.has_room(requester):
            return None
        await self._kept.pack()
        with self._broker.waiting(requester, standing.id) as future:
            while (left := self._left()) > 0:
                try:
                    with self._call.patience.limit(min(left, SIGN_OF_LIFE) if self._kept_alive else left):
                        return await asyncio.shield(future)  # what ends a wait ends no other
                except TimeoutError:
                    if self._kept_alive:
                        await self._call.say_alive(b": waiting for a decision\n\n")
        return None

    def _left(self) -> float:
        return self._deadline - asyncio.get_running_loop().time()

    # --- leaving ----------------------------------------------------------------------------------------

    async def _judge(self) -> None:
        """By the versions, identity, locks and credential of now, as if the call had just come (P12)."""
        call, ledger, head = self._call, self._ledger, self._head
        caller = await self._proxy.bearer.again(self._caller, head)
        snapshot, now = self._proxy.snapshots.current(), time.time()
        if now >= caller.expires_at:
            raise _run_out(caller)
        target, path = snapshot.target(head.path)
        wire = operation(target.kind, head.method, path)
        access = snapshot.grant(caller, target, path, head.network, self._exchange.shape.model, now)
        route = Route(target, wire, path, access, routes.policy_of(access))
        circumstances = routes.circumstances(head, caller, target, now, call.distinct)
        fresh = Exchange(route.policy, wire, self._proxy.keys)
        keep = None if ledger.keeps_original else ledger.id
        await inspect(fresh, head, await self._kept.plain(), circumstances, keep=keep)
        check_path(fresh, route)
        self._caller = ledger.caller = caller
        ledger.target, ledger.route, ledger.circumstances, ledger.exchange = (
            target,
            route,
            circumstances,
            fresh,
        )

    async def _use(self, standing: Standing) -> bool:
        """Leave under a grant; False where it is used or gone meanwhile. Where the model's service cannot be
        asked, the grant stays for the next time."""
        turn = self._call.turn = self._proxy.upstream.turn(self._route.target)
        in_clear = self._holding.clear and not standing.emergency
        if in_clear:
            self._exchange.leave_in_clear(await self._kept.plain())
        guard = guards.consuming(
            standing.id, self._request, self._binding, self._ledger.id, in_clear=in_clear
        )
        try:
            await self._admit("released", standing.id, guard=guard)
        except GuardFailed:
            self._exchange.cleared = None
            turn.end()
            return False
        return True

    async def _go_free(self) -> None:
        """Judged anew it needs nobody: what was asked for is void."""
        self._call.turn = self._proxy.upstream.turn(self._route.target)
        approval_id = self._ledger.approval
        if approval_id is not None:
            await self._broker.supersede(approval_id, "the request needs no approval any more")
        await self._admit(action_of(self._exchange.verdict), None)

    async def _admit(
        self, action: str, approval_id: UUID | None, *, guard: Guard | None = None, view: bool = False
    ) -> None:
        """Write down that the call waits or leaves: its admission, or what became of it since."""
        call, ledger = self._call, self._ledger
        approval = str(approval_id) if approval_id else ""
        if call.admitted:
            await call.recorder.release(ledger.id, ledger.release(action, approval), guard=guard)
        else:
            seen = await self._view() if view else None
            await call.recorder.admit(ledger.admission(action, approval=approval), guard=guard, view=seen)
            call.admitted = True
        ledger.standing = action if action in ("held", "released") else ""

    async def _view(self) -> Recordable | None:
        body = await self._kept.plain()
        if len(body) > INLINE_BYTES:
            return await asyncio.to_thread(self._exchange.view, body)
        return self._exchange.view(body)

    # --- what it is about -------------------------------------------------------------------------------

    @property
    def _exchange(self) -> Exchange:
        assert self._ledger.exchange is not None  # noqa: S101  it was inspected
        return self._ledger.exchange

    @property
    def _route(self) -> Route:
        assert self._ledger.route is not None  # noqa: S101  nothing is inspected without one
        return self._ledger.route

    @property
    def _holding(self) -> Holding:
        return self._exchange.policy.spec.holding

    @property
    def _request(self) -> Request:
        assert self._caller.person_id is not None  # noqa: S101  callers are persons or programs
        return Request(self._caller.person_id, self._exchange.request_hmac)

    @property
    def _binding(self) -> Binding:
        access = self._route.access
        assert access.policy_version_id is not None and access.schema_version_id is not None  # noqa: S101
        return Binding(
            sent_digest(self._exchange.outgoing),
            self._route.target.id,
            self._exchange.model,
            access.id,
            access.policy_version_id,
            access.schema_version_id,
        )


def barred(caller: Caller, snapshots: Snapshots) -> tuple[UUID, ...]:
    """Persons who would decide for themselves: whoever acts for the caller, or answers for a program that
    does, whoever answers for the caller itself, and whoever made the key that it came with, since they have
    seen it."""
    acting = snapshots.met.callers(snapshots.current(), caller.acting)
    found = [person for each in acting for person in (each.person_id, each.owner_id)]
    # The owner of now: of an approval that is open already another one may be on record.
    found += [caller.owner_id, caller.maker_id]
    return tuple(dict.fromkeys(person for person in found if person is not None))


def _unavailable() -> Unavailable:
    return Unavailable("approvals_unavailable", "Approvals cannot be looked up now. Try again shortly.")


def _run_out(caller: Caller) -> Unauthenticated:
    if caller.issuer:
        return TokenRefused("invalid_token", "The bearer token is not accepted.", "expired while it waited")
    return Unauthenticated("invalid_api_key", "The API key is unknown, expired or revoked.")
