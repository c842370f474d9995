from __future__ import annotations

import pytest

from reelmill_common.config.egress import EgressPolicy


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "127.9.9.9",
        "10.0.0.1",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "224.0.0.1",
        "239.255.255.250",
        "240.0.0.1",
        "255.255.255.255",
        "198.18.0.1",
        "192.0.2.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
        "fec0::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::127.0.0.1",
        "64:ff9b::a9fe:a9fe",
        "2002:7f00:1::",
        "2001:0:7f00:1::",
        "2001:db8::1",
        "::127.0.0.1",
    ],
)
def test_an_address_off_the_public_internet_is_refused(address: str) -> None:
    assert not EgressPolicy().allows("example.org", address)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_an_address_on_the_public_internet_may_be_reached(address: str) -> None:
    assert EgressPolicy().allows("example.org", address)


def test_the_owner_of_the_farm_can_allow_hosts_and_networks() -> None:
    policy = EgressPolicy.parse("hooks.lan, 10.1.0.0/16,fd00::5")

    assert policy.allows("Hooks.LAN", "192.168.0.9")
    assert policy.allows("other.lan", "10.1.2.3")
    assert policy.allows("other.lan", "::ffff:10.1.2.3")
    assert policy.allows("other.lan", "fd00::5")
    assert not policy.allows("other.lan", "10.2.0.1")
    assert not policy.allows("other.lan", "fd00::6")
