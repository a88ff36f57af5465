"""docs/reasons.md: every code of a refusal, its sentence in both languages, its meaning and the remedy.

python script/reasons.py            writes the document from the code, the Korean catalogue and ADVICE below
python script/reasons.py --check    fails where the document is stale, or where a code lacks its entry in ADVICE
"""

import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import fill
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import django  # noqa: E402
from django.conf import settings  # noqa: E402
from django.utils.translation import override  # noqa: E402

from exchanges import state_reasons  # noqa: E402
from orders.domain import reasons  # noqa: E402
from webhooks import errors  # noqa: E402

DOCUMENT = ROOT / "docs/reasons.md"
WIDTH = 120


class Advice(NamedTuple):
    """`means`: the fact behind the code. `remedy`: the step of the sender, the owner or the operator."""

    means: str
    remedy: str


RESULTS = {
    # Size
    "below_min_quantity": Advice(
        "The sized quantity, rounded down to the lot, is below the exchange's minimum quantity.",
        "Raise `qty_per`, `qty`, the capital or the leverage until the quantity reaches the smallest quantity that the"
        " sentence names. For an exit: close a larger percentage, or -100.",
    ),
    "below_min_notional": Advice(
        "Quantity × price is below the exchange's minimum notional. The code also comes from the exchange itself, which"
        " may take another price for the check; the sentence then repeats the exchange's words.",
        "Raise `qty_per`, `qty`, the capital or the leverage. An order by `qty` near the minimum fails again"
        " when the price falls: leave some room.",
    ),
    "above_max_quantity": Advice(
        "The quantity is above the exchange's maximum for one order. An exit without a limit price is cut down to the"
        " maximum instead; entries, and exits with a limit price, are denied.",
        "Lower the size, or split the order into several legs below the maximum.",
    ),
    "below_lot": Advice(
        "The quantity is smaller than one lot, so nothing is left after rounding down.",
        "Raise the size to the smallest quantity that the sentence names. A rest of a position below one lot cannot be"
        " closed by an order; on spot the exchange's own conversion of small balances can help.",
    ),
    "not_whole_shares": Advice(
        "A STOCK order asked for a fraction of a share, or for no multiple of the lot. tradehub does not round shares.",
        "Send a whole multiple of the lot, such as the number that the sentence names.",
    ),
    "invalid_after_rounding": Advice(
        "A price or stop price below one tick becomes zero on the exchange's price grid.",
        "Send a price of at least one tick. A price that small is often a mistaken unit or the wrong symbol.",
    ),
    # Position
    "no_long_position": Advice(
        "An exit with side sell found no long position of this strategy account in the symbol, or, for -100, less"
        " than one lot of it. Positions of other strategies on the same account do not count.",
        "Nothing, when the position was closed before. Otherwise look at the position in the admin (Orders › Positions)"
        " and compare symbol, strategy and side; a short position is closed by side buy, or without `side`.",
    ),
    "no_short_position": Advice(
        "An exit with side buy found no short position of this strategy account in the symbol, or, for -100, less"
        " than one lot of it. Positions of other strategies on the same account do not count.",
        "Nothing, when the position was closed before. Otherwise look at the position in the admin (Orders › Positions)"
        " and compare symbol, strategy and side; a long position is closed by side sell, or without `side`.",
    ),
    "no_position": Advice(
        "An exit without `side` found no position of this strategy account in the symbol.",
        "Nothing, when the position was closed before. Otherwise compare symbol and strategy with the position in the"
        " admin (Orders › Positions).",
    ),
    # Market
    "unknown_symbol": Advice(
        "This account's exchange does not list the symbol, for the strategy's market type, under any spelling."
        " Accounts at other exchanges may have traded the same leg.",
        "Send one of the symbols that the sentence names, where that is the market you mean, or another symbol that"
        " every exchange of the strategy lists, or take the account out of the strategy. A symbol"
        " that was listed minutes ago is known after the next load of the markets, within six hours by default.",
    ),
    "ambiguous_symbol": Advice(
        "The symbol may mean several markets. The whole delivery is refused with `invalid_symbol`, and this sentence"
        " is the explanation inside; no single result has the code.",
        "Send one of the unified symbols that the sentence lists, such as BTC/USDT:USDT.",
    ),
    "market_closed": Advice(
        "The exchange lists the market as closed, halted or in maintenance. Entries are denied; exits still go out,"
        " and the exchange decides.",
        "Send the entry again when the market is open. The worker reloads old lists of markets; a list that is stale"
        " by mistake is corrected after the next load.",
    ),
    "delayed_feed": Advice(
        "The chart behind the alert shows delayed data (TradingView adds _DL or _DLY to the exchange's name). The whole"
        " delivery is refused with `invalid_symbol`, and this sentence is the explanation inside.",
        "Subscribe to real-time data at TradingView, or make the alert on a chart with real-time data.",
    ),
    "price_unavailable": Advice(
        "A MARKET entry by `qty_per` needs the last price for its size, a relative price counts from the last price, or"
        " a limit of notional or price distance needs the last price for its check, and the exchange gave no price.",
        "Send a LIMIT order with a number as price, or send again. An exit is tried again. When all symbols fail:"
        " [An exchange is down or throttles](runbook.md#an-exchange-is-down-or-throttles).",
    ),
    "relative_price_unusable": Advice(
        "A relative `price` or `stop_price`, counted from the last price at the leg's turn, is 0 or less, or beyond"
        " what can be stored.",
        "Send a smaller distance, or a number. An amount such as -100d has to fit the price of the symbol; a percentage"
        " fits every symbol.",
    ),
    "stop_wrong_side": Advice(
        "The sign of a relative `stop_price` puts the stop on the side of the market where every stop of this side"
        " triggers at once. Nothing was sent, also where the strategy sends passed stops at the market's price.",
        "Turn the sign around. For an exit that waits: end the exit in the admin, and send the exit again.",
    ),
    "tick_unknown": Advice(
        "A relative price counts ticks, and the exchange's list of markets names no tick for the symbol.",
        "Send the distance in percent (-0.5%) or as an amount (-100d).",
    ),
    "markets_unavailable": Advice(
        "Neither the memory nor the database nor the exchange has the list of markets. The list is missing only before"
        " the first successful load. An alert waits 2 s at most for a list that was just asked for.",
        "Send again in a minute. When the code stays: look for `markets unavailable` in the log, and check that this"
        " server reaches the exchange.",
    ),
    "order_type_unsupported": Advice(
        "The exchange, or its adapter, cannot place this order type for this market.",
        "Use another order type; MARKET and LIMIT work everywhere.",
    ),
    # Strategy
    "already_there": Advice(
        "The strategy account already holds what the message names, within what can be traded.",
        "Nothing has to be done: the result is a success.",
    ),
    "no_shorts_on_spot": Advice(
        "The message names a short position, and a spot market has none. What was held is closed.",
        "Use a FUTURES strategy to be short.",
    ),
    "alert_missed": Advice(
        "The alert shows that an alert before was missed, and the strategy's setting *missed alerts* opens nothing"
        " then, or the alert has no size for the position.",
        "Look at the page *Missed alerts*, and bring the account into position with a message of a target, or send"
        " flat. The setting `follow` does so by itself.",
    ),
    "sizes_missing": Advice(
        "The side of the script's order is against its position, so the order is a partial exit, and the message has"
        " neither the position sizes nor `qty`.",
        "Send all four position fields, as the templates in docs/tradingview.md do.",
    ),
    "superseded": Advice(
        "An alert with a newer `timestamp` for the same symbol was acted on before this one.",
        "Nothing has to be done: the newer alert holds. Check the sender's clock where this happens often.",
    ),
    "time_in_force_unsupported": Advice(
        "The exchange, or the order type, does not know the time in force. Only LIMIT entries have one.",
        "Leave `time_in_force` out, or use GTC. POST_ONLY works on futures of Binance, IOC and FOK on its spot market"
        " too.",
    ),
    "stale_signal": Advice(
        "The entry's `timestamp` is older than the strategy's maximum lag. Exits and cancels have no age limit.",
        "Wait for the next signal. When every signal is late: check the sender's clock, the time zone of `timestamp`,"
        " and the strategy's maximum lag.",
    ),
    "expired": Advice(
        "The entry waited longer than `ORDER_MAX_WAIT_S`, for example for the end of a pause, for an earlier step of"
        " the account, or for a dead process. Exits do not expire.",
        "Send a new alert if the entry is still wanted. Many such entries point at a paused exchange: look at"
        " Exchanges › Pauses of exchanges.",
    ),
    "capital_currency_mismatch": Advice(
        "The strategy account's capital is in another currency than the symbol's quote currency, and tradehub does not"
        " convert currencies.",
        "Set the capital in the symbol's quote currency, send the pair with the capital's currency, or send `qty`.",
    ),
    "no_capital": Advice(
        "The strategy account's capital is zero, so a percentage of the capital is zero.",
        "Set the capital on Strategies › Strategy accounts, or send `qty`.",
    ),
    "max_symbols": Advice(
        "The strategy account already holds or works as many symbols as its limit allows, and the order names another"
        " symbol.",
        "Close a position, cancel orders of another symbol, or raise the limit *maximum symbols*.",
    ),
    "halted": Advice(
        "The trading state of one level (system, strategy, account, strategy account) is Halted. No order goes out,"
        " exits included; cancels go out.",
        "Find the level and the reason in the sentence, remove the cause, and choose *Trading: activate* on the level's"
        " page. Send the alert again afterwards: a denied order is never sent later.",
    ),
    "reduce_only": Advice(
        "The trading state of one level is Exits only. Entries are denied; exits and cancels go out.",
        "Find the level and the reason in the sentence. After a loss limit: judge the strategy, then choose"
        " *Trading: activate* on the level's page and send the alert again.",
    ),
    "max_order_notional": Advice(
        "Quantity × price of the entry is above the limit *maximum notional per order* of the narrowest level that sets"
        " the limit.",
        "Lower the size, or raise the limit. A size far above the limit is often a mistaken unit: `qty_per` is percent,"
        " `qty` is base units.",
    ),
    "max_position_notional": Advice(
        "The position would be above the limit *maximum notional per position* if the entry and all open orders of the"
        " same side filled.",
        "Lower the size, cancel resting entries of the side, or raise the limit.",
    ),
    "token_notional": Advice(
        "The entry would be worth more at one account than the sender's token allows (*maximum notional per order of"
        " this token*). Exits have no such limit.",
        "Send less, or give the sender a token with a higher limit in the admin.",
    ),
    "token_side": Advice(
        "The message names a position or a target, and what is held makes it an entry on a side that the token does not"
        " open (*only this side*). What it closes is closed all the same.",
        "Nothing, where the sender must not enter on this side; otherwise change the token's scope in the admin.",
    ),
    "max_price_distance": Advice(
        "The price or stop price of the entry is farther from the last price than the limit allows.",
        "Check the price for a mistake of a digit or of the symbol; otherwise raise the limit *maximum distance from"
        " the last price in percent*.",
    ),
    "max_open_orders": Advice(
        "The strategy account has as many open orders as its limit allows.",
        "Cancel resting orders, or raise the limit *maximum open orders*.",
    ),
    "max_orders_per_minute": Advice(
        "The strategy account sent as many orders in the last minute as its limit allows.",
        "Send again after a minute. When the sender loops: stop the sender; otherwise raise the limit *maximum orders"
        " per minute*.",
    ),
    "position_differs": Advice(
        "Two comparisons in a row found another holding at the exchange than in the books. Entries for the account"
        " and symbol are denied until both sides agree; exits and cancels go out.",
        "Work through [A position differs](runbook.md#a-position-differs), then send the entry again.",
    ),
    "outside_event_waits": Advice(
        "A fill at the exchange belongs to no order from here, and more than one strategy, or none, could have held"
        " what it took. Entries for the account and symbol are denied until a person has distributed the fill;"
        " exits and cancels go out.",
        "Open Outside events in the admin, choose the event, say to which strategy accounts it belongs or that it is"
        " external, then send the entry again.",
    ),
    "not_enough_coins": Advice(
        "A spot SELL with a positive size would sell more coins than the strategy account holds, less what its open"
        " sell orders still sell: coins that the account's owner holds besides.",
        "To close a position, send `qty_per` below 0. To sell own coins on purpose, tick *may sell the account's own"
        " coins* on the strategy account.",
    ),
    # Exits
    "exit_working": Advice(
        "A full exit of the same position is not over, and would close the entry at once.",
        "Wait until the exit goal is reached, or end it in the admin, then send the entry again.",
    ),
    "protection_unsupported": Advice(
        "The entry asks for protective exits that this exchange cannot hold, and an entry is not sent unprotected.",
        "Leave the protective fields out, or trade the strategy on an exchange with stop orders.",
    ),
    "protection_wrong_side": Advice(
        "A stop or a take profit lies beyond the price at which the entry is expected to be filled: it would fire at"
        " once. A stop of a long position belongs below the entry, a take profit above; for a short one the reverse.",
        "Correct the price, or send a distance (percent or offset), which counts from the account's own average.",
    ),
    "protection_too_small": Advice(
        "The stop, or all take profits together, would be below the exchange's minimum. Take profits that are too"
        " small alone are merged with the next one.",
        "Order at least the quantity of the message, or leave the small steps out.",
    ),
    "protection_too_large": Advice(
        "The exchange takes no stop order for so much, and a part of the position would be without a stop.",
        "Send the entry in parts.",
    ),
    "risk_needs_stop": Advice(
        "`risk_per` sizes the entry by the distance to its stop, and there is no `stop_loss`.",
        "Send a `stop_loss`, or another size.",
    ),
    "protection_over": Advice(
        "The position of a protective exit is gone, or newer protective exits took its place.",
        "Nothing to do.",
    ),
    "exit_superseded": Advice(
        "A newer exit of the same position was asked for, and is pursued in place of this one.",
        "Nothing to do: look at the newer exit.",
    ),
    "exit_makes_room": Advice(
        "The order was canceled because an exit of the same position needed its room or its coins, or because the"
        " position became smaller. A resting exit comes back with what is left for it.",
        "Nothing to do. An entry that is still wanted is sent again after the exit.",
    ),
    "exits_cover_position": Advice(
        "Nothing of the position is left for this resting exit, because other resting exits cover all of it.",
        "Cancel one of the other exits first, or send exits for parts.",
    ),
    "coins_locked_by_stop": Advice(
        "On spot a resting stop locks its coins, and a stop gives way to no take profit.",
        "Cancel the stop, or send the take profit and the stop for parts of the position.",
    ),
    "exit_ended_at_exchange": Advice(
        "The order of a resting exit was canceled or thrown out at the exchange. A canceled one is not placed again,"
        " because somebody meant it; one that the exchange threw out is.",
        "Send the exit again, or close the position.",
    ),
    "exit_unfilled": Advice(
        "A market exit ended without a fill, because nobody was there to trade against.",
        "Nothing to do: the exit is sent again, at most every second, at least every 30 seconds.",
    ),
    "exit_not_covered": Advice(
        "After a refusal the exchange showed less of the position than the books do, and the rest is too small to"
        " send.",
        "Work through [A position differs](runbook.md#a-position-differs): book what happened, then the exit goes on.",
    ),
    "exit_waited_long": Advice(
        "Nobody could send the market exit for longer than `EXIT_ASK_AFTER_S`: the exchange, the tracker or trading was"
        " stopped. The market may have changed meanwhile.",
        "Open Exit goals in the admin and choose *try again now*, or end the exit.",
    ),
    "entry_in_doubt": Advice(
        "An entry from before the exit has an unknown outcome. The exit closes what the entry turns out to have"
        " bought.",
        "Nothing to do: the goal is reached when the entry's outcome is known and nothing is left.",
    ),
    "not_compared": Advice(
        "The books of the account were not compared with the exchange within 10 minutes, or not since the books were"
        " found to have a gap: a restored database, or a pause of the tracker. The entry waited up to 5 s for a"
        " comparison on demand. Exits and cancels go out.",
        "Start the tracker where the sentence says that the tracker is not running, look whether the exchange answers,"
        " and send the entry again.",
    ),
    "forgotten_by_exchange": Advice(
        "The exchange had the order and does not know it any more. Look-ups, order history and fills show no trace of"
        " more than what is booked, so the order has ended.",
        "Nothing to do. A resting exit that ended so is looked at by its goal.",
    ),
    "absence_unproved": Advice(
        "The exchange does not know the order, and keeps its history for too short a time to prove anything. The order"
        " stays open here.",
        "Look for the order and its fills at the exchange, then close it by *The exchange never had this order* or book"
        " what happened.",
    ),
    "order_budget": Advice(
        "The message holds cancels or exits besides entries, and the entries are more than a budget of orders allows in"
        " this minute: of the token, of the user, or of all (admin, *System risk*).",
        "Send the entry again in the next minute; raise the budget where the strategy needs more orders.",
    ),
    "earlier_order_unknown": Advice(
        "An earlier order of the same account and symbol has an unknown outcome. The order may have filled, so nothing"
        " may be added to the position yet.",
        "Send the entry again when the earlier order is settled, usually within two minutes. After three minutes:"
        " [An order of unknown outcome](runbook.md#an-order-of-unknown-outcome).",
    ),
    "canceled_before_sending": Advice(
        "A CANCEL, a CANCEL_ALL_ORDER or a person canceled the order while the order waited. The exchange never saw"
        " the order.",
        "Nothing; send a new alert if the order is wanted after all.",
    ),
    "not_taking_part": Advice(
        "The strategy, the strategy account or the account was switched off, or the owner's subscription ended, after"
        " the delivery was stored. Stored exits still go out.",
        "Switch the inactive row on again (*active*), or renew the subscription, and send a new alert.",
    ),
    # Account
    "credentials_unreadable": Advice(
        "No key of `CREDENTIAL_KEYS` decrypts the account's stored credentials, or the ciphertext belongs to another"
        " row.",
        "Put the missing key back into `CREDENTIAL_KEYS` and restart, or enter the API key and secret again on"
        " Exchanges › Accounts: [Rotate CREDENTIAL_KEYS](runbook.md#rotate-credential_keys).",
    ),
    # The exchange's answer
    "rejected": Advice(
        "The exchange refused the order for a reason without a code of ours; the sentence repeats the exchange's words,"
        " and the order's page shows the exchange's code. Nothing happened at the exchange.",
        "Look the exchange's code up in the exchange's documentation, correct the cause and send again.",
    ),
    "insufficient_balance": Advice(
        "The account's free balance at the exchange is smaller than the order needs. Capital in tradehub is a setting"
        " and reserves no money.",
        "Lower the capital to the money that the account really has, cancel resting orders, or add funds.",
    ),
    "insufficient_margin": Advice(
        "The account's free margin at the exchange is smaller than the order needs. tradehub sizes by the strategy"
        " account's leverage and does not change the leverage at the exchange.",
        "Set the same leverage at the exchange as in the strategy account, lower the capital, or add margin.",
    ),
    "reduce_only_rejected": Advice(
        "The exchange holds no position, or a smaller position than the exit would close. The exit got one further"
        " attempt before, sized anew.",
        "Look at the account at the exchange and at Orders › Position differences: a hand trade or a liquidation may"
        " have closed the position.",
    ),
    "hedge_mode": Advice(
        "The futures account keeps long and short positions apart (hedge mode), and orders from here do not name a"
        " position side.",
        "Switch the account to one-way mode at the exchange."
        " Binance allows the switch only without open orders and positions.",
    ),
    "filter_failure": Advice(
        "The order breaks a trading rule of the market (price band, step, minimum, number of orders). The worker"
        " reloads the list of markets, because the stored rules may be old.",
        "Read the rule in the sentence. A price outside the exchange's band needs another price; for steps and minimums"
        " send again in a few minutes, after the reload.",
    ),
    "price_band": Advice(
        "The order's price, or for a market order the best price of the other side, is outside the band that the"
        " exchange sets around its own price. Nothing happened at the exchange. An exit is sent again, paced.",
        "Send a price nearer to the market. In a fast market the band moves: send again in a moment.",
    ),
    "stop_would_trigger": Advice(
        "The last price is beyond the stop price, so the stop order would trigger at once, and the exchange refuses"
        " such an order.",
        "The level of the stop has been passed: send a MARKET exit, or set the strategy to send passed stops as market"
        " orders. For an entry: send a stop price on the other side of the market.",
    ),
    "no_liquidity": Advice(
        "The order book had no order of the other side, so the market order found nothing to trade against.",
        "Send again in a moment. An exit is sent again by itself, paced.",
    ),
    "in_liquidation": Advice(
        "The exchange is closing positions of the account by force, and refuses orders until the liquidation is over.",
        "Add margin at the exchange, and look at the account and at Orders › Position differences afterwards.",
    ),
    "account_blocked": Advice(
        "The key is right, and the exchange does not let the account trade: the account is disabled, inactive or"
        " restricted, or may not trade the symbol.",
        "Log in at the exchange and read the account's notices. Exits are tried again slowly until the exchange lets"
        " the account trade.",
    ),
    "overloaded": Advice(
        "The exchange had too many requests of all its users, and refused the order before its matching engine. The"
        " refusal concerns one order: no pause follows, and nothing happened at the exchange.",
        "Send an entry again. An exit is sent again by itself, paced.",
    ),
    "clock_skew": Advice(
        "The request's time was outside of the exchange's receive window: the clock of this server is off, or the"
        " request took too long. tradehub reads the exchange's clock at once; an exit gets one further attempt.",
        "Send an entry again. When the code comes back: synchronize the server's clock (NTP).",
    ),
    "authentication_failed": Advice(
        "The exchange refused the API key or the signature: the key is deleted, expired, without the permission to"
        " trade, or restricted to other addresses.",
        "Check key, permissions and allowed addresses at the exchange, and enter a new key on Exchanges › Accounts."
        " After a theft: [An API key was compromised](runbook.md#an-api-key-was-compromised).",
    ),
    "throttled": Advice(
        "The exchange takes no more requests for now. An exit, or an entry that the pause held back before sending,"
        " got further attempts; this result is the last attempt.",
        "Send an entry again after the pause (Exchanges › Pauses of exchanges). Frequent pauses: look for other"
        " programs behind the same address.",
    ),
    "not_sent": Advice(
        "The request certainly never left this server. Today no result has the code: such an order stays submitted with"
        " the code `outcome_unknown` until its absence is proved.",
        "Send again.",
    ),
    "outcome_unknown": Advice(
        "No usable answer came: a time-out, a broken connection, a 5xx, an unreadable answer. The order may exist, so"
        " tradehub looks the order up and never repeats the request blindly.",
        "Do not send again. The tracker settles the order, usually within two minutes. After three minutes:"
        " [An order of unknown outcome](runbook.md#an-order-of-unknown-outcome).",
    ),
    "not_found_at_exchange": Advice(
        "The exchange never had the order: proved by look-ups, order history and fills, or declared by a person. An"
        " exit whose absence is proved was sent again as a new order.",
        "Send an entry again if the entry is still wanted, and an exit that a person declared absent.",
    ),
    # Cancels
    "order_not_found": Advice(
        "The CANCEL names no order of this strategy within the token's reach, or the exchange order id fits several"
        " orders.",
        "Send the `client_order_id` of the first answer as `order_id`; exchange order ids repeat between exchanges.",
    ),
    "order_not_open": Advice(
        "The order ended (filled, expired, rejected) before the cancel arrived at the exchange.",
        "Nothing for the order itself. After a fill: close the position with a negative `qty_per` if the position is"
        " not wanted.",
    ),
}

