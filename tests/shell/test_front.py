"""Who takes a request, and that a proxy which cannot start keeps the server from starting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from gateway import front
from gateway.front import Front
from gateway.scim.bounds import LARGEST
from gateway.static import StaticFiles, respond

from .asgi import ask


class Named:
    """An application that says its name."""

    def __init__(self, name: str, problem: Exception | None = None) -> None:
        self.name, self.problem, self.log = name, problem, list[str]()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await respond(send, 200, [], self.name.encode())

    async def startup(self) -> None:
        if self.problem:
            raise self.problem
        self.log.append("startup")

    async def shutdown(self) -> None:
        self.log.append("shutdown")


def house(*, ready: bool = True, problem: Exception | None = None) -> Front:
    return Front(Named("proxy", problem), lambda: ready, Named("static"), Named("django"))


@pytest.mark.parametrize(
    ("path", "taker"),
    [
        ("/proxy/chat/v1/models", b"proxy"),
        ("/proxy/", b"proxy"),
        ("/proxyless", b"django"),
        ("/static/a.css", b"static"),
        ("/livez", b"ok\n"),
        ("/readyz", b"ok\n"),
        ("/readyz/", b"django"),
        ("/scim/v2/Users", b"django"),
        ("/", b"django"),
    ],
)
def test_each_path_has_one_taker(path: str, taker: bytes) -> None:
    assert ask(house(), "GET", path).body == taker


def test_a_gateway_that_cannot_record_is_alive_but_not_ready() -> None:
    assert ask(house(ready=False), "GET", "/livez").status == 200
    answer = ask(house(ready=False), "GET", "/readyz")
    assert (answer.status, answer.body) == (503, b"not ready\n")


def test_health_changes_nothing_and_is_not_kept() -> None:
    assert ask(house(), "POST", "/livez").status == 405
    assert ask(house(), "GET", "/livez").headers["cache-control"] == "no-store"


def lifespan(application: Front) -> list[str]:
    """Run a whole lifespan; the types of what the application sent."""
    incoming = iter(["lifespan.startup", "lifespan.shutdown"])
    sent: list[str] = []

    async def receive() -> dict[str, str]:
        return {"type": next(incoming)}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message["type"])

    run: Callable[..., Awaitable[None]] = application
    asyncio.run(run({"type": "lifespan"}, receive, send))  # type: ignore[arg-type]
    return sent


def test_the_proxy_lives_as_long_as_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "refusals", list)
    application = house()
    assert lifespan(application) == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert application.proxy.log == ["startup", "shutdown"]  # type: ignore[attr-defined]


def test_an_unsafe_configuration_fails_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "refusals", lambda: ["gateway.E001: SECRET_KEY is not set."])
    assert lifespan(house()) == ["lifespan.startup.failed"]


def test_a_proxy_that_cannot_start_fails_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "refusals", list)
    assert lifespan(house(problem=OSError("disk"))) == ["lifespan.startup.failed"]


def test_a_store_that_cannot_be_asked_fails_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable() -> list[str]:
        raise OSError("no store")

    monkeypatch.setattr(front, "refusals", unreachable)
    application = house()
    assert lifespan(application) == ["lifespan.startup.failed"]
    assert application.proxy.log == []  # type: ignore[attr-defined]


def test_static_files_come_with_their_type_and_cannot_be_sniffed() -> None:
    answer = ask(StaticFiles(), "GET", "/static/admin/css/base.css")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/css")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("path", ["/static/../manage.py", "/static/admin/", "/static/none.css", "/static/"])
def test_nothing_else_is_a_static_file(path: str) -> None:
    assert ask(StaticFiles(), "GET", path).status == 404


def test_an_unchanged_file_is_not_sent_again() -> None:
    first = ask(StaticFiles(), "GET", "/static/admin/css/base.css")
    again = ask(
        StaticFiles(), "GET", "/static/admin/css/base.css", headers=[("If-None-Match", first.headers["etag"])]
    )
    assert (again.status, again.body) == (304, b"")


class Reader:
    """An application that reads to the end and says how much there was."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        size = 0
        while (message := await receive())["type"] == "http.request":
            size += len(message["body"])
            if not message["more_body"]:
                break
        await respond(send, 200, [], str(size).encode())


@pytest.mark.parametrize("told", [True, False], ids=["by its header", "while it is read"])
def test_a_directorys_body_is_bounded_before_anything_keeps_it(told: bool) -> None:
    door = Front(Named("proxy"), lambda: True, Named("static"), Reader())
    for size, status in ((LARGEST, 200), (LARGEST + 1, 413)):
        headers = [("Content-Length", str(size))] if told else []
        answer = ask(door, "POST", "/scim/v2/Users", body=b"x" * size, headers=headers)
        assert answer.status == status
    assert answer.headers["content-type"] == "application/scim+json"
