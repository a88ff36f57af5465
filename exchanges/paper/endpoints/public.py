"""Unsigned market data. The order book is synthetic: one level per tick, on both sides of a standing price."""

from collections.abc import Callable
from decimal import Decimal

from exchanges.paper.endpoints.call import Answer
from exchanges.paper.endpoints.rules import MAX_OPEN_ORDERS, MAX_STOP_ORDERS
from exchanges.paper.endpoints.spot import TYPES
from exchanges.paper.engine.catalog import FUTURES, SPOT, Market
from exchanges.paper.engine.codec import Json, decimal_text, eight_places, fixed_places, loads
from exchanges.paper.engine.errors import Refusal
from exchanges.paper.engine.ledger import Ledger
from exchanges.paper.wire.parameters import Params, limit, required

Endpoint = Callable[[Ledger, Params, int], Answer]
DEPTH_QTY = Decimal(1000)
FUTURES_TYPES = (
    "LIMIT",
    "MARKET",
    "STOP",
    "STOP_MARKET",
    "TAKE_PROFIT",
    "TAKE_PROFIT_MARKET",
    "TRAILING_STOP_MARKET",
)


def answer_ping(ledger: Ledger, params: Params, now: int) -> Json:
    return {}


def server_time(ledger: Ledger, params: Params, now: int) -> Json:
    return {"serverTime": now}


def system_status(ledger: Ledger, params: Params, now: int) -> Json:
    return {"status": 0, "msg": "normal"}


def _rate_limits(*limits: tuple[str, str, int, int]) -> list[Json]:
    names = ("rateLimitType", "interval", "intervalNum", "limit")
    return [dict(zip(names, each, strict=True)) for each in limits]


def spot_info(ledger: Ledger, params: Params, now: int) -> Json:
    rates = _rate_limits(
        ("REQUEST_WEIGHT", "MINUTE", 1, 6000), ("ORDERS", "SECOND", 10, 100), ("ORDERS", "DAY", 1, 200_000)
    )
    symbols = [_spot_symbol(market) for market in _wanted_markets(ledger, SPOT, params)]
    return {
        "timezone": "UTC",
        "serverTime": now,
        "rateLimits": rates,
        "exchangeFilters": [],
        "symbols": symbols,
    }


def futures_info(ledger: Ledger, params: Params, now: int) -> Json:
    rates = _rate_limits(
        ("REQUEST_WEIGHT", "MINUTE", 1, 2400), ("ORDERS", "MINUTE", 1, 1200), ("ORDERS", "SECOND", 10, 300)
    )
    assets = [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "-10000"}]
    symbols = [_futures_symbol(market) for market in ledger.listed_markets(FUTURES).values()]
    head = {"timezone": "UTC", "serverTime": now, "futuresType": "U_MARGINED", "rateLimits": rates}
    return head | {"exchangeFilters": [], "assets": assets, "symbols": symbols}


def no_symbols(ledger: Ledger, params: Params, now: int) -> Json:
    """An empty list of coin-margined futures, because clients ask for such markets all the same."""
    return {"timezone": "UTC", "serverTime": now, "rateLimits": [], "exchangeFilters": [], "symbols": []}


EIGHT_DIGITS = (
    "baseAssetPrecision",
    "quotePrecision",
    "quoteAssetPrecision",
    "baseCommissionPrecision",
    "quoteCommissionPrecision",
)


def _spot_symbol(market: Market) -> Json:
    return {
        "symbol": market.symbol,
        "status": market.status,
        "baseAsset": market.base,
        "quoteAsset": market.quote,
        **dict.fromkeys(EIGHT_DIGITS, 8),
        "orderTypes": list(TYPES),
        "icebergAllowed": True,
        "ocoAllowed": False,
        "otoAllowed": False,
        "quoteOrderQtyMarketAllowed": True,
        "allowTrailingStop": False,
        "cancelReplaceAllowed": False,
        "amendAllowed": False,
        "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False,
        "filters": _spot_filters(market),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": "EXPIRE_MAKER",
        "allowedSelfTradePreventionModes": ["EXPIRE_TAKER", "EXPIRE_MAKER", "EXPIRE_BOTH"],
    }


