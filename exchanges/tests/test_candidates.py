import time

import pytest
from django.utils.translation import override
from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.enums import MarketType
from exchanges.market_data.symbols import SymbolIndex, UnknownSymbol
from exchanges.tests.test_symbols import market

FUTURES = SymbolIndex(
    [
        *(
            market(f"{base}/USDT:USDT")
            for base in ("BTC", "ETH", "1000PEPE", "1MBABYDOGE", "DOT", "XDG", "X")
        ),
        *(market(f"{base}/USDC:USDC") for base in ("BTC", "ETH", "1000PEPE")),
        market("BTC/USDT:USDT-260327", exchange_symbol="BTCUSDT_260327"),
        market("LUNA/USDT:USDT", is_active=False),
        market("BTC/FDUSD:FDUSD"),
    ]
)
SPOT = SymbolIndex(
    [market(name, MarketType.SPOT) for name in ("BTC/USDT", "PEPE/USDT", "USDC/USDT", "BTC/KRW", "币安/USDT")]
)
STOCKS = SymbolIndex(
    market(name, MarketType.STOCK, exchange_symbol=name.partition(":")[2])
    for name in ("KRX:005930", "NASDAQ:AAPL", "NASDAQ:GOOGL", "NYSE:DUAL", "NASDAQ:DUAL")
)


def nearest(index, text):
    with pytest.raises(UnknownSymbol) as caught:
        index.resolve(text)
    return caught.value.nearest


BTC = ("BTC/USDT:USDT", "BTC/USDC:USDC", "BTC/FDUSD:FDUSD")


@pytest.mark.parametrize(
    ("index", "text", "symbols"),
    [
        # Another spelling
        (FUTURES, "BTC-USDT", ("BTC/USDT:USDT",)),
        (FUTURES, "btc_usdt", ("BTC/USDT:USDT",)),
        (FUTURES, "OKX:BTC-USDT-SWAP", ("BTC/USDT:USDT",)),
        (FUTURES, "BTC-PERPETUAL", BTC),
        (FUTURES, "BTC/USDT:BTC", ("BTC/USDT:USDT",)),
        (FUTURES, "BTCUSDT_260327", ("BTC/USDT:USDT-260327",)),
        (SPOT, "BTCUSDT.P", ("BTC/USDT",)),
        (SPOT, "BTC/USDT:USDT", ("BTC/USDT",)),
        (SPOT, "币安-USDT.P", ("币安/USDT",)),
        (STOCKS, "NYSE:AAPL", ("NASDAQ:AAPL",)),
        (STOCKS, "KRX:DUAL", ("NASDAQ:DUAL", "NYSE:DUAL")),
        # Another quote, another name of the coin
        (FUTURES, "BTCUSD", BTC),
        (FUTURES, "BTC", BTC),
        (FUTURES, "XBTUSD", BTC),
        (FUTURES, "XBTUSDC", ("BTC/USDC:USDC", "BTC/USDT:USDT", "BTC/FDUSD:FDUSD")),
        (FUTURES, "DOGEUSDT", ("XDG/USDT:USDT",)),
        (FUTURES, "DOTUSD", ("DOT/USDT:USDT",)),
        (FUTURES, "PEPEUSDT.P", ("1000PEPE/USDT:USDT", "1000PEPE/USDC:USDC")),
        (FUTURES, "BABYDOGEUSDT", ("1MBABYDOGE/USDT:USDT",)),
        (SPOT, "1000PEPEUSDT.P", ("PEPE/USDT",)),
        # One wrong letter
        (FUTURES, "BTCUDST", ("BTC/USDT:USDT",)),
        (FUTURES, "BTCUDST.P", ("BTC/USDT:USDT",)),
        (FUTURES, "BTCUSDTT", ("BTC/USDT:USDT",)),
        (FUTURES, "BTCUSX", ()),
        (FUTURES, "BTCUSDX", ("BTC/USDC:USDC", "BTC/USDT:USDT")),
        (FUTURES, "1000PEEUSDT", ("1000PEPE/USDT:USDT",)),
        (STOCKS, "NASDAQ:GOGL", ()),  # too short: every letter may be wrong
        (STOCKS, "NASDAQ:GOOGLE", ("NASDAQ:GOOGL",)),
        # Nothing
        (FUTURES, "LUNAUSDX", ()),
        (FUTURES, "NOSUCHUSDT", ()),
        (FUTURES, "", ()),
        (FUTURES, ":", ()),
        (FUTURES, ".P", ()),
        (FUTURES, "/", ()),
        (FUTURES, "USDT", ()),
        (FUTURES, "Z" * 64, ()),
    ],
)
def test_an_unknown_symbol_names_the_markets_that_it_may_mean(index, text, symbols):
    assert nearest(index, text) == symbols


@override("en")
def test_the_sentence_names_the_candidates_and_says_nothing_without_them():
    with pytest.raises(UnknownSymbol) as typo:
        FUTURES.resolve("BTCUDST")
    with pytest.raises(UnknownSymbol) as nothing:
        FUTURES.resolve("NOSUCHUSDT")

    assert typo.value.text == "BTCUDST is not traded here. Similar symbols that are: BTC/USDT:USDT."
    assert nothing.value.text == "NOSUCHUSDT is not traded here."
    assert typo.value.candidates == ()  # a guess is no market that the symbol names


texts = st.text("BTCUSDPEX01.-_/: ", max_size=14)


@settings(max_examples=500, deadline=None)
@given(texts)
def test_every_candidate_can_be_sent_as_it_is(text):
    for index in (FUTURES, SPOT, STOCKS):
        symbols = index.guesses.nearest(text.upper())

        assert len(symbols) <= 3
        assert [index.resolve(symbol).symbol for symbol in symbols] == list(symbols)
        assert all(index.resolve(symbol).is_active for symbol in symbols)


def test_thirty_unknown_symbols_of_a_large_exchange_cost_little():
    index = SymbolIndex([market(f"COIN{number}/USDT:USDT") for number in range(3600)])
    nearest(index, "COIN1USDZ")

    started_at = time.process_time()
    for number in range(30):
        assert nearest(index, f"COIN{number}UDST") == (f"COIN{number}/USDT:USDT",)

    assert time.process_time() - started_at < 0.5  # some 20 ms; the rest is for slow machines
