"""The hot path, top to bottom: admit, identify, resolve, inspect, record, hold?, forward, stream, close.

A plain ASGI application mounted ahead of Django. `Proxy` is the configuration and lives as long as the
process; `_Call` is one call and holds all of its state. Nothing else orchestrates, nothing leaves before
the record of it is durable (P1), and no byte reaches a client before the entry that holds it (P2).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Final

from approvals.broker import Broker
from audit.recorder import Recorder, StoreUnavailable
from gateway.identity.network import TrustedProxies
from gateway.proxy import admission, routes
from gateway.proxy.admission import ClientGone, RequestHead
from gateway.proxy.bearer import Bearer
from gateway.proxy.distinct import Distinct
from gateway.proxy.drift import FieldLog
from gateway.proxy.errors import (
    BodyTimeout,
    ProxyError,
    Unavailable,
    Unrecorded,
    body_for,
    event_for,
    headers_for,
    place_of,
    stopped,
    unrecorded,
)
from gateway.proxy.exchange import DigestKeys, Exchange, Piece, own_words
from gateway.proxy.holding import Hold
from gateway.proxy.inspecting import check_path, inspect, read_part, read_whole
from gateway.proxy.keeping import Kept
from gateway.proxy.last_used import LastUsed
from gateway.proxy.ledger import (
    STREAM_HEADERS,
    Headers,
    Ledger,
    action_of,
    enforce,
    is_recorded,
    refusal_action,
)
from gateway.proxy.live import Live
from gateway.proxy.operations import asked_for, operation
from gateway.proxy.originals import Room
from gateway.proxy.patience import Patience
from gateway.proxy.pools import Turn
from gateway.proxy.recording import Recording
from gateway.proxy.routes import Access, Caller, Route, Snapshot, Target, Undecided
from gateway.proxy.snapshot import Snapshots
from gateway.proxy.streaming import StreamExchange
from gateway.proxy.tally import Tally
from gateway.proxy.upstream import Answer, Upstream, check, send, unreadable
from gateway.proxy.wire.base import Wire
from policies.engine.policy import Policy
from policies.engine.types import Circumstances, Gate, Verdict

log = logging.getLogger(__name__)

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]

LAST_WORDS: Final = 1.0
"""Seconds that a client may take for a stream's last event; the connection breaks after it in any case."""


class StreamCut(Exception):
    """Raised into the server on purpose: it breaks the connection, so that a cut stream cannot look whole."""


