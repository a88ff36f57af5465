"""Turns the bytes of a POST into a checked delivery, without the database."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from decimal import Decimal

from django.utils.translation import gettext_lazy as _

from orders.domain.legs import Leg
from webhooks.errors import WebhookError, lazy_phrase, shown_value
from webhooks.message.dialects.own_message import OwnMessage
from webhooks.message.dialects.recognition import ENVELOPE, OWN
from webhooks.message.fields import Fields, is_name
from webhooks.message.legs import LEG_FIELDS, doubtful_sizes, ignored_fields, read_leg
from webhooks.message.placeholders import holds_placeholder
from webhooks.message.secrets import without_secrets
from webhooks.message.strict_json import fingerprint_of
from webhooks.message.translation import ReadMessage, read_message
from webhooks.message.unknown_fields import check_known, unknown_field_names

TOP_FIELDS = LEG_FIELDS.union(ENVELOPE, ("orders",))
_NAME_FIELDS = ("symbol", "tag", "order_id")
MAX_NAMES = 20


@dataclass(frozen=True, slots=True)
class Delivery:
    """The checked message of a POST. `legs` are in list order.

    `content` is for storage: the known fields as JSON, Decimals as strings, without the token. `fingerprint` is the
    SHA-256 of all fields except secrets, also of unknown fields. `warnings` are translated on reading.

    `dialect` names the language of the message. The caller refuses a percent of balance, a market type or a leverage
    that the strategy's owner or the accounts do not agree with, and drops entries that are older than `max_lag_s`.
    """

    group_name: str
    token: str = field(repr=False)
    legs: tuple[Leg, ...]
    alert_id: str
    sent_at: datetime | None
    dry_run: bool
    warnings: tuple[str, ...]
    fingerprint: str
    content: dict[str, object]
    dialect: str = OWN
    percent_of_balance: bool = False
    market_type: str = ""
    leverage: Decimal | None = None
    max_lag_s: Decimal | None = None

    @property
    def leaves(self) -> bool:
        """Whether a leg is a cancel, or may be an exit."""
        return any(leg.is_cancel or leg.may_close for leg in self.legs)

    @property
    def only_leaves(self) -> bool:
        """Whether every leg is a cancel, or may be an exit."""
        return all(leg.is_cancel or leg.may_close for leg in self.legs)

    @property
    def is_exit_or_cancel(self) -> bool:
        """Whether every leg is a cancel or an exit, whatever is held."""
        return all(leg.is_cancel or leg.is_closing for leg in self.legs)

    def warned(self, warning: str) -> "Delivery":
        """Returns the delivery with a further warning."""
        return replace(self, warnings=(*self.warnings, warning))

    def named(self, alert_id: str) -> "Delivery":
        """Returns the delivery with `alert_id` as the name of the firing, unless the body has a name."""
        if self.alert_id or not alert_id:
            return self
        return replace(self, alert_id=alert_id, content={**self.content, "id": alert_id})


def parse_delivery(
    body: bytes, *, bearer: str | None, max_bytes: int, max_legs: int, dialect: str = ""
) -> Delivery:
    """Reads a body of any content type by SPEC sections 4 and 6. `bearer` is the token of the header, if any.

    `dialect` is the language of messages that name no dialect; "" lets the marks of the message decide. Raises
    WebhookError for every unusable body, and no other exception.
    """
    read = read_message(body, max_bytes=max_bytes, dialect=dialect)
    return _read_delivery(read, bearer=bearer, max_legs=max_legs)


def _read_delivery(read: ReadMessage, *, bearer: str | None, max_legs: int) -> Delivery:
    own = read.own
    fields = Fields(own.fields)
    group_name, token = _read_group_name(fields), _read_token(fields, bearer)
    alert_id, sent_at = fields.name("id", "alert_id"), fields.instant("timestamp", "timenow")
    dry_run = fields.flag("dry_run")
    _check_filled(fields, "id", "alert_id")
    views = _leg_views(fields, own.fields, max_legs)
    if own.dialect != OWN:
        _check_understood(own, views)
    legs = tuple(_read_view(index, view) for index, view in enumerate(views))
    if sum(len(leg.symbols) or 1 for leg in legs) > max_legs:
        raise WebhookError("batch_too_large", max=max_legs)
    given = [without_secrets(message) for message in read.given]
    return Delivery(
        group_name=group_name,
        token=token,
        legs=legs,
        alert_id=alert_id,
        sent_at=sent_at,
        dry_run=dry_run,
        warnings=(*own.warnings, *_ignored_field_warnings(own.fields, legs, views)),
        fingerprint=fingerprint_of(given[0] if len(given) == 1 else given),
        content=_delivery_content(own, group_name, alert_id, sent_at, dry_run, legs),
        dialect=own.dialect,
        percent_of_balance=own.percent_of_balance,
        market_type=own.market_type,
        leverage=own.leverage,
        max_lag_s=fields.positive("max_lag"),
    )


def _check_understood(own: OwnMessage, views: list[Fields]) -> None:
    """Refuses a translated message with a leg field that the reader of legs does not know."""
    for view in views:
        for name in view.layers[0]:
            if name not in LEG_FIELDS:
                reason = _("the field is not supported yet")
                raise view.error("unsupported_field", field=name, reason=reason)


def _check_filled(fields: Fields, *names: str) -> None:
    for name in names:
        value = fields.get(name)
        if holds_placeholder(value):
            raise fields.invalid(name, value)


def _read_view(index: int, view: Fields) -> Leg:
    _check_filled(view, *_NAME_FIELDS)
    return read_leg(index, view)


def _read_group_name(fields: Fields) -> str:
    """Reads the strategy's key. Refuses an impossible key like the key of an unknown strategy."""
    value = fields.get("group_name")
    if value is None:
        raise WebhookError("missing_field", field="group_name")
    if holds_placeholder(value):
        raise fields.invalid("group_name", value)
    if not isinstance(value, str) or not is_name(value):
        raise WebhookError("strategy_not_found", group_name=shown_value(value))
    return value


