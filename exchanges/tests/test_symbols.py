import time
from decimal import Decimal

import pytest
from django.utils.translation import override
from hypothesis import given, settings
from hypothesis import strategies as st

from exchanges.adapters.protocol import MarketSpec
from exchanges.enums import MarketType
from exchanges.market_data.symbols import (
    AmbiguousSymbol,
    DelayedFeed,
    SymbolError,
    SymbolIndex,
    UnknownSymbol,
)


def market(symbol, market_type=MarketType.FUTURES, *, exchange_symbol="", is_active=True):
    pair, _, _ = symbol.partition(":")
    base, _, quote = pair.partition("/")
    return MarketSpec(
        symbol=symbol,
        exchange_symbol=exchange_symbol or base + quote,
        market_type=market_type,
        base=base,
        quote=quote,
        tick_size=Decimal("0.01"),
        lot_size=Decimal("0.001"),
        min_quantity=Decimal("0.001"),
        max_quantity=None,
        min_notional=Decimal(5),
        is_active=is_active,
    )


def stock(symbol):
    return market(symbol, MarketType.STOCK, exchange_symbol=symbol.partition(":")[2])


SPOT = SymbolIndex(
    [
        market("BTC/USDT", MarketType.SPOT),
        market("ETH/USDT", MarketType.SPOT),
        market("BTC/KRW", MarketType.SPOT, exchange_symbol="KRW-BTC"),
        market("LUNA/USDT", MarketType.SPOT, is_active=False),
        market("AB/DC", MarketType.SPOT),
        market("ABD/C", MarketType.SPOT, is_active=False),
        market("OL/D", MarketType.SPOT, is_active=False),
        market("O/LD", MarketType.SPOT, is_active=False),
        market("AB/CD", MarketType.SPOT),
        market("ABC/D", MarketType.SPOT),
    ]
)
FUTURES = SymbolIndex(
    [
        market("BTC/USDT:USDT", MarketType.FUTURES),
        market("BTC/USDT:USDT-260327", MarketType.FUTURES, exchange_symbol="BTCUSDT_260327"),
        market("ETH/USD:ETH", MarketType.FUTURES, exchange_symbol="ETHUSD_PERP"),
        market("XRP/USD:XRP", MarketType.FUTURES, exchange_symbol="XRP-A"),
        market("XRP/USD:USDC", MarketType.FUTURES, exchange_symbol="XRP-B"),
    ]
)
STOCKS = SymbolIndex([stock("KRX:005930"), stock("NASDAQ:AAPL"), stock("NYSE:DUAL"), stock("NASDAQ:DUAL")])


@pytest.mark.parametrize(
    ("index", "text", "symbol"),
    [
        (SPOT, "BTC/USDT", "BTC/USDT"),
        (SPOT, "btc/usdt", "BTC/USDT"),
        (SPOT, " BTCUSDT ", "BTC/USDT"),
        (SPOT, "BINANCE:BTCUSDT", "BTC/USDT"),
        (SPOT, "binance:btc/usdt", "BTC/USDT"),
        (SPOT, "KRW-BTC", "BTC/KRW"),
        (SPOT, "LUNA/USDT", "LUNA/USDT"),
        (SPOT, "BINANCE:LUNAUSDT", "LUNA/USDT"),
        (SPOT, "ABDC", "AB/DC"),
        (SPOT, "ABD/C", "ABD/C"),
        (SPOT, "UPBIT:BTCKRW", "BTC/KRW"),
        (FUTURES, "BTC/USDT:USDT", "BTC/USDT:USDT"),
        (FUTURES, "btc/usdt:usdt", "BTC/USDT:USDT"),
        (FUTURES, "BTC/USDT", "BTC/USDT:USDT"),
        (FUTURES, "BTCUSDT", "BTC/USDT:USDT"),
        (FUTURES, "BTCUSDT.P", "BTC/USDT:USDT"),
        (FUTURES, "BTCUSDTPERP", "BTC/USDT:USDT"),
        (FUTURES, "BINANCE:BTCUSDT.P", "BTC/USDT:USDT"),
        (FUTURES, "BYBIT:BTCUSDT", "BTC/USDT:USDT"),
        (FUTURES, "BINANCE:BTC/USDT:USDT", "BTC/USDT:USDT"),
        (FUTURES, "USDT-BTC", "BTC/USDT:USDT"),
        (FUTURES, "BTC/USDT:USDT-260327", "BTC/USDT:USDT-260327"),
        (FUTURES, "ETH/USD", "ETH/USD:ETH"),
        (FUTURES, "ETHUSD_PERP", "ETH/USD:ETH"),
        (FUTURES, "XRP/USD:USDC", "XRP/USD:USDC"),
        (STOCKS, "KRX:005930", "KRX:005930"),
        (STOCKS, "nasdaq:aapl", "NASDAQ:AAPL"),
        (STOCKS, "AAPL", "NASDAQ:AAPL"),
        (STOCKS, "NYSE:DUAL", "NYSE:DUAL"),
    ],
)
def test_a_market_is_reached_by_each_of_its_names(index, text, symbol):
    assert index.resolve(text).symbol == symbol


