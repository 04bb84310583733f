"""Whether a secret opens the endpoints that will get it: a real call to each, before it is used."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from gateway.credentials.oauth import TokenFailed
from gateway.credentials.outbound import FetchFailed, fetch
from gateway.credentials.placing import BODY, carry
from gateway.credentials.secret import Secret
from gateway.credentials.sending import tried
from gateway.models import Credential, RotationPlan
from gateway.upstreams.certificates import context_for
from gateway.upstreams.connecting import path_of, version_of

SECONDS: Final = 10.0
NOWHERE: Final = "No endpoint that is enabled uses it in a way that can be tried: set a test path."


class Outcome(Enum):
    WORKS = "works"
    REJECTED = "rejected"
    UNREACHABLE = "unreachable"
    UNTESTABLE = "untestable"


@dataclass(frozen=True, slots=True)
class Probe:
    """`detail` names endpoint and status, nothing of what was answered."""

    outcome: Outcome
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Call:
    name: str
    url: str
    allow_private: bool
    authorities: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


def probe(credential: Credential, plan: RotationPlan | None, secret: Secret) -> Probe:
    """Try the secret where it will be used. The first endpoint that it does not open decides."""
    calls = list(_calls(credential, plan))
    if not calls:
        return Probe(Outcome.UNTESTABLE, NOWHERE)
    ends = time.monotonic() + 3 * SECONDS
    for call in calls:
        tried = _tried(call, credential, secret, min(SECONDS, ends - time.monotonic()))
        if tried.outcome is not Outcome.WORKS:
            return tried
    return Probe(Outcome.WORKS, ", ".join(call.name for call in calls)[:200])


def _calls(credential: Credential, plan: RotationPlan | None) -> Iterator[_Call]:
    said, found = plan.test_path if plan else "", False
    for endpoint in credential.endpoints.filter(enabled=True, origin=credential.origin).order_by("slug"):
        path = said or path_of(endpoint)
        if path:
            found = True
            yield _Call(
                name=endpoint.slug,
                url=endpoint.origin + path,
                allow_private=endpoint.allow_private,
                authorities=endpoint.ca_certificates,
                headers=version_of(endpoint),
            )
    if plan and said and not found:  # nobody uses it yet
        yield _Call("its origin", credential.origin + said, plan.allow_private)


def _tried(call: _Call, credential: Credential, secret: Secret, seconds: float) -> Probe:
    if seconds <= 0:
        return Probe(Outcome.UNREACHABLE, f"{call.name}: out of time")
    try:
        placed = tried(credential, secret)
        if placed is None or placed.where == BODY:
            return Probe(Outcome.UNTESTABLE, f"{call.name}: not sent by what can be tried")
        carried = carry(placed, b"")
        url = f"{call.url}?{carried.query}" if carried.query else call.url
        answer = fetch(
            url,
            allow_private=call.allow_private,
            seconds=seconds,
            headers={**call.headers, **carried.headers},
            verify=context_for(call.authorities),
        )
    except TokenFailed as failure:
        rejected = failure.code in ("status_400", "status_401", "status_403")
        outcome = Outcome.REJECTED if rejected else Outcome.UNREACHABLE
        return Probe(outcome, f"{call.name}: no access token, {failure.code}")
    except FetchFailed as failure:
        return Probe(Outcome.UNREACHABLE, f"{call.name}: {failure.code}")
    detail = f"{call.name}: status {answer.status}"
    if 200 <= answer.status < 300:
        return Probe(Outcome.WORKS, detail)
    if answer.status in (401, 403):
        return Probe(Outcome.REJECTED, detail)
    busy = answer.status == 429 or answer.status >= 500
    return Probe(Outcome.UNREACHABLE if busy else Outcome.UNTESTABLE, detail)
