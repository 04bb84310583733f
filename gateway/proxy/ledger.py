"""What is known of one call, gathered as it goes, and told to the record in the record's words.

Holds no raw payload: the exchange's masked copies go in, snapshots come out.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import perf_counter_ns, time
from types import MappingProxyType
from typing import Final
from uuid import UUID

from audit import ids
from audit.recorder import Recorder
from audit.records import Admission, Close, Decision, Release, SealedOriginal, What, Who
from gateway.proxy.admission import RequestHead
from gateway.proxy.digests import sent_digest
from gateway.proxy.errors import (
    ApprovalDenied,
    ApprovalRequired,
    LimitReached,
    NoOriginals,
    PolicyBlocked,
    ProxyError,
    Unavailable,
)
from gateway.proxy.exchange import Exchange, Outcome
from gateway.proxy.meter import BYTES_PER_TOKEN, Account
from gateway.proxy.originals import Streamed
from gateway.proxy.routes import Caller, Route, Target
from policies.engine.types import Circumstances, Gate, Level, Verdict
from policies.engine.verdict import flagging

Headers = list[tuple[bytes, bytes]]

STREAM_HEADERS: Final[Headers] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"x-accel-buffering", b"no"),
]

GATES: Final[Mapping[Gate, str]] = {gate: gate.name.lower() for gate in Gate}
LEVELS: Final[Mapping[Level, str]] = {level: level.name.lower() for level in Level}
ACTIONS: Final[Mapping[Gate, str]] = {Gate.FLAG: "flagged", Gate.HOLD: "held", Gate.BLOCK: "blocked"}


METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
"""Any other is a client's own text, which nobody has looked into: it is not kept."""

NO_OUTCOME: Final = Outcome()  # read only
NOTHING_MORE: Final[Mapping[str, object]] = MappingProxyType({})
CONSTANT: Final[Headers] = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]


