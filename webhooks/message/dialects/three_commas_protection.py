"""Take profits and stops of 3Commas signal bots."""

from django.utils.translation import gettext_lazy as _

from webhooks.message.dialects.foreign_fields import ForeignFields

_MAX_STEPS = 8


def read_protection(fields: ForeignFields) -> dict[str, object]:
    return _read_take_profit(fields) | _read_stop_loss(fields)


def _read_take_profit(fields: ForeignFields) -> dict[str, object]:
    given = _enabled(fields, "take_profit")
    if given is None:
        return {}
    steps = given.get("steps")
    if not isinstance(steps, list) or not steps or len(steps) > _MAX_STEPS:
        raise given.invalid("steps", steps)
    read = [_read_step(given, index, step) for index, step in enumerate(steps)]
    given.finish(is_entry=True)
    return {"take_profit": read}


def _read_step(given: ForeignFields, index: int, value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise given.invalid("steps", value)
    step = ForeignFields(value, path=f"{given.path}steps[{index}].", warnings=given.warnings)
    trailing = step.nested("trailing")
    if trailing is not None and trailing.flag("enabled"):
        raise step.refuse("trailing", _("a take profit cannot trail here"))
    step.word("order_type", ("market", "limit"), code="invalid_order_type")
    percent, portion = step.required_positive("price_percent"), step.required_positive("volume_percent")
    step.finish(is_entry=True)
    return {"percent": percent, "portion": portion}


def _read_stop_loss(fields: ForeignFields) -> dict[str, object]:
    given = _enabled(fields, "stop_loss")
    if given is None:
        return {}
    if given.word("order_type", ("market", "limit"), code="invalid_order_type") == "limit":
        raise given.refuse("order_type", _("a stop that may not be filled is no protection"))
    given.refuse_given("breakeven")
    leg: dict[str, object] = {}
    trailing = given.nested("trailing")
    stop = given.positive("trigger_price_percent")
    if trailing is not None and trailing.flag("enabled"):
        percent = trailing.positive("percent") or given.required_positive("trigger_price_percent")
        leg["trailing_stop"] = {"percent": percent}
    elif stop is None:
        raise given.error("missing_field", field="trigger_price_percent")
    if stop is not None:
        leg["stop_loss"] = {"percent": stop}
    given.finish(is_entry=True)
    return leg


def _enabled(fields: ForeignFields, name: str) -> ForeignFields | None:
    """Returns the object, or None where the object is absent or switched off."""
    given = fields.nested(name)
    if given is not None and given.get("enabled") is not None and not given.flag("enabled"):
        return None
    return given
