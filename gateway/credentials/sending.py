"""How a credential's secret is put into a request."""

from __future__ import annotations

from gateway.credentials.oauth import Client, token_fetch
from gateway.credentials.placing import Placed, basic, in_body, in_header, in_query
from gateway.credentials.secret import Secret
from gateway.models import Credential, Placement


def placed_of(credential: Credential, secret: Secret) -> Placed | None:
    """The secret where it goes. None: it is not sent with a request (a client's secret, a certificate)."""
    match credential.placement:
        case Placement.HEADER:
            return in_header(credential.header, credential.scheme, secret)
        case Placement.QUERY:
            return in_query(credential.parameter, secret)
        case Placement.BODY:
            return in_body(credential.parameter, secret)
        case Placement.BASIC:
            return basic(credential.username, secret)
    return None


def client_of(credential: Credential, secret: Secret) -> Client:
    """Who asks for access tokens with this secret."""
    return Client(
        token_url=credential.token_url,
        client_id=credential.client_id,
        secret=secret,
        auth=credential.client_auth,
        scope=credential.scope,
        audience=credential.audience,
        allow_private=credential.token_private,
    )


def tried(credential: Credential, secret: Secret) -> Placed | None:
    """The secret as a trial sends it: a client's is tried by fetching a token. Raises `TokenFailed`."""
    if credential.placement != Placement.OAUTH:
        return placed_of(credential, secret)
    token = token_fetch(client_of(credential, secret))
    return in_header(credential.header, credential.scheme, token.value)
