"""Which questions are cheapest, and what a list says of an order."""

from decimal import Decimal

import pytest

from exchanges.adapters.binance import BinanceFutures, BinanceSpot
from exchanges.adapters.protocol import Capabilities, OrderReport, Weights
from exchanges.enums import OrderType, ReportStatus
from orders.reconciliation.open_order_lists import (
    Known,
    Listing,
    OpenOrders,
    cheapest_questions,
    one_by_one,
)

FUTURES, SPOT = BinanceFutures.capabilities, BinanceSpot.capabilities
PLAIN = frozenset({OrderType.MARKET, OrderType.LIMIT})
STOPS = frozenset({OrderType.STOP_LIMIT, OrderType.STOP_MARKET})
GENERIC = Capabilities(PLAIN | STOPS, weights=Weights(all_open_orders=1))
INSISTS = Capabilities(PLAIN | STOPS)
LIMIT, STOP = OrderType.LIMIT, OrderType.STOP_MARKET


def symbols(count: int, each: int) -> dict[tuple[str, OrderType], int]:
    return {(f"S{number:02}", LIMIT): each for number in range(count)}


@pytest.mark.parametrize(
    ("counts", "abilities", "listings", "alone", "weight"),
    [
        ({}, FUTURES, [], set(), 0),
        ({("A", LIMIT): 1}, FUTURES, [], {("A", LIMIT)}, 1),
        ({("A", LIMIT): 20}, FUTURES, [Listing("A", PLAIN)], set(), 1),
        ({("A", LIMIT): 2, ("B", LIMIT): 1}, FUTURES, [Listing("A", PLAIN)], {("B", LIMIT)}, 2),
        ({("A", LIMIT): 2, ("A", STOP): 1}, FUTURES, [Listing("A", PLAIN)], {("A", STOP)}, 2),
        ({("A", STOP): 2}, FUTURES, [Listing("A", STOPS)], set(), 1),
        (symbols(41, each=1), FUTURES, [Listing("", PLAIN)], set(), 40),
        (symbols(40, each=1), FUTURES, [], set(symbols(40, each=1)), 40),
        ({("A", LIMIT): 1}, SPOT, [], {("A", LIMIT)}, 4),
        ({("A", LIMIT): 1, ("A", STOP): 1}, SPOT, [Listing("A", PLAIN | STOPS)], set(), 6),
        (symbols(14, each=2), SPOT, [Listing("", PLAIN | STOPS)], set(), 80),
        (symbols(2, each=1), GENERIC, [Listing("", PLAIN)], set(), 1),
        ({("A", LIMIT): 2, ("A", STOP): 3}, GENERIC, [Listing("A", PLAIN)], {("A", STOP)}, 4),
        (symbols(2, each=2), INSISTS, [Listing("S00", PLAIN), Listing("S01", PLAIN)], set(), 2),
    ],
)
def test_the_cheapest_questions_are_asked(counts, abilities, listings, alone, weight):
    questions = cheapest_questions(counts, abilities)

    assert list(questions.listings) == listings
    assert (questions.alone, questions.weight) == (alone, weight)


def test_where_lists_fail_every_order_is_a_question():
    counts = {("A", LIMIT): 3, ("B", STOP): 1}

    questions = one_by_one(counts, SPOT)

    assert (questions.listings, questions.alone, questions.weight) == ((), set(counts), 16)


@pytest.mark.parametrize(
    ("listing", "symbol", "order_type", "is_covered"),
    [
        (Listing("A", PLAIN), "A", LIMIT, True),
        (Listing("A", PLAIN), "B", LIMIT, False),
        (Listing("", PLAIN), "B", LIMIT, True),
        (Listing("", PLAIN), "B", STOP, False),
    ],
)
def test_a_list_covers_its_symbol_and_order_types(listing, symbol, order_type, is_covered):
    assert listing.covers(symbol, order_type) == is_covered


def report(order_id="7", client_order_id="th1", status=ReportStatus.ACCEPTED, filled="0", **more):
    return OrderReport(
        order_id=order_id,
        client_order_id=client_order_id,
        symbol="A",
        status=status,
        quantity=Decimal(1),
        filled=Decimal(filled),
        average=None,
        reported_at=None,
        **more,
    )


@pytest.mark.parametrize(
    ("listed", "is_alive"),
    [
        (report(), True),
        (report(client_order_id=""), True),  # some exchanges list no names of ours
        (report(status=ReportStatus.PARTIALLY_FILLED), True),
        (report(order_id="8"), False),
        (report(order_id=""), False),
        (report(client_order_id="th2"), False),  # two lists may number their orders alike
        (report(status=ReportStatus.CANCELED), False),
        (report(status=None), False),
        (report(filled="0.1"), False),
        (report(working_order_id="9"), False),
    ],
)
def test_only_a_listed_order_with_our_filled_quantity_is_alive(listed, is_alive):
    assert OpenOrders([listed]).has_alive(Known("th1", "7", Decimal(0))) == is_alive


def test_a_list_that_is_older_than_our_books_proves_nothing():
    assert not OpenOrders([report(filled="0")]).has_alive(Known("th1", "7", Decimal("0.5")))
