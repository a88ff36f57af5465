"""Finds the address of a request's sender behind our own proxies, and checks the address against the allowed senders.

The library python-ipware does not fit: python-ipware expects a proxy for each hop in a fixed order, also reads headers
that only the sender wrote, and falls back to a best guess. Here only X-Forwarded-For counts, and in X-Forwarded-For
only the entries of our proxies.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# https://www.tradingview.com/support/solutions/43000529348
PRESETS = {"tradingview": ("52.89.214.238", "34.212.75.30", "54.218.53.128", "52.32.178.7")}
_KNOWN_TEXTS = 4096  # addresses whose parsed form is remembered: a request asks several times
_NEIGHBORS_V6 = 64  # bits of the network that a provider gives to one customer, who counts as one sender


def parse_networks(words: Iterable[str]) -> tuple[Network, ...]:
    """Turns addresses, CIDRs and names of presets into networks. Raises ValueError, and the text names the bad word."""
    return tuple(
        _plain_network(ip_network(text, strict=False))
        for word in words
        for text in PRESETS.get(word.lower(), (word,))
    )


def sender_of(peer: str, forwarded_for: str, trusted: Sequence[Network]) -> str:
    """Returns the sender's address: the rightmost hop outside our proxies where our proxy is the peer, else the peer.

    Returns "" where the sender's entry is no address. A stranger's header is never believed and never raises.
    """
    address = _parse_address(peer)
    if address is None or not _is_in(address, trusted):
        return _address_text(address)
    for hop in reversed([part.strip() for part in forwarded_for.split(",") if part.strip()]):
        known = _parse_address(_without_port(hop))
        if known is None or not _is_in(known, trusted):
            return _address_text(known)
    return _address_text(address)


def sender_in(meta: Mapping[str, Any], trusted: Sequence[Network]) -> str:
    """Returns the sender of a Django request. `meta` is the request's META."""
    return sender_of(meta.get("REMOTE_ADDR", ""), meta.get("HTTP_X_FORWARDED_FOR", ""), trusted)


def is_allowed(sender: str, allowed: Sequence[Network]) -> bool:
    """Whether a sender is allowed. An empty list allows every sender; no other list allows a sender without address."""
    address = _parse_address(sender)
    return not allowed or (address is not None and _is_in(address, allowed))


@lru_cache(_KNOWN_TEXTS)
def neighborhood_of(sender: str) -> str:
    """Returns the unit in which senders are counted: an IPv4 address, or an IPv6 network of 64 bits."""
    address = _parse_address(sender)
    if isinstance(address, IPv6Address):
        return str(ip_network((address, _NEIGHBORS_V6), strict=False))
    return _address_text(address)


@lru_cache(_KNOWN_TEXTS)
def _parse_address(text: str) -> Address | None:
    try:
        # Without the zone of a link-local address, because a zone names an interface of our machine.
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def _without_port(hop: str) -> str:
    """Removes the port, because some proxies write 192.0.2.7:5001 and [2001:db8::7]:5001."""
    if hop.startswith("["):
        return hop[1:].partition("]")[0]
    return hop.partition(":")[0] if hop.count(":") == 1 else hop


def _plain_network(network: Network) -> Network:
    """Turns an IPv4 network in IPv6 notation into IPv4: ::ffff:192.0.2.0/120 becomes 192.0.2.0/24."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < 96:
        return network
    return IPv4Network((mapped, network.prefixlen - 96))


def _is_in(address: Address, places: Sequence[Network]) -> bool:
    return any(address in place for place in places)


def _address_text(address: Address | None) -> str:
    return "" if address is None else str(address)
