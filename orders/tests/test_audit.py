"""The audit finds what is wrong, and nothing where nothing is."""

from contextlib import contextmanager
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from orders.models import (
    Adjustment,
    AuditedPosition,
    AuditProgress,
    Batch,
    Cancellation,
    Order,
    OrderEvent,
    OutsideEvent,
    Position,
    PositionDifference,
    Trade,
)
from orders.reconciliation import audit, book_rules, paper_audit
from orders.reconciliation.audit import audit_books, audit_changes
from orders.reconciliation.book_rules import Finding, check_orders
from orders.reconciliation.position_differences import declare_external
from strategies.models import StrategyAccount
from tests.desk import BTC, BTC_LIMIT, BTC_MARKET, CANCEL_ALL, PERSON
from tests.factories import AccountFactory

pytestmark = pytest.mark.django_db(transaction=True)

NOBODY_LISTENS = "http://127.0.0.1:1"


def later():
    """When trades of now are not fresh any more."""
    return timezone.now() + timedelta(minutes=1)


def test_books_in_order_are_clean(deliver, test1):
    deliver(test1.alert(BTC_MARKET))
    deliver(test1.alert(BTC_LIMIT))

    result = audit_books(now=timezone.now())

    assert (result.checked_orders, result.problems) == (4, [])


def adjust(**fields):
    """An adjustment of nothing, with other values for some fields."""
    held = StrategyAccount.objects.get(account__name="A1")
    base = {"strategy_account": held, "account": held.account, "symbol": BTC, "kind": "correction"}
    Adjustment.objects.create(
        **(base | fields), market_type="FUTURES", executed_at=timezone.now(), recorded_at=timezone.now()
    )


def outside_event(**fields):
    times = dict.fromkeys(("executed_at", "recorded_at", "settled_at"), timezone.now())
    account = StrategyAccount.objects.get(account__name="A1").account
    return OutsideEvent.objects.create(account=account, market_type="FUTURES", **times, **fields)


BREAKS = {
    "filled": (lambda: Order.objects.filter(filled__gt=0).update(filled=1), "its trades sum up to"),
    "status": (
        lambda: Order.objects.filter(order_type="LIMIT").update(status="canceled"),
        "its events end with",
    ),
    "position": (lambda: Position.objects.update(quantity=Decimal(7)), "position"),
    "adjustment": (lambda: adjust(quantity=Decimal(1)), "its trades and adjustments sum up to"),
    "adjustment without a position": (
        lambda: adjust(quantity=Decimal(1), symbol="ETH/USDT:USDT"),
        "trades and adjustments of 1 without a position",
    ),
    "another account's adjustment": (
        lambda: adjust(account=AccountFactory(name="A9")),
        "its account is not its strategy account's",
    ),
    "another holding's event": (
        lambda: adjust(event=outside_event(symbol="ETH/USDT:USDT")),
        "its event is of another holding",
    ),
    "lost trade": (lambda: Trade.objects.first().delete(), "its trades sum up to"),
    "another account's order": (
        lambda: Order.objects.filter(filled__gt=0).update(account=AccountFactory(name="A9")),
        "its account is not its strategy account's",
    ),
    "another account's trade": (
        lambda: Trade.objects.update(account=AccountFactory(name="A9")),
        "its account is not its order's",
    ),
    "unreleased order": (
        lambda: Order.objects.filter(filled__gt=0).update(released_at=None),
        "unreleased in a finished batch",
    ),
    "unreleased cancellation": (
        lambda: Cancellation.objects.create(
            batch=Batch.objects.earliest("pk"),
            strategy_account=Order.objects.first().strategy_account,
            leg=0,
            sequence=9,
        ),
        "unreleased in the finished batch",
    ),
}


@pytest.mark.parametrize("what", BREAKS)
def test_a_broken_rule_is_reported(deliver, test1, paper, what):
    deliver(test1.alert(BTC_MARKET))
    deliver(test1.alert(BTC_LIMIT))
    do, expected = BREAKS[what]
    do()

    problems = audit_books(now=timezone.now()).problems

    assert any(expected in problem for problem in problems)
    wipe(paper)