DELIVERIES = {
    "invalid_json": Advice(
        "The body is no UTF-8 JSON object, names a key twice, is nested deeper than 8 levels, or holds characters that"
        " no database stores.",
        "Check the alert's message with a JSON checker. Usual causes: a missing quotation mark around a placeholder, a"
        " trailing comma, text before the brace.",
    ),
    "payload_too_large": Advice(
        "The body is larger than 64 KiB. The delivery leaves no row.",
        "Shorten the message, or split the legs into several deliveries.",
    ),
    "missing_field": Advice(
        "A required field is absent. `null`, an empty text and NaN count as absent.",
        "Add the field that the sentence names; (orders[n]) names the leg. A TradingView placeholder that is empty on"
        " this chart gives the same answer.",
    ),
    "strategy_not_found": Advice(
        "No active strategy has this `group_name`. An inactive strategy is refused, exits included.",
        "Compare `group_name` with Strategies › Strategies, and switch the strategy on (*active*).",
    ),
    "invalid_token": Advice(
        "The token is wrong, revoked or expired, belongs to another strategy or to a user without access, or its"
        " signature is missing or wrong. The answer does not tell which.",
        "Look at the token's row on Strategies › Webhook tokens (revoked, expires, strategy, must be signed). Tokens"
        " are shown once: make a new token if the clear text is lost.",
    ),
    "sender_not_allowed": Advice(
        "The sender's address is not in `WEBHOOK_ALLOWED_SENDERS`. The delivery leaves no row; the log names the"
        " address.",
        "Add the address to `WEBHOOK_ALLOWED_SENDERS`. Behind a proxy set `TRUSTED_PROXIES`, or every sender has the"
        " proxy's address.",
    ),
    "https_required": Advice(
        "The delivery came without TLS while `SECURE_SSL_REDIRECT` is on. The token was readable on the way.",
        "Use the https address, and replace the token. Behind a proxy that ends TLS set `TRUST_PROXY_TLS`.",
    ),
    "price_required": Advice(
        "A LIMIT or STOP_LIMIT leg has no `price`.",
        "Add `price`, or send MARKET or STOP_MARKET.",
    ),
    "stop_price_required": Advice(
        "A STOP_LIMIT or STOP_MARKET leg has no `stop_price`.",
        "Add `stop_price`, or send LIMIT or MARKET.",
    ),
    "invalid_order_type": Advice(
        "`order_type` is none of the order types, nor CANCEL or CANCEL_ALL_ORDER.",
        "Send one of the values that docs/webhook.md lists.",
    ),
    "invalid_position": Advice(
        "`market_position` or `prev_market_position` is not one of the three words of TradingView.",
        "Send `{{strategy.market_position}}` as TradingView fills it: `long`, `short` or `flat`.",
    ),
    "invalid_side": Advice(
        "`side` is none of buy, sell, long and short.",
        "Send buy or sell; TradingView's placeholder is {{strategy.order.action}}.",
    ),
    "invalid_number": Advice(
        "A number, id, time or flag cannot be used: text instead of a number, a price of zero, `qty` together with"
        " `qty_per`, `qty_per` of 0, of NaN or below -100, a time that is no time, a `dry_run` inside a leg.",
        "Correct the field that the sentence names. Pine's na arrives as NaN: guard the calculation.",
    ),
    "invalid_symbol": Advice(
        "No exchange of the strategy trades the symbol for the strategy's market type, the symbol may mean several"
        " markets, or the chart's data is delayed. The sentence holds the explanation.",
        "Send a symbol as docs/webhook.md spells symbols, or one of the candidates in the sentence.",
    ),
    "unsupported_field": Advice(
        "A field asks for something that this service does not do, and following the rest of the message would be"
        " another trade. The sentence names the field and the reason. Exits and cancels go on where the rest is clear.",
        "Take the field out of the message, or say the order in fields that are read: [dialects.md](dialects.md) lists"
        " the fields of each dialect.",
    ),
    "ambiguous_dialect": Advice(
        "The message carries the marks of more than one system, or of none where the mode of a strategy decides. The"
        " sentence names the candidates. Or the webhook token has a dialect, and the token did not stand in the message"
        " in plain spelling and alone.",
        "Add `dialect` to the message, with the name of one system, or take out the fields of the others. Send one"
        " token, without escapes.",
    ),
    "unsupported_dialect": Advice(
        "The message was written for a system whose messages are known and not read here.",
        "Write the order in the fields of [webhook.md](webhook.md), or in a dialect of [dialects.md](dialects.md).",
    ),
    "placeholder_not_filled": Advice(
        "A field holds a literal `{{...}}`. TradingView fills placeholders only in the message of the alert's dialog,"
        " not in alert() or alert_message, and leaves a misspelt placeholder as typed.",
        "Correct the placeholder's name, or let the script write the value with str.tostring.",
    ),
    "batch_too_large": Advice(
        "`orders` has more legs than `WEBHOOK_MAX_LEGS`.",
        "Split the legs into several deliveries, or raise `WEBHOOK_MAX_LEGS`.",
    ),
    "no_accounts": Advice(
        "The token is right, and reaches no strategy account that takes part: none exists, or strategy account or"
        " account is inactive, or a subscriber has none.",
        "Add an account on Strategies › Strategy accounts, or switch the existing rows on (*active*).",
    ),
    "id_conflict": Advice(
        "An earlier delivery of the strategy and token had the same `id` and another body, within 7 days.",
        "Make `id` unique for each firing, for example with {{timenow}} and {{strategy.order.id}}. A repetition must"
        " have the same body.",
    ),
    "throttled": Advice(
        "The token sent more deliveries in a minute than `WEBHOOK_TOKEN_RATE_PER_MINUTE`, or the address sent more"
        " wrong tokens than `WEBHOOK_FAILED_AUTH_PER_MINUTE`. The delivery leaves no row.",
        "Wait for the seconds of `Retry-After`, then send again. Stop a sender that loops, correct a wrong token, or"
        " raise the setting.",
    ),
    "unavailable": Advice(
        "The delivery could not be stored in time, whatever the cause, or too many messages of the sender were waiting"
        " already (`WEB_WAITING_PER_SENDER`). Nothing was stored and nothing was sent.",
        "Send the same message again; TradingView does so by itself. When the code stays:"
        " [Health says 503](runbook.md#health-says-503).",
    ),
}

