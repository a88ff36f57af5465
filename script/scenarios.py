"""Runs the four scenarios of the webhook document with curl, against the demo of var/demo.json.

python script/scenarios.py var/demo.json
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

BTC_LIMIT = {"symbol": "BTC/USDT", "side": "buy", "order_type": "LIMIT", "price": "90000", "qty_per": 5}
ETH_MARKET = {"symbol": "ETH/USDT", "side": "sell", "order_type": "MARKET", "qty_per": 10}


class Demo:
    def __init__(self, access: dict[str, Any]) -> None:
        self.access = access

    def send(self, **alert: Any) -> dict[str, Any]:
        body = json.dumps({"group_name": "test1", "token": self.access["token"]} | alert)
        command = ["curl", "-k", "-s", "-X", "POST", f"{self.access['url']}/api/webhook"]
        command += ["-H", "Content-Type: application/json", "-d", body]
        result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)  # noqa: S603
        answer: dict[str, Any] = json.loads(result.stdout)
        return answer


def expect_answer(answer: dict[str, Any], condition: bool, what: str) -> None:
    if not condition:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
        sys.exit(f"Expected: {what}")


def expect_trades(answer: dict[str, Any], count: int) -> None:
    summary = answer.get("summary", {})
    expect_answer(answer, answer.get("success") is True, "success")
    expect_answer(answer, answer.get("action") == "orders_processed", "action orders_processed")
    expect_answer(answer, {row["account_name"] for row in answer["results"]} == {"A1", "A2"}, "A1 and A2")
    expect_answer(answer, summary.get("successful_trades") == count, f"{count} successful trades")
    expect_answer(answer, summary.get("failed_trades") == 0, "no failed trade")


def limit_order(demo: Demo) -> None:
    answer = demo.send(**BTC_LIMIT)
    expect_trades(answer, 2)
    expect_answer(
        answer, {row["quantity"] for row in answer["results"]} == {"11.111"}, "5 % of 20,000,000 at 90000"
    )


def batch(demo: Demo) -> None:
    answer = demo.send(orders=[BTC_LIMIT | {"priority": 1}, ETH_MARKET | {"priority": 2}])
    expect_trades(answer, 4)


def cancel_all(demo: Demo) -> None:
    answer = demo.send(symbol="BTC/USDT", order_type="CANCEL_ALL_ORDER")
    expect_answer(answer, answer.get("action") == "cancel_all_orders", "action cancel_all_orders")
    expect_answer(
        answer, answer["summary"].get("successful_cancels", 0) >= 4, "at least four canceled orders"
    )
    expect_answer(answer, answer["summary"].get("failed_cancels") == 0, "no failed cancel")


def close_position(demo: Demo) -> None:
    market = {"symbol": "BTC/USDT", "order_type": "MARKET"}
    opened = demo.send(**market, side="buy", qty_per=0.001)
    expect_trades(opened, 2)
    closed = demo.send(**market, side="sell", qty_per=-100)
    expect_trades(closed, 2)
    quantities = [
        {(row["account_name"], row["quantity"]) for row in answer["results"]} for answer in (opened, closed)
    ]
    expect_answer(closed, quantities[0] == quantities[1], "the whole position closed")
    again = demo.send(**market, side="sell", qty_per=-100)
    expect_answer(
        again, {row["error_code"] for row in again["results"]} == {"no_long_position"}, "nothing left to sell"
    )


def main() -> None:
    demo = Demo(json.loads(Path(sys.argv[1]).read_text()))
    for number, scenario in enumerate((limit_order, batch, cancel_all, close_position), start=1):
        scenario(demo)
        print(f"==> Scenario {number}: ok ({scenario.__name__.replace('_', ' ')})", flush=True)


if __name__ == "__main__":
    main()
