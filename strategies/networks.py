"""Lists of addresses and networks that senders may have. Pure."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

# https://www.tradingview.com/support/solutions/43000529348
PRESETS = {"tradingview": ("52.89.214.238", "34.212.75.30", "54.218.53.128", "52.32.178.7")}
KNOWN_TEXTS = 4096  # addresses whose parsed form is remembered: a request asks several times


def parse_networks(words: Iterable[str]) -> tuple[Network, ...]:
    """Turns addresses, CIDRs and names of presets into networks. Raises ValueError, and the text names the bad word."""
    return tuple(
        _plain_network(ip_network(text, strict=False))
        for word in words
        for text in PRESETS.get(word.lower(), (word,))
    )


def is_allowed(sender: str, allowed: Sequence[Network]) -> bool:
    """Whether a sender is allowed. An empty list allows every sender; no other list allows a sender without address."""
    address = parse_address(sender)
    return not allowed or (address is not None and is_in(address, allowed))


@lru_cache(KNOWN_TEXTS)
def parse_address(text: str) -> Address | None:
    try:
        # Without the zone of a link-local address, because a zone names an interface of our machine.
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def is_in(address: Address, places: Sequence[Network]) -> bool:
    return any(address in place for place in places)


def _plain_network(network: Network) -> Network:
    """Turns an IPv4 network in IPv6 notation into IPv4: ::ffff:192.0.2.0/120 becomes 192.0.2.0/24."""
    mapped = network.network_address.ipv4_mapped if isinstance(network, IPv6Network) else None
    if mapped is None or network.prefixlen < 96:
        return network
    return IPv4Network((mapped, network.prefixlen - 96))
