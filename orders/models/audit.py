from django.db import models
from django.utils.translation import gettext_lazy as _

NOTES = {
    "ledger_unread": _("The ledger was not compared: the paper exchange could not be read."),
    "exchange_unread": _(
        "An account was not compared with its exchange: the exchange did not answer every question."
    ),
    "credentials_unreadable": _("The credentials of an account cannot be decrypted: it was not compared."),
}


class BookAudit(models.Model):
    """The result of one audit of the rules of SPEC section 7, with the broken rules in `problems`."""

    at = models.DateTimeField(_("at"), db_index=True)  # the index is read by health and retention
    checked_orders = models.PositiveIntegerField(_("orders checked"))
    problems = models.JSONField(_("problems"), default=list)
    notes = models.JSONField(_("not compared"), default=list)  # keys of NOTES

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

    @property
    def note_texts(self) -> list[str]:
        """The sentences of `notes`, the comparisons left out, in the active language."""
        return [str(NOTES.get(code, code)) for code in self.notes]
