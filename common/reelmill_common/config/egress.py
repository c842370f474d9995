"""Addresses that a webhook may reach: the public internet, and what the farm's owner allows besides.

The rule is applied to the address that is connected to, at each connection, so a name that changes its answer between
two lookups (DNS rebinding) gains nothing.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from reelmill_common.errors import NotDelivered

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_TRANSLATED = IPv6Network("64:ff9b::/96")
"""IPv4 behind NAT64 (RFC 6052): the last four bytes are the destination."""
_METADATA = frozenset({IPv4Address("168.63.129.16")})
"""Azure's host agent, which answers on a public address. The other clouds' are link-local or private."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressPolicy:
    """Decides whether an address may be reached.

    Attributes:
        networks, hosts: Destinations that are allowed besides the public internet.
        plain_http: Whether `http://` is allowed too.
    """

    networks: tuple[Network, ...] = ()
    hosts: frozenset[str] = frozenset()
    plain_http: bool = False

    @classmethod
    def parse(cls, allowed: str, *, plain_http: bool = False) -> EgressPolicy:
        """Read a comma-separated list of hosts, addresses and networks.

        Raises:
            ValueError: An item looks like a network and is not one.
        """
        networks: list[Network] = []
        hosts: set[str] = set()
        for item in filter(None, (part.strip().lower() for part in allowed.split(","))):
            try:
                networks.append(ip_network(item))
            except ValueError:
                if "/" in item or ":" in item:
                    raise ValueError(f"has {item!r}, which is not a host, address or network") from None
                hosts.add(item)
        return cls(networks=tuple(networks), hosts=frozenset(hosts), plain_http=plain_http)

    def resolve(self, host: str, port: int) -> list[str]:
        """Return the addresses of a host that may be connected to, in the resolver's order.

        Raises:
            NotDelivered: The name does not resolve, or no address of it is allowed.
        """
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as err:
            raise NotDelivered(f"{host} does not resolve: {err}") from err
        addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        fit = [address for address in addresses if self.allows(host, address)]
        if not fit:
            raise NotDelivered(
                f"{host} is at {', '.join(addresses)}, which is not on the public internet; "
                "if that is meant, add it to REELMILL_NOTIFY_ALLOW"
            )
        return fit

    def allows(self, host: str, address: str) -> bool:
        """Whether an address of a host may be reached."""
        if host.lower() in self.hosts:
            return True
        given = ip_address(address.partition("%")[0])
        meant = _unwrapped(given)
        if any(item in network for network in self.networks for item in (given, meant)):
            return True
        return _is_public(given) and _is_public(meant)


def _unwrapped(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 one stands for, or the address itself."""
    if isinstance(address, IPv4Address):
        return address
    if address in _TRANSLATED:
        return IPv4Address(int(address) & 0xFFFFFFFF)
    teredo = address.teredo
    return address.ipv4_mapped or address.sixtofour or (teredo[1] if teredo else address)


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return True  # the IPv4 address in it is checked
        if address.is_site_local:
            return False
    # Python calls multicast and some reserved addresses global.
    special = address.is_multicast or address.is_reserved or address.is_unspecified
    return address.is_global and not (special and address not in _TRANSLATED) and address not in _METADATA
