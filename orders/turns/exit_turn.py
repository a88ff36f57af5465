"""The turn of an exit: what has to give way first, how long doubts may hold the exit back, and how much it closes."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal

from django.conf import settings

from exchanges.adapters.protocol import MarketSpec
from exchanges.amounts import exact, plain
from exchanges.enums import MarketType, OrderType, Side
from exchanges.gateway import gateway
from orders.domain.enums import GoalState, OrderStatus
from orders.domain.exits import (
    CONTRADICTIONS,
    COVERED,
    LOCKED,
    WAITED_LONG,
    exits_to_cancel,
    left_to_close,
    room_for,
)
from orders.domain.reasons import Denied
from orders.exits.resting import as_resting
from orders.models import ExitGoal, Order
from orders.turns.context import OrderContext

_ASK_AFTER = timedelta(seconds=2)
LONGEST_WAIT = timedelta(seconds=10)  # no doubt holds back an exit, and no exit an entry, for longer
_PERCENT = Decimal(100)
_NOTHING = Decimal(0)


class ExitTurn:
    """An exit order at its turn, with what is known of its position."""

    def __init__(self, order: Order, context: OrderContext) -> None:
        assert order.goal is not None
        self.order, self.goal, self.context = order, order.goal, context
        self.key = order.position_key
        self.held: Decimal = context.exposures[order.strategy_account_id].held.get(order.symbol, _NOTHING)
        self.kind = OrderType(order.order_type)
        self.shares_coins = order.market_type == MarketType.SPOT
        exits = [
            other
            for other in context.own_exits[self.key]
            if other.goal_id != self.goal.pk or not self.goal.pk
        ]
        self.at_most = _fixed_most(self.goal)
        self.resting = [other for other in exits if other.status != OrderStatus.PENDING_CANCEL]
        self.giving_way = [other for other in exits if other.status == OrderStatus.PENDING_CANCEL]

    # Before the exit

    @exact
    def orders_to_cancel(self) -> list[Order]:
        """Entries in the way of a full market exit, and resting exits that the exit needs the room or the coins of."""
        entries = self.context.own_entries[self.key] if self.goal.is_full else []
        entries = [order for order in entries if order.status != OrderStatus.PENDING_CANCEL]
        if self.goal.rests and self.order.attempt > 1:
            return entries
        keys = exits_to_cancel(
            map(as_resting, self._closing(self.resting)),
            held=abs(self.held),
            closing=self._left(),
            by=self.kind,
            shares_coins=self.shares_coins,
            clears_all=self._needs_all_room(),
        )
        return [*entries, *(order for order in self.resting if order.pk in keys)]

    def _needs_all_room(self) -> bool:
        return self.kind is OrderType.MARKET and self.goal.reason in CONTRADICTIONS

    def _closing(self, orders: Sequence[Order]) -> list[Order]:
        return [order for order in orders if self.held * Side(order.side).sign < 0]

    @exact
    def comes_too_early(self) -> bool:
        """Whether the exit still waits for what became of earlier orders of the position. The wait ends after 10 s.

        Afterwards the exit goes with what is certain: less than the position where an earlier exit is in doubt, unless
        the exchange caps the exit, or the exchange's holding shows that the earlier exit has closed nothing.
        """
        is_young = self.context.now - self.order.created_at < LONGEST_WAIT
        if is_young and self._is_behind_gap():
            return True
        if not self._doubts():
            return False
        if is_young:
            return True
        return bool(self.held) and not self._certain()

    @exact
    def asks_for_holding(self) -> bool:
        """Whether what the exchange holds would tell that an earlier exit in doubt has closed nothing."""
        is_due = self.context.now - self.order.created_at >= _ASK_AFTER
        return is_due and bool(self.held) and self._certain() < abs(self.held)

    def _is_behind_gap(self) -> bool:
        """Whether the books may lack an earlier exit, after which on spot a second one would sell the owner's coins."""
        comparison = self.context.stale_comparisons.get(self.order.account_id)
        return self.shares_coins and comparison is not None and comparison.is_before_gap

    def _doubts(self) -> list[Order]:
        known = {order.pk: order for order in self.context.unsure_orders.get(self.key, ())}
        own = [*self.giving_way, *self.context.own_entries[self.key]]
        known |= {order.pk: order for order in own if order.status == OrderStatus.PENDING_CANCEL}
        known.pop(self.order.pk, None)
        return list(known.values())

    def _certain(self) -> Decimal:
        """The part of the position that no earlier exit in doubt can have closed."""
        size = abs(self.held)
        doubtful = [order for order in self._doubts() if order.is_closing or order.reduce_only]
        if not doubtful or self._is_capped() or self._holding_agrees():
            return size
        left = [(order.quantity or _NOTHING) - order.filled for order in doubtful]
        return max(_NOTHING, size - sum(left, _NOTHING))

    def _is_capped(self) -> bool:
        """Whether the exchange cuts an exit down to the position of the strategy account.

        Reduce-only caps an exit by the account's position, and so needs an account where no other strategy account
        holds or trades the symbol, and nothing is held outside of the strategies.
        """
        abilities = gateway.capabilities(self.order.account.exchange, MarketType(self.order.market_type))
        net = self.context.net_holdings[self.order.account_symbol]
        is_alone = net.strategy_accounts <= {self.order.strategy_account_id} and not net.external
        return abilities.has_reduce_only and is_alone

    def _holding_agrees(self) -> bool:
        """Whether the exchange showed, after the exit came, exactly what our books and the external part add up to."""
        check = self.context.holding_checks.get(self.order.account_symbol)
        if check is None or check.checked_at is None or check.checked_at < self.order.created_at:
            return False
        net = self.context.net_holdings[self.order.account_symbol]
        return check.theirs is not None and (
            check.theirs >= net.held if self.shares_coins else check.theirs == net.held
        )

    # The size

    @exact
    def fix_goal(self) -> None:
        """Fixes, when the exit is sized first, what shall remain, or what a resting exit shall close."""
        if self.goal.rests:
            self.goal.wanted = self._wanted()
        else:
            self.goal.to_remain = self._to_remain()

    def _wanted(self) -> Decimal | None:
        fixed: Decimal | None = self.goal.wanted
        if not self.goal.rests or fixed is not None:
            return fixed
        percent: Decimal = -self.goal.qty_per
        return self._no_more_than_asked(self._size() * percent / _PERCENT)

    def _to_remain(self) -> Decimal | None:
        """An exit that comes while another is pursued takes its percentage of what the other leaves."""
        fixed: Decimal | None = self.goal.to_remain
        if self.goal.rests or fixed is not None:
            return fixed
        percent: Decimal = self.goal.qty_per
        older = self.context.older_remains.get(self.key)
        base = self._size() if older is None else min(self._size(), older)
        return base - self._no_more_than_asked(base * -percent / _PERCENT)

    def _no_more_than_asked(self, closing: Decimal) -> Decimal:
        """A reduce-only leg closes at most its own size."""
        return closing if self.at_most is None else min(closing, self.at_most)

    def _size(self) -> Decimal:
        side = self.goal.side
        return _NOTHING if side and self.held * Side(side).sign >= 0 else abs(self.held)

    def _left(self) -> Decimal:
        goal: ExitGoal = self.goal
        return left_to_close(
            held=self.held,
            side=Side(goal.side) if goal.side else None,
            qty_per=goal.qty_per,
            rests=goal.rests,
            to_remain=self._to_remain(),
            wanted=self._wanted(),
            closed=self.context.closed_by_goal[goal.pk],
        )

    @exact
    def quantity(self, market: MarketSpec) -> Decimal:
        """Returns what the exit may close now, before rounding to the lot. Raises Denied."""
        self._require_short_wait()
        wanted = self._left()
        left = min(wanted, self._certain(), self._at_exchange())
        if left < market.lot_size <= wanted:
            check = self.context.holding_checks.get(self.order.account_symbol)
            theirs = "?" if check is None or check.theirs is None else plain(check.theirs)
            raise Denied("exit_not_covered", {"ours": plain(self.held), "theirs": theirs})
        if self.kind is OrderType.MARKET:
            return left
        return self._beside_stops(left) if self.order.attempt == 1 else self._in_the_room_left(left)

    def _in_the_room_left(self, left: Decimal) -> Decimal:
        """A resting exit that gave way comes back with what the other resting exits leave of the position."""
        others = map(as_resting, self.resting)
        room = room_for(self.kind, others, held=abs(self.held), shares_coins=self.shares_coins)
        if left and not room:
            raise Denied(COVERED)
        return min(left, room)

    def _beside_stops(self, left: Decimal) -> Decimal:
        """On spot a resting stop locks its coins, and gives way to no take profit."""
        if not self.shares_coins or self.kind.needs_stop_price:
            return left
        stops = [exit_ for exit_ in map(as_resting, self.resting) if exit_.is_stop]
        room = abs(self.held) - sum((stop.remaining for stop in stops), _NOTHING)
        if left and room <= 0:
            raise Denied(LOCKED)
        return min(left, room)

    def _at_exchange(self) -> Decimal:
        """What the exchange still shows of the position after a refusal: the missing part may be ours.

        On spot only free coins can be sold.
        """
        size = abs(self.held)
        check = self.context.holding_checks.get(self.order.account_symbol)
        if self.goal.reason not in CONTRADICTIONS or check is None or check.checked_at is None:
            return size
        free: Decimal | None = check.free
        theirs: Decimal | None = check.theirs
        if free is not None:
            return min(size, free)
        if theirs is None or check.checked_at < self.goal.created_at:
            return size
        sign = 1 if self.held > 0 else -1
        net = self.context.net_holdings[self.order.account_symbol]
        missing = sign * (net.held - theirs)
        return max(_NOTHING, size - max(_NOTHING, missing))

    def _require_short_wait(self) -> None:
        waited = self.context.now - self.order.created_at
        if self.kind is OrderType.MARKET and waited > timedelta(seconds=settings.EXIT_ASK_AFTER_S):
            params = {
                "waited_s": str(int(waited.total_seconds())),
                "allowed_s": str(settings.EXIT_ASK_AFTER_S),
            }
            raise Denied(WAITED_LONG, params)


def _fixed_most(goal: ExitGoal) -> Decimal | None:
    return Decimal(goal.at_most["qty"]) if "qty" in goal.at_most else None


def sizes_by_price(goal: ExitGoal) -> bool:
    """Whether the size of a reduce-only leg is an amount of money, which needs a price."""
    return bool(goal.at_most) and "qty" not in goal.at_most and goal.to_remain is None


def waits_for_exit(order: Order, context: OrderContext) -> bool:
    """Whether an entry waits for an earlier full exit of its position. Raises nothing; the check denies the rest."""
    exits = exits_before(order, context)
    is_young = context.now - order.created_at < LONGEST_WAIT
    return is_young and bool(exits) and all(goal.state == GoalState.WORKING for goal in exits)


def exits_before(order: Order, context: OrderContext) -> list[ExitGoal]:
    """The full exits of earlier legs and deliveries that are not over."""
    place = (order.batch_id or 0, order.sequence)
    return [
        goal
        for goal in context.full_goals[order.position_key]
        if order.batch_id is None or (goal.batch_id, goal.sequence) < place
    ]
