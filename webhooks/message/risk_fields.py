"""The names of fields that would change an order's risk if they were understood."""

import re

_PLAIN = frozenset(
    {
        "breakeven",
        "breakevenafter",
        "close",
        "closeonly",
        "closeposition",
        "closeall",
        "exitonly",
        "hedge",
        "hedgemode",
        "leverage",
        "lever",
        "levered",
        "lev",
        "margin",
        "marginmode",
        "margintype",
        "marketposition",
        "marketpositionsize",
        "maxposition",
        "positionside",
        "positionsize",
        "postonly",
        "prevmarketposition",
        "prevmarketpositionsize",
        "quoteqty",
        "quoteorderqty",
        "reduce",
        "reduceonly",
        "risk",
        "riskper",
        "riskpercent",
        "sl",
        "stop",
        "stoplimitprice",
        "stoploss",
        "targetper",
        "targetqty",
        "targetquote",
        "tif",
        "timeinforce",
        "tp",
        "takeprofit",
        "takeprofits",
        "targets",
    }
)
_BEGINNINGS = ("trail", "stoploss", "takeprofit", "sl_", "tp_", "hedge", "leverage")
_NUMBERED = re.compile(r"(?:sl|tp)\d{1,2}")


def changes_risk(name: str) -> bool:
    """Whether a field of this lower-case name, in any usual spelling, would change the risk of an order."""
    plain = name.replace("_", "").replace("-", "").replace(" ", "")
    return (
        plain in _PLAIN
        or f"{name} {plain}".startswith(_BEGINNINGS)
        or plain.startswith(_BEGINNINGS)
        or (_NUMBERED.fullmatch(plain) is not None)
    )
