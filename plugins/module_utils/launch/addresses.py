# Copyright: (c) 2026, railyard.sglang contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses and URLs, by netaddr."""

from __future__ import annotations

try:
    import netaddr
except ImportError:  # reported by the plan action with the usual missing-library error
    netaddr = None


def parse(text: str) -> netaddr.IPAddress | None:
    """Return the address that a text is, or None (a name, a wildcard with a port, nonsense)."""
    try:
        return netaddr.IPAddress(str(text).strip("[]"), flags=netaddr.INET_PTON)
    except (netaddr.AddrFormatError, ValueError):
        return None


def canonical(text: str) -> str:
    """Return an address in its one spelling, without brackets, as kernels and SGLang report it; any other text as it is."""
    address = parse(text)
    return str(address) if address is not None else text


def network(text: str) -> netaddr.IPNetwork | None:
    """Return the network of a CIDR text, or None."""
    try:
        return netaddr.IPNetwork(str(text)) if "/" in str(text) else None
    except (netaddr.AddrFormatError, ValueError):
        return None


def interface(text: str) -> netaddr.IPNetwork | None:
    """Return the ADDRESS/PREFIX of an interface, or None for anything else, the network's own and broadcast addresses among them."""
    found = network(text)
    if found is None or (found.size > 2 and found.ip in (found.network, found.broadcast)):
        return None
    return found


def host_port(address: str, port: int) -> str:
    """Return ADDRESS:PORT, with brackets round an IPv6 address."""
    parsed = parse(address)
    return f"[{parsed}]:{port}" if parsed is not None and parsed.version == 6 else f"{address}:{port}"


def url(address: str, port: int) -> str:
    """Return the http URL of an address and a port."""
    return "http://" + host_port(address, port)
