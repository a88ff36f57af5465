"""The reasons of denied and rejected orders: a code, and a sentence with a remedy for each code."""

from collections.abc import Mapping

from django.utils.translation import gettext_lazy as _

from exchanges.market_data.symbols import AmbiguousSymbol, DelayedFeed, UnknownSymbol
from exchanges.state_reasons import StateReason

TEXTS = {
    # Size
    "below_min_quantity": _(
        "The quantity %(quantity)s is below the minimum of %(minimum)s for %(symbol)s."
        " Order at least %(needed)s."
    ),
    "below_min_notional": _(
        "The order is worth %(notional)s %(quote)s, below the minimum of %(minimum)s %(quote)s"
        " for %(symbol)s. Order at least %(needed)s."
    ),
    "above_max_quantity": _(
        "The quantity %(quantity)s is above the maximum of %(maximum)s for %(symbol)s."
        " Order at most %(maximum)s."
    ),
    "below_lot": _(
        "The quantity %(quantity)s is less than one lot of %(lot)s for %(symbol)s. Order at least %(needed)s."
    ),
    "not_whole_shares": _(
        "%(symbol)s is traded in multiples of %(lot)s: %(quantity)s cannot be ordered."
        " Order %(needed)s or another multiple."
    ),
    "invalid_after_rounding": _(
        "The price %(price)s becomes zero on the tick of %(tick)s for %(symbol)s. Use at least %(tick)s."
    ),
    # Position
    "no_long_position": _("There is no long position to close."),
    "no_short_position": _("There is no short position to close."),
    "no_position": _("There is no position to close."),
    "already_there": _("The position of %(symbol)s is where the message wants it. Nothing was sent."),
    "no_shorts_on_spot": _(
        "%(symbol)s cannot be sold short on the spot market. Without a position nothing was sent."
    ),
    "alert_missed": _(
        "An alert for %(symbol)s was missed, and the strategy opens nothing then. Send flat, or change the setting."
    ),
    "sizes_missing": _(
        "The script took from its position of %(symbol)s, and the message does not say how much. Nothing was sent."
        " Send market_position_size and prev_market_position_size."
    ),
    "superseded": _("A newer alert for %(symbol)s was there before. Nothing was sent."),
    # Market
    "unknown_symbol": UnknownSymbol.template,
    "ambiguous_symbol": AmbiguousSymbol.template,
    "market_closed": _("%(symbol)s is not open for trading at the exchange now. Exits are still sent."),
    "delayed_feed": DelayedFeed.template,
    "price_unavailable": _("There is no current price for %(symbol)s. Send a LIMIT order, or try again."),
    "relative_price_unusable": _(
        "%(distance)s from the last price %(last_price)s of %(symbol)s is %(price)s, which is no price."
        " Send a smaller distance, or a number."
    ),
    "stop_wrong_side": _(
        "A stop at %(distance)s of %(symbol)s has been reached before it is sent. A stop that sells lies below the"
        " market (-), a stop that buys above (+)."
    ),
    "tick_unknown": _(
        "The exchange names no tick of %(symbol)s, so %(distance)s cannot be counted."
        " Send the distance in percent or as an amount."
    ),
    "markets_unavailable": _("The list of markets of %(exchange)s could not be read. Try again in a minute."),
    "order_type_unsupported": _(
        "%(exchange)s does not accept %(order_type)s orders. Use another order type."
    ),
    "time_in_force_unsupported": _(
        "%(exchange)s does not accept %(order_type)s orders with %(time_in_force)s. Leave time_in_force out."
    ),
    # Strategy
    "stale_signal": _(
        "The signal was %(lag_s)s seconds old; the strategy allows %(max_lag_s)s. Nothing was sent."
    ),
    "expired": _("The order waited %(waited_s)s seconds; %(allowed_s)s are allowed. Nothing was sent."),
    "capital_currency_mismatch": _(
        "The capital is in %(capital_currency)s, but %(symbol)s is paid in %(quote)s."
        " Allocate capital in %(quote)s, or send qty."
    ),
    "no_capital": _(
        "No capital is allocated to this account in the strategy (%(capital)s %(capital_currency)s)."
    ),
    "max_symbols": _(
        "This account already trades %(count)s symbols in the strategy; the limit is %(limit)s."
        " Close one, or raise the limit."
    ),
    "halted": _("Trading is halted (%(scope)s): %(reason)s Nothing goes out until a person activates it."),
    "reduce_only": _("Only exits go out now (%(scope)s): %(reason)s"),
    "max_order_notional": _(
        "The order is worth %(notional)s %(quote)s; at most %(limit)s %(quote)s are allowed."
    ),
    "max_position_notional": _(
        "The position would be worth %(notional)s %(quote)s; at most %(limit)s %(quote)s are allowed."
    ),
    "token_notional": _(
        "The order is worth %(notional)s %(quote)s; the token that sent it allows at most %(limit)s %(quote)s."
    ),
    "token_side": _("The token that sent this opens nothing on the side %(side)s. Exits still go out."),
    "max_price_distance": _(
        "The price %(price)s is %(distance)s%% away from the last price %(last_price)s; %(limit)s%% are allowed."
    ),
    "max_open_orders": _(
        "There are %(count)s open orders already; the limit is %(limit)s. Cancel some first."
    ),
    "max_orders_per_minute": _("There were %(count)s orders in the last minute; the limit is %(limit)s."),
    "position_differs": _(
        "We count a position of %(ours)s and the exchange %(theirs)s. No new risk until the difference is resolved."
    ),
    "outside_event_waits": _(
        "Something happened to %(symbol)s at the exchange without an order from here, and nobody has said yet to which"
        " strategy it belongs. No new risk until a person has distributed it."
    ),
    "not_compared": _(
        "The books of this account were last compared with the exchange %(age_s)s seconds ago; an entry needs a"
        " comparison within %(allowed_s)s seconds. %(why)s"
    ),
    "order_budget": _(
        "Too many orders were sent in this minute. Exits and cancels went on; send the entry again in the next minute."
    ),
    "earlier_order_unknown": _(
        "It is not yet known what became of the earlier order %(client_order_id)s."
        " Send this again when the outcome is known."
    ),
    "canceled_before_sending": _("The order was canceled before it was sent."),
    "not_taking_part": _(
        "The strategy, this account or its subscription is switched off. Only exits are still sent."
    ),
    # Account
    "credentials_unreadable": _("The credentials of this account cannot be decrypted. Enter them again."),
    "not_enough_coins": _(
        "This strategy account has %(held)s of %(symbol)s left to sell; %(quantity)s would sell coins of your own."
        " Send less, close by qty_per below 0, or allow the sale of own coins for the strategy account."
    ),
    # Exits
    "exit_working": _(
        "An exit of %(symbol)s is still being pursued, with %(remaining)s left to close."
        " Send the entry again afterwards."
    ),
    "exit_superseded": _("A newer exit of the same position took the place of this exit."),
    "exit_makes_room": _("The order gave way to an exit of the same position."),
    "exits_cover_position": _("The other resting exits already cover the whole position."),
    "coins_locked_by_stop": _(
        "A resting stop holds all coins of this position. Cancel the stop first, or send the take profit before"
        " the stop."
    ),
    "exit_ended_at_exchange": _(
        "The resting exit was ended at the exchange, and not from here. Send the exit again, or close the position."
    ),
    "exit_unfilled": _("The market had nothing to trade against. The exit is sent again."),
    "exit_not_covered": _(
        "The exchange shows %(theirs)s of the position where the books show %(ours)s."
        " The exit waits until the difference is resolved."
    ),
    "exit_waited_long": _(
        "The exit waited %(waited_s)s seconds; after %(allowed_s)s a person decides."
        " Try the exit again, or end the exit."
    ),
    "entry_in_doubt": _(
        "It is not yet known what became of an earlier entry. If the entry was filled, the exit closes it too."
    ),
    # Protective exits
    "protection_unsupported": _(
        "%(exchange)s cannot hold the protective exits of this entry. Nothing was sent."
        " Send the entry without stop_loss, take_profit, trailing_stop and breakeven_after."
    ),
    "protection_wrong_side": _(
        "%(field)s would be at %(price)s, on the wrong side of the entry of %(symbol)s at %(reference)s."
        " Nothing was sent."
    ),
    "protection_too_small": _(
        "The protective exits of %(quantity)s of %(symbol)s would be smaller than the exchange allows."
        " Order at least %(needed)s."
    ),
    "protection_too_large": _(
        "One stop protects at most %(maximum)s of %(symbol)s; the entry has %(quantity)s. Send smaller entries."
    ),
    "risk_needs_stop": _("risk_per needs a stop_loss."),
    "protection_over": _("The protected position is gone, or newer protective exits took over."),
    # The exchange's answer
    "rejected": _("The exchange refused the order: %(message)s"),
    "insufficient_balance": _("The balance at the exchange is too small for this order."),
    "insufficient_margin": _("The margin at the exchange is too small for this order."),
    "reduce_only_rejected": _(
        "The exchange holds no position that this order could reduce. Check the account."
    ),
    "hedge_mode": _(
        "The account holds long and short positions apart (hedge mode), which orders from here cannot tell apart."
        " Switch it to one-way mode at the exchange."
    ),
    "filter_failure": _("The order breaks a trading rule of the exchange: %(message)s"),
    "price_band": _("The price is outside the band that the exchange allows now: %(message)s"),
    "stop_would_trigger": _("The market has passed the stop price already, so the stop cannot rest."),
    "no_liquidity": _("The order book has nothing to trade against. Send again in a moment."),
    "in_liquidation": _("The exchange is liquidating the account, and takes no orders meanwhile."),
    "account_blocked": _("The exchange does not let this account trade: %(message)s"),
    "overloaded": _("The exchange was too busy for the order, and nothing was sent on. Send again."),
    "clock_skew": _(
        "The exchange refused the time of the request. Check this server's clock and send again."
    ),
    "authentication_failed": _(
        "The exchange refused the account's API key."
        " Check the key, its permissions and its allowed addresses."
    ),
    "throttled": _("The exchange takes no more requests for now. Send again in a few minutes."),
    "not_sent": _("The exchange could not be reached, and nothing was sent. Send again."),
    "outcome_unknown": _("The exchange did not answer. The order is being looked up; do not send it again."),
    "not_found_at_exchange": _(
        "The exchange never had this order. Nothing happened there; it may be sent again."
    ),
    "forgotten_by_exchange": _(
        "The exchange had this order and does not know it any more. It has ended there; every fill is booked."
    ),
    "absence_unproved": _(
        "The exchange does not know this order any more, and its history does not reach back far enough to tell"
        " what became of it. Look at the exchange, then close the order here."
    ),
    # Cancels
    "order_not_found": _("There is no order %(order_id)s in this strategy."),
    "order_not_open": _("The order %(order_id)s is not open any more (%(status)s)."),
}


