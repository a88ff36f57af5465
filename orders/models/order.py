from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import F, Q
from django.utils.translation import gettext_lazy as _

from exchanges.adapters.protocol import OrderKey
from exchanges.database.trips import Statement
from exchanges.enums import MarketType, OrderType, Side, order_type_choices
from exchanges.fields import ExactDecimalField
from orders.domain.enums import Evidence, OrderStatus
from orders.domain.ids import new_client_order_id
from orders.domain.keys import AccountSymbol, PositionKey
from orders.domain.lifecycle import CANCELABLE, FAILED, IN_FLIGHT, OPEN, UNSENT, WORKING
from orders.domain.reasons import reason_text
from orders.models.status_row import StatusRow
from orders.models.transitions import Companions, Transition, apply_transitions, cancel_of
from strategies.models import StrategyAccount

if TYPE_CHECKING:
    from orders.models.exit_goal import ExitGoal


class NeverSent(Exception):
    """The caller asks for the time of sending of an order that tradehub never sent: a fault of this program."""


_CANCEL_TRIES = 3
NOT_OVER = Q(
    status__in=["initialized", "queued", "submitted", "accepted", "partially_filled", "pending_cancel"]
)


class OrderQuerySet(models.QuerySet["Order"]):
    def transition(
        self,
        changes: Iterable[Transition],
        *,
        first: Sequence[Statement] = (),
        companions: Companions | None = None,
    ) -> set[int]:
        """Applies changes of status; no other code changes a status. Returns the primary keys of the moved orders.

        The statements in `first` run right before, in the same transaction, and the `companions` of moved orders are
        written with these.
        """
        return apply_transitions(changes, using=self.db, first=first, companions=companions)

    def cancel(
        self,
        orders: Iterable["Order"],
        *,
        evidence: Evidence,
        actor: str,
        now: datetime,
        canceled_by: Mapping[int, int] | None = None,
    ) -> None:
        """Cancels the unsent orders and marks the open orders `pending_cancel`; the instances show the outcome.

        An order that another process moves meanwhile, to `partially_filled` for example, is tried again from its new
        status. `canceled_by` names the cancel instruction of an order, both by primary key.
        """
        wanted, named = list(orders), canceled_by or {}
        for _try in range(_CANCEL_TRIES):
            cancelable = [order for order in wanted if order.status in CANCELABLE]
            self.transition(
                cancel_of(order, evidence=evidence, actor=actor, now=now, canceled_by=named.get(order.pk))
                for order in cancelable
            )

    def open(self) -> "OrderQuerySet":
        """Orders that work at the exchange, and orders in flight."""
        return self.filter(status__in=OPEN)

    def working(self) -> "OrderQuerySet":
        return self.filter(status__in=WORKING)

    def in_flight(self) -> "OrderQuerySet":
        return self.filter(status__in=IN_FLIGHT)

    def waiting(self) -> "OrderQuerySet":
        return self.filter(status__in=UNSENT)

    def failed(self) -> "OrderQuerySet":
        return self.filter(status__in=FAILED)

    def unreleased(self) -> "OrderQuerySet":
        """Orders before or in their turn. Later orders of the strategy account wait, where the symbol is the same."""
        return self.filter(released_at__isnull=True)

    def of_unknown_outcome(self) -> "OrderQuerySet":
        """Open orders without a usable answer, and open orders with fills whose trades are not read yet."""
        return self.open().filter(unknown_since__isnull=False)

    def visible_to(self, user_id: int) -> "OrderQuerySet":
        return self.filter(account__owner=user_id)