STATES = {
    "set_by": Advice(
        "A person chose the trading state in the admin.",
        "Ask the person before *Trading: activate*.",
    ),
    "errors_in_a_row": Advice(
        "The circuit breaker halted the strategy account after rejected orders in a row (*maximum errors in a row*)."
        " Orders that the exchange throttled do not count.",
        "Read the reasons on Orders › Failed orders, remove the cause, then choose *Trading: activate*. Earlier errors"
        " do not count again.",
    ),
    "daily_loss": Advice(
        "The circuit breaker set Exits only: the realized loss since midnight UTC, with fees, is above *maximum daily"
        " loss*.",
        "Judge the strategy and close positions where wanted. The state does not end at midnight: choose *Trading:"
        " activate*; earlier trades do not count again.",
    ),
    "drawdown": Advice(
        "The circuit breaker set Exits only: the realized result fell from its best by more percent of the capital than"
        " *maximum drawdown in percent of capital* allows.",
        "Judge the strategy and close positions where wanted, then choose *Trading: activate*; earlier trades do not"
        " count again.",
    ),
}

REST = {
    "not_authenticated": Advice(
        "HTTP 401: a request to the REST API carries no token.",
        "Send the header `Authorization: Token …` with an API token from the admin.",
    ),
    "authentication_failed": Advice(
        "HTTP 401: the API token of a request to the REST API is wrong, revoked or expired. The same code in a *result*"
        " is the exchange's refusal of an account's key, above.",
        "Send an API token that is valid, or make a new token in the admin; the exchange's key is not concerned.",
    ),
    "not_found": Advice(
        "HTTP 404: the address names no row of the token's user. Rows of other users do not exist for the token.",
        "Check the id and the path.",
    ),
    "method_not_allowed": Advice(
        "HTTP 405: the address does not take this method: the webhook takes POST, the REST API takes GET.",
        "Use the method that docs/webhook.md names.",
    ),
}

