"""Fills PostgreSQL with years of finished trading, by a few statements that the database runs itself.

The books of these rows agree with themselves: the audit finds nothing. Import this module after django.setup().
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from fanout import rows
from orders.models import Position
from strategies.models import Strategy

SYMBOLS = ("BTC/USDT:USDT", "ETH/USDT:USDT")
PER_BATCH = 5
STRATEGIES = 10

# `number` counts orders from 0. Every tenth order was canceled, every twentieth refused, every fifth of the others took
# two trades. The `%%` are for the driver. `age` spreads the rows evenly over the time.
_LINES = """
CREATE TEMPORARY TABLE line AS
SELECT number, number / {per_batch} AS batch,
       CASE WHEN number %% 20 = 7 THEN 'rejected' WHEN number %% 10 = 3 THEN 'canceled' ELSE 'filled' END AS status,
       %(symbols)s::text[] AS symbols, taker.*,
       (%(symbols)s::text[])[1 + (number / {per_batch} / 7) %% {symbols}] AS symbol,
       CASE WHEN (number / {per_batch} / 7 / {symbols}) %% 2 = 0 THEN 'buy' ELSE 'sell' END AS side,
       %(since)s + (%(until)s - %(since)s) * (number::float8 / %(orders)s) AS at
FROM generate_series(0, %(orders)s - 1) AS number
JOIN (SELECT id AS strategy_account, strategy_id AS strategy, account_id AS account,
             dense_rank() OVER (ORDER BY strategy_id) - 1 AS strategy_place, count(*) OVER () AS takers,
             row_number() OVER (PARTITION BY strategy_id ORDER BY id) - 1 AS place
      FROM strategies_strategyaccount WHERE strategy_id = ANY(%(strategies)s)) AS taker
  ON taker.place = number %% {per_batch}
 AND taker.strategy_place = (number / {per_batch}) %% (taker.takers / {per_batch})
"""
_BATCHES = """
INSERT INTO orders_batch (id, strategy_id, created_at, claimed_by, finished_at)
SELECT %(batch)s + batch, strategy, at, '', at + interval '1 second' FROM line WHERE number %% {per_batch} = 0
"""
_ORDERS = """
INSERT INTO orders_order (id, batch_id, leg, sequence, part, attempt, strategy_id, strategy_account_id, account_id,
    market_type, symbol, side, order_type, qty_per, quantity, price, reduce_only, terms, tag, client_order_id,
    exchange_order_id, status, filled, average, reason, reason_params, exchange_code, created_at, submitted_at,
    closed_at, released_at, checked_at, answered_at, absent_reads, archived_as)
SELECT %(order)s + number, %(batch)s + batch, 0, 0, 0, 1, strategy, strategy_account, account,
    'FUTURES', symbol, side, 'LIMIT', 5, 0.5, 95000, false, '{{}}', '', 'thold' || lpad(number::text, 24, '0'),
    'old' || number, status, CASE status WHEN 'filled' THEN 0.5 ELSE 0 END,
    CASE status WHEN 'filled' THEN 95000 END, CASE status WHEN 'rejected' THEN 'insufficient_funds' ELSE '' END, '{{}}',
    '', at, at + interval '20 ms', at + interval '1 s', at + interval '1 s', at, at, 0, ''
FROM line ORDER BY number
"""
_EVENTS = """
INSERT INTO orders_orderevent (order_id, at, from_status, to_status, evidence, actor, reason, exchange_code, filled)
SELECT %(order)s + number, at + step.after, step.source, coalesce(step.target, status), step.evidence, 'history', '',
    '', 0
FROM line JOIN (VALUES
    (1, interval '20 ms', 'initialized', 'submitted', 'local', false),
    (2, interval '70 ms', 'submitted', 'accepted', 'response', true),
    (3, interval '1 s', 'accepted', NULL, 'query', true),
    (3, interval '70 ms', 'submitted', NULL, 'response', false)
  ) AS step (turn, after, source, target, evidence, of_accepted)
  ON step.turn = 1 OR step.of_accepted = (status <> 'rejected')
ORDER BY number, step.turn
"""
_TRADES = """
INSERT INTO orders_trade (order_id, strategy_account_id, account_id, market_type, symbol, trade_id, side, quantity,
    price, fee, fee_currency, base_fee, is_maker, realized_profit, executed_at, recorded_at)
SELECT %(order)s + number, strategy_account, account, 'FUTURES', symbol, number || '-' || part, side,
    0.5 / parts, 95000, 1, 'USDT', 0, true, 0, at + interval '1 s', at + interval '1 s'
