from typing import Any

from django.db import models

from strategies.state_reasons import StateReason


class StateReasonField(models.CharField):
    """A CharField whose values are told by what reads them, as the admin does with any value."""

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> StateReason:
        return StateReason(value)