def _read_token(fields: Fields, bearer: str | None) -> str:
    value = fields.get("token")
    if value is None:
        value = bearer
    if value is None or value == "":
        raise WebhookError("missing_field", field="token")
    if not isinstance(value, str):
        raise WebhookError("invalid_token")
    return value


def _leg_views(fields: Fields, top: Mapping[str, object], max_legs: int) -> list[Fields]:
    """Returns the fields of each leg. Without `orders` the message itself is the single leg."""
    entries = fields.get("orders")
    if entries is None:
        return [fields]
    if not isinstance(entries, list) or not entries:
        raise WebhookError("missing_field", field="orders")
    if len(entries) > max_legs:
        raise WebhookError("batch_too_large", max=max_legs)
    return [_leg_view(index, entry, top) for index, entry in enumerate(entries)]


def _leg_view(index: int, entry: object, top: Mapping[str, object]) -> Fields:
    if not isinstance(entry, dict):
        raise WebhookError("missing_field", leg=index, field="orders")
    if "dry_run" in entry:  # a dry_run inside a leg would have no effect, and live orders would be sent
        raise WebhookError("invalid_number", leg=index, field="dry_run", value=shown_value(entry["dry_run"]))
    return Fields(entry, top, leg=index)


def _ignored_field_warnings(
    top: Mapping[str, object], legs: tuple[Leg, ...], views: list[Fields]
) -> Iterator[str]:
    for leg, view in zip(legs, views, strict=True):
        check_known(view, top_names=TOP_FIELDS, leg_names=LEG_FIELDS, leaves=leg.is_cancel or leg.is_closing)
    names = [shown_value(name) for name in unknown_field_names(top, views, TOP_FIELDS, LEG_FIELDS)]
    if names:
        listed = ", ".join(names[:MAX_NAMES]) + (", …" if len(names) > MAX_NAMES else "")
        yield lazy_phrase(_("Unknown fields were ignored: %(fields)s"), {"fields": listed})
    for leg, view in zip(legs, views, strict=True):
        yield from ignored_fields(leg, view)
        yield from doubtful_sizes(leg, view)


def _delivery_content(
    own: OwnMessage,
    group_name: str,
    alert_id: str,
    sent_at: datetime | None,
    dry_run: bool,
    legs: tuple[Leg, ...],
) -> dict[str, object]:
    dialect = {} if own.dialect == OWN else {"dialect": own.dialect}
    return {
        **dialect,
        "group_name": group_name,
        "id": alert_id,
        "timestamp": sent_at.isoformat() if sent_at else None,
        "dry_run": dry_run,
        "orders": [_leg_content(leg) for leg in legs],
    }


def _leg_content(leg: Leg) -> dict[str, object]:
    given = {
        "order_type": leg.leg_type.value,
        "symbol": leg.symbol or None,
        "side": leg.side.value if leg.side else None,
        "price": leg.price,
        "stop_price": leg.stop_price,
        "qty_per": leg.qty_per,
        "qty": leg.qty,
        "order_id": leg.order_id or None,
        "tag": leg.tag or None,
    }
    fields: dict[str, object] = {name: str(value) for name, value in given.items() if value is not None}
    fields |= leg.terms.to_json()
    if leg.symbols:
        fields["symbol"] = list(leg.symbols)
    return fields if leg.priority is None else {**fields, "priority": leg.priority}
