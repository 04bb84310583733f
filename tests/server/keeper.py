"""A house's secrets, put in by a process of its own: `python -m tests.server.keeper PLACEMENT ORIGIN`."""

from __future__ import annotations

import sys

import django

COLUMNS = {
    "header": {"header": "x-api-key", "scheme": ""},
    "query": {"parameter": "key"},
    "body": {"parameter": "api_key"},
    "basic": {"username": "svc"},
    "oauth": {"client_id": "gw", "token_private": True},
}


def main(placement: str, origin: str) -> None:
    """Have the openai endpoint send the secret of standard input in this way."""
    django.setup()
    from gateway.credentials.secret import Secret
    from gateway.credentials.services import credential_save, credential_set, endpoint_attach, endpoint_move
    from gateway.models import Credential, Endpoint

    endpoint = Endpoint.objects.get(kind="openai")
    endpoint_move(endpoint=endpoint, origin=origin, by=None)
    more = {"token_url": f"{origin}/token"} if placement == "oauth" else {}
    row = Credential(area=endpoint.area, name=placement, origin=origin, placement=placement)
    for name, value in {**COLUMNS[placement], **more}.items():
        setattr(row, name, value)
    credential_save(credential=row, by=None)
    credential_set(credential=row, secret=Secret(sys.stdin.read().strip()), by=None)
    endpoint_attach(endpoint=endpoint, credential=row, by=None)


if __name__ == "__main__":
    main(*sys.argv[1:])
