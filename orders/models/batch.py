from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import models
from django.db.models import Case, Q, When
from django.utils.translation import gettext_lazy as _

from exchanges.database.prepared import Slot, Update


class BatchQuerySet(models.QuerySet["Batch"]):
    def unfinished(self) -> "BatchQuerySet":
        return self.filter(finished_at__isnull=True)

    def claim(self, pk: int, *, by: str, now: datetime, lease: timedelta) -> bool:
        """Takes the batch's lease by compare-and-set. Of several callers at the same time exactly one gets true.

        A further claim by the holder (`by`) renews the lease.
        """
        free = Q(claimed_until__isnull=True) | Q(claimed_until__lt=now) | Q(claimed_by=by)
        claimed = self.unfinished().filter(free, pk=pk).update(claimed_by=by, claimed_until=now + lease)
        return claimed == 1

    def take_over(self, batch: "Batch", *, by: str, now: datetime, lease: timedelta) -> bool:
        """Takes an abandoned batch by compare-and-set on the lease in `batch`: of several callers one gets true."""
        seen = self.unfinished().filter(
            pk=batch.pk, claimed_by=batch.claimed_by, claimed_until=batch.claimed_until
        )
        return seen.update(claimed_by=by, claimed_until=now + lease) == 1

    def leave(self, pk: int, *, by: str, until: datetime) -> None:
        """Gives the lease back. No process needs to look at the batch before `until`."""
        self.unfinished().filter(pk=pk, claimed_by=by).update(claimed_by="", claimed_until=until)

    def reopen(self, pks: Iterable[int]) -> None:
        self.filter(pk__in=pks, finished_at__isnull=False).update(finished_at=None)

    def finish(self, batch: "Batch", *, by: str, now: datetime) -> None:
        """Ends the batch, and lets the strategy's later batches, left until a later time, go on at `now`."""
        _FINISH.run(using=self.db, pk=batch.pk, strategy=batch.strategy_id, by=by, now=now)


class Batch(models.Model):
    """The orders and cancels of one delivery. The process with the batch's lease runs the batch."""

    strategy = models.ForeignKey("strategies.Strategy", models.PROTECT, verbose_name=_("strategy"))
    created_at = models.DateTimeField(_("created at"))
    signaled_at = models.DateTimeField(_("signaled at"), null=True, help_text=_("The sender's own time."))
    claimed_by = models.CharField(_("claimed by"), max_length=64, blank=True, editable=False)
    claimed_until = models.DateTimeField(_("claimed until"), null=True, editable=False)
    finished_at = models.DateTimeField(_("finished at"), null=True)

    objects = BatchQuerySet.as_manager()

    class Meta:
        verbose_name = _("batch")
        verbose_name_plural = _("batches")
        ordering = ["-pk"]
        indexes = [
            # The tracker's search for abandoned batches reads this index.
            models.Index(
                fields=["claimed_until"], condition=Q(finished_at__isnull=True), name="batch_unfinished"
            ),
        ]

    def __str__(self) -> str:
        return f"#{self.pk}"


def _finish() -> tuple[BatchQuerySet, dict[str, Any]]:
    pk, now = Slot("pk"), Slot("now", models.DateTimeField())
    own = Q(pk=pk, claimed_by=Slot("by"))
    later = Q(strategy=Slot("strategy"), pk__gt=pk, claimed_by="", claimed_until__gt=Slot("now"))
    return Batch.objects.unfinished().filter(own | later), {
        "finished_at": Case(When(pk=pk, then=now), default=None),
        "claimed_until": Case(When(pk=pk, then=None), default=now),
    }


_FINISH = Update(_finish)
