from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _


def refuse_change(row: models.Model, *names: str) -> None:
    """Raises ValidationError where a named field of a stored row would change.

    The row's orders and tokens belong to the former value, for example to the former owner.
    """
    if row.pk is None:
        return
    stored = type(row)._default_manager.filter(pk=row.pk).values(*names).first() or {}
    for name, value in stored.items():
        field: Any = row._meta.get_field(name)
        if value != getattr(row, field.attname):
            raise ValidationError(
                _("%(field)s cannot be changed any more. Make a new entry instead."),
                params={"field": field.verbose_name},
                code="fixed",
            )