def _spot_filters(market: Market) -> list[Json]:
    up, down, tick, step = (
        decimal_text(market.price_ceiling),
        decimal_text(market.price_floor),
        eight_places(market.tick),
        eight_places(market.step),
    )
    band = {
        "bidMultiplierUp": up,
        "bidMultiplierDown": down,
        "askMultiplierUp": up,
        "askMultiplierDown": down,
    }
    notional = {
        "minNotional": eight_places(market.min_notional),
        "applyMinToMarket": True,
        "maxNotional": "9000000.00000000",
    }
    least = eight_places(market.min_qty)
    market_lot = {
        "minQty": "0.00000000",
        "maxQty": eight_places(market.market_max_qty),
        "stepSize": "0.00000000",
    }
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "1000000.00000000", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": least, "maxQty": eight_places(market.max_qty), "stepSize": step},
        {"filterType": "ICEBERG_PARTS", "limit": 10},
        {"filterType": "MARKET_LOT_SIZE"} | market_lot,
        {"filterType": "PERCENT_PRICE_BY_SIDE", "avgPriceMins": 5} | band,
        {"filterType": "NOTIONAL", "applyMaxToMarket": False, "avgPriceMins": 5} | notional,
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": MAX_OPEN_ORDERS},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "maxNumAlgoOrders": MAX_STOP_ORDERS[SPOT]},
    ]


