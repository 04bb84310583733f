"""What of an endpoint's secrets can be opened, for one build of the snapshot."""

from __future__ import annotations

import logging
import time
from typing import Final, NamedTuple

from gateway.credentials.placing import Placed
from gateway.credentials.secret import Secret
from gateway.credentials.sending import client_of, placed_of
from gateway.credentials.services import NoSecret, NotNow, credential_reveal_for_origin
from gateway.models import Credential, CredentialState, CredentialVersion, Endpoint, Placement
from gateway.proxy.renewing import AccessTokens, Renewing
from gateway.proxy.routes import Certificate

log = logging.getLogger(__name__)

ASK_AGAIN: Final = 5.0
"""Seconds until a secret is tried again whose master key lies with somebody who did not answer."""


class Held(NamedTuple):
    """What of an endpoint's secrets could be opened; one that does not open closes it."""

    credential: Placed | AccessTokens | None = None
    certificate: Certificate | None = None
    refusal: str = ""


class Opening:
    """Secrets of one build."""

    def __init__(self, tokens: Renewing | None) -> None:
        self._tokens = tokens
        self._clients: list[AccessTokens] = []
        self.again: list[float] = []  # when to look again (Unix seconds)

    def done(self) -> None:
        """All have been asked for: access tokens of others are not renewed any more."""
        if self._tokens is not None:
            self._tokens.keep(self._clients)

    def of(self, endpoint: Endpoint) -> Held:
        try:
            return Held(self._credential(endpoint), self._certificate(endpoint))
        except NotNow as error:
            self.again.append(time.time() + ASK_AGAIN)
            log.error("endpoint %s: its secret cannot be opened now: %s", endpoint.slug, error)
        except NoSecret as error:
            log.error("endpoint %s: its credential cannot be used: %s", endpoint.slug, error)
        return Held(refusal="credential")

    def _credential(self, endpoint: Endpoint) -> Placed | AccessTokens | None:
        credential = endpoint.credential
        if credential is None:
            return None
        if credential.disabled_at is not None:
            raise NoSecret("its rotation is overdue")
        secret = _opened(credential, endpoint.origin)[1]
        if credential.placement != Placement.OAUTH:
            placed = placed_of(credential, secret)
            if placed is None:
                raise NoSecret("it is a client certificate")
            return placed
        client = client_of(credential, secret)
        tokens = AccessTokens(client, credential.header, credential.scheme)
        if self._tokens is not None:
            tokens = self._tokens.same(tokens)
            self._clients.append(tokens)
        return tokens

    def _certificate(self, endpoint: Endpoint) -> Certificate | None:
        credential = endpoint.client_certificate
        if credential is None:
            return None
        version, pem = _opened(credential, endpoint.origin)
        return Certificate(version.pk, pem)


def _opened(credential: Credential, origin: str) -> tuple[CredentialVersion, Secret]:
    """The secret in use, opened for the endpoint's own origin. Raises `NoSecret`."""
    version = credential.versions.filter(state=CredentialState.CURRENT).first()
    if version is None:
        raise NoSecret("it has no current version")
    return version, credential_reveal_for_origin(version=version, origin=origin)