HEAD = """\
# Reasons

Made by `python script/reasons.py` from the code; change the code or the script, and never this file.

Codes never change, and sentences may. A sentence is Korean, or English for `Accept-Language: en`; words in braces are
filled with the numbers of the case. [The runbook](runbook.md) has the incidents that the remedies name.
"""

RESULTS_HEAD = """\
## Codes of results

A result of an accepted delivery has the code in `error_code`, and an order has the code in the column *reason*. Where
an exchange's refusal led to the code, the sentence may repeat the exchange's words instead. The sentences stand in
`orders/domain/reasons.py`.
"""

DELIVERIES_HEAD = """\
## Codes of refused deliveries

A refused delivery has the code in `code`, and sent nothing. The sentences stand in `webhooks/errors.py`.
"""

STATES_HEAD = """\
## Reasons of a trading state

The reason of the state stands on the level's page in the admin, and in the sentences of `halted` and `reduce_only`. The
sentences stand in `exchanges/state_reasons.py`.
"""

REST_HEAD = """\
## Codes of the REST API

A refused request to the REST API has the code in `code`. The sentences are those of Django REST framework.
"""

Table = Mapping[str, Advice]


class InBraces(dict[str, str]):
    """`%(symbol)s` becomes `{symbol}`."""

    def __missing__(self, name: str) -> str:
        return "{" + name + "}"


