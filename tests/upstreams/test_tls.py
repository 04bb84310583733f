"""Who a service is: real handshakes with authorities of our own, on the data path and for probes alike."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ValidationError

from gateway.proxy.upstream import Upstream
from gateway.upstreams.certificates import (
    LARGEST,
    MOST,
    authorities,
    context_for,
    first_end,
    validate_authorities,
)
from gateway.upstreams.connecting import Aim, Heard, ask

from .calling import code_of, run, target
from .tls import DAY, NOW, Authority, Service, new_key, serving

HERE = ("127.0.0.1", "localhost")


@pytest.fixture(scope="module")
def house() -> Authority:
    return Authority()


def probe(origin: str, pem: str) -> Heard:
    aim = Aim(
        origin=origin,
        path="/v1/models",
        allow_private=True,
        authorities=pem,
        expected=200,
        headers={},
        seconds=5.0,
    )
    return ask(aim)


def both(origin: str, pem: str) -> tuple[str, str, str]:
    """What a probe says, what a client is told, and what the data path noted."""

    async def play(upstream: Upstream) -> tuple[str, str]:
        code = await code_of(upstream, target(origin, authorities=pem))
        return code, upstream.pools.seen()[0].error

    return (probe(origin, pem).error, *run(play))


def test_the_right_authority_opens_the_way(house: Authority, tmp_path: Path) -> None:
    with serving(house.issue(tmp_path, *HERE)) as service:
        assert both(service.origin, house.pem) == ("", "", "")
        assert both(f"https://localhost:{service.port}", house.pem) == ("", "", "")
        assert service.asked


@pytest.mark.parametrize(
    ("names", "dates", "believed", "code"),
    [
        (HERE, {}, "another", "tls_authority"),
        (HERE, {}, "system", "tls_authority"),
        (("models.example.com",), {}, "house", "tls_name"),
        (("127.0.0.2",), {}, "house", "tls_name"),
        (HERE, {"ends": NOW - DAY}, "house", "tls_expired"),
        (HERE, {"begins": NOW + DAY}, "house", "tls_early"),
    ],
)
def test_any_other_certificate_is_refused_with_its_reason(
    house: Authority, tmp_path: Path, names: Any, dates: Any, believed: str, code: str
) -> None:
    pem = {"house": house.pem, "another": Authority("Another CA").pem, "system": ""}[believed]
    with serving(house.issue(tmp_path, *names, **dates)) as service:
        assert both(service.origin, pem) == (code, "upstream_untrusted", code)
        assert service.asked == []  # nothing was said to it, least of all the secret


def test_old_tls_is_refused(house: Authority, tmp_path: Path) -> None:
    with serving(house.issue(tmp_path, *HERE), old=True) as service:
        assert both(service.origin, house.pem) == ("tls", "upstream_unreachable", "tls")
        assert service.asked == []


def test_a_service_without_tls_is_no_https(house: Authority) -> None:
    with serving() as service:
        said = both(f"https://127.0.0.1:{service.port}", house.pem)
        assert said == ("tls", "upstream_unreachable", "tls")


def test_every_context_checks_names_and_takes_no_old_tls(house: Authority) -> None:
    for pem in ("", house.pem):
        context = context_for(pem)
        assert context.check_hostname and context.verify_mode is ssl.CERT_REQUIRED
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
    assert len(context_for(house.pem).get_ca_certs()) == 1  # it alone


def test_another_authority_is_another_pool(house: Authority, tmp_path: Path) -> None:
    """An endpoint that stops believing somebody does not go on over connections of before."""

    async def play(upstream: Upstream) -> tuple[str, str]:
        believing = target(service.origin, authorities=house.pem)
        first = await code_of(upstream, believing)
        return first, await code_of(upstream, target(service.origin, authorities=Authority().pem))

    with serving(house.issue(tmp_path, *HERE)) as service:
        assert run(play) == ("", "upstream_untrusted")


# --- the field --------------------------------------------------------------------------------------


def test_the_field_takes_a_bundle_and_says_what_is_in_it(house: Authority) -> None:
    soon = Authority("Old CA", ends=NOW + 3 * DAY)
    bundle = f"# ours\n{house.pem}\n{soon.pem}"
    validate_authorities(bundle)
    assert [each.name for each in authorities(bundle)] == ["CN=House CA", "CN=Old CA"]
    assert first_end(bundle) == (NOW + 3 * DAY).replace(microsecond=0)
    assert first_end("") is None
    validate_authorities("")


@pytest.mark.parametrize(
    "value",
    [
        "nonsense",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMIIB\n",
        "x" * (LARGEST + 1),
        new_key(),
    ],
)
def test_the_field_takes_nothing_else(value: str) -> None:
    with pytest.raises(ValidationError) as refused:
        validate_authorities(value)
    assert value[:8] not in str(refused.value).replace("-----BEGIN", "")


def test_a_key_beside_certificates_is_refused(house: Authority) -> None:
    with pytest.raises(ValidationError, match="above all keys"):
        validate_authorities(house.pem + new_key())
    with pytest.raises(ValidationError, match="at most"):
        validate_authorities(house.pem * (MOST + 1))


def test_the_service_helper_really_speaks_tls(house: Authority, tmp_path: Path) -> None:
    async def handshake(service: Service) -> str | None:
        context = context_for(house.pem)
        _, writer = await asyncio.open_connection("127.0.0.1", service.port, ssl=context)
        version = writer.get_extra_info("ssl_object").version()
        writer.close()
        await writer.wait_closed()
        return str(version)

    with serving(house.issue(tmp_path, *HERE)) as service:
        assert asyncio.run(handshake(service)) == "TLSv1.3"
