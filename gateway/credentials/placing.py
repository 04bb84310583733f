"""Where in a request a secret goes. Pure: no Django, no I/O. `carry` is the one place that writes it out."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from gateway.credentials.secret import Secret
from policies.engine import jsontext

HEADER: Final = "header"
QUERY: Final = "query"
BODY: Final = "body"


class Unplaceable(ValueError):
    """The body is no JSON object, so no field of it can hold the secret."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A secret, ready to be sent: under this name of a header, of the query or of the body."""

    where: str
    name: str
    value: Secret
    told: tuple[Secret, ...] = field(default=(), repr=False)
    """What an answer must not repeat: the secret, and the secret as it is written there."""


@dataclass(frozen=True, slots=True)
class Carried:
    """What is added to a request. Nothing of it prints."""

    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: str = field(default="", repr=False)
    body: bytes = field(default=b"", repr=False)


def in_header(name: str, scheme: str, secret: Secret) -> Placed:
    return Placed(HEADER, name, Secret(f"{scheme} {secret.reveal()}".strip()), (secret,))


def in_query(name: str, secret: Secret) -> Placed:
    return Placed(QUERY, name, Secret(quote(secret.reveal(), safe="")), (secret,))


def in_body(name: str, secret: Secret) -> Placed:
    return Placed(BODY, name, secret, (secret,))


def basic(username: str, secret: Secret) -> Placed:
    token = Secret(base64.b64encode(f"{username}:{secret.reveal()}".encode()).decode())
    return Placed(HEADER, "Authorization", Secret(f"Basic {token.reveal()}"), (secret, token))


def carry(placed: Placed, body: bytes) -> Carried:
    """The additions that carry the secret. Raises `Unplaceable`; a field that the body has is replaced."""
    if placed.where == HEADER:
        return Carried(headers={placed.name: placed.value.reveal()}, body=body)
    if placed.where == QUERY:
        return Carried(query=f"{placed.name}={placed.value.reveal()}", body=body)
    tree = jsontext.loads(body)
    if not isinstance(tree, dict):
        raise Unplaceable
    return Carried(body=jsontext.dumps({**tree, placed.name: placed.value.reveal()}))