class Proxy:
    """One per process. `startup` and `shutdown` belong to the server's lifespan."""

    def __init__(self, *, recorder: Recorder, snapshots: Snapshots, tally: Tally, keys: DigestKeys) -> None:
        self.recorder = recorder
        self.snapshots = snapshots
        self.tally = tally
        self.meter, self.room = tally.meter, Room()
        self.fields = FieldLog()
        self.used = LastUsed()
        self.keys = keys
        self.upstream = Upstream(lambda: snapshots.latest)
        self.bearer = Bearer(snapshots)
        self.live = Live(snapshots)
        self.broker = Broker()
        self.open_approvals = 50  # that one caller may have
        self.public_url = ""  # what addresses begin with that callers are given
        self.proxies: TrustedProxies | None = None  # whose word on the client's address is believed

    async def startup(self) -> None:
        for slow in (self.recorder, self.snapshots, self.tally):
            await asyncio.to_thread(slow.start)
        for quick in (self.fields, self.used, self.bearer, self.live, self.broker, self.upstream):
            quick.start()

    async def shutdown(self) -> None:
        self.live.stop()
        for slow in (self.broker, self.bearer):
            await asyncio.to_thread(slow.stop)
        await self.upstream.close()
        for part in (self.snapshots, self.tally, self.fields, self.used):
            await asyncio.to_thread(part.stop)
        await asyncio.to_thread(self.recorder.stop, 5.0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await _Call(self, scope, receive, send).serve()


class _Call:
    """One call: how it goes and how far it got."""

    def __init__(self, proxy: Proxy, scope: Scope, receive: Receive, send: Send) -> None:
        self.proxy, self.scope, self.receive, self.send = proxy, scope, receive, send
        self.recorder = proxy.recorder
        self.patience = Patience(receive)
        self.ledger = Ledger()
        self.recording = Recording(proxy.recorder, self.ledger)
        self.kind = "openai"  # of the endpoint: how its clients read an error
        self.undecided: Undecided | None = None  # where the model has to decide the rule
        self.distinct: Distinct | None = None  # where the policy asks for it, or might
        self.turn: Turn | None = None  # at the model's service
        self.admitted = False  # the record has its admission and not yet its close
        self.started = False  # the client has a status line
        self.streams = False  # what it reads is a stream of events

    async def serve(self) -> None:
        try:
            try:
                await self._serve()
            finally:
                self.patience.end()
                self._leave()
        except StreamCut:
            raise
        except ProxyError as error:
            await self._fail(error)
        except StoreUnavailable:
            await self._fail(unrecorded())
        except ClientGone:
            await self._gone()
        except asyncio.CancelledError:
            if (cut := self.patience.was_cut()) is None:
                await self._gone()
                raise
            await self._fail(cut)
        except Exception as error:
            # The one place that catches everything: doubt ends the call, and the log line holds no payload.
            log.error("call %s failed: %s at %s", self.ledger.id, type(error).__name__, place_of(error))
            await self._fail(Unavailable("internal_error", "The gateway could not handle this call."))

    async def _serve(self) -> None:
        ledger = self.ledger
        head = ledger.head = admission.check_head(self.scope, self.proxy.proxies)
        caller = ledger.caller = await self.proxy.bearer.caller(head)
        snapshot, now = self.proxy.snapshots.current(), time.time()
        self.proxy.used.saw(caller.key_id, head.network, now)
        target, wire = self._resolve(snapshot, caller, head, now)
        circumstances = ledger.circumstances = routes.circumstances(head, caller, target, now, self.distinct)
        self.proxy.live.enter(self)
        ledger.lap("auth")
        admission.check_content_type(head)
        ledger.asked_for = asked_for(target.kind, head)
        body = await self._body(head, target.max_body)
        ledger.size = len(body)
        ledger.lap("body")
        policy = ledger.route.policy if ledger.route is not None else self._policy_of
        call = ledger.exchange = Exchange(policy, wire, self.proxy.keys)
        call.lists_fields = self.proxy.fields.looks_at(target.id)
        verdict = await self._inspect(call, head, body, circumstances)
        if call.lists_fields and call.fields:
            self.proxy.fields.saw(target.id, call.fields, now)
        ledger.lap("scan")
        enforce(verdict)
        if verdict.gate is Gate.HOLD:
            kept = Kept(body)
            del body  # while the call waits, it is kept in one place
            await Hold(self, self.proxy, kept).let_through()
        else:
            self.turn = self.proxy.upstream.turn(target)
            await self.recorder.admit(ledger.admission(action_of(verdict)))
            self.admitted = True
            ledger.lap("admit")
        await self._forward()

    def _resolve(
        self, snapshot: Snapshot, caller: Caller, head: RequestHead, now: float
    ) -> tuple[Target, Wire]:
        """Endpoint, operation and access rule; the rule waits for the body where it depends on the model."""
        ledger = self.ledger
        target, path = snapshot.target(head.path)
        ledger.target, self.kind = target, target.kind
        wire = operation(target.kind, head.method, path)
        candidates, first = snapshot.candidates(caller, target, path, head.network, now)
        if candidates.settled and not caller.scope.models:
            ledger.route = Route(target, wire, path, first, routes.policy_of(first))
            self._count_values(caller, ledger.route.policy)
            self._enter(caller, first)
        else:
            self.undecided = Undecided(candidates, target, wire, path, now, caller.scope)
            self.distinct = self.proxy.tally.values.of(caller.account)
        return target, wire

    def _policy_of(self, model: str) -> Policy:
        """The rule is decided by the model: the body is read, and not yet inspected."""
        assert self.undecided is not None  # noqa: S101  else the rule is known
        route = self.ledger.route = self.undecided.under(model)
        if self.distinct is not None:
            self.distinct.schema = routes.schema_of(route.policy)
        return route.policy

    def _count_values(self, caller: Caller, policy: Policy) -> None:
        """Different values are counted where the policy asks for it."""
        if policy.asks_for_distinct:
            self.distinct = self.proxy.tally.values.of(caller.account)
            self.distinct.schema = routes.schema_of(policy)

    def _enter(self, caller: Caller, access: Access) -> None:
        """Count the call where its rule has limits, or refuse it."""
        if access.limits is not None:
            enter = self.proxy.meter.enter
            self.ledger.account = enter(access.id, caller.account, access.limits, time.time())

    def _leave(self) -> None:
        if self.turn is not None:
            self.turn.end()
        self.proxy.live.leave(self)
        if (account := self.ledger.account) is not None:
            self.proxy.meter.leave(account, self.ledger.tokens(), time.time())

    async def _body(self, head: RequestHead, limit: int) -> bytes:
        try:
            with self.patience.limit(admission.BODY_SECONDS):
                return await admission.read_body(self.receive, head, limit)
        except TimeoutError:
            raise BodyTimeout("body_timeout", "The request body took too long.") from None

    async def _inspect(
        self, call: Exchange, head: RequestHead, body: bytes, circumstances: Circumstances
    ) -> Verdict:
        if self.undecided is None:
            self._check_path(call)
        verdict = await inspect(call, head, body, circumstances, keep=self.ledger.id)
        if self.undecided is not None:
            self._check_path(call)
            route, caller = self.ledger.route, self.ledger.caller
            assert route is not None and caller is not None  # noqa: S101  the inspection has decided
            self._enter(caller, route.access)
        return verdict

    def _check_path(self, call: Exchange) -> None:
        """Only then it may be recorded."""
        route = self.ledger.route
        assert route is not None  # noqa: S101  decided before it is asked for
        check_path(call, route)
        self.ledger.path_is_clean = True

    async def say_alive(self, comment: bytes) -> None:
        """A sign of life in a stream that waits for a decision. From here on its status is 200."""
        if not self.started:
            self.streams = True
            await self._start(200, STREAM_HEADERS)
        await self.send({"type": "http.response.body", "body": comment, "more_body": True})

    async def _forward(self) -> None:
        """Send what was let through: judged anew while it waited, it may have another exchange and route."""
        call, route, turn = self.ledger.exchange, self.ledger.route, self.turn
        assert call and route and turn  # noqa: S101  nothing is let through without
        self.patience.watch()
        self.ledger.answering = True  # also where the client leaves before the answer: the model is at it
        try:
            answer = await send(turn, route.path, call.leaving, self.patience, self.ledger.asked_for)
        except ProxyError:
            self.ledger.answering = False
            raise
        try:
            self.ledger.lap("upstream_first_byte", away=True)
            self.ledger.answering = answer.status == 200
            check(answer)
            if answer.status == 200 and answer.content_type == "text/event-stream":
                await self._stream(call, answer)
            elif self.started:
                raise unreadable()
            else:
                await self._document(call, answer)
        finally:
            answer.close()

    async def _document(self, call: Exchange, answer: Answer) -> None:
        if answer.content_type != "application/json":
            raise unreadable()
        body = await answer.body()
        self.ledger.lap("upstream_body", away=True)
        piece, self.ledger.answer = await read_whole(call, self.ledger.id, answer.status, body)
        self.ledger.lap("scan_response")
        if piece.stop:
            raise stopped()
        await self.recording.part(piece.record, last=True)
        self.ledger.lap("record")
        await self._respond(answer.status, piece.sent, answer.passed_headers())
        self._close("", complete=True)

    async def _stream(self, call: Exchange, answer: Answer) -> None:
        if not call.shape.streaming:
            raise unreadable()
        stream = StreamExchange(call, answer.echo)
        take = self.recording.streams(call, self.proxy.room, answer.echo)
        while chunk := await answer.chunk():
            self.ledger.lap("upstream_stream", away=True)
            take(chunk)
            await self._release(read_part(call, stream.decode, chunk))
        await self._release(read_part(call, stream.flush))
        if call.outcome.failed or not call.outcome.whole:
            raise answer.cut()
        await self.send({"type": "http.response.body", "body": b"", "more_body": False})
        self._close("", complete=True)

    async def _release(self, piece: Piece) -> None:
        """Record, then send."""
        self.ledger.lap("scan_response")
        if piece.sent:
            await self.recording.part(piece.record)
            self.ledger.lap("record")
            if not self.started:
                self.streams = True
                await self._start(200, STREAM_HEADERS)
            await self._send(piece.sent, more=True)
            self.ledger.lap("send", away=True)
        if piece.stop:
            raise stopped()

    async def _respond(self, status: int, body: bytes, headers: Headers) -> None:
        length = str(len(body)).encode()
        kind = (b"content-type", b"application/json")
        await self._start(status, [kind, (b"content-length", length), *headers])
        await self._send(body, more=False)

    async def _start(self, status: int, headers: Headers) -> None:
        self.started, self.ledger.status = True, status
        headers = self.ledger.joined(headers)
        await self.send({"type": "http.response.start", "status": status, "headers": headers})

    async def _send(self, body: bytes, *, more: bool) -> None:
        await self.send({"type": "http.response.body", "body": body, "more_body": more})
        self.ledger.released += len(body)

    async def _fail(self, error: ProxyError) -> None:
        """Answer with an error: recorded first, in the API's shape, and inside the stream if it has begun.

        However the recording ends, the call is closed: nobody else closes it while this process lives.
        """
        shape = event_for if self.started else body_for
        try:
            await self._record_failure(error, shape(self.kind, error, str(self.ledger.id)))
        except StoreUnavailable:
            error = unrecorded()
        finally:
            self._close(error.code, complete=False, status=self.ledger.status or error.status)
        body = shape(self.kind, error, str(self.ledger.id))
        if not self.started:
            with suppress(Exception):  # the client may be gone; the record has it already
                await self._respond(error.status, body, headers_for(error))
            return
        if self.streams and not isinstance(error, Unrecorded):
            with suppress(Exception):
                await asyncio.wait_for(self._send(body, more=True), LAST_WORDS)
        raise StreamCut(error.code) from None

    async def _record_failure(self, error: ProxyError, body: bytes) -> None:
        """An admitted call gets its last segment; a refused one is an admission of its own, closed."""
        if self.admitted:
            if not isinstance(error, Unrecorded):
                await self.recording.part(own_words(body), last=True)
        elif is_recorded(self.recorder, self.ledger, error):
            action = refusal_action(error)
            close = self.ledger.close(error.code, complete=True, status=error.status, action=action)
            await self.recorder.refuse(self.ledger.admission(action, error.code, error.reason), close)

    async def _gone(self) -> None:
        """The client has left: nothing is answered."""
        try:
            await self.recording.rest()
        finally:
            self._close("client_gone", complete=False)

    def _close(self, code: str, *, complete: bool, status: int | None = None) -> None:
        """Tell the recorder how an admitted call ended. Happens once."""
        if self.admitted:
            self.admitted = False
            status = self.ledger.status if status is None else status
            self.recorder.close(self.ledger.id, self.ledger.close(code, complete=complete, status=status))
