"""Model fields for exact decimals on every database, and for reasons in the reader's language.

Django keeps a DecimalField on SQLite in a NUMERIC column, and SQLite turns a number of more than 15 digits into a
double. Money must keep every digit. Therefore the column type of an ExactDecimalField is text on SQLite and numeric on
PostgreSQL. SQLite compares through REAL. The conversion to REAL keeps the order of numbers, so constraints and filters
hold; Python does the arithmetic.
"""

from decimal import Context, Decimal, InvalidOperation
from typing import TYPE_CHECKING, Any

from django import forms
from django.core.exceptions import ValidationError
from django.core.validators import DecimalValidator
from django.db import models
from django.db.models import lookups
from django.utils.functional import cached_property
from django.utils.translation import gettext_lazy as _

from exchanges.amounts import plain
from exchanges.state_reasons import StateReason

# The type checker's stubs name the type of a field's value in brackets. Django's own classes refuse the brackets.
if TYPE_CHECKING:
    _Field = models.Field[Any, Any]  # a nullable column may hold None
    _CharField = models.CharField[str, StateReason]
else:
    _Field, _CharField = models.Field, models.CharField

DIGITS, PLACES = 38, 18
_CONTEXT = Context(prec=DIGITS)


def normalized(value: Decimal) -> Decimal:
    return Decimal(plain(value))


class ExactDecimalField(_Field):
    """A decimal of at most 38 digits, 18 of them after the point.

    The class is no DecimalField, because Django's SQLite backend converts a DecimalField through a double, and the
    admin pads a DecimalField with zeros.
    """

    description = _("Exact decimal number")
    max_digits, decimal_places = DIGITS, PLACES

    def to_python(self, value: Any) -> Decimal | None:
        if value is None or isinstance(value, Decimal):
            return value
        try:
            return Decimal(str(value))
        except InvalidOperation as error:
            raise ValidationError(_("“%(value)s” is not a number."), params={"value": value}) from error

    @cached_property
    def validators(self) -> list[Any]:
        return [*super().validators, DecimalValidator(self.max_digits, self.decimal_places)]

    def formfield(self, **kwargs: Any) -> Any:
        digits: Any = {"max_digits": self.max_digits, "decimal_places": self.decimal_places}
        return super().formfield(form_class=forms.DecimalField, **digits, **kwargs)

    def get_internal_type(self) -> str:
        return "ExactDecimalField"

    def db_type(self, connection: Any) -> str:
        return (
            "text" if connection.vendor == "sqlite" else f"numeric({self.max_digits}, {self.decimal_places})"
        )

    def cast_db_type(self, connection: Any) -> str:
        return self.db_type(connection)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        if value is None or hasattr(value, "resolve_expression"):
            return value
        number = Decimal(value).quantize(Decimal(1).scaleb(-self.decimal_places), context=_CONTEXT)
        return plain(number) if connection.vendor == "sqlite" else number

    def get_db_prep_save(self, value: Any, connection: Any) -> Any:
        if value is None or hasattr(value, "as_sql"):
            return value
        return self.get_db_prep_value(value, connection)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Decimal | None:
        return None if value is None else normalized(Decimal(str(value)))


class _ThroughReal:
    def as_sqlite(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:
        lhs, lhs_params = self.process_lhs(compiler, connection)  # type: ignore[attr-defined]
        rhs, rhs_params = self.process_rhs(compiler, connection)  # type: ignore[attr-defined]
        operator = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}[self.lookup_name]  # type: ignore[attr-defined]
        return f"CAST({lhs} AS REAL) {operator} CAST({rhs} AS REAL)", [*lhs_params, *rhs_params]


for _lookup in (lookups.GreaterThan, lookups.GreaterThanOrEqual, lookups.LessThan, lookups.LessThanOrEqual):
    ExactDecimalField.register_lookup(type(f"Exact{_lookup.__name__}", (_ThroughReal, _lookup), {}))


class StateReasonField(_CharField):
    """A CharField of StateReasons: `str()` of the value, as in the admin, is a sentence in the reader's language."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> StateReason:
        return StateReason(value)
