"""Public addresses, in all the forms in which private ones hide."""

from __future__ import annotations

import ipaddress

import pytest

from upres.system.public_address import is_public

CLOSED = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1",
    "127.255.255.254", "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.8", "192.0.2.1", "192.88.99.1",
    "192.168.0.1", "198.18.0.1", "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255",
    "240.0.0.1", "255.255.255.255", "::", "::1", "fe80::1", "fe80::1%eth0", "febf::1", "fec0::1", "fc00::1",
    "fd12:3456::1", "ff02::1", "2001:db8::1", "2001::1", "2001:10::1", "2002:7f00:1::", "3fff::1", "100::1",
    "4000::1", "64:ff9b:1::808:808", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254",
    "::ffff:7f00:1", "0:0:0:0:0:ffff:c0a8:1", "::127.0.0.1", "::7f00:1", "64:ff9b::127.0.0.1", "64:ff9b::a00:1",
    "64:ff9b::169.254.169.254", "2002:a00:1::1", "localhost", "127.1", "0x7f000001", "2130706433", "017700000001",
    "1.2.3", "1.2.3.4.5", "example.org", "127.0.0.1:80", "[::1]", "1.2.3.4%eth0",
]  # fmt: skip
OPEN = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.1", "100.63.255.255", "100.128.0.1", "126.255.255.255",
    "128.0.0.1", "169.253.255.255", "172.15.0.1", "172.32.0.1", "192.0.1.1", "192.167.255.255", "192.169.0.1",
    "198.17.255.255", "198.20.0.1", "223.255.255.255", "151.101.1.1", "2606:4700::1111", "2001:4860:4860::8888",
    "2a00:1450::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8",
]  # fmt: skip


@pytest.mark.parametrize("address", CLOSED)
def test_closed(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", OPEN)
def test_open(address: str) -> None:
    assert is_public(address)


def test_what_python_calls_private_is_not_public() -> None:
    for network in ("10.0.0.0/8", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7", "fe80::/10", "240.0.0.0/4"):
        first, last = ipaddress.ip_network(network)[0], ipaddress.ip_network(network)[-1]
        assert not is_public(str(first)) and not is_public(str(last)) and not first.is_global
