"""Finds the address of a request's sender behind our own proxies.

The library python-ipware does not fit: python-ipware expects a proxy for each hop in a fixed order, also reads headers
that only the sender wrote, and falls back to a best guess. Here only X-Forwarded-For counts, and in X-Forwarded-For
only the entries of our proxies.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv6Address, ip_network
from typing import Any

from strategies.networks import (
    KNOWN_TEXTS,
    PRESETS,
    Address,
    Network,
    is_allowed,
    is_in,
    parse_address,
    parse_networks,
)

# What belongs to senders, wherever the app below wrote it.
__all__ = ["PRESETS", "Network", "is_allowed", "neighborhood_of", "parse_networks", "sender_in", "sender_of"]

_NEIGHBORS_V6 = 64  # bits of the network that a provider gives to one customer, who counts as one sender


def sender_of(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """Returns the sender's address: the rightmost hop outside our proxies where our proxy is the peer, else the peer.

    Returns "" where the sender's entry is no address. A stranger's header is never believed and never raises.
    """
    address = parse_address(peer)
    if address is None or not is_in(address, trusted):
        return _address_text(address)
    for hop in reversed([part.strip() for part in forwarded_for.split(",") if part.strip()]):
        known = parse_address(_without_port(hop))
        if known is None or not is_in(known, trusted):
            return _address_text(known)
    return _address_text(address)


def sender_in(meta: Mapping[str, Any], trusted: Sequence[Network]) -> str:
    """Returns the sender of a Django request. `meta` is the request's META."""
    return sender_of(meta.get("REMOTE_ADDR", ""), meta.get("HTTP_X_FORWARDED_FOR", ""), trusted)


@lru_cache(KNOWN_TEXTS)
def neighborhood_of(sender: str) -> str:
    """Returns the unit in which senders are counted: an IPv4 address, or an IPv6 network of 64 bits."""
    address = parse_address(sender)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _NEIGHBORS_V6), strict=False))
    return _address_text(address)


def _without_port(hop: str) -> str:
    """Removes the port, because some proxies write 192.0.2.7:5001 and [2001:db8::7]:5001."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _address_text(address: Address | None) -> str:
    return "" if address is None else str(address)