@pytest.mark.parametrize(
    ("index", "text"),
    [
        (SPOT, ""),
        (SPOT, ":"),
        (SPOT, "DOGEUSDT"),
        (SPOT, "BTCUSDT.P"),
        (SPOT, "BTCUSDTPERP"),
        (SPOT, "BTC/USDT:USDT"),
        (SPOT, "BINANCE_DL:DOGEUSDT"),
        (FUTURES, "BTC/USDT:BTC"),
        (FUTURES, "BTCUSDT_260327"),
        (FUTURES, "BTC/KRW"),
        (STOCKS, "NYSE:AAPL"),
        (STOCKS, "KRX:000660"),
    ],
)
def test_what_names_no_market_is_unknown(index, text):
    with pytest.raises(UnknownSymbol) as caught:
        index.resolve(text)

    assert caught.value.candidates == ()
    assert text in caught.value.text


@override("en")
@pytest.mark.parametrize(
    ("index", "text", "candidates"),
    [
        (SPOT, "ABCD", ("AB/CD", "ABC/D")),
        (SPOT, "OLD", ("O/LD", "OL/D")),
        (FUTURES, "XRP/USD", ("XRP/USD:USDC", "XRP/USD:XRP")),
        (FUTURES, "XRPUSD.P", ("XRP/USD:USDC", "XRP/USD:XRP")),
        (STOCKS, "DUAL", ("NASDAQ:DUAL", "NYSE:DUAL")),
    ],
)
def test_what_names_several_markets_is_refused_with_them(index, text, candidates):
    with pytest.raises(AmbiguousSymbol) as caught:
        index.resolve(text)

    assert caught.value.candidates == candidates
    assert caught.value.text == f"{text} may mean several markets. Write one of: {', '.join(candidates)}."


@override("en")
@pytest.mark.parametrize(
    ("index", "text", "candidate"),
    [
        (SPOT, "BINANCE_DL:BTCUSDT", "BTC/USDT"),
        (FUTURES, "binance_dly:btcusdt.p", "BTC/USDT:USDT"),
        (STOCKS, "KRX_DLY:005930", "KRX:005930"),
        (STOCKS, "NASDAQ_DL:DUAL", "NASDAQ:DUAL"),
    ],
)
def test_a_delayed_feed_is_refused_with_the_market_that_it_delays(index, text, candidate):
    with pytest.raises(DelayedFeed) as caught:
        index.resolve(text)

    assert caught.value.candidates == (candidate,)
    assert caught.value.text == f"{text} comes from a delayed feed. Use the real-time chart of {candidate}."


def test_every_error_is_a_value_error_with_a_code():
    assert issubclass(SymbolError, ValueError)
    assert {error.code for error in SymbolError.__subclasses__()} == {
        "unknown_symbol",
        "ambiguous_symbol",
        "delayed_feed",
    }


coins = st.text("ABUSDT", min_size=1, max_size=4)


@settings(max_examples=500, deadline=None)
@given(st.sets(st.tuples(coins, coins), min_size=1, max_size=8))
def test_every_market_is_reached_by_its_symbol_and_none_by_a_guess(pairs):
    index = SymbolIndex(market(f"{base}/{quote}:{quote}", MarketType.FUTURES) for base, quote in pairs)

    for base, quote in pairs:
        assert index.resolve(f"{base}/{quote}:{quote}").symbol == f"{base}/{quote}:{quote}"
        compact = [f"{b}/{q}:{q}" for b, q in pairs if b + q == base + quote]
        if len(compact) == 1:
            assert index.resolve(f"X:{base}{quote}.P").symbol == compact[0]
        else:
            with pytest.raises(AmbiguousSymbol):
                index.resolve(f"X:{base}{quote}.P")


def test_an_index_of_an_exchange_is_built_in_no_time():
    markets = [market(f"COIN{number}/USDT:USDT", MarketType.FUTURES) for number in range(3600)]

    started_at = time.process_time()
    index = SymbolIndex(markets)

    assert time.process_time() - started_at < 0.5  # some 30 ms; the rest is for slow machines
    assert index.resolve("COIN3599USDT").symbol == "COIN3599/USDT:USDT"
