import pytest
from hypothesis import given
from hypothesis import strategies as st

from webhooks.senders import PRESETS, is_allowed, neighborhood_of, parse_networks, sender_of

PROXIES = parse_networks(["10.0.0.0/8", "192.0.2.1", "2001:db8:1::/48"])
STRANGER, SENDER, OTHER = "203.0.113.9", "198.51.100.7", "198.51.100.8"


@pytest.mark.parametrize(
    ("peer", "header", "sender"),
    [
        # nobody forwards
        (SENDER, "", SENDER),
        ("2001:db8::7", "", "2001:db8::7"),
        # a stranger says that he forwards
        (STRANGER, SENDER, STRANGER),
        (STRANGER, f"{SENDER}, 10.0.0.1", STRANGER),
        (STRANGER, "10.0.0.1", STRANGER),
        # our proxy forwards
        ("10.0.0.1", SENDER, SENDER),
        ("192.0.2.1", SENDER, SENDER),
        ("2001:db8:1::5", SENDER, SENDER),
        ("10.0.0.1", f"{SENDER}, 10.0.0.2, 10.0.0.3", SENDER),
        ("10.0.0.1", f" {SENDER} ,, 10.0.0.2 ,", SENDER),
        # what the sender wrote himself stands further left
        ("10.0.0.1", f"{OTHER}, {SENDER}", SENDER),
        ("10.0.0.1", f"10.9.9.9, {OTHER}, {SENDER}, 10.0.0.2", SENDER),
        ("10.0.0.1", f"' OR 1=1, {SENDER}", SENDER),
        # only proxies, or nothing
        ("10.0.0.1", "", "10.0.0.1"),
        ("10.0.0.1", "10.0.0.2, 10.0.0.3", "10.0.0.1"),
        # IPv4 in IPv6
        ("::ffff:10.0.0.1", SENDER, SENDER),
        ("10.0.0.1", f"::ffff:{SENDER}", SENDER),
        ("10.0.0.1", f"{SENDER}, ::FFFF:10.0.0.2", SENDER),
        (f"::ffff:{SENDER}", OTHER, SENDER),
        # ports and zones
        ("10.0.0.1", f"{SENDER}:5001", SENDER),
        ("10.0.0.1", "[2001:db8::7]:5001", "2001:db8::7"),
        ("10.0.0.1", "[2001:db8::7]", "2001:db8::7"),
        ("fe80::1%eth0", "", "fe80::1"),
        # garbage where our proxy should have written an address: nobody knows
        ("10.0.0.1", "unknown", ""),
        ("10.0.0.1", f"{SENDER}, unknown", ""),
        ("10.0.0.1", f"{SENDER}, 300.1.1.1, 10.0.0.2", ""),
        ("10.0.0.1", f"{SENDER}, 010.0.0.2", ""),
        ("10.0.0.1", "\x00", ""),
        # a peer without an address, as on a Unix socket
        ("", SENDER, ""),
        ("unix:", SENDER, ""),
    ],
)
def test_the_sender_is_the_last_hop_that_is_not_our_proxy(peer, header, sender):
    assert sender_of(peer, header, PROXIES) == sender


@pytest.mark.parametrize("peer", [SENDER, "10.0.0.1", "127.0.0.1", "::1"])
def test_without_proxies_the_header_means_nothing(peer):
    assert sender_of(peer, OTHER, ()) == peer


@given(st.text(max_size=80), st.text(alphabet="0123456789abcdef:.,[]% x", max_size=80))
def test_no_header_raises_and_no_text_becomes_a_sender(peer, header):
    for who in (peer, "10.0.0.1"):
        assert sender_of(who, header, PROXIES) in ("", neighborless(sender_of(who, header, PROXIES)))


def neighborless(sender):
    """The same address read again: only addresses survive that."""
    return sender_of(sender, "", ())


@given(st.text(max_size=300))
def test_a_stranger_cannot_become_someone_else(header):
    assert sender_of(STRANGER, header, PROXIES) == STRANGER


@pytest.mark.parametrize("address", PRESETS["tradingview"])
def test_the_preset_lets_in_tradingview(address):
    allowed = parse_networks(["TradingView"])

    assert is_allowed(address, allowed)
    assert is_allowed(f"::ffff:{address}", allowed)


@pytest.mark.parametrize("sender", [STRANGER, "52.89.214.239", "2001:db8::7", "127.0.0.1", "", "garbage"])
def test_the_preset_keeps_out_everyone_else(sender):
    assert not is_allowed(sender, parse_networks(["tradingview"]))


@pytest.mark.parametrize("sender", [STRANGER, "2001:db8::7", "", "garbage"])
def test_an_empty_list_lets_in_everyone(sender):
    assert is_allowed(sender, ())


@pytest.mark.parametrize(
    ("words", "sender"),
    [
        (["198.51.100.0/24"], SENDER),
        (["198.51.100.9/24"], SENDER),
        (["tradingview", SENDER], SENDER),
        (["2001:db8::/32"], "2001:db8::7"),
        (["::ffff:198.51.100.0/120"], SENDER),
        (["::/0"], "2001:db8::7"),
    ],
)
def test_addresses_and_networks_may_be_named_together(words, sender):
    assert is_allowed(sender, parse_networks(words))


@pytest.mark.parametrize("word", ["", "tradingviews", "10.0.0.0/33", "10.0.0", "*", "localhost"])
def test_a_word_that_names_no_network_is_an_error(word):
    with pytest.raises(ValueError, match="does not appear to be"):
        parse_networks([word])


@pytest.mark.parametrize(
    ("sender", "counted_as"),
    [
        (SENDER, SENDER),
        (f"::ffff:{SENDER}", SENDER),
        ("2001:db8:0:7::1", "2001:db8:0:7::/64"),
        ("2001:db8:0:7:ffff::2", "2001:db8:0:7::/64"),
        ("garbage", ""),
    ],
)
def test_ipv6_addresses_of_one_network_are_counted_together(sender, counted_as):
    assert neighborhood_of(sender) == counted_as