class Order(StatusRow):
    """One instruction for one account. `status` changes only through `OrderQuerySet.transition`."""

    batch = models.ForeignKey("orders.Batch", models.PROTECT, related_name="orders", verbose_name=_("batch"))
    leg = models.PositiveSmallIntegerField(_("leg"))
    sequence = models.PositiveSmallIntegerField(_("sequence"), help_text=_("Its turn within the batch."))
    part = models.PositiveSmallIntegerField(
        _("part"), default=0, help_text=_("0, or 1 for the entry that follows the exit of a reversal.")
    )
    attempt = models.PositiveSmallIntegerField(_("attempt"), default=1)
    strategy = models.ForeignKey(
        "strategies.Strategy", models.PROTECT, related_name="orders", verbose_name=_("strategy")
    )
    # Composite indexes that begin with the same column take the place of these two columns' own.
    strategy_account = models.ForeignKey(
        "strategies.StrategyAccount",
        models.PROTECT,
        db_index=False,
        related_name="orders",
        verbose_name=_("strategy account"),
    )
    account = models.ForeignKey(
        "exchanges.Account",
        models.PROTECT,
        db_index=False,
        related_name="orders",
        verbose_name=_("account"),
    )
    market_type = models.CharField(_("market type"), max_length=10, choices=MarketType.choices)
    symbol = models.CharField(_("symbol"), max_length=80)
    side = models.CharField(_("side"), max_length=4, choices=Side.choices, blank=True)
    order_type = models.CharField(_("order type"), max_length=24, choices=order_type_choices)
    qty_per = ExactDecimalField("qty_per", null=True)
    qty = ExactDecimalField("qty", null=True)
    quantity = ExactDecimalField(
        _("quantity"), null=True, help_text=_("Base units; empty until its turn has come.")
    )
    price = ExactDecimalField(_("price"), null=True)
    stop_price = ExactDecimalField(_("stop price"), null=True)
    reduce_only = models.BooleanField(_("reduce only"), default=False)
    terms = models.JSONField(_("terms"), default=dict, blank=True)  # orders.domain.terms, and the decision
    tag = models.CharField(_("tag"), max_length=64, blank=True)
    client_order_id = models.CharField(_("client order id"), max_length=36, unique=True)
    exchange_order_id = models.CharField(_("exchange order id"), max_length=80, blank=True)

    filled = ExactDecimalField(_("filled"), default=0)
    average = ExactDecimalField(_("average price"), null=True)
    reason = models.CharField(_("reason"), max_length=60, blank=True)
    reason_params = models.JSONField(_("numbers of the reason"), default=dict, blank=True)
    exchange_code = models.CharField(_("exchange's code"), max_length=40, blank=True)

    created_at = models.DateTimeField(_("created at"))
    submitted_at = models.DateTimeField(_("submitted at"), null=True)
    closed_at = models.DateTimeField(_("closed at"), null=True)
    released_at = models.DateTimeField(_("released at"), null=True, editable=False)
    unknown_since = models.DateTimeField(_("unknown since"), null=True)
    asked_at = models.DateTimeField(null=True, editable=False)  # by a look-up or a cancel, answered or not
    checked_at = models.DateTimeField(
        _("checked at"), null=True, help_text=_("When the exchange was last asked and answered.")
    )
    answered_at = models.DateTimeField(
        _("answered at"), null=True, editable=False
    )  # when the exchange was asked for its latest complete answer (status and all trades), or earlier
    absent_reads = models.PositiveSmallIntegerField(_("times not found"), default=0)
    absent_read_at = models.DateTimeField(null=True, editable=False)  # when `absent_reads` last grew
    archived_as = models.CharField(  # the status up to which orders.archive moved the events out
        _("archived as"), max_length=20, blank=True, default="", editable=False
    )

    goal = models.ForeignKey(
        "orders.ExitGoal", models.PROTECT, null=True, related_name="attempts", verbose_name=_("exit goal")
    )
    canceled_by = models.ForeignKey(
        "orders.Cancellation",
        models.PROTECT,
        null=True,
        editable=False,
        related_name="orders",
        verbose_name=_("cancellation"),
    )
    canceled_for = models.ForeignKey(
        "orders.ExitGoal",
        models.PROTECT,
        null=True,
        editable=False,
        related_name="canceled_orders",
        verbose_name=_("exit that canceled the order"),
    )

    is_probe = False  # in memory: an exit that goes out in spite of a pause

    objects = OrderQuerySet.as_manager()

    class Meta:
        verbose_name = _("order")
        verbose_name_plural = _("orders")
        ordering = ["-pk"]
        constraints = [
            models.UniqueConstraint(
                fields=["batch", "strategy_account", "leg", "part", "attempt"],
                name="one_order_per_part_and_attempt",
            ),
            models.CheckConstraint(
                condition=Q(quantity__isnull=True) | Q(filled__lte=F("quantity")),
                name="filled_within_quantity",
            ),
            models.CheckConstraint(condition=Q(filled__gte=0), name="filled_not_negative"),
            models.CheckConstraint(
                condition=Q(status__in=["initialized", "queued", "denied", "canceled"])
                | Q(submitted_at__isnull=False),
                name="nothing_at_the_exchange_without_submission",
            ),
            models.CheckConstraint(
                condition=Q(submitted_at__isnull=True) | Q(quantity__isnull=False),
                name="submitted_with_a_quantity",
            ),
        ]
        indexes = [
            # Each run reads the unreleased orders of earlier batches; the audit reads those of finished batches.
            models.Index(
                fields=["strategy_account", "symbol"],
                condition=Q(released_at__isnull=True),
                name="order_unreleased",
            ),
            # The orders that are not over: turns, cancels, the pursuit of exits and the open orders' page.
            models.Index(fields=["strategy_account", "symbol"], condition=NOT_OVER, name="order_living"),
            # The same by account: comparison, income and the check of a new key.
            models.Index(fields=["account", "symbol"], condition=NOT_OVER, name="order_living_of_account"),
            # Orders of unknown outcome: what is in motion, at each comparison and each exit.
            models.Index(
                fields=["account", "symbol"],
                condition=Q(unknown_since__isnull=False),
                name="order_of_unknown_outcome",
            ),
            # The limit of orders per minute at each turn, and the circuit breaker's last orders.
            models.Index(fields=["strategy_account", "submitted_at"], name="order_by_submission"),
            # The first order of a holding: discovery of fills, and income.
            models.Index(fields=["account", "symbol", "submitted_at"], name="order_by_holding"),
            # The comparison looks for late evidence against orders closed within a day.
            models.Index(
                fields=["closed_at"],
                condition=Q(submitted_at__isnull=False) & ~Q(status="filled"),
                name="order_closed_unfilled",
            ),
            # A CANCEL by exchange order id, fills of orders without a name, and the admin's search.
            models.Index(fields=["exchange_order_id", "strategy"], name="order_by_exchange_id"),
            # A CANCEL by tag reads this index.
            models.Index(fields=["strategy", "tag"], condition=~Q(tag=""), name="order_by_tag"),
            # The failed orders' page.
            models.Index(fields=["-id"], condition=Q(status__in=["denied", "rejected"]), name="order_failed"),
        ]

    def __str__(self) -> str:
        return f"{self.client_order_id} {self.symbol}"

    @classmethod
    def compose(
        cls,
        strategy_account: StrategyAccount,
        *,
        market_type: str,
        leg: int,
        sequence: int,
        symbol: str,
        order_type: OrderType,
        created_at: datetime,
        side: str = "",
        qty_per: Decimal | None = None,
        qty: Decimal | None = None,
        price: Decimal | None = None,
        stop_price: Decimal | None = None,
        attempt: int = 1,
        part: int = 0,
        goal: "ExitGoal | None" = None,
        terms: "dict[str, Any] | None" = None,
        tag: str = "",
    ) -> "Order":
        """Returns an unsaved order with a new client order id. Every caller who wants an order sent starts here.

        `strategy_account` has its account loaded, and `market_type` is the strategy's. Runs no database statement.
        """
        return cls(
            leg=leg,
            sequence=sequence,
            strategy_id=strategy_account.strategy_id,
            strategy_account=strategy_account,
            account=strategy_account.account,
            market_type=market_type,
            symbol=symbol[:80],
            side=side,
            order_type=order_type,
            qty_per=qty_per,
            qty=qty,
            price=price,
            stop_price=stop_price,
            client_order_id=new_client_order_id(strategy_account.code),
            created_at=created_at,
            attempt=attempt,
            part=part,
            goal=goal,
            terms=terms or {},
            tag=tag,
        )

    def for_account(self, strategy_account: StrategyAccount, symbol: str) -> "Order":
        """Returns a copy of this unsaved order for another account, with a client order id of its own.

        Costs a fraction of `compose`: the orders of a leg agree on all other fields. The order may have no goal.
        """
        order, account = Order.__new__(Order), strategy_account.account
        order.__dict__ |= self.__dict__ | {
            "_state": models.base.ModelState(),
            "strategy_account_id": strategy_account.pk,
            "account_id": account.pk,
            "symbol": symbol[:80],
            "client_order_id": new_client_order_id(strategy_account.code),
            "terms": dict(self.terms),
        }
        order._state.fields_cache |= {"strategy_account": strategy_account, "account": account}
        return order

    @property
    def sent_at(self) -> datetime:
        """`submitted_at` of a sent order. Raises NeverSent for an unsent order."""
        if self.submitted_at is None:
            raise NeverSent(self.client_order_id)
        return self.submitted_at

    @property
    def position_key(self) -> PositionKey:
        return PositionKey(self.strategy_account_id, self.symbol)

    @property
    def account_symbol(self) -> AccountSymbol:
        return AccountSymbol(self.account_id, self.symbol)

    @property
    def key(self) -> OrderKey:
        return OrderKey(self.symbol, self.client_order_id, self.exchange_order_id, OrderType(self.order_type))

    @property
    def is_closing(self) -> bool:
        return self.qty_per is not None and self.qty_per < 0

    @property
    def is_undecided(self) -> bool:
        """Whether what is held at the order's turn still has to decide between exit and entry."""
        return "aim" in self.terms and "decision" not in self.terms

    @property
    def reason_text(self) -> str:
        """The sentence of the order's reason in the active language; empty without a reason."""
        return reason_text(self.reason, self.reason_params) if self.reason else ""


class StatusManager(models.Manager.from_queryset(OrderQuerySet)):  # type: ignore[misc]
    """Finds only orders in the given statuses."""

    def __init__(self, *statuses: OrderStatus) -> None:
        super().__init__()
        self._statuses = statuses

    def get_queryset(self) -> Any:
        return super().get_queryset().filter(status__in=self._statuses)


class OpenOrder(Order):
    objects = StatusManager(*OPEN)  # type: ignore[misc]

    class Meta:
        proxy = True
        verbose_name = _("open order")
        verbose_name_plural = _("open orders")


class PendingOrder(Order):
    objects = StatusManager(*UNSENT)  # type: ignore[misc]

    class Meta:
        proxy = True
        verbose_name = _("pending order")
        verbose_name_plural = _("pending orders")


class FailedOrder(Order):
    objects = StatusManager(*FAILED)  # type: ignore[misc]

    class Meta:
        proxy = True
        verbose_name = _("failed order")
        verbose_name_plural = _("failed orders")
