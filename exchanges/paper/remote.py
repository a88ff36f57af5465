"""A client of the control API of a running paper exchange, for audits, the demo and tests."""

import json
from datetime import datetime
from http.client import HTTPException  # noqa: TID251 - to the control API only
from typing import Any
from urllib.error import HTTPError
from urllib.request import ProxyHandler, Request, build_opener  # noqa: TID251 - to the control API only

from exchanges.paper.engine.codec import Json

CONTROL_HEADER = "X-Paper-Control"  # what no web page of another site can send
_TIMEOUT_S = 10


class PaperUnreachable(Exception):
    """No paper exchange answers at the address. `manage.py paper_exchange` starts a paper exchange."""


class PaperControl:
    """The control API of a running paper exchange."""

    def __init__(self, url: str) -> None:
        self.url = url

    def state(self, api_key: str = "", *, since: datetime | None = None) -> Json:
        """All accounts or one; with `since`, only what happened to orders since then."""
        since_ms = int(since.timestamp() * 1000) if since else 0
        return self._call_object("GET", f"state?api_key={api_key}&since={since_ms}")

    def account(self, api_key: str) -> Json:
        """The state of one account."""
        accounts: dict[str, Json] = self.state(api_key)["accounts"]
        return accounts[api_key]

    def requests(self, since: int = 0) -> list[Json]:
        return self._call_list("GET", f"requests?since={since}")

    def set_prices(self, prices: dict[str, str]) -> Json:
        return self._call_object("POST", "prices", prices)

    def set_liquidity(self, caps: dict[str, Any]) -> Json:
        """For example `{"BTCUSDT": "0.4"}` by order, or `{"BTCUSDT": {"total": "3"}}` for all orders together."""
        return self._call_object("POST", "liquidity", caps)

    def set_bands(self, middles: dict[str, str | None]) -> Json:
        """Sets the prices in the middle of the price bands; None follows the last price."""
        return self._call_object("POST", "bands", middles)

    def set_markets(self, rules: dict[str, Any]) -> Json:
        """For example `set_markets({"BTCUSDT": {"futures": {"step": "0.01"}}})`. None resets."""
        return self._call_object("POST", "markets", rules)

    def hand(self, key: str, market: str, symbol: str, side: str, quantity: str, **more: Any) -> Json:
        """Places an order of the account's owner at the exchange's own app.

        `price` makes a resting order, `triggerPrice` a conditional order on futures.
        """
        order = {"api_key": key, "market": market, "symbol": symbol, "side": side, "quantity": quantity}
        return self._call_object("POST", "hand", order | more)

    def cancel_by_hand(self, key: str, **order: Any) -> list[str]:
        """Cancels open orders as the account's owner: `client_order_id`, `orderId`, `symbol`, `market`."""
        canceled: list[str] = self._call_object("POST", "cancel", {"api_key": key} | order)["canceled"]
        return canceled

    def fill_in_parts(self, key: str, symbol: str, count: int, **order: Any) -> Json:
        """Fills a resting order in `count` trades, whole or up to `quantity`.

        `client_order_id` or `orderId` names the order.
        """
        return self._call_object("POST", "fills", {"api_key": key, "symbol": symbol, "count": count} | order)

    def forget(self, **orders: Any) -> list[str]:
        """Forgets orders: `api_key`, `symbol`, `market`, `older_than_s`, `unfilled`; `client_order_id` also open.

        Returns the client order ids.
        """
        forgotten: list[str] = self._call_object("POST", "forget", orders)["forgotten"]
        return forgotten

    def liquidate(self, key: str, symbol: str, **more: Any) -> Json:
        """Liquidates a position: all at the last price, or with `quantity` and `price`. Returns the order."""
        return self._call_object("POST", "liquidate", {"api_key": key, "symbol": symbol} | more)

    def adl(self, key: str, symbol: str, **more: Any) -> Json:
        return self._call_object("POST", "adl", {"api_key": key, "symbol": symbol} | more)

    def deliver_contract(self, symbol: str) -> list[Json]:
        """Delists a futures contract, and settles every position. Returns the orders of the settlement."""
        return self._call_list("POST", "deliver", {"symbol": symbol})

    def fund(self, symbol: str, rate: str) -> list[Json]:
        """Lets every position pay or get funding once. Returns the payments."""
        return self._call_list("POST", "funding", {"symbol": symbol, "rate": rate})

    def transfer(self, key: str, market: str, asset: str, amount: str) -> Json:
        """Moves coins in, or out where the amount is negative. Returns the balances."""
        order = {"api_key": key, "market": market, "asset": asset, "amount": amount}
        return self._call_object("POST", "transfer", order)

    def fault(self, **fault: Any) -> list[Json]:
        """For example `fault(action="drop", when="after", path="/fapi/v1/order", method="POST")`."""
        return self._call_list("POST", "faults", fault)

    def refuse_connections(self, seconds: float) -> None:
        """Closes the port for some seconds: every connection is refused, also to the control API."""
        self._call("POST", "outage", {"seconds": seconds})

    def clear_faults(self) -> None:
        self._call("DELETE", "faults")

    def open_account(
        self, key: str, secret: str = "", balances: dict[str, str] | None = None, **more: Any
    ) -> None:
        self._call("POST", "accounts", {"api_key": key, "secret": secret, "balances": balances} | more)

    def set_balances(self, key: str, market: str, balances: dict[str, str]) -> Json:
        return self._call_object("POST", "balances", {"api_key": key, "market": market, "balances": balances})

    def reset(self) -> None:
        """Empties the ledger, sets opening prices, and forgets faults, the request journal and used weight."""
        self._call("DELETE", "state")

    def _call_object(self, method: str, path: str, body: Json | None = None) -> Json:
        answer: Json = self._call(method, path, body)
        return answer

    def _call_list(self, method: str, path: str, body: Json | None = None) -> list[Json]:
        answer: list[Json] = self._call(method, path, body)
        return answer

    def _call(self, method: str, path: str, body: Json | None = None) -> Any:
        payload = None if body is None else json.dumps(body).encode()
        headers = {CONTROL_HEADER: "1", "Content-Type": "application/json"}
        request = Request(f"{self.url}/__paper__/{path}", payload, headers, method=method)  # noqa: S310 - loopback http
        try:
            with _DIRECT.open(request, timeout=_TIMEOUT_S) as answer:
                return json.load(answer)
        except HTTPError as error:
            raise ValueError(error.read().decode()) from error
        except (OSError, HTTPException) as error:
            raise PaperUnreachable(self.url) from error


_DIRECT = build_opener(ProxyHandler({}))