def wipe(paper):
    """What was broken on purpose must not fail the rules that are checked after every test."""
    for model in (
        AuditedPosition,
        AuditProgress,
        Adjustment,
        OutsideEvent,
        Cancellation,
        Trade,
        Position,
        OrderEvent,
        Order,
    ):
        model.objects.all()._raw_delete("default")
    paper.reset()


def test_an_order_that_only_the_exchange_has_is_reported(deliver, test1):
    deliver(test1.alert(BTC_LIMIT))
    row = Order.objects.get(account__name="A1")
    Order.objects.filter(pk=row.pk).update(client_order_id="renamed")

    problems = audit_books(now=timezone.now()).problems

    Order.objects.filter(pk=row.pk).update(client_order_id=row.client_order_id)
    assert any("which no row of ours names" in problem for problem in problems)


def test_the_command_prints_the_problems_and_fails(deliver, test1, capsys):
    deliver(test1.alert(BTC_MARKET))
    Position.objects.update(quantity=Decimal(7))

    with pytest.raises(CommandError, match="problems in 2 orders"):
        call_command("audit_books")

    assert "position" in capsys.readouterr().err
    Position.objects.update(quantity=Trade.objects.first().quantity)


def test_the_command_says_that_all_is_well(deliver, test1, capsys):
    deliver(test1.alert(BTC_LIMIT))

    call_command("audit_books", days=1)

    assert "2 orders checked, no problems." in capsys.readouterr().out


# What changed since the audit before


def audit_now():
    return audit_changes(now=later())


def test_an_audit_reads_what_changed_since_the_audit_before(deliver, test1):
    deliver(test1.alert(BTC_MARKET))
    first, again = audit_now(), audit_now()
    deliver(test1.alert(BTC_LIMIT))
    deliver(test1.alert(CANCEL_ALL))

    last = audit_now()

    assert [row.checked_orders for row in (first, again, last)] == [2, 0, 2]
    assert [row.problems for row in (first, again, last)] == [[], [], []]
    assert [row.is_whole for row in (first, audit_books(now=later()))] == [False, True]


def test_a_broken_rule_is_reported_until_it_is_mended(deliver, test1):
    deliver(test1.alert(BTC_LIMIT))
    Order.objects.filter(account__name="A1").update(status="canceled")
    adjust(event=outside_event(symbol="ETH/USDT:USDT"))
    broken = [len(audit_now().problems) for _ in range(2)]
    Order.objects.update(status="accepted")
    OutsideEvent.objects.update(symbol=BTC)

    mended = audit_now().problems

    assert (broken, mended) == ([4, 4], [])


def test_a_position_that_moves_without_a_trade_is_reported_until_it_is_mended(deliver, test1):
    deliver(test1.alert(BTC_MARKET))
    audit_now()
    position = Position.objects.first()
    Position.objects.filter(pk=position.pk).update(quantity=7)
    broken = [audit_now().problems for _ in range(2)]
    Position.objects.filter(pk=position.pk).update(quantity=position.quantity)

    mended = audit_now().problems

    assert [["sum up to" in problem for problem in problems] for problems in broken] == [[True, False]] * 2
    assert mended == []


def test_an_old_row_that_was_changed_is_found_by_the_whole_audit_only(deliver, test1, paper):
    deliver(test1.alert(BTC_MARKET))
    audit_now()
    trade = Trade.objects.filter(account__name="A1").get()
    Trade.objects.filter(pk=trade.pk).update(quantity=trade.quantity + 1)

    by_minute, whole, later_on = audit_now(), audit_books(now=later()), audit_now()

    assert by_minute.problems == []
    assert any("its old trades and adjustments summed up to" in problem for problem in whole.problems)
    assert any("but its trades sum up to" in problem for problem in later_on.problems)
    assert any("its trades and adjustments sum up to" in problem for problem in later_on.problems)
    wipe(paper)


def test_an_audit_that_is_behind_says_so_and_catches_up(deliver, test1, monkeypatch):
    deliver(test1.alert(BTC_MARKET))
    deliver(test1.alert(BTC_MARKET, qty_per=3))
    monkeypatch.setattr(audit, "PORTION", 3)
    notes = [audit_now().notes for _ in range(4)]

    caught_up = audit_now()

    assert notes[0] == ["audit_behind"]
    assert (caught_up.notes, caught_up.problems, caught_up.checked_orders) == ([], [], 0)


