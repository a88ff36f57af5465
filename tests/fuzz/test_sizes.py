"""Symbols, sizes and tokens: pure functions that see what strangers write."""

from decimal import Decimal
from typing import Any

from hypothesis import strategies as st

from exchanges.adapters.protocol import MarketSpec
from exchanges.enums import MarketType, OrderType, Side
from exchanges.market_data.symbols import SymbolError, SymbolIndex
from orders.domain.reasons import Denied
from orders.domain.sizing import floor_to_step, price_from_market, size_closing, size_opening
from orders.domain.terms import RelativeKind, RelativePrice
from strategies.tokens import WEBHOOK_MARK, digest_of, digests_match, is_token, new_token, prefix_of
from tests.fuzz.engine import fuzz

PIECES = [
    "BTC",
    "USDT",
    "KRW",
    "ETH",
    "/",
    ":",
    "-",
    ".P",
    "PERP",
    "BINANCE:",
    "_DLY",
    "_DL:",
    "KRX:",
    " ",
    "1000",
    "İ",
    "ß",
]
SYMBOLS = [("BTC", "USDT"), ("ETH", "USDT"), ("BTC", "KRW"), ("1000SHIB", "USDT")]


def market(base: str, quote: str, **rules: Any) -> MarketSpec:
    numbers = {
        "tick_size": "0.1",
        "lot_size": "0.001",
        "min_quantity": "0.001",
        "max_quantity": "1000",
    } | rules
    decimals = {name: None if number is None else Decimal(number) for name, number in numbers.items()}
    decimals.setdefault("min_notional", Decimal(5))
    return MarketSpec(
        symbol=f"{base}/{quote}:{quote}",
        exchange_symbol=f"{base}{quote}",
        market_type=MarketType.FUTURES,
        base=base,
        quote=quote,
        **decimals,
    )


def test_a_symbol_reaches_one_market_or_is_refused_in_words():
    index = SymbolIndex([market(base, quote) for base, quote in SYMBOLS])

    def check(text: str) -> None:
        try:
            found = index.resolve(text)
        except SymbolError as error:
            str(error.text)
        else:
            assert index.resolve(found.symbol) is found

    fuzz(check, st.one_of(st.lists(st.sampled_from(PIECES), max_size=6).map("".join), st.text(max_size=30)))


amounts = st.one_of(
    st.decimals("1E-18", "1E+19", allow_nan=False, allow_infinity=False, places=18),
    st.integers(-18, 19).map(lambda power: Decimal(1).scaleb(power)),
    st.sampled_from([Decimal(text) for text in ("0.001", "1", "5", "100", "95000", "99999999999999999999")]),
)
steps = st.sampled_from(["0", "1E-18", "0.00000001", "0.001", "0.5", "1", "3", "1E+3"])


@st.composite
def sizings(draw: Any) -> dict[str, Any]:
    kind, with_percent = draw(st.sampled_from(list(OrderType))), draw(st.booleans())
    rules = {
        "tick_size": draw(steps),
        "lot_size": draw(steps),
        "max_quantity": draw(st.sampled_from([None, "1", "1E+19"])),
        "market_max_quantity": draw(st.sampled_from([None, "0.5", "1E+19"])),
    }
    return {
        "market": market("BTC", "USDT", **rules),
        "order_type": kind,
        "side": draw(st.sampled_from(list(Side))),
        "qty_per": draw(amounts) if with_percent else None,
        "qty": None if with_percent else draw(amounts),
        "price": draw(amounts) if kind.needs_price else None,
        "stop_price": draw(amounts) if kind.needs_stop_price else None,
        "capital": draw(amounts),
        "capital_currency": draw(st.sampled_from(["USDT", "KRW"])),
        "leverage": draw(st.sampled_from([Decimal(1), Decimal(3), Decimal(125)])),
        "last_price": draw(st.none() | amounts),
    }


def most_at_the_market(given: dict[str, Any]) -> Decimal:
    largest = given["market"].market_max_quantity
    return Decimal("1E+20") if largest is None or given["order_type"].needs_price else largest


def test_an_opening_order_is_sized_on_the_lot_or_denied_in_words():
    def check(given: dict[str, Any]) -> None:
        try:
            sized = size_opening(**given)
        except Denied:
            return
        rules = given["market"]
        assert sized.quantity > 0
        assert sized.quantity >= rules.min_quantity
        assert rules.max_quantity is None or sized.quantity <= rules.max_quantity
        assert sized.quantity <= most_at_the_market(given)
        assert floor_to_step(sized.quantity, rules.lot_size) == sized.quantity
        assert sized.price is None or sized.price > 0

    fuzz(check, sizings())


def test_a_relative_price_is_a_price_or_is_denied_in_words():
    distances = st.tuples(st.sampled_from(RelativeKind), amounts, st.sampled_from([-1, 1]))

    def check(given: tuple[tuple[RelativeKind, Decimal, int], str, Decimal | None]) -> None:
        (kind, size, sign), tick, last = given
        try:
            rules = market("BTC", "USDT", tick_size=tick)
            price = price_from_market(rules, RelativePrice(kind, size * sign), last)
        except Denied:
            return
        assert 0 < price < Decimal("1E+20")
        assert last is not None
        assert (price - last) * sign >= 0

    fuzz(check, st.tuples(distances, steps, st.none() | amounts))


@st.composite
def closings(draw: Any) -> dict[str, Any]:
    kind = draw(st.sampled_from(list(OrderType)))
    return {
        "market": market(
            "BTC",
            "USDT",
            lot_size=draw(steps),
            market_max_quantity=draw(st.sampled_from([None, "0.5", "120", "1E+19"])),
        ),
        "order_type": kind,
        "side": draw(st.none() | st.sampled_from(list(Side))),
        "qty_per": -draw(st.decimals("0.000001", "100", places=6)),
        "price": draw(amounts) if kind.needs_price else None,
        "stop_price": draw(amounts) if kind.needs_stop_price else None,
        "held": draw(amounts) * draw(st.sampled_from([-1, 0, 1])),
        "has_reduce_only": draw(st.booleans()),
    }


def test_a_closing_order_is_never_larger_than_what_is_held():
    def check(given: dict[str, Any]) -> None:
        try:
            sized = size_closing(**given)
        except Denied:
            return
        assert 0 < sized.quantity <= min(abs(given["held"]), most_at_the_market(given))
        assert sized.side is (Side.SELL if given["held"] > 0 else Side.BUY)

    fuzz(check, closings())


def test_no_text_but_the_token_itself_matches():
    issued = new_token(WEBHOOK_MARK)

    def check(text: str) -> None:
        assert digests_match(digest_of(text), issued.digest) is (text == issued.clear)
        assert is_token(text, WEBHOOK_MARK) in (True, False)
        assert len(prefix_of(text)) <= len(issued.prefix)

    near = st.integers(0, len(issued.clear)).map(lambda cut: issued.clear[:cut])
    fuzz(check, st.one_of(near, st.text(st.characters(codec=None), max_size=60)))
