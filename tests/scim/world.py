"""A directory and what it pushes, against the application itself: Entra keeps alice, bob and carol."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from wsgiref.headers import Headers

from django.test import Client
from django.utils import timezone
from scim2_client.engines.inprocess import InProcessResponse, _prepare_request
from scim2_client.engines.wsgi import WSGISCIMClient

from gateway.identity.directory_tokens import directory_token_create
from gateway.models import DirectoryToken, Issuer

SCIM = "application/scim+json"
CORE = "urn:ietf:params:scim:schemas:core:2.0"
PATCH = "urn:ietf:params:scim:api:messages:2.0:PatchOp"


def directory(name: str = "Entra", issuer: Issuer | None = None) -> tuple[DirectoryToken, str]:
    until = timezone.now() + timedelta(days=90)
    row, token = directory_token_create(name=name, expires_at=until, by=None, issuer=issuer)
    return row, token.reveal()


def issuer(name: str = "Entra") -> Issuer:
    return Issuer.objects.create(name=name, issuer=f"https://login.example.com/{name.lower()}")


class Pushing:
    """A directory's side: `call` returns status and body."""

    def __init__(self, token: str) -> None:
        self.client = Client(enforce_csrf_checks=True, headers={"authorization": f"Bearer {token}"})

    def call(self, method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
        kwargs: dict[str, Any] = {"query_params": query}
        if body is not None:
            kwargs |= {"data": body, "content_type": SCIM}
        response = getattr(self.client, method.lower())(f"/scim/v2{path}", **kwargs)
        if response.status_code == 204:
            assert response.content == b""
            return 204, None
        assert response["Content-Type"] == SCIM, response.content
        return response.status_code, response.json()

    def person(self, user_name: str, **more: Any) -> dict[str, Any]:
        body = {"schemas": [f"{CORE}:User"], "userName": user_name, "active": True, **more}
        status, found = self.call("POST", "/Users", body)
        assert status == 201, found
        return dict(found)

    def group(self, name: str, *members: str, **more: Any) -> dict[str, Any]:
        body = {
            "schemas": [f"{CORE}:Group"],
            "displayName": name,
            "members": [{"value": each} for each in members],
            **more,
        }
        status, found = self.call("POST", "/Groups", body)
        assert status == 201, found
        return dict(found)

    def patch(self, path: str, *operations: dict[str, Any]) -> tuple[int, Any]:
        return self.call("PATCH", path, {"schemas": [PATCH], "Operations": list(operations)})


class Checker(WSGISCIMClient):
    """scim2-client over Django's test client, which leaves the test's database connection open."""

    def __init__(self, token: str) -> None:
        super().__init__(lambda environ, start: [], base_url="http://localhost/scim/v2")
        self.django = Client(enforce_csrf_checks=True, headers={"authorization": f"Bearer {token}"})

    def request(self, method: str, url: str, **kwargs: Any) -> InProcessResponse:
        asked = _prepare_request(self.base_url, self.headers, method, url, **kwargs)
        path = f"{asked.url.path}?{asked.url.query}" if asked.url.query else asked.url.path
        sent = dict(asked.headers)
        response = self.django.generic(
            asked.method, path, asked.body, content_type=sent.get("Content-Type", SCIM)
        )
        return InProcessResponse(response.status_code, Headers(list(response.items())), response.content)