def test_the_whole_audit_catches_up_at_once(deliver, test1):
    deliver(test1.alert(BTC_MARKET))
    audit_books(now=later())

    assert audit_now().checked_orders == 0


@pytest.mark.skipif(connection.vendor == "sqlite", reason="one transaction writes at a time")
def test_a_trade_that_appears_behind_a_later_one_is_counted(deliver, test1, monkeypatch):
    monkeypatch.setattr(audit, "_PATIENCE_S", 0.1)
    deliver(test1.alert(BTC_MARKET))
    trade = Trade.objects.first()
    with in_another_session() as execute:
        execute("BEGIN")
        execute(
            "INSERT INTO orders_trade SELECT (jsonb_populate_record(t, jsonb_build_object("
            "'id', nextval('orders_trade_id_seq'), 'trade_id', 'slow'))).* FROM orders_trade t LIMIT 1"
        )
        deliver(test1.alert(BTC_MARKET, qty_per=3))
        beside = audit_now()
        keys = AuditProgress.objects.get()
        execute("COMMIT")

    problems = audit_now().problems

    assert (beside.problems, keys.trade_pk) == ([], 0)
    assert any("its trades and adjustments sum up to" in problem for problem in problems)
    Trade.objects.filter(trade_id="slow").delete()
    assert trade.trade_id != "slow"


@contextmanager
def in_another_session():
    other = connection.copy()
    try:
        with other.cursor() as cursor:
            yield cursor.execute
    finally:
        other.close()


# The ledger


def filled_unseen(deliver, desk):
    """A resting order that fills before the tracker looks."""
    deliver(desk.alert(BTC_LIMIT))
    desk.paper.set_prices({"BTCUSDT": "89000"})


def test_an_order_that_filled_before_the_tracker_looked_is_no_difference(deliver, test1):
    filled_unseen(deliver, test1)

    assert audit_books(now=later()).problems == []


def test_an_open_order_with_more_here_than_there_is_reported(deliver, test1, paper):
    deliver(test1.alert(BTC_LIMIT))
    Order.objects.update(filled=Decimal(7))

    problems = audit_books(now=later()).problems

    assert sum("filled 0 there and 7 here" in problem for problem in problems) == 2
    wipe(paper)


LEDGER_BREAKS = {
    "status": ({"status": "expired"}, "is FILLED there and expired here"),
    "filled": ({"filled": Decimal("0.5")}, "filled 10.526 there and 0.5 here"),
    "quantity": ({"quantity": Decimal(99)}, "asks for 10.526 there and 99 here"),
    "denied": ({"status": "denied"}, "is FILLED there and denied here"),
}


@pytest.mark.parametrize("what", LEDGER_BREAKS)
def test_an_order_that_is_over_agrees_exactly(deliver, test1, paper, what):
    deliver(test1.alert(BTC_MARKET))
    changed, expected = LEDGER_BREAKS[what]
    Order.objects.update(**changed)

    problems = audit_books(now=timezone.now()).problems

    assert sum(expected in problem for problem in problems) == 2
    wipe(paper)


def test_a_trade_of_an_order_that_is_over_agrees_exactly(deliver, test1, paper):
    deliver(test1.alert(BTC_MARKET))
    Trade.objects.update(fee=1)

    problems = audit_books(now=timezone.now()).problems

    assert sum("has trades" in problem for problem in problems) == 2
    wipe(paper)


@pytest.mark.parametrize("alert", [BTC_LIMIT, BTC_MARKET])
def test_an_order_that_the_exchange_forgot_is_reported(deliver, test1, paper, alert):
    deliver(test1.alert(alert))
    requests, state = paper.requests(), paper.state()
    paper.reset()

    problems = audit_books(now=timezone.now()).problems

    assert (len(requests) > 0, len(state["accounts"])) == (True, 2)
    assert sum("unknown there" in problem for problem in problems) == 2
    wipe(paper)


def test_an_order_under_another_accounts_key_is_reported(deliver, test1, paper):
    deliver(test1.alert(BTC_LIMIT))
    Order.objects.filter(account__name="A1").update(account=test1.accounts["A2"])

    problems = audit_books(now=timezone.now()).problems

    assert any("in our books another account's" in problem for problem in problems)
    wipe(paper)


