from django.db import models
from django.utils.translation import gettext_lazy as _


class BookAudit(models.Model):
    """One pass over the rules that always hold, and what broke them."""

    at = models.DateTimeField(_("at"), db_index=True)  # read by health and retention
    checked_orders = models.PositiveIntegerField(_("orders checked"))
    problems = models.JSONField(_("problems"), default=list)

    class Meta:
        verbose_name = _("book audit")
        verbose_name_plural = _("book audits")
        ordering = ["-at"]
        get_latest_by = "at"

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M}"

    @property
    def is_clean(self) -> bool:
        return not self.problems
