"""Which addresses may be connected to."""

from __future__ import annotations

import pytest

from gateway.credentials.addresses import refused

PUBLIC = ("93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822")
PRIVATE = (
    "127.0.0.1",
    "127.8.9.1",
    "::1",
    "10.0.0.1",
    "172.16.5.4",
    "192.168.1.1",
    "100.64.0.1",
    "fc00::1",
    "fd12:3456::1",
    "fec0::1",
    "169.254.7.7",
    "fe80::1",
    "fe80::1%eth0",
    "::ffff:127.0.0.1",
    "::ffff:10.0.0.1",
    "::127.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::",
    "2002:7f00:1::1",
)
NEVER = (
    "169.254.169.254",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "100.100.100.200",
    "192.0.0.192",
    "168.63.129.16",
    "fd00:ec2::254",
    "0.0.0.0",
    "::",
    "0.1.2.3",
    "224.0.0.1",
    "ff02::1",
    "240.0.0.1",
    "255.255.255.255",
    "192.0.2.1",
    "2001:db8::1",
    "not an address",
    "",
    "127.1",
    "0x7f000001",
    "2130706433",
    "10.0.0.1 ",
)


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_reached(address: str) -> None:
    assert refused(address, False) is None


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_may_be_reached_only_where_the_endpoint_says_so(address: str) -> None:
    assert refused(address, False)
    assert refused(address, True) is None


@pytest.mark.parametrize("address", NEVER)
def test_metadata_services_and_nonsense_are_never_reached(address: str) -> None:
    assert refused(address, True)