def held_elsewhere(deliver, desk):
    """What the exchange holds is not what we hold, and the tracker has noted it."""
    deliver(desk.alert(BTC_MARKET))
    Trade.objects.update(quantity=1)
    Position.objects.update(quantity=1)


def position_problems(now):
    return [problem for problem in audit_books(now=now).problems if "BTCUSDT position" in problem]


def test_a_position_is_compared_once_its_trades_are_not_fresh(deliver, test1, paper):
    held_elsewhere(deliver, test1)

    traded_at = Trade.objects.latest("executed_at").executed_at
    fresh, settled = position_problems(traded_at), position_problems(later())

    assert (len(fresh), len(settled)) == (0, 2)
    wipe(paper)


def test_a_position_is_not_compared_while_an_order_works_there(deliver, test1, paper):
    held_elsewhere(deliver, test1)
    deliver(test1.alert(BTC_LIMIT))

    assert position_problems(later()) == []
    wipe(paper)


def test_what_a_person_declared_external_is_no_difference(deliver, test1, paper):
    held_elsewhere(deliver, test1)
    for account in test1.accounts.values():
        declare_external(
            PositionDifference.objects.create(
                account=account,
                market_type="FUTURES",
                symbol=BTC,
                ours=1,
                theirs=Decimal("10.526"),
                first_seen_at=timezone.now(),
                last_seen_at=timezone.now(),
            ),
            actor=PERSON,
            now=timezone.now(),
        )

    assert position_problems(later()) == []
    wipe(paper)


def test_an_order_that_goes_out_while_the_ledger_is_read_is_no_difference(deliver, test1, monkeypatch):
    looks = []

    class Busy(paper_audit.PaperControl):
        def state(self, api_key="", **more):
            if api_key:
                return super().state(api_key)
            looks.append(deliver(test1.alert(BTC_MARKET, qty_per=len(looks) + 1)))
            return super().state(**more)

    monkeypatch.setattr(paper_audit, "PaperControl", Busy)

    assert (audit_books(now=timezone.now()).problems, len(looks)) == ([], 1)


def test_a_difference_that_a_second_look_does_not_find_is_not_reported(deliver, test1, monkeypatch):
    deliver(test1.alert(BTC_MARKET))
    looks = []

    class Forgetful(paper_audit.PaperControl):
        def state(self, api_key="", **more):
            if api_key:
                return super().state(api_key)
            looks.append(super().state(**more))
            return {"accounts": {}} if len(looks) == 1 else looks[-1]

    monkeypatch.setattr(paper_audit, "PaperControl", Forgetful)

    assert (audit_books(now=later()).problems, len(looks)) == ([], 2)


def test_a_rule_that_was_only_broken_in_between_is_not_reported(deliver, test1, monkeypatch):
    deliver(test1.alert(BTC_MARKET))
    order = Order.objects.first()
    looks = [[Finding(order.pk, "half written")]]
    monkeypatch.setattr(book_rules, "check_orders", lambda pks: looks.pop() if looks else check_orders(pks))

    assert (audit_books(now=timezone.now()).problems, looks) == ([], [])


def test_a_cancel_by_everyone_is_clean(deliver, test1):
    deliver(test1.alert(BTC_LIMIT))
    deliver(test1.alert(CANCEL_ALL))

    assert audit_books(now=later()).problems == []


def test_a_ledger_that_cannot_be_read_is_noted(deliver, test1, settings, capsys):
    deliver(test1.alert(BTC_LIMIT))
    settings.PAPER_EXCHANGE_URL = NOBODY_LISTENS

    call_command("audit_books")

    printed = capsys.readouterr().out
    assert "The ledger was not compared: the paper exchange could not be read." in printed
    assert "2 orders checked, no problems." in printed


def test_an_account_whose_credentials_cannot_be_read_is_noted(deliver, test1, settings):
    deliver(test1.alert(BTC_LIMIT))
    account = test1.accounts["A1"]
    type(account).objects.filter(pk=account.pk).update(sealed_credentials="forged")

    assert audit_books(now=timezone.now()).notes == ["credentials_unreadable"]
