"""What the hammer holds against a gateway: sentences that begin with the promise that was broken.

Pure comparison of three accounts: the record (`hammer_oracle`), the model's (`hammer_model`) and the clients'
(`hammer_clients`). Findings are never retried and never excused.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from uuid import UUID

from .hammer_clients import Answer, Told, parse
from .hammer_model import Seen
from .hammer_oracle import Call, Evidence

OUTAGES = ("record_unavailable", "configuration_stale", "internal_error")
DONE = b"data: [DONE]\n\n"
UNTOLD = ("instance_lost", "client_gone")  # how a call ends that nobody could say more of


def judge_model(evidence: Evidence, whole: Sequence[Seen], broken: Sequence[Seen]) -> list[str]:
    """P1: every request was admitted before, and each admission was used once at most."""
    sendable = [call for call in evidence.calls.values() if call.may_be_sent]
    admitted = Counter(call.sent_digest for call in sendable)
    asked = Counter(seen.digest for seen in whole)
    found = [
        f"P1 the model saw {seen} requests with digest {digest.hex()}, admitted were {admitted[digest]}"
        for digest, seen in asked.items()
        if seen > admitted[digest]
    ]
    unused = [call for call in sendable if call.sent_digest not in asked]
    for seen in broken:
        match = next((call for call in unused if _could_be(call, seen)), None)
        if match is None:
            found.append(f"P1 the model saw the beginning of a request that nobody admitted: {seen.head!r}")
        else:
            unused.remove(match)
    return found


def _could_be(call: Call, seen: Seen) -> bool:
    """Whether what came of a request is the beginning of what was admitted (recorded as it was sent)."""
    if seen.length < 0:
        return True
    return len(call.request) == seen.length and call.request.startswith(seen.body)


def judge_clients(evidence: Evidence, told: Sequence[Told]) -> list[str]:
    """P2 and P13: what clients got is in the record, and nothing that was cut looked whole."""
    return [finding for each in told for finding in _judge_client(evidence, each)]


def _judge_client(evidence: Evidence, told: Told) -> Iterator[str]:
    answer = parse(told.got)
    if answer is None:
        return
    name = f"{told.kind} {told.nonce} (call {answer.call or 'unknown'})"
    call = evidence.calls.get(UUID(answer.call)) if answer.call else None
    # 503: a commit was lost sight of and may have happened; what the client got then are our own words.
    if call is not None and (answer.status == 200 or (call.parts and answer.status != 503)):
        if not call.response.startswith(answer.body):
            yield f"P2 the client of {name}, status {answer.status}, got bytes that are not in the record"
    elif answer.status < 400:
        yield f"P2 the client of {name} got status {answer.status} and there is no record of the call"
    elif answer.status == 503 and answer.whole and _code(answer.body) not in OUTAGES:
        yield f"P2 the client of {name} got a 503 that is not in our words"
    elif told.nonce.encode() in answer.body:
        yield f"P2 the client of {name} got words of the model that are not in the record"
    if answer.status == 200 and _is_stream(answer.headers):
        yield from _judge_stream(call, answer, name)


def _judge_stream(call: Call | None, answer: Answer, name: str) -> Iterator[str]:
    """A stream ends with the API's own end or is broken off, at the client and in the record."""
    close = call.closes[0] if call is not None and call.closes else None
    if answer.whole and not answer.body.endswith(DONE):
        yield f"P13 the cut stream of {name} ended as if it were whole"
    if close is None or call is None:
        return
    if close["complete"] and not call.response.endswith(DONE):
        yield f"P13 the record calls the stream of {name} complete, and it is not"
    if answer.whole and not close["complete"] and close["code"] not in UNTOLD:
        yield f"P13 the whole stream of {name} is recorded as incomplete"


def _code(body: bytes) -> str:
    """The code of one of our error documents, in either API's shape."""
    try:
        document = json.loads(body)
    except ValueError:
        return ""
    inner = document.get("error")
    return str((inner if isinstance(inner, dict) else document).get("code"))


def _is_stream(headers: dict[str, str]) -> bool:
    return headers.get("content-type", "").startswith("text/event-stream")


def judge_canaries(canaries: Sequence[bytes], places: Iterable[tuple[str, Iterable[bytes]]]) -> list[str]:
    """P7: nothing that must stay in is found in clear."""
    found = []
    for name, texts in places:
        text = b"\n".join(texts)
        found += [f"P7 {name} holds {canary!r}" for canary in canaries if canary in text]
    return found
