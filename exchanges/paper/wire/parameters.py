"""Reads request parameters. A missing or malformed parameter is refused with Binance's code."""

import re
from decimal import Decimal

from exchanges.paper.engine.errors import Refusal

Params = dict[str, str]

NUMBER = re.compile(r"[0-9]{1,20}(\.[0-9]{1,20})?")
CLIENT_ID = {
    "spot": re.compile(r"[a-zA-Z0-9\-_]{1,36}"),
    "futures": re.compile(r"[.A-Z:/a-z0-9_\-]{1,36}"),
}


def required(params: Params, name: str) -> str:
    value = params.get(name, "")
    if not value:
        raise Refusal(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.")
    return value


def number(params: Params, name: str) -> Decimal:
    value = required(params, name)
    if not NUMBER.fullmatch(value):
        legal = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"
        raise Refusal(-1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'.")
    return Decimal(value)


def optional_number(params: Params, name: str) -> Decimal:
    return number(params, name) if params.get(name) else Decimal(0)


def integer(params: Params, name: str) -> int:
    value = required(params, name)
    if not value.isascii() or not value.isdigit() or len(value) > 20:
        raise Refusal(
            -1100, f"Illegal characters found in parameter '{name}'; legal range is '^[0-9]{{1,20}}$'."
        )
    return int(value)


def optional_integer(params: Params, name: str) -> int | None:
    return integer(params, name) if params.get(name) else None


def flag(params: Params, name: str) -> bool:
    return params.get(name, "").lower() == "true"


def side(params: Params) -> str:
    value = required(params, "side")
    if value not in ("BUY", "SELL"):
        raise Refusal(-1117)
    return value


def time_in_force(params: Params, known: tuple[str, ...]) -> str:
    value = required(params, "timeInForce")
    if value not in known:
        raise Refusal(-1115)
    return value


def limit(params: Params, default: int, most: int) -> int:
    asked = optional_integer(params, "limit")
    return min(asked or default, most)


def client_id(params: Params, name: str, kind: str, fallback: str) -> str:
    value = params.get(name) or fallback
    if CLIENT_ID[kind].fullmatch(value):
        return value
    if kind == "futures" and len(value) > 36:
        raise Refusal(-4015)
    legal = CLIENT_ID[kind].pattern.replace("\\-", "-")
    raise Refusal(-1100, f"Illegal characters found in parameter '{name}'; legal range is '^{legal}$'.")
