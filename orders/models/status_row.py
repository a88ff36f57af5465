from typing import Self

from django.db import models
from django.utils.translation import gettext_lazy as _

from orders.domain.enums import OrderStatus


class StatusRow(models.Model):
    """A row with the status of an order. Only `orders.models.transitions` changes the status."""

    status = models.CharField(
        _("status"), max_length=20, choices=OrderStatus.choices, default=OrderStatus.INITIALIZED
    )

    class Meta:
        abstract = True

    def adopt(self, fresh: Self) -> None:
        """Brings this instance up to date with the row that was read as `fresh`.

        The status comes last: another thread may build an answer meanwhile, and finds the reason in place.
        """
        for column in self._meta.concrete_fields:
            if column.attname != "status":
                setattr(self, column.attname, getattr(fresh, column.attname))
        self.status = fresh.status
