"""The few wallet endpoints used by clients around trading.

https://developers.binance.com/docs/wallet
"""

from exchanges.paper.endpoints.call import Call
from exchanges.paper.engine.catalog import ASSETS, MARKETS, SPOT
from exchanges.paper.engine.codec import Json, eight_places


def all_coins(call: Call) -> list[Json]:
    return [_coin_json(call, asset) for asset in ASSETS]


def _coin_json(call: Call, asset: str) -> Json:
    wallet = call.account.spot.get(asset)
    return {
        "coin": asset,
        "name": asset,
        "depositAllEnable": False,
        "withdrawAllEnable": False,
        "free": eight_places(wallet.free) if wallet else "0",
        "locked": eight_places(wallet.locked) if wallet else "0",
        "freeze": "0",
        "withdrawing": "0",
        "ipoing": "0",
        "ipoable": "0",
        "storage": "0",
        "isLegalMoney": False,
        "trading": True,
        "networkList": [],
    }


def api_restrictions(call: Call) -> Json:
    """The permissions of a key: may trade and not withdraw, or a bad key, where the account has `can_withdraw`."""
    return {
        "ipRestrict": False,
        "createTime": 1_600_000_000_000,
        "enableReading": True,
        "enableWithdrawals": call.account.can_withdraw,
        "enableInternalTransfer": False,
        "enableMargin": False,
        "enableFutures": True,
        "permitsUniversalTransfer": False,
        "enableVanillaOptions": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
        "enableSpotAndMarginTrading": True,
        "enablePortfolioMarginTrading": False,
    }


def trade_fee(call: Call) -> list[Json]:
    asked = call.params.get("symbol")
    symbols = [asked] if asked in MARKETS[SPOT] else list(MARKETS[SPOT])
    return [{"symbol": symbol, "makerCommission": "0.001", "takerCommission": "0.001"} for symbol in symbols]


def user_assets(call: Call) -> list[Json]:
    held = sorted(call.account.spot.items())
    rest = {"freeze": "0", "withdrawing": "0", "ipoable": "0", "btcValuation": "0"}
    return [
        {"asset": asset, "free": eight_places(w.free), "locked": eight_places(w.locked)} | rest
        for asset, w in held
    ]


def empty_list(call: Call) -> list[Json]:
    return []


def account_status(call: Call) -> Json:
    return {"data": "Normal"}
