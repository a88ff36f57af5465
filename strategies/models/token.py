from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, TypeVar

from django.db import models, transaction
from django.db.models import Q
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.actor import Actor
from audit.trail import record
from exchanges.database.prepared import Slot
from strategies import tokens

T = TypeVar("T", bound="Token")
NOTED_EVERY = timedelta(minutes=1)
SOON = timedelta(days=14)


class TokenQuerySet(models.QuerySet[T]):
    def issue(self, **fields: Any) -> tuple[T, str]:
        """Creates a token, and returns the row and the clear text. The clear text is stored nowhere and shown once."""
        issued = tokens.new_token(self.model.mark)
        row = self.create(prefix=issued.prefix, digest=issued.digest, **fields)
        return row, issued.clear

    def revoke(self, *, actor: Actor, now: datetime) -> int:
        """Revokes the tokens that are not revoked yet, and returns their number."""
        with transaction.atomic():
            rows = list(self.filter(revoked_at__isnull=True).select_for_update(of=("self",)).order_by("pk"))
            self.model._default_manager.filter(pk__in=[row.pk for row in rows]).update(revoked_at=now)
            for row in rows:
                record(Action.TOKEN_REVOKED, row, actor=actor, now=now, after={"revoked_at": now})
        return len(rows)

    def valid(self, *, now: datetime | Slot) -> "TokenQuerySet[T]":
        unexpired = Q(expires_at__isnull=True) | Q(expires_at__gt=now)
        return self.filter(unexpired, revoked_at__isnull=True, user__is_active=True)

    def find(self, clear: str, *, now: datetime) -> T | None:
        """Returns the valid token with this clear text, or None.

        An unknown token, a revoked token, an expired token, and a wrong token behind a known prefix cost the same
        steps: a digest, a query without a result, a comparison. The database's comparison of digests may take any
        time without telling a guesser anything, because nobody can choose the digest of a guess.
        """
        sought = self.model.sought(clear)
        return sought.proven(self.valid(now=now).filter(prefix=sought.prefix, digest=sought.digest).first())


@dataclass(frozen=True, slots=True)
class Sought:
    """What the database is asked for to find a token: a query by the clear text would keep the text in logs."""

    prefix: str
    digest: str

    def proven(self, row: T | None) -> T | None:
        """The row found, after a comparison that costs the same with and without a row."""
        is_found = tokens.digests_match(self.digest, row.digest if row else tokens.DUMMY_DIGEST)
        return row if is_found else None


class Token(models.Model):
    """A user's secret for the webhook or the REST API, valid until revoked or expired, while the user is active."""

    mark: ClassVar[str]
    added_as = Action.TOKEN_ISSUED
    user: Any

    name = models.CharField(_("name"), max_length=100, blank=True)
    prefix = models.CharField(_("prefix"), max_length=16, db_index=True, editable=False)  # read by find()
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(_("created at"), auto_now_add=True)
    last_used_at = models.DateTimeField(_("last used at"), null=True, blank=True, editable=False)
    expires_at = models.DateTimeField(_("expires at"), null=True, blank=True)
    revoked_at = models.DateTimeField(_("revoked at"), null=True, blank=True)

    class Meta:
        abstract = True
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.prefix}… {self.name}".strip()

    @classmethod
    def sought(cls, clear: str) -> Sought:
        prefix = tokens.prefix_of(clear) if tokens.is_token(clear, cls.mark) else ""
        return Sought(prefix, tokens.digest_of(clear))

    def ends_soon(self, *, now: datetime) -> bool:
        return self.expires_at is not None and self.expires_at - now < SOON

    def note_use(self, *, now: datetime) -> None:
        """Stores the time of use at most once a minute: few uses cost a write, and none waits for another's row."""
        if self.last_used_at is None or now - self.last_used_at >= NOTED_EVERY:
            type(self)._default_manager.filter(pk=self.pk).update(last_used_at=now)
