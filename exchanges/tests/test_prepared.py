"""Prepared queries return what the querysets return of which they are made, on both databases."""

import os
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count

import pytest
from django.contrib.auth import get_user_model
from django.db import DatabaseError, connection, transaction
from django.db.models import Count, DurationField, F, Value
from django.db.models.functions import Cast

from exchanges.database import prepared
from exchanges.database.prepared import Among, Query, Slot, Update, locks, read_together
from exchanges.enums import MarketType
from exchanges.models import Account, ExchangePause
from strategies.models import Strategy, StrategyAccount

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
names = count(1)

pytestmark = pytest.mark.django_db

PAUSES = Query(lambda: ExchangePause.objects.filter(Among("exchange", "exchanges"), until__gt=Slot("now")))
ACCOUNTS = Query(
    lambda: StrategyAccount.objects.filter(strategy=Slot("strategy")).select_related("account").order_by("pk")
)
AMOUNTS = Query(
    lambda: (
        StrategyAccount.objects.filter(strategy=Slot("strategy"))
        .annotate(twice=F("account__name"))
        .values_list("capital", "leverage", "is_active", "twice", "account__created_at", "max_open_orders")
    )
)


@pytest.fixture
def strategy():
    user = get_user_model().objects.create_user(f"user-{next(names)}")
    strategy = Strategy.objects.create(
        owner=user, name="S", group_name=f"s-{user.pk}", market_type=MarketType.FUTURES
    )
    for number in range(3):
        account = Account.objects.create(owner=user, exchange="paper", name=f"Ä\"{number}'")
        capital = Decimal("12345678901234567890.123456789012345678") / 10**number
        StrategyAccount.objects.create(strategy=strategy, account=account, capital=capital)
    return strategy


@pytest.fixture
def pauses():
    for number, exchange in enumerate(("binance", "okx", "kraken")):
        until = NOW + timedelta(minutes=number)
        ExchangePause.objects.create(exchange=exchange, until=until, reason='quo"ted, \\ %s')


def columns_of(row):
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def test_instances_are_those_of_the_queryset(strategy, django_assert_num_queries):
    rows = ACCOUNTS.rows(strategy=strategy.pk)

    expected = StrategyAccount.objects.filter(strategy=strategy).select_related("account").order_by("pk")
    assert [columns_of(row) for row in rows] == [columns_of(row) for row in expected]
    with django_assert_num_queries(0):
        assert [row.account.name for row in rows] == [row.account.name for row in expected]
    assert not rows[0]._state.adding


def test_values_are_those_of_the_queryset(strategy):
    expected = StrategyAccount.objects.filter(strategy=strategy).annotate(twice=F("account__name"))
    columns = ("capital", "leverage", "is_active", "twice", "account__created_at", "max_open_orders")
    assert sorted(AMOUNTS.rows(strategy=strategy.pk)) == sorted(expected.values_list(*columns))


def test_rows_read_together_are_those_read_alone(strategy, pauses, django_assert_num_queries):
    values = {"strategy": strategy.pk, "now": NOW, "exchanges": ["okx", "kraken", "gate"]}
    with django_assert_num_queries(1):
        accounts, amounts, found = read_together(ACCOUNTS, AMOUNTS, PAUSES, **values)

    alone = ACCOUNTS.rows(strategy=strategy.pk)
    assert sorted(map(repr, map(columns_of, accounts))) == sorted(map(repr, map(columns_of, alone)))
    assert {row.account.uid for row in accounts} == {row.account.uid for row in alone}
    assert sorted(map(repr, amounts)) == sorted(map(repr, AMOUNTS.rows(strategy=strategy.pk)))
    expected = ExchangePause.objects.filter(exchange__in=["okx", "kraken"])
    assert sorted(map(repr, map(columns_of, found))) == sorted(map(repr, map(columns_of, expected)))


def test_a_query_runs_again_with_other_values(strategy, pauses):
    assert {row.exchange for row in PAUSES.rows(now=NOW, exchanges={"okx"})} == {"okx"}
    assert PAUSES.rows(now=NOW + timedelta(hours=1), exchanges={"okx"}) == []
    assert PAUSES.rows(now=NOW, exchanges=[]) == []
    assert [len(ACCOUNTS.rows(strategy=pk)) for pk in (strategy.pk, 0)] == [3, 0]
    assert PAUSES.first(now=NOW, exchanges=["okx"]).exchange == "okx"
    assert PAUSES.first(now=NOW, exchanges=["gate"]) is None


def test_a_value_that_no_slot_has_been_given_is_a_mistake(strategy):
    with pytest.raises(KeyError):
        ACCOUNTS.rows(account=1)