# Why an account was not compared, by `orders.domain.freshness.Comparison`.
NOT_COMPARED_BECAUSE = {
    "no_tracker": _("The tracker is not running: start manage.py track_orders, then send the entry again."),
    "gap": _(
        "The books may lack what happened at the exchange since then (a restored database, or a pause of the tracker)."
        " Send the entry again when the comparison is done."
    ),
    "no_answer": _("The exchange has not answered since then. Send the entry again in a minute."),
}

TOO_SMALL = frozenset({"below_lot", "below_min_quantity", "below_min_notional"})

# The levels of `orders.domain.risk_checks.LevelState`.
SCOPES = {
    "system": _("system"),
    "strategy": _("strategy"),
    "account": _("account"),
    "strategy account": _("strategy account"),
}


class Denied(Exception):
    """tradehub denies an order before sending. `code` is a key of TEXTS, `params` are the numbers, as text."""

    def __init__(self, code: str, params: Mapping[str, str] | None = None) -> None:
        super().__init__(code)
        self.code = code
        self.params = dict(params or {})

    @property
    def text(self) -> str:
        return reason_text(self.code, self.params)


def reason_text(code: str, params: Mapping[str, str]) -> str:
    """Returns the sentence of a code in the active language.

    An exchange's refusal may end with a code of ours, but with the exchange's message in place of our numbers: the
    sentence of `rejected` then carries the message. An unknown code is returned as the text.
    """
    if code not in TEXTS:
        return code
    try:
        return str(_template_of(code, params)) % {
            name: _param_text(name, value) for name, value in params.items()
        }
    except KeyError:
        return str(TEXTS["rejected"]) % {"message": params.get("message", code)}


def _template_of(code: str, params: Mapping[str, str]) -> object:
    return UnknownSymbol.template_for(params) if code == UnknownSymbol.code else TEXTS[code]


def _param_text(name: str, value: str) -> str:
    """Translates a value into the active language where the value is a word of ours, such as a scope."""
    match name:
        case "scope":
            return str(SCOPES.get(value, value))
        case "why":
            return str(NOT_COMPARED_BECAUSE.get(value, value))
        case "reason":
            return str(StateReason(value))
        case _:
            return value