def _futures_symbol(market: Market) -> Json:
    return {
        "symbol": market.symbol,
        "pair": market.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4133404800000,
        "onboardDate": 1569398400000,
        "status": market.status,
        "maintMarginPercent": "2.5000",
        "requiredMarginPercent": "5.0000",
        "baseAsset": market.base,
        "quoteAsset": market.quote,
        "marginAsset": "USDT",
        "pricePrecision": market.price_digits,
        "quantityPrecision": market.quantity_digits,
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": ["PoW"],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.012500",
        "marketTakeBound": decimal_text(market.price_ceiling - 1),
        "maxMoveOrderLimit": 10000,
        "filters": _futures_filters(market),
        "orderTypes": list(FUTURES_TYPES),
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def _futures_filters(market: Market) -> list[Json]:
    tick, step = format(market.tick, "f"), decimal_text(market.step)
    band = {
        "multiplierUp": fixed_places(market.price_ceiling, 4),
        "multiplierDown": fixed_places(market.price_floor, 4),
    }
    least = decimal_text(market.min_qty)
    market_lot = {"minQty": least, "maxQty": decimal_text(market.market_max_qty), "stepSize": step}
    return [
        {"filterType": "PRICE_FILTER", "minPrice": tick, "maxPrice": "4529764", "tickSize": tick},
        {"filterType": "LOT_SIZE", "minQty": least, "maxQty": decimal_text(market.max_qty), "stepSize": step},
        {"filterType": "MARKET_LOT_SIZE"} | market_lot,
        {"filterType": "MAX_NUM_ORDERS", "limit": MAX_OPEN_ORDERS},
        {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": MAX_STOP_ORDERS[FUTURES]},
        {"filterType": "MIN_NOTIONAL", "notional": decimal_text(market.min_notional)},
        {"filterType": "PERCENT_PRICE", "multiplierDecimal": "4"} | band,
    ]


def _wanted_markets(ledger: Ledger, kind: str, params: Params) -> list[Market]:
    """The market of `symbol`, the markets of the JSON list `symbols`, or all markets."""
    listed = ledger.listed_markets(kind)
    asked = [params["symbol"]] if params.get("symbol") else _listed_symbols(params)
    if any(symbol not in listed for symbol in asked):
        raise Refusal(-1121)
    return [listed[symbol] for symbol in asked] or list(listed.values())


def _listed_symbols(params: Params) -> list[str]:
    try:
        return list(loads(params.get("symbols") or "[]"))
    except ValueError as error:
        raise Refusal(-1100, "Illegal characters found in parameter 'symbols'.") from error


def _endpoint_of_markets(kind: str, show: Callable[[Ledger, Market, int], Json]) -> Endpoint:
    def endpoint(ledger: Ledger, params: Params, now: int) -> Answer:
        rows = [show(ledger, market, now) for market in _wanted_markets(ledger, kind, params)]
        return rows[0] if params.get("symbol") else rows

    return endpoint


def _price_ticker(ledger: Ledger, market: Market, now: int) -> Json:
    return {"symbol": market.symbol, "price": eight_places(ledger.prices[market.symbol]), "time": now}


def _book_ticker(ledger: Ledger, market: Market, now: int) -> Json:
    price = ledger.prices[market.symbol]
    return {
        "symbol": market.symbol,
        "bidPrice": eight_places(price),
        "bidQty": eight_places(DEPTH_QTY),
        "askPrice": eight_places(price),
        "askQty": eight_places(DEPTH_QTY),
        "time": now,
    }


def _day_ticker(ledger: Ledger, market: Market, now: int) -> Json:
    price, zero = eight_places(ledger.prices[market.symbol]), "0.00000000"
    still = ("weightedAvgPrice", "prevClosePrice", "lastPrice", "openPrice", "highPrice", "lowPrice")
    return {
        "symbol": market.symbol,
        **dict.fromkeys(still, price),
        "priceChange": zero,
        "priceChangePercent": "0.000",
        "lastQty": zero,
        "bidPrice": price,
        "bidQty": eight_places(DEPTH_QTY),
        "askPrice": price,
        "askQty": eight_places(DEPTH_QTY),
        "volume": zero,
        "quoteVolume": zero,
        "openTime": now - 86_400_000,
        "closeTime": now,
        "firstId": 0,
        "lastId": 0,
        "count": 0,
    }


def _mark_price(ledger: Ledger, market: Market, now: int) -> Json:
    price = eight_places(ledger.reference_price(market.symbol))
    return {
        "symbol": market.symbol,
        **dict.fromkeys(("markPrice", "indexPrice", "estimatedSettlePrice"), price),
        "lastFundingRate": "0.00000000",
        "interestRate": "0.00010000",
        "nextFundingTime": now - now % 28_800_000 + 28_800_000,
        "time": now,
    }


def _depth_endpoint(kind: str) -> Endpoint:
    def endpoint(ledger: Ledger, params: Params, now: int) -> Json:
        market, levels = ledger.market(kind, required(params, "symbol")), limit(params, 100, 1000)
        price = ledger.prices[market.symbol]
        asks = [
            [eight_places(price + market.tick * step), eight_places(DEPTH_QTY)]
            for step in range(1, levels + 1)
        ]
        bids = [
            [eight_places(price - market.tick * step), eight_places(DEPTH_QTY)]
            for step in range(1, levels + 1)
        ]
        return {"lastUpdateId": now, "E": now, "T": now, "bids": bids, "asks": asks}

    return endpoint


PUBLIC: dict[str, tuple[Endpoint, int]] = {
    "/api/v3/ping": (answer_ping, 1),
    "/api/v3/time": (server_time, 1),
    "/api/v3/exchangeInfo": (spot_info, 20),
    "/api/v3/ticker/price": (_endpoint_of_markets(SPOT, _price_ticker), 2),
    "/api/v3/ticker/24hr": (_endpoint_of_markets(SPOT, _day_ticker), 2),
    "/api/v3/ticker/bookTicker": (_endpoint_of_markets(SPOT, _book_ticker), 2),
    "/api/v3/depth": (_depth_endpoint(SPOT), 5),
    "/sapi/v1/system/status": (system_status, 1),
    "/fapi/v1/ping": (answer_ping, 1),
    "/fapi/v1/time": (server_time, 1),
    "/fapi/v1/exchangeInfo": (futures_info, 1),
    "/fapi/v1/ticker/price": (_endpoint_of_markets(FUTURES, _price_ticker), 1),
    "/fapi/v2/ticker/price": (_endpoint_of_markets(FUTURES, _price_ticker), 1),
    "/fapi/v1/ticker/24hr": (_endpoint_of_markets(FUTURES, _day_ticker), 1),
    "/fapi/v1/ticker/bookTicker": (_endpoint_of_markets(FUTURES, _book_ticker), 2),
    "/fapi/v1/premiumIndex": (_endpoint_of_markets(FUTURES, _mark_price), 1),
    "/fapi/v1/depth": (_depth_endpoint(FUTURES), 5),
    "/dapi/v1/exchangeInfo": (no_symbols, 1),
    "/dapi/v1/time": (server_time, 1),
}