def test_a_type_that_would_come_back_as_another_is_refused():
    query = Query(lambda: ExchangePause.objects.values_list(Cast(Value("1"), output_field=DurationField())))
    with pytest.raises(TypeError, match="DurationField"):
        read_together(query)
    counted = Query(lambda: ExchangePause.objects.values("exchange").annotate(n=Count("pk")).values_list("n"))
    assert read_together(counted) == [[]]


def test_an_update_writes_the_slots_values(pauses):
    lift = Update(
        lambda: (
            ExchangePause.objects.filter(exchange=Slot("exchange")),
            {"until": Slot("now"), "lifts": F("lifts") + 1, "lifted_at": None},
        )
    )
    assert [lift.run(exchange=name, now=NOW) for name in ("okx", "gate")] == [1, 0]

    row = ExchangePause.objects.get(exchange="okx")
    assert (row.until, row.lifts, row.lifted_at) == (NOW, 1, None)


def test_what_is_read_in_one_trip_sees_what_was_written_before_in_it(strategy, django_assert_num_queries):
    rename = Update(lambda: (Strategy.objects.filter(pk=Slot("strategy")), {"name": Slot("name")}))
    held = Query(lambda: StrategyAccount.objects.filter(strategy=Slot("strategy")).select_for_update())
    names = Query(lambda: Strategy.objects.filter(pk=Slot("strategy")).values_list("name"))
    first = [
        rename.statement(strategy=strategy.pk, name="50 %s"),
        *locks(held, strategy=strategy.pk),
    ]

    with django_assert_num_queries(1 if connection.vendor == "postgresql" else 2):
        ((name,),), accounts = read_together(names, ACCOUNTS, first=first, strategy=strategy.pk)

    assert name == "50 %s"
    assert len(accounts) == 3
    assert len(first) == (2 if connection.vendor == "postgresql" else 1)


# Plans of PostgreSQL

only_postgresql = pytest.mark.skipif(connection.vendor == "sqlite", reason="SQLite keeps no plans")
PERCENT = Query(
    lambda: ExchangePause.objects.filter(reason='quo"ted, \\ %s', exchange=Slot("exchange")).values_list(
        "reason"
    )
)


def plans():
    with connection.cursor() as cursor:
        cursor.execute("SELECT name FROM pg_prepared_statements ORDER BY prepare_time")
        return [name for (name,) in cursor.fetchall()]


@only_postgresql
def test_a_query_is_planned_once_for_a_connection(strategy):
    before = plans()
    rows = [ACCOUNTS.rows(strategy=strategy.pk) for _ in range(3)]

    assert len(rows[0]) == 3
    assert rows[0] == rows[1] == rows[2]
    assert len(plans()) <= len(before) + 1


def test_values_that_never_change_are_the_same_on_the_way_to_the_plan(pauses):
    assert PERCENT.rows(exchange="okx") == [('quo"ted, \\ %s',)]
    assert PERCENT.rows(exchange="gate") == []


@only_postgresql
def test_a_plan_that_is_gone_is_made_anew(strategy):
    ACCOUNTS.rows(strategy=strategy.pk)
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")  # as with a pooler that gives another connection

    with pytest.raises(DatabaseError), transaction.atomic():
        ACCOUNTS.rows(strategy=strategy.pk)

    assert len(ACCOUNTS.rows(strategy=strategy.pk)) == 3


@only_postgresql
@pytest.mark.django_db(transaction=True)
def test_outside_of_a_transaction_nobody_notices_that_a_plan_is_gone(strategy):
    ACCOUNTS.rows(strategy=strategy.pk)
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")

    assert len(ACCOUNTS.rows(strategy=strategy.pk)) == 3


@only_postgresql
def test_another_process_has_other_names_for_its_plans(strategy, monkeypatch):
    """A pooler may give the connection of another process: its plans must not be taken for our own."""
    ACCOUNTS.rows(strategy=strategy.pk)
    (ours,) = {name.rsplit("_", 1)[0] for name in plans()}
    pid = os.fork()
    if pid == 0:
        os._exit(prepared._process.name in ours)
    assert os.waitpid(pid, 0)[1] == 0
    assert prepared._process.name in ours


@only_postgresql
def test_behind_a_pooler_no_plans_are_kept(strategy, settings):
    ACCOUNTS.rows(strategy=strategy.pk)
    settings.PREPARE_STATEMENTS = False
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")

    assert len(ACCOUNTS.rows(strategy=strategy.pk)) == 3
    assert plans() == []

    settings.PREPARE_STATEMENTS = True  # the plans are gone, which is forgotten here
    with pytest.raises(DatabaseError), transaction.atomic():
        ACCOUNTS.rows(strategy=strategy.pk)
