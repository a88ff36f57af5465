from orders.models.audit import BookAudit
from orders.models.batch import Batch
from orders.models.cancellation import Cancellation
from orders.models.event import OrderEvent
from orders.models.external_order import ExternalOrder
from orders.models.order import FailedOrder, OpenOrder, Order, PendingOrder
from orders.models.position import Position
from orders.models.position_difference import PositionDifference
from orders.models.trade import Trade

__all__ = [
    "Batch", "BookAudit", "Cancellation", "ExternalOrder", "FailedOrder", "OpenOrder", "Order", "OrderEvent",
    "PendingOrder", "Position", "PositionDifference", "Trade",
]  # fmt: skip
