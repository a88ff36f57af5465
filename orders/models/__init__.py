from orders.models.batch import Batch
from orders.models.books import (
    ArchiveGate,
    AuditedPosition,
    AuditProgress,
    BookAudit,
    BooksGap,
    HoldingCheck,
    LiveTracker,
    ResultMark,
    TrackerPulse,
)
from orders.models.cancellation import Cancellation
from orders.models.event import OrderEvent
from orders.models.exit_goal import ExitGoal
from orders.models.order import FailedOrder, OpenOrder, Order, PendingOrder
from orders.models.outside import Adjustment, ExternalOrder, OutsideEvent
from orders.models.position import Position
from orders.models.position_difference import PositionDifference
from orders.models.protection import Protection
from orders.models.signal import MissedAlert, Signal
from orders.models.trade import Trade

__all__ = [
    "Adjustment", "ArchiveGate", "AuditProgress", "AuditedPosition", "Batch", "BookAudit", "BooksGap",
    "Cancellation", "ExitGoal", "ExternalOrder", "FailedOrder", "HoldingCheck", "LiveTracker", "MissedAlert",
    "OpenOrder", "Order", "OrderEvent", "OutsideEvent", "PendingOrder", "Position", "PositionDifference", "Protection",
    "ResultMark", "Signal", "TrackerPulse", "Trade",
]  # fmt: skip