FROM (SELECT *, CASE WHEN number %% 5 = 0 THEN 2 ELSE 1 END AS parts FROM line WHERE status = 'filled') AS filled
CROSS JOIN LATERAL generate_series(1, parts) AS part
ORDER BY number
"""
_POSITIONS = """
INSERT INTO orders_position (strategy_account_id, symbol, quantity, cost, realized_profit, fees, is_dust, updated_at)
SELECT strategy_account_id, symbol, sum(CASE side WHEN 'buy' THEN quantity ELSE -quantity END),
    sum(CASE side WHEN 'buy' THEN quantity ELSE -quantity END) * 95000, 0, sum(fee), false, max(executed_at)
FROM orders_trade WHERE strategy_account_id IN (SELECT strategy_account FROM line) GROUP BY 1, 2
"""
# Beside each batch's own delivery, one refused delivery.
_DELIVERIES = """
INSERT INTO webhooks_webhooklog (public_id, status, strategy_id, user_id, token_id, batch_id, fingerprint, dedupe_key,
    content, dialect, warnings, unread, error_code, error, received_at, answered_at, total_processing_time_ms)
SELECT replace(gen_random_uuid()::text, '-', ''), CASE WHEN refused THEN 'refused' ELSE 'accepted' END,
    strategy, token.user_id, token.id,
    CASE WHEN NOT refused THEN %(batch)s + batch END, md5(batch::text), CASE WHEN NOT refused THEN 'id:' || batch END,
    jsonb_build_object('group_name', 'old', 'symbol', symbol, 'side', side, 'order_type', 'LIMIT', 'price', '95000',
        'qty_per', '5'), '', '[]', '', CASE WHEN refused THEN 'invalid_number' ELSE '' END, '', at,
    at + interval '90 ms', 90
FROM line CROSS JOIN (VALUES (false), (true)) AS kind (refused)
CROSS JOIN (SELECT id, user_id FROM strategies_webhooktoken ORDER BY id LIMIT 1) AS token
WHERE number %% {per_batch} = 0 ORDER BY number
"""
_SEQUENCES = [
    "SELECT setval(pg_get_serial_sequence('orders_batch', 'id'), (SELECT max(id) FROM orders_batch))",
    "SELECT setval(pg_get_serial_sequence('orders_order', 'id'), (SELECT max(id) FROM orders_order))",
]


def fill_history(orders: int, *, strategies: list[int], since: datetime, until: datetime) -> None:
    """Adds `orders` finished orders with their batches, events, trades, positions and deliveries.

    Each of the strategies has PER_BATCH strategy accounts, and nothing traded yet. A token exists.
    """
    numbers: dict[str, Any] = {"orders": orders, "strategies": strategies, "since": since, "until": until}
    with connection.cursor() as cursor, transaction.atomic():
        # Foreign keys hold by construction, and their checks would take most of the time. A superuser may skip them.
        cursor.execute("SET LOCAL session_replication_role = replica")
        cursor.execute("SET LOCAL statement_timeout = 0")
        for name in ("batch", "order"):
            cursor.execute(f"SELECT coalesce(max(id), 0) + 1 FROM orders_{name}")
            numbers[name] = cursor.fetchone()[0]
        for statement in (_LINES, _BATCHES, _ORDERS, _EVENTS, _TRADES, _POSITIONS, _DELIVERIES):
            cursor.execute(
                statement.format(per_batch=PER_BATCH, symbols=len(SYMBOLS)),
                numbers | {"symbols": list(SYMBOLS)},
            )
        for statement in _SEQUENCES:
            cursor.execute(statement)
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE line")
        cursor.execute("SET statement_timeout = 0")
        cursor.execute("VACUUM ANALYZE")
        cursor.execute("RESET statement_timeout")


def make_old_strategies() -> list[str]:
    """Makes strategies that trade nothing but old orders, and returns their names."""
    names = [f"old-{number}" for number in range(STRATEGIES)]
    for name in names:
        rows.make_strategy(name, rows.make_accounts(f"{name}-{number}" for number in range(PER_BATCH)))
    return names


def fill_year(orders: int, strategies: list[str]) -> None:
    """Spreads `orders` old orders of the strategies over the last year."""
    now = timezone.now()
    pks = list(Strategy.objects.filter(group_name__in=strategies).values_list("pk", flat=True))
    fill_history(orders, strategies=pks, since=now - timedelta(days=365), until=now - timedelta(minutes=1))


def held_positions() -> list[tuple[str, str, Decimal]]:
    """The account's name, the symbol and the quantity of every position."""
    held = Position.objects.held().values_list("strategy_account__account__name", "symbol", "quantity")
    return [(str(name), symbol, quantity) for name, symbol, quantity in held]
