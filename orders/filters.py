"""Filters of the REST API: a name or a value that cannot be used is refused with those that can, never ignored."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from django.db.models import Q
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _
from rest_framework.exceptions import APIException

from exchanges.enums import OrderType, Side
from exchanges.models import Market
from orders.domain.enums import OrderStatus
from orders.domain.lifecycle import FAILED, OPEN

_SYMBOL = re.compile(r"[^/:\s]+/[^/:\s]+(:[^/:\s]+)?")
_SHOWN = 60  # characters of a value in a refusal
_GROUPS = {
    "open": Q(status__in=OPEN),
    "failed": Q(status__in=FAILED),
    "unknown": Q(status__in=OPEN, unknown_since__isnull=False),
}


class BadFilter(APIException):
    """`unknown_filter` or `invalid_filter`, with the names or values that are allowed."""

    status_code = HTTPStatus.BAD_REQUEST


@dataclass(frozen=True, slots=True)
class Filter:
    """`condition` makes a query from a value, or None for a value that cannot be used; `allowed` says which can."""

    condition: Callable[[str], Q | None]
    allowed: Any


def exactly(path: str) -> Filter:
    """A name, compared as it is; a name of nobody finds nothing."""
    return Filter(lambda value: Q(**{path: value}) if value else None, _("a name"))


def one_of(path: str, values: Iterable[str]) -> Filter:
    known = {str(value).lower(): str(value) for value in values}
    return Filter(
        lambda value: Q(**{path: known[value.lower()]}) if value.lower() in known else None,
        ", ".join(known.values()),
    )


def status() -> Filter:
    """A status, or a word for several: `open`, `failed`, `unknown` (of unknown outcome)."""
    single = one_of("status", OrderStatus)
    return Filter(
        lambda value: _GROUPS.get(value.lower()) or single.condition(value),
        ", ".join([*_GROUPS, single.allowed]),
    )


def side() -> Filter:
    return one_of("side", Side)


def order_type() -> Filter:
    return one_of("order_type", OrderType)


def symbol(path: str = "symbol") -> Filter:
    """The symbol as answers show it, or the exchange's own name of a market."""

    def condition(value: str) -> Q | None:
        if _SYMBOL.fullmatch(value):
            return Q(**{path: value.upper()})
        named = Market.objects.filter(exchange_symbol__iexact=value).values_list("symbol", flat=True)
        symbols = sorted(set(named))
        return Q(**{f"{path}__in": symbols}) if symbols else None

    return Filter(condition, "BTC/USDT, BTC/USDT:USDT, BTCUSDT")


def condition_of(given: QueryDict, filters: Mapping[str, Filter], *, others: Iterable[str]) -> Q:
    """The query of all given filters. `others` are parameters that are no filters. Raises BadFilter."""
    allowed = sorted([*filters, *others])
    found = Q()
    for name, values in given.lists():
        if name not in allowed:
            raise _unknown(name, allowed)
        if name in filters:
            made = filters[name].condition(values[0]) if len(values) == 1 else None
            if made is None:
                raise bad_value(name, ", ".join(values), filters[name].allowed)
            found &= made
    return found


def _unknown(name: str, allowed: Iterable[str]) -> BadFilter:
    text = _("There is no filter %(name)s. Allowed are: %(allowed)s")
    return BadFilter(str(text) % {"name": name[:_SHOWN], "allowed": ", ".join(allowed)}, "unknown_filter")


def bad_value(name: str, value: str, allowed: Any) -> BadFilter:
    text = _("%(name)s cannot be %(value)s. Allowed is, once: %(allowed)s")
    names = {"name": name, "value": value[:_SHOWN] or '""', "allowed": allowed}
    return BadFilter(str(text) % names, "invalid_filter")
