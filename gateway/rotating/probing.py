"""Whether a secret opens the endpoints that will get it: a real call to each, before it is used."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from typing import Final

from gateway.credentials.oauth import TokenFailed
from gateway.credentials.placing import BODY, Placed
from gateway.credentials.secret import Secret
from gateway.credentials.sending import tried
from gateway.credentials.services import NoSecret
from gateway.models import Credential, Endpoint, EndpointKind, Placement, RotationPlan
from gateway.models.endpoint import endpoints_using
from gateway.upstreams.connecting import Aim, Heard, ask, opened, path_of, version_of

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


def probe(credential: Credential, plan: RotationPlan | None, secret: Secret) -> Probe:
    """Try the secret where it will be used. The first endpoint that it does not open decides."""
    places = list(_places(credential, plan))
    if not places:
        return Probe(Outcome.UNTESTABLE, NOWHERE)
    ends = time.monotonic() + 3 * SECONDS
    for endpoint, path in places:
        tried = _tried(endpoint, path, credential, secret, min(SECONDS, ends - time.monotonic()))
        if tried.outcome is not Outcome.WORKS:
            return tried
    return Probe(Outcome.WORKS, ", ".join(endpoint.slug for endpoint, _ in places)[:200])


def _places(credential: Credential, plan: RotationPlan | None) -> Iterator[tuple[Endpoint, str]]:
    """Endpoints, each with the path to ask."""
    said, found = plan.test_path if plan else "", False
    rows = endpoints_using(credential).filter(enabled=True, origin=credential.origin).order_by("slug")
    for endpoint in rows.select_related("credential", "client_certificate"):
        path = said or path_of(endpoint)
        if path:
            found = True
            yield endpoint, path
    if plan and said and not found:  # nobody uses it yet
        where = {"origin": credential.origin, "allow_private": plan.allow_private}
        yield Endpoint(slug="its origin", kind=EndpointKind.JSON, **_held_as(credential), **where), said


def _held_as(credential: Credential) -> dict[str, Credential]:
    name = "client_certificate" if credential.placement == Placement.CERTIFICATE else "credential"
    return {name: credential}


def _tried(endpoint: Endpoint, path: str, credential: Credential, secret: Secret, seconds: float) -> Probe:
    if seconds <= 0:
        return Probe(Outcome.UNREACHABLE, f"{endpoint.slug}: out of time")
    try:
        placed, certificate = _shown(endpoint, credential, secret)
    except TokenFailed as failure:
        rejected = failure.code in ("status_400", "status_401", "status_403")
        outcome = Outcome.REJECTED if rejected else Outcome.UNREACHABLE
        return Probe(outcome, f"{endpoint.slug}: no access token, {failure.code}")
    except NoSecret:
        return Probe(Outcome.UNTESTABLE, f"{endpoint.slug}: what is sent beside it cannot be had")
    if placed is not None and placed.where == BODY:
        return Probe(Outcome.UNTESTABLE, f"{endpoint.slug}: not sent by what can be tried")
    heard = ask(
        Aim(
            origin=endpoint.origin,
            path=path,
            allow_private=endpoint.allow_private,
            authorities=endpoint.ca_certificates,
            expected=0,
            headers={"accept": "application/json", **version_of(endpoint)},
            seconds=seconds,
            placed=placed,
            certificate=certificate,
        )
    )
    return _meaning(endpoint.slug, heard)


def _shown(endpoint: Endpoint, credential: Credential, secret: Secret) -> tuple[Placed | None, Secret | None]:
    """What a call to the endpoint carries and shows with the new secret, and with what it has beside it."""
    held = {"credential": endpoint.credential, "client_certificate": endpoint.client_certificate}
    found = {
        name: secret if each == credential else opened(each, endpoint.origin) for name, each in held.items()
    }
    key, sends = found["credential"], endpoint.credential
    return tried(sends, key) if sends and key else None, found["client_certificate"]


def _meaning(name: str, heard: Heard) -> Probe:
    if heard.status is None:
        return Probe(Outcome.UNREACHABLE, f"{name}: {heard.error}")
    detail = f"{name}: status {heard.status}"
    if 200 <= heard.status < 300:
        return Probe(Outcome.WORKS, detail)
    if heard.status in (401, 403):
        return Probe(Outcome.REJECTED, detail)
    busy = heard.status == 429 or heard.status >= 500
    return Probe(Outcome.UNREACHABLE if busy else Outcome.UNTESTABLE, detail)