class Ledger:
    """One call's facts and times. Nanoseconds by phase; `away` is time spent waiting for somebody else."""

    def __init__(self) -> None:
        self.id = ids.new()
        self.head: RequestHead | None = None
        self.caller: Caller | None = None
        self.target: Target | None = None  # what was called, before it is known whether it may be
        self.route: Route | None = None
        self.exchange: Exchange | None = None
        self.account: Account | None = None  # where the call is counted, if its rule has limits
        self.answering = False  # the model's service has the request and has not refused it
        self.circumstances: Circumstances | None = None
        self.asked_for: Mapping[str, str] = {}  # headers that the model's API wants
        self.approval: UUID | None = None  # which it waits for or leaves under
        self.standing = ""  # of a call that is held: held, released or denied
        self.keeps_original = False  # the request's is in an entry that was handed to the recorder
        self.answer: SealedOriginal | None = None  # the original of a whole answer that is not yet recorded
        self.streamed: Streamed | None = None  # that of one that comes as a stream
        self.path_is_clean = False  # only then it may be recorded
        self.size = 0
        self.status = 0
        self.released = 0
        self.timings: dict[str, int] = {}
        self._began = self._last = perf_counter_ns()
        self._away = 0

    @property
    def network(self) -> str:
        return self.head.network if self.head else ""

    def lap(self, phase: str, *, away: bool = False) -> None:
        """Book the time since the last lap on a phase."""
        now = perf_counter_ns()
        spent = now - self._last
        self._last = now
        self.timings[phase] = self.timings.get(phase, 0) + spent
        if away:
            self._away += spent

    def headers(self) -> Headers:
        """What every answer tells the client about how its call was treated."""
        call = str(self.id).encode()
        overhead = (perf_counter_ns() - self._began - self._away) / 1e6
        headers = [
            (b"x-request-id", call),
            (b"x-postern-call", call),
            (b"x-postern-overhead-ms", b"%.1f" % overhead),
            *CONSTANT,
        ]
        if self.target is not None and self.target.kind == "anthropic":
            headers.append((b"request-id", call))
        if self.route is not None:
            policy = self.route.access.policy_label
            headers.append((b"x-postern-policy", policy.encode("ascii", "replace")))
        if self.approval is not None:
            headers.append((b"x-postern-approval", str(self.approval).encode()))
        if (verdict := self._verdict()) is not None:
            headers.append((b"x-postern-action", (self.standing or action_of(verdict)).encode()))
            if verdict.masked:
                headers.append((b"x-postern-masked", _counted(verdict.masked)))
        if self.account is not None:
            headers += self.account.remaining(time())
        return headers

    def joined(self, headers: Headers) -> Headers:
        """The answer's own headers with ours. What we say of a limit replaces what the model's service says
        of its own: ours can be acted on."""
        ours = self.headers()
        if self.account is not None:
            said = {name for name, _ in ours}
            headers = [pair for pair in headers if pair[0] not in said]
        return [*headers, *ours]

    def tokens(self) -> int:
        """What the call spent: as reported by the model's service, else estimated by size."""
        if not self.answering or self.exchange is None:
            return 0
        outcome = self.exchange.outcome
        spent, received = outcome.input_tokens, outcome.output_tokens
        if spent is None:
            spent = len(self.exchange.outgoing) // BYTES_PER_TOKEN
        if received is None:
            received = (outcome.streamed or self.released) // BYTES_PER_TOKEN
        return spent + received

    def admission(self, action: str, code: str = "", reason: str = "", approval: str = "") -> Admission:
        """The entry that is committed before anything leaves; `reason`: more than a client is told."""
        call, verdict = self.exchange, self._verdict()
        original = call.original if call else None
        self.keeps_original = original is not None
        return Admission(
            call_id=self.id,
            who=self._who(),
            what=self._what(),
            decision=_decision(action, code, verdict, self.circumstances, reason, approval),
            request_hmac=call.request_hmac if call else b"",
            sent_digest=sent_digest(call.leaving) if call and verdict else b"",
            request_size=self.size,
            request=call.recorded if call else None,
            looked=call.looked.told(call.policy.schema) if call and verdict else None,
            original=original,
            session_hint=call.session_hint if call else b"",
            fingerprints=call.fingerprints if call else (),
        )

    def release(self, action: str, approval: str) -> Release:
        """The entry that lets a held call out, or says that it goes on waiting: as it is judged now."""
        call = self.exchange
        assert call is not None  # noqa: S101  it was inspected
        return Release(
            what=self._what(),
            decision=_decision(action, "", call.verdict, self.circumstances, "", approval),
            sent_digest=sent_digest(call.leaving),
            request=call.recorded,
            looked=call.looked.told(call.policy.schema),
            original=None if self.keeps_original else call.original,
        )

    def close(self, code: str, *, complete: bool, status: int, action: str = "") -> Close:
        """The entry that says how it ended."""
        self.timings["total"] = perf_counter_ns() - self._began
        call = self.exchange
        outcome = call.outcome if call else NO_OUTCOME
        return Close(
            action=action or self._ended(code),
            status=status,
            complete=complete,
            code=code,
            finish_reason=outcome.finish_reason,
            input_tokens=outcome.input_tokens,
            output_tokens=outcome.output_tokens,
            response_size=self.released,
            response_counts=dict(call.counts) if call else {},
            timings={name: spent // 1000 / 1000 for name, spent in self.timings.items()},
            extra=self._extra(call) if call else NOTHING_MORE,
            fingerprints=tuple(call.met) if call else (),
        )

    def _extra(self, call: Exchange) -> Mapping[str, object]:
        """What of the response is told besides, and that its original is not there though it should be."""
        extra, streamed = _extra(call), self.streamed
        if streamed is None:
            return extra
        streamed.end()
        return {**extra, "original_left": streamed.left} if streamed.left else extra

    def _verdict(self) -> Verdict | None:
        """The request's verdict, once there is one."""
        return self.exchange.verdict if self.exchange and self.exchange.recorded is not None else None

    def _ended(self, code: str) -> str:
        """The action of a call that was admitted: what happened to the request, or worse, to the response."""
        call = self.exchange
        if call is None:
            return "refused"
        if self.standing in ("held", "denied"):
            return self.standing
        if call.response_gate in ACTIONS:
            return ACTIONS[Gate.BLOCK] if call.response_gate >= Gate.HOLD else ACTIONS[call.response_gate]
        if code:
            return "failed"
        action = self.standing or action_of(call.verdict)
        return "masked" if action == "passed" and call.response_masked else action

    def _who(self) -> Who:
        return self.caller.who(self.network) if self.caller else Who(network=self.network)

    def _what(self) -> What:
        """As much as had been found out when it was decided."""
        route, call = self.route, self.exchange
        if route is None:
            return self._aim()
        if call is None or not self.path_is_clean:
            return route.known()
        return route.what(call.model, call.shape.streaming)

    def _aim(self) -> What:
        named = self.head.method if self.head and self.caller else ""
        method = named if named in METHODS else ""
        target = self.target
        if target is None:
            return What(method=method)
        return What(
            area=target.area, endpoint_id=target.id, endpoint=target.slug, api=target.kind, method=method
        )


def action_of(verdict: Verdict) -> str:
    """A request's verdict in one word."""
    return ACTIONS.get(verdict.gate) or ("masked" if verdict.masked else "passed")


def refusal_action(error: ProxyError) -> str:
    """What a refusal is called in the record."""
    if isinstance(error, ApprovalDenied):
        return "denied"
    if isinstance(error, ApprovalRequired):
        return "held"
    return "blocked" if isinstance(error, PolicyBlocked) else "refused"


def is_recorded(recorder: Recorder, ledger: Ledger, error: ProxyError) -> bool:
    """Whether a refusal becomes a row. Callers that nobody knows, and those far beyond their limits, are
    counted and sampled: a flood of them must not fill the store."""
    untold = isinstance(error, Unavailable) and not isinstance(error, NoOriginals)
    if untold and error.code != "internal_error":
        return False
    caller = ledger.caller
    if caller is None:
        return recorder.count_refusal(code=error.code, network=ledger.network)
    if isinstance(error, LimitReached) and not error.sampled:
        recorder.count_refusal(code=error.code, network=ledger.network, caller=caller.subject)
        return False
    return True


def _decision(
    action: str,
    code: str,
    verdict: Verdict | None,
    circumstances: Circumstances | None,
    reason: str,
    approval: str = "",
) -> Decision:
    declared = ceiling = ""
    if circumstances is not None:
        declared = LEVELS[circumstances.declared] if circumstances.declared is not None else ""
        ceiling = LEVELS[circumstances.ceiling]
    if verdict is None:
        why = (reason,) if reason else ()
        gate = GATES[Gate.BLOCK]
        return Decision(action=action, gate=gate, code=code, reasons=why, declared=declared, ceiling=ceiling)
    reasons, highest, observed = verdict.reasons, verdict.highest, verdict.observed
    return Decision(
        action=action,
        gate=GATES[verdict.gate],
        code=code,
        reasons=tuple([reason.text for reason in reasons]) if reasons else (),
        rules=tuple(dict.fromkeys([each.rule_id for each in reasons if each.rule_id])) if reasons else (),
        counts=verdict.counts,
        highest=LEVELS[highest] if highest is not None else "",
        declared=declared,
        ceiling=ceiling,
        risk=verdict.risk,
        score=tuple([(part.points, part.text) for part in verdict.risk_parts]),
        observed=GATES[observed] if observed is not None else "",
        spared=verdict.spared,
        approval=approval,
    )


def _extra(call: Exchange) -> Mapping[str, object]:
    """What of the response was looked at, why it was treated as it was, what observing left undone, and which
    rules flagged."""
    observed, looked, flags = call.response_observed, call.looked_back, _flags(call)
    if not looked and observed is None and not call.response_reasons and not flags:
        return NOTHING_MORE
    extra: dict[str, object] = {"looked": looked.told(call.policy.schema)} if looked else {}
    extra |= flags
    if call.response_reasons or observed is not None:
        extra["response_reasons"] = [*call.response_reasons]
    if observed is not None:
        extra |= {"response_observed": GATES[observed], "response_spared": dict(call.response_spared)}
    return extra


def _flags(call: Exchange) -> Mapping[str, object]:
    """The rules that want this call looked at later, by direction, for the inbox of flagged calls."""
    found: dict[str, object] = {}
    if call.verdict.gate is Gate.FLAG:
        found["request_flags"] = dict(flagging(call.verdict))
    if call.response_gate is Gate.FLAG:
        found["response_flags"] = dict(call.response_flags)
        if call.response_highest is not None:
            found["response_highest"] = LEVELS[call.response_highest]
    return found


def _counted(counts: Mapping[str, int]) -> bytes:
    return ",".join(f"{name}={count}" for name, count in sorted(counts.items())).encode()


def enforce(verdict: Verdict) -> None:
    """Stop here what must not go on. What waits for a person is `holding.Hold`'s to stop."""
    if verdict.above_ceiling:
        raise PolicyBlocked("above_ceiling", "This endpoint does not take this request: " + because(verdict))
    if verdict.gate == Gate.BLOCK:
        raise PolicyBlocked("policy_blocked", "The policy blocks this request: " + because(verdict))


def because(verdict: Verdict) -> str:
    """Why it is stopped, in words for the caller."""
    reasons = [reason.text for reason in verdict.reasons if reason.enforced and reason.gate == verdict.gate]
    return "; ".join(dict.fromkeys(reasons)) or "no reason was given."
