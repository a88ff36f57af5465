"""Gives the exits of release 0.1.0 that are not over a goal, and makes adjustments append-only."""

from django.db import migrations

POSTGRESQL = [
    """CREATE FUNCTION orders_adjustment_refuse() RETURNS trigger AS $$
    BEGIN RAISE EXCEPTION 'adjustments are append-only'; END; $$ LANGUAGE plpgsql""",
    """CREATE TRIGGER orders_adjustment_append_only BEFORE UPDATE OR DELETE ON orders_adjustment
    FOR EACH ROW EXECUTE FUNCTION orders_adjustment_refuse()""",
    """CREATE TRIGGER orders_adjustment_kept BEFORE TRUNCATE ON orders_adjustment
    FOR EACH STATEMENT EXECUTE FUNCTION orders_adjustment_refuse()""",
]
POSTGRESQL_BACK = [
    "DROP TRIGGER orders_adjustment_kept ON orders_adjustment",
    "DROP TRIGGER orders_adjustment_append_only ON orders_adjustment",
    "DROP FUNCTION orders_adjustment_refuse()",
]
SQLITE = [
    f"""CREATE TRIGGER orders_adjustment_no_{verb} BEFORE {verb} ON orders_adjustment
    BEGIN SELECT RAISE(ABORT, 'adjustments are append-only'); END"""
    for verb in ("UPDATE", "DELETE")
]
SQLITE_BACK = ["DROP TRIGGER orders_adjustment_no_UPDATE", "DROP TRIGGER orders_adjustment_no_DELETE"]

LIVING = ["initialized", "queued", "submitted", "accepted", "partially_filled", "pending_cancel"]


def run(schema_editor, on_postgresql, on_sqlite):
    for statement in on_sqlite if schema_editor.connection.vendor == "sqlite" else on_postgresql:
        schema_editor.execute(statement)


def give_goals(apps, schema_editor):
    orders = apps.get_model("orders", "Order").objects
    goals = apps.get_model("orders", "ExitGoal").objects
    for order in orders.filter(qty_per__lt=0, status__in=LIVING, goal__isnull=True).order_by("pk"):
        rests = order.order_type != "MARKET"
        order.goal = goals.create(
            batch_id=order.batch_id,
            leg=order.leg,
            sequence=order.sequence,
            strategy_id=order.strategy_id,
            strategy_account_id=order.strategy_account_id,
            account_id=order.account_id,
            market_type=order.market_type,
            symbol=order.symbol,
            side=order.side,
            order_type=order.order_type,
            qty_per=order.qty_per,
            price=order.price,
            stop_price=order.stop_price,
            state="resting" if rests and order.status in LIVING[3:] else "working",
            wanted=order.quantity if rests else None,
            actor="release 0.1.0",
            created_at=order.created_at,
        )
        order.save(update_fields=["goal"])


class Migration(migrations.Migration):
    dependencies = [("orders", "0002_exit_goals")]

    operations = [
        migrations.RunPython(
            lambda apps, editor: run(editor, POSTGRESQL, SQLITE),
            lambda apps, editor: run(editor, POSTGRESQL_BACK, SQLITE_BACK),
        ),
        migrations.RunPython(give_goals, migrations.RunPython.noop),
    ]