def sentence_of(text: object, language: str) -> str:
    with override(language):
        return str(text) % InBraces()


def wrapped(line: str) -> str:
    """A list entry in lines of at most WIDTH characters."""
    return fill(line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


def entry_of(code: str, text: object, advice: Advice, *, heading: str = "") -> str:
    return "\n".join(
        [
            f"### {heading or f'`{code}`'}",
            "",
            wrapped(f"- English: {sentence_of(text, 'en')}"),
            wrapped(f"- Korean: {sentence_of(text, 'ko')}"),
            wrapped(f"- Meaning: {advice.means}"),
            wrapped(f"- Remedy: {advice.remedy}"),
        ]
    )


def rest_entry_of(code: str, advice: Advice) -> str:
    lines = [wrapped(f"- Meaning: {advice.means}"), wrapped(f"- Remedy: {advice.remedy}")]
    return "\n".join([f"### `{code}` of the REST API", "", *lines])


def document() -> str:
    results = [entry_of(code, text, RESULTS[code]) for code, text in reasons.TEXTS.items()]
    deliveries = [
        entry_of(code, text, DELIVERIES[code], heading=f"`{code}`, HTTP {int(status)}")
        for code, (status, text) in errors.TEXTS.items()
    ]
    states = [entry_of(code, text, STATES[code]) for code, text in state_reasons.TEXTS.items()]
    rest = [rest_entry_of(code, advice) for code, advice in REST.items()]
    parts = [HEAD, RESULTS_HEAD, *results, "", DELIVERIES_HEAD, *deliveries, "", STATES_HEAD, *states]
    parts += ["", REST_HEAD, *rest]
    return "\n".join(f"{part}\n" if part.startswith("###") else part for part in parts if part)


def mismatches() -> Iterator[str]:
    """One line for each code without advice, and for each advice without a code."""
    tables: list[tuple[str, Mapping[str, object], Table]] = [
        ("RESULTS", reasons.TEXTS, RESULTS),
        ("DELIVERIES", errors.TEXTS, DELIVERIES),
        ("STATES", state_reasons.TEXTS, STATES),
    ]
    for name, codes, advice in tables:
        yield from (
            f"{code}: no entry in {name} of script/reasons.py" for code in codes if code not in advice
        )
        yield from (f"{code}: in {name}, and no longer in the code" for code in advice if code not in codes)


def main() -> None:
    settings.configure(LOCALE_PATHS=[ROOT / "locale"], LANGUAGES=[("ko", "Korean"), ("en", "English")])
    django.setup()
    found = list(mismatches())
    if found:
        sys.exit("\n".join([*found, "Write the meaning and the remedy, then run: python script/reasons.py"]))
    if "--check" not in sys.argv[1:]:
        DOCUMENT.write_text(document())
    elif not DOCUMENT.exists() or DOCUMENT.read_text() != document():
        sys.exit(f"{DOCUMENT.relative_to(ROOT)} is not what the code says. Run: python script/reasons.py")


if __name__ == "__main__":
    main()
