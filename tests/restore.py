"""An older database: the rows of deliveries are gone here, and the exchange knows better."""

from orders.models import Batch, Cancellation, ExitGoal, HoldingCheck, Order, OrderEvent, Position, Trade
from webhooks.models import WebhookLog


def restore_from_before(batch: int = 0) -> None:
    """As the database was when this batch was the newest; 0 for a database without any."""
    orders = Order.objects.filter(batch__gt=batch)
    WebhookLog.objects.filter(batch__gt=batch).delete()
    OrderEvent.objects.filter(order__in=orders).delete()
    for trade in Trade.objects.filter(order__in=orders):
        held = Position.objects.get(strategy_account=trade.strategy_account, symbol=trade.symbol)
        held.quantity -= trade.signed_quantity
        held.save()
        trade.delete()
    orders.update(goal=None, canceled_by=None, canceled_for=None)
    orders.delete()
    ExitGoal.objects.filter(batch__gt=batch).delete()
    Cancellation.objects.filter(batch__gt=batch).delete()
    Batch.objects.filter(pk__gt=batch).delete()
    Position.objects.filter(quantity=0).delete()
    HoldingCheck.objects.all().delete()
