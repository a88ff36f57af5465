"""The table of signed requests, with the endpoint and the weight of each request."""

from collections.abc import Callable
from dataclasses import dataclass

from exchanges.paper.endpoints import algo, futures, holdings, income, sapi, spot
from exchanges.paper.endpoints.call import Answer, Call


@dataclass(frozen=True, slots=True)
class Route:
    """The endpoint and weight of a request. `orders` is 1 where the request counts as an order."""

    endpoint: Callable[[Call], Answer]
    weight: int = 1
    orders: int = 0


SIGNED: dict[tuple[str, str], Route] = {
    ("POST", "/api/v3/order"): Route(spot.create_order, 1, 1),
    ("POST", "/api/v3/order/test"): Route(spot.test_order),
    ("GET", "/api/v3/order"): Route(spot.get_order, 4),
    ("DELETE", "/api/v3/order"): Route(spot.cancel_order),
    ("GET", "/api/v3/openOrders"): Route(spot.open_orders, 6),
    ("DELETE", "/api/v3/openOrders"): Route(spot.cancel_open_orders),
    ("GET", "/api/v3/allOrders"): Route(spot.all_orders, 20),
    ("GET", "/api/v3/myTrades"): Route(spot.my_trades, 20),
    ("GET", "/api/v3/account"): Route(spot.get_account, 20),
    ("GET", "/sapi/v1/capital/config/getall"): Route(sapi.all_coins, 10),
    ("GET", "/sapi/v1/account/apiRestrictions"): Route(sapi.api_restrictions),
    ("GET", "/sapi/v1/account/status"): Route(sapi.account_status),
    ("GET", "/sapi/v1/asset/tradeFee"): Route(sapi.trade_fee),
    ("POST", "/sapi/v3/asset/getUserAsset"): Route(sapi.user_assets, 5),
    ("GET", "/sapi/v1/margin/allPairs"): Route(sapi.empty_list),
    ("GET", "/sapi/v1/margin/isolated/allPairs"): Route(sapi.empty_list),
    ("POST", "/fapi/v1/order"): Route(futures.create_order, 0, 1),
    ("POST", "/fapi/v1/order/test"): Route(futures.test_order, 0),
    ("GET", "/fapi/v1/order"): Route(futures.get_order),
    ("DELETE", "/fapi/v1/order"): Route(futures.cancel_order),
    ("GET", "/fapi/v1/openOrder"): Route(futures.open_order),
    ("GET", "/fapi/v1/openOrders"): Route(futures.open_orders),
    ("DELETE", "/fapi/v1/allOpenOrders"): Route(futures.cancel_open_orders),
    ("GET", "/fapi/v1/allOrders"): Route(futures.all_orders, 5),
    ("GET", "/fapi/v1/userTrades"): Route(futures.user_trades, 5),
    ("GET", "/fapi/v1/forceOrders"): Route(futures.force_orders, 20),
    ("GET", "/fapi/v1/income"): Route(income.get_income, 30),
    ("POST", "/fapi/v1/algoOrder"): Route(algo.create_algo, 0, 1),
    ("GET", "/fapi/v1/algoOrder"): Route(algo.get_algo),
    ("DELETE", "/fapi/v1/algoOrder"): Route(algo.cancel_algo),
    ("GET", "/fapi/v1/openAlgoOrders"): Route(algo.open_algos),
    ("GET", "/fapi/v1/allAlgoOrders"): Route(algo.all_algos, 5),
    ("DELETE", "/fapi/v1/algoOpenOrders"): Route(algo.cancel_open_algos),
    ("GET", "/fapi/v2/balance"): Route(holdings.get_balance, 5),
    ("GET", "/fapi/v3/balance"): Route(holdings.get_balance, 5),
    ("GET", "/fapi/v2/account"): Route(holdings.get_account_v2, 5),
    ("GET", "/fapi/v3/account"): Route(holdings.get_account, 5),
    ("GET", "/fapi/v1/positionRisk"): Route(holdings.position_risk_v2, 5),
    ("GET", "/fapi/v2/positionRisk"): Route(holdings.position_risk_v2, 5),
    ("GET", "/fapi/v3/positionRisk"): Route(holdings.position_risk, 5),
    ("GET", "/fapi/v1/symbolConfig"): Route(holdings.symbol_config, 5),
    ("GET", "/fapi/v1/accountConfig"): Route(holdings.account_config, 5),
    ("GET", "/fapi/v1/commissionRate"): Route(holdings.commission_rate, 20),
    ("GET", "/fapi/v1/leverageBracket"): Route(holdings.leverage_bracket),
    ("POST", "/fapi/v1/leverage"): Route(holdings.set_leverage),
    ("POST", "/fapi/v1/marginType"): Route(holdings.set_margin_type),
    ("GET", "/fapi/v1/positionSide/dual"): Route(holdings.position_mode, 30),
    ("POST", "/fapi/v1/positionSide/dual"): Route(holdings.set_position_mode),
    ("GET", "/fapi/v1/multiAssetsMargin"): Route(holdings.multi_assets_mode, 30),
}
