"""What is known of one call, gathered as it goes, and told to the record in the record's words.

Holds no raw payload: the exchange's masked copies go in, snapshots come out.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, Final

from audit import ids
from audit.records import Admission, Close, Decision, What, Who
from gateway.proxy.admission import RequestHead
from gateway.proxy.errors import ApprovalRequired, PolicyBlocked, ProxyError
from gateway.proxy.exchange import Exchange, sent_digest
from gateway.proxy.routes import Caller, Route, Target
from policies.engine.types import Gate, Verdict

Headers = list[tuple[bytes, bytes]]

ACTIONS: Final[Mapping[Gate, str]] = {Gate.FLAG: "flagged", Gate.HOLD: "held", Gate.BLOCK: "blocked"}


class Ledger:
    """One call's facts and times. Milliseconds by phase; `away` is time spent waiting for somebody else."""

    def __init__(self) -> None:
        self.id = ids.new()
        self.head: RequestHead | None = None
        self.caller: Caller | None = None
        self.exchange: Exchange | None = None
        self.what: dict[str, Any] = {}
        self.size = 0
        self.status = 0
        self.released = 0
        self.timings: dict[str, float] = {}
        self._began = self._last = time.perf_counter()
        self._away = 0.0

    @property
    def network(self) -> str:
        return self.head.network if self.head else ""

    def aimed(self, target: Target, method: str) -> None:
        """Note what was called, before it is known whether it may be."""
        self.what.update(
            area=target.area, endpoint_id=target.id, endpoint=target.slug, api=target.kind, method=method
        )

    def routed(self, route: Route) -> None:
        """Note under which rule and versions it may be called."""
        access = route.access
        self.what.update(
            api=route.wire.api,
            access_rule_id=access.id,
            policy_version_id=access.policy_version_id,
            policy=access.policy_label,
            schema_version_id=access.schema_version_id,
            schema=access.schema_label,
        )

    def lap(self, phase: str, *, away: bool = False) -> None:
        """Book the time since the last lap on a phase."""
        now = time.perf_counter()
        spent = now - self._last
        self._last = now
        self.timings[phase] = self.timings.get(phase, 0.0) + spent * 1000
        if away:
            self._away += spent

    def headers(self) -> Headers:
        """What every answer tells the client about how its call was treated."""
        call = str(self.id).encode()
        overhead = (time.perf_counter() - self._began - self._away) * 1000
        headers = [
            (b"x-request-id", call),
            (b"x-postern-call", call),
            (b"x-postern-overhead-ms", b"%.1f" % overhead),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ]
        if policy := self.what.get("policy"):
            headers.append((b"x-postern-policy", policy.encode("ascii", "replace")))
        if (verdict := self._verdict()) is not None:
            headers.append((b"x-postern-action", action_of(verdict).encode()))
            if verdict.masked:
                headers.append((b"x-postern-masked", _counted(verdict.masked)))
        return headers

    def admission(self, action: str, code: str = "") -> Admission:
        """The entry that is committed before anything leaves."""
        call, verdict = self.exchange, self._verdict()
        return Admission(
            call_id=self.id,
            who=self._who(),
            what=What(**self.what),
            decision=_decision(action, code, verdict),
            request_hmac=call.request_hmac if call else b"",
            sent_digest=sent_digest(call.outgoing) if call and verdict else b"",
            request_size=self.size,
            request=call.recorded if call else None,
            session_hint=call.session_hint if call else b"",
            fingerprints=call.fingerprints if call else (),
        )

    def close(self, code: str, *, complete: bool, status: int, action: str = "") -> Close:
        """The entry that says how it ended."""
        self.timings["total"] = (time.perf_counter() - self._began) * 1000
        call = self.exchange
        outcome = call.outcome if call else None
        return Close(
            action=action or self._ended(code),
            status=status,
            complete=complete,
            code=code,
            finish_reason=outcome.finish_reason if outcome else "",
            input_tokens=outcome.input_tokens if outcome else None,
            output_tokens=outcome.output_tokens if outcome else None,
            response_size=self.released,
            response_counts=dict(call.counts) if call else {},
            timings={name: round(value, 3) for name, value in self.timings.items()},
        )

    def _verdict(self) -> Verdict | None:
        """The request's verdict, once there is one."""
        return self.exchange.verdict if self.exchange and self.exchange.recorded is not None else None

    def _ended(self, code: str) -> str:
        """The action of a call that was admitted: what happened to the request, or worse, to the response."""
        call = self.exchange
        if call is None:
            return "refused"
        if call.response_gate in ACTIONS:
            return ACTIONS[Gate.BLOCK] if call.response_gate >= Gate.HOLD else ACTIONS[call.response_gate]
        if code:
            return "failed"
        action = action_of(call.verdict)
        return "masked" if action == "passed" and call.response_masked else action

    def _who(self) -> Who:
        caller = self.caller
        if caller is None:
            return Who(network=self.network)
        return Who(
            person_id=caller.person_id,
            subject=caller.subject,
            name=caller.name,
            kind=caller.kind,
            owner_id=caller.owner_id,
            key_id=caller.key_id,
            key_prefix=caller.key_prefix,
            groups=caller.groups,
            network=self.network,
        )


def action_of(verdict: Verdict) -> str:
    """A request's verdict in one word."""
    return ACTIONS.get(verdict.gate) or ("masked" if verdict.masked else "passed")


def refusal_action(error: ProxyError) -> str:
    """What a refusal is called in the record."""
    if isinstance(error, ApprovalRequired):
        return "held"
    return "blocked" if isinstance(error, PolicyBlocked) else "refused"


def _decision(action: str, code: str, verdict: Verdict | None) -> Decision:
    if verdict is None:
        return Decision(action=action, gate=Gate.BLOCK.name.lower(), code=code)
    return Decision(
        action=action,
        gate=verdict.gate.name.lower(),
        code=code,
        reasons=tuple(reason.text for reason in verdict.reasons),
        rules=tuple(dict.fromkeys(reason.rule_id for reason in verdict.reasons if reason.rule_id)),
        counts=verdict.counts,
        highest=verdict.highest.name.lower() if verdict.highest is not None else "",
    )


def _counted(counts: Mapping[str, int]) -> bytes:
    return ",".join(f"{name}={count}" for name, count in sorted(counts.items())).encode()
