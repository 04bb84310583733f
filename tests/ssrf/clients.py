"""Everything of ours that opens connections to addresses which somebody configures. Each takes an address and
says whether private ones are meant; what comes of it does not matter here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, Final, cast
from urllib.parse import urlsplit
from uuid import uuid4

import httpx
from django.utils import timezone

from audit.sinks import Told
from gateway.anchoring import places as anchors
from gateway.anchoring.naming import AnchorFailed
from gateway.credentials.outbound import FetchFailed, fetch, outbound_client
from gateway.credentials.secret import Secret
from gateway.identity import discovery, introspection, provider
from gateway.identity.oidc_provider import Provider, SignInFailed
from gateway.notifying import sending
from gateway.proxy.errors import ProxyError
from gateway.proxy.upstream import Upstream
from gateway.sinking import places as sinks
from gateway.sinking import syslog
from gateway.upstreams.connecting import Aim, ask
from tests.upstreams.calling import call, run, target

Client = Callable[[str, bool], object]
SIGNS: Final = "whsec_" + "A" * 40


def origin_and_path(url: str) -> tuple[str, str]:
    """Cut where the authority ends, however odd it is."""
    scheme, _, rest = url.partition("//")
    end = min((rest.find(each) for each in "/?#" if each in rest), default=len(rest))
    return f"{scheme}//{rest[:end]}", rest[end:] or "/"


def calls(url: str, private: bool) -> None:
    """The data path. Its origins were validated when they were saved; here they were not, which the client
    library may also take for a bug."""
    origin, path = origin_and_path(url)

    async def play(upstream: Upstream) -> None:
        await call(upstream, target(origin, base_path=path, allow_private=private))

    with suppress(ProxyError, ValueError, AssertionError):
        run(play, farewell=0.0)


def probes(url: str, private: bool) -> None:
    origin, path = origin_and_path(url)
    aim = Aim(
        origin=origin,
        path=path,
        allow_private=private,
        authorities="",
        expected=200,
        headers={},
        seconds=2.0,
    )
    ask(aim)


def webhooks(url: str, private: bool) -> None:
    sending._sent(sending.Letter(Secret(url), private, {}, b"{}"))


def web_sinks(url: str, private: bool) -> None:
    entry = Told(1, timezone.now(), "event", None, bytes(32), b"{}")
    with suppress(sinks.SinkFailed):
        sinks.Web("soc", url, allow_private=private, secrets=[SIGNS]).take(uuid4(), 1, [entry])


def web_anchors(url: str, private: bool) -> None:
    with suppress(AnchorFailed, ValueError):
        anchors.Web(url, allow_private=private).tell((1, 1), b"{}\n")


def keys_of_issuers(url: str, private: bool) -> None:
    with suppress(discovery.ProviderError):
        discovery._get(url, discovery.Place(url, allow_private=private))


def discovery_pages(url: str, private: bool) -> None:
    provider._fetch(url, private)


def opaque_tokens(url: str, private: bool) -> None:
    terms, place = SimpleNamespace(issuer=url), SimpleNamespace(allow_private=private)
    where = SimpleNamespace(url=url, header="authorization", value=Secret("Basic eDp5"))
    with suppress(discovery.ProviderError):
        introspection._ask("token", cast(Any, where), cast(Any, SimpleNamespace(terms=terms, place=place)))


def sign_in(url: str, private: bool) -> None:
    row = SimpleNamespace(allow_private=private)
    with suppress(SignInFailed):
        Provider.ask(cast(Any, SimpleNamespace(row=row)), url, form={"code": "x"})


def guarded_fetch(url: str, private: bool) -> None:
    with suppress(FetchFailed):
        fetch(url, allow_private=private)


def guarded_client(url: str, private: bool) -> None:
    """What rotators use: an origin and then whatever address."""
    origin, path = origin_and_path(url)
    refusals = suppress(httpx.HTTPError, httpx.InvalidURL, ValueError)
    with refusals, outbound_client(origin=origin, allow_private=private, timeout=2.0) as client:
        client.post(path, headers={"x-secret": "s"})


def _syslog(transport: syslog.Transport) -> Client:
    def send(url: str, private: bool) -> None:
        """Sinks of syslog mean receivers inside: they are named by whoever runs the gateway."""
        try:
            host = urlsplit(url).hostname or ""
        except ValueError:
            return
        receiver = syslog.Receiver(transport=transport, host=host, port=514, seconds=2.0)
        with suppress(syslog.SyslogFailed):
            syslog.send(receiver, [b"<110>1 - - - - - -"])

    return send


WEB: Final[Mapping[str, Client]] = {
    "calls": calls,
    "probes": probes,
    "webhooks": webhooks,
    "web sinks": web_sinks,
    "web anchors": web_anchors,
    "keys of issuers": keys_of_issuers,
    "discovery pages": discovery_pages,
    "opaque tokens": opaque_tokens,
    "sign-in": sign_in,
    "fetch": guarded_fetch,
    "rotators": guarded_client,
}
SYSLOG: Final[Mapping[str, Client]] = {
    f"syslog {transport}": _syslog(transport) for transport in ("udp", "tcp", "tls")
}
