"""Actions on the markets: prices, bands, liquidity and the rules of a market."""

from exchanges.paper.actions.body import (
    Query,
    json_object,
    known_kind,
    known_symbol,
    parse_decimal,
    parse_decimals,
)
from exchanges.paper.engine.catalog import MARKETS, RULES, STATUSES
from exchanges.paper.engine.codec import Json
from exchanges.paper.engine.errors import Refusal
from exchanges.paper.engine.ledger import Ledger
from exchanges.paper.engine.matching import move_price
from exchanges.paper.state import ExchangeState


def get_prices(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    return exchange.ledger.prices


def post_prices(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    prices = {known_symbol(symbol): price for symbol, price in parse_decimals(body).items()}
    if not all(prices.values()):
        raise Refusal(-1104, "A price is greater than zero.")
    for symbol, price in prices.items():
        move_price(exchange.ledger, symbol, price, now)
    return exchange.ledger.prices


def post_bands(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    """Sets the price in the middle of a symbol's bands, apart from the last price; null follows the last price."""
    ledger = exchange.ledger
    for symbol, price in json_object(body).items():
        if price is None:
            ledger.references.pop(known_symbol(symbol), None)
        else:
            ledger.references[known_symbol(symbol)] = parse_decimal(symbol, price)
    ledger.touch_counters()
    return ledger.references


def post_liquidity(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    """Sets the base units that one order fills at arrival or at a move of the price; null removes the cap.

    `{"total": "3"}` is the quantity for all fills together, used up until it is set again; `each` adds a cap.
    """
    for symbol, wanted in json_object(body).items():
        _set_book(
            exchange.ledger, known_symbol(symbol), wanted if isinstance(wanted, dict) else {"each": wanted}
        )
    exchange.ledger.touch_counters()
    return get_liquidity(exchange, body, query, now)


def get_liquidity(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    """The cap of each symbol, and what is left of a total."""
    caps, totals = exchange.ledger.liquidity, exchange.ledger.depth
    return caps | {symbol: {"total": left, "each": caps.get(symbol)} for symbol, left in totals.items()}


def _set_book(ledger: Ledger, symbol: str, wanted: Json) -> None:
    for book, name in ((ledger.liquidity, "each"), (ledger.depth, "total")):
        book.pop(symbol, None)
        if wanted.get(name) is not None:
            book[symbol] = parse_decimal(symbol, wanted[name])


def get_markets(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    return _changed_rules(exchange.ledger)


def post_markets(exchange: ExchangeState, body: object, query: Query, now: int) -> object:
    """Changes rules of markets: `{"BTCUSDT": {"futures": {"step": "0.01"}}}`. Null stands for the checked-in rule."""
    changes = [
        change for symbol, kinds in json_object(body).items() for change in _changes(exchange, symbol, kinds)
    ]
    for kind, symbol, rules in changes:
        exchange.ledger.change_rules(kind, symbol, rules)
    return _changed_rules(exchange.ledger)


def _changes(exchange: ExchangeState, symbol: str, kinds: object) -> list[tuple[str, str, dict[str, str]]]:
    listed = [kind for kind in MARKETS if known_symbol(symbol) in MARKETS[kind]]
    asked = dict.fromkeys(listed) if kinds is None else json_object(kinds)
    if not set(asked) <= set(listed):
        raise Refusal(-1121, f"Invalid symbol: {symbol} of {sorted(asked)}")
    rules = exchange.ledger.rules
    return [
        (kind, symbol, _merged_rules(known_kind(kind), rules.get(kind, {}).get(symbol, {}), wanted))
        for kind, wanted in asked.items()
    ]


def _merged_rules(kind: str, rules: dict[str, str], wanted: object) -> dict[str, str]:
    if wanted is None:
        return {}
    merged = rules | {name: _checked_rule(kind, name, value) for name, value in json_object(wanted).items()}
    return {name: value for name, value in merged.items() if value is not None}


def _checked_rule(kind: str, name: str, value: object) -> str | None:
    if value is None:
        return None
    if name == "status" and value in STATUSES[kind]:
        return str(value)
    if name not in RULES or (name in ("tick", "step") and not parse_decimal(name, value)):
        raise Refusal(-1104, f"Not a rule of a {kind} market: {name} {value}")
    return str(parse_decimal(name, value))


def _changed_rules(ledger: Ledger) -> Json:
    shown: Json = {}
    for kind, changed in ledger.rules.items():
        for symbol, rules in changed.items():
            shown.setdefault(symbol, {})[kind] = rules
    return shown
