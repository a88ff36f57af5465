from django.db import models
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.chain import START

# The columns that an entry's hash covers, besides the hash of the entry before.
COVERED = (
    "number", "at", "action", "actor", "right", "label", "address", "target_type", "target_id", "target", "before",
    "after", "reason",
)  # fmt: skip


class AuditEntry(models.Model):
    """One act: who, by what right, on what, before and after. The database refuses to change or delete a row."""

    number = models.PositiveBigIntegerField(_("number"), unique=True)
    at = models.DateTimeField(_("at"), db_index=True)  # the index is read by the export and the admin's list
    action = models.CharField(_("action"), max_length=40, choices=Action.choices)
    actor = models.CharField(_("actor"), max_length=80)
    right = models.CharField(_("by what right"), max_length=120)
    label = models.CharField(_("name of the actor"), max_length=150, blank=True)
    address = models.CharField(_("network address"), max_length=45, blank=True)
    target_type = models.CharField(_("kind of target"), max_length=60, blank=True)
    target_id = models.CharField(_("id of the target"), max_length=40, blank=True)
    target = models.CharField(_("target"), max_length=200, blank=True)
    before = models.JSONField(_("before"), default=dict)
    after = models.JSONField(_("after"), default=dict)
    reason = models.CharField(_("reason"), max_length=200, blank=True)
    previous_hash = models.CharField(_("hash of the entry before"), max_length=64, editable=False)
    hash = models.CharField(_("hash"), max_length=64, editable=False)

    class Meta:
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit entries")
        ordering = ["-number"]
        indexes = [
            # Read by the admin's page of a thing: what happened to it.
            models.Index(fields=["target_type", "target_id", "-number"], name="entries_of_target"),
        ]

    def __str__(self) -> str:
        return f"#{self.number}"


class AuditHead(models.Model):
    """The newest entry's number and hash: the lock of the chain, and what shows that the newest entries are missing."""

    number = models.PositiveBigIntegerField(_("number"), default=0, editable=False)
    hash = models.CharField(_("hash"), max_length=64, default=START, editable=False)
