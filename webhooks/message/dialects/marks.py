"""The marks by which a message shows the system for which the message was written."""

import re
from collections.abc import Callable, Mapping

from webhooks.message.dialects.traderspost import ACTIONS
from webhooks.message.placeholders import holds_placeholder

Message = Mapping[str, object]

_OWN = ("order_type", "qty_per", "market_position", "target_per", "target_qty", "target_quote")
_NOT_TRADERSPOST = (
    *("bot_uuid", "secret", "apikey", "pricetype", "base", "quote", "side", "command", "orders"),
    *_OWN,
)
_TV_HUB = ("isbuy", "issell", "isclose", "cancelallorders")
_WUNDERTRADING = ("amountpertrade", "takeprofits", "placeconditionalordersonexchange")


def _has(message: Message, *names: str) -> bool:
    return all(name in message for name in names)


def _has_any(message: Message, names: tuple[str, ...]) -> bool:
    return any(name in message for name in names)


def _is_traderspost(message: Message) -> bool:
    action = message.get("action")
    is_action = str(action).strip().lower() in ACTIONS or holds_placeholder(action)
    return "ticker" in message and is_action and not _has_any(message, _NOT_TRADERSPOST)


def _is_three_commas(message: Message) -> bool:
    return "bot_uuid" in message or _has(message, "secret", "tv_instrument")


def _is_poabot(message: Message) -> bool:
    return _has(message, "base", "quote", "side") or _has(message, "password", "base")


_MARKS: Mapping[str, Callable[[Message], bool]] = {
    "3commas": _is_three_commas,
    "3commas-dca": lambda message: _has(message, "bot_id", "email_token"),
    "poabot": _is_poabot,
    "openalgo": lambda message: _has(message, "apikey", "strategy"),
    "tv-hub": lambda message: "pair" in message and _has_any(message, _TV_HUB),
    "frostybot": lambda message: ":" in str(message.get("command", "")),
    "wundertrading": lambda message: "code" in message and _has_any(message, _WUNDERTRADING),
    "traderspost": _is_traderspost,
    "own": lambda message: _has_any(message, _OWN),
}
_TEXT_MARKS = {
    "alertatron": re.compile(r"\s*\w{1,64}\([\w/:.-]{1,64}\)\s{0,9}\{"),
    "pineconnector": re.compile(
        r"\s*\d{10,14},(?:buy|sell|long|short|bull|bear|close|cancel|new|ea)\w{0,20}\s{0,9}(?:,|$)",
        re.IGNORECASE,
    ),
    "frostybot": re.compile(r"\s*trade:\w", re.IGNORECASE),
    "wundertrading": re.compile(r"\s*(?:enter|exit)-(?:long|short|all)(?:_\S{0,200})?\s*", re.IGNORECASE),
}


def dialects_marked(message: Message) -> list[str]:
    """Returns the dialects whose marks a message with lower-case keys carries."""
    return [name for name, is_marked in _MARKS.items() if is_marked(message)]


def is_strategy_webhook(message: Message) -> bool:
    """Whether the fields are those of OpenAlgo's strategy webhook, whose meaning the mode decides."""
    return _has(message, "symbol", "action", "position_size")


def text_dialect_marked(text: str) -> str:
    """Returns the dialect whose notation a text that is no JSON shows; "" without one."""
    for name, pattern in _TEXT_MARKS.items():
        found = pattern.fullmatch(text) if name == "wundertrading" else pattern.match(text)
        if found:
            return name
    return ""
