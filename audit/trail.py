"""Writes entries of the audit trail, and checks the chain."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db import models, transaction

from audit.actions import Action
from audit.actor import Actor
from audit.chain import START, hash_of, plain_value
from audit.models import COVERED, AuditEntry, AuditHead

_HEAD = 1
_PORTION = 1_000
_TOLD = 20  # problems: a broken chain would name every entry


def record(
    action: Action,
    target: models.Model | None,
    *,
    actor: Actor,
    now: datetime,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str = "",
) -> AuditEntry:
    """Adds an entry, in the transaction of the act, as the last step before its end.

    Entries form one chain, so the chain stays locked until the transaction ends. A transaction that goes on to lock
    other rows could wait for a transaction that waits for the chain. `before` and `after` hold the changed values,
    without secrets. Raises RuntimeError outside of a transaction, because the act could then happen without the entry.
    """
    if not transaction.get_connection().in_atomic_block:
        raise RuntimeError("An audit entry is written in the transaction of the act.")
    head = lock_chain()
    entry = AuditEntry(
        number=head.number + 1,
        at=now,
        action=Action(action).value,
        actor=actor.name[:80],
        right=actor.right[:120],
        label=actor.label[:150],
        address=actor.address[:45],
        **_named(target),
        before=plain_value(before or {}),
        after=plain_value(after or {}),
        reason=str(plain_value(reason))[:200],
        previous_hash=head.hash,
    )
    entry.hash = _hash_of(entry)
    entry.save(force_insert=True)
    AuditHead.objects.filter(pk=head.pk).update(number=entry.number, hash=entry.hash)
    return entry


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What differs between two states of a row: the names with their values before, and after."""
    names = [name for name in after if plain_value(before.get(name)) != plain_value(after[name])]
    return {name: before.get(name) for name in names}, {name: after[name] for name in names}


def lock_chain() -> AuditHead:
    """Locks the chain until the transaction ends. Only for a caller that locks nothing else afterwards."""
    locked = AuditHead.objects.select_for_update()
    head = locked.filter(pk=_HEAD).first()
    if (
        head is None
    ):  # the first entry, or a lost row: the newest entry goes on, and a missing head stops no act
        newest = AuditEntry.objects.order_by("-number").first()
        known = {} if newest is None else {"number": newest.number, "hash": newest.hash}
        AuditHead.objects.get_or_create(pk=_HEAD, defaults=known)
        head = locked.get(pk=_HEAD)
    return head


def _named(target: models.Model | None) -> dict[str, str]:
    if target is None:
        return {}
    return {
        "target_type": target._meta.label_lower,
        "target_id": str(target.pk),
        "target": str(plain_value(str(target)))[:200],
    }


def _hash_of(entry: AuditEntry) -> str:
    return hash_of({name: getattr(entry, name) for name in COVERED}, entry.previous_hash)


@dataclass(slots=True)
class Verdict:
    """`number` and `hash` name the last entry that was read. `problems` are sentences, at most _TOLD."""

    number: int = 0
    hash: str = START
    problems: list[str] = field(default_factory=list)

    def note(self, problem: str) -> None:
        if len(self.problems) < _TOLD:
            self.problems.append(problem)


Anchor = tuple[int, str]  # the number and the hash of an entry, noted outside of the database


def verify_newer(anchor: Anchor) -> Verdict:
    """Reads the entry of the anchor and the entries after. The entries before were read when the anchor was noted."""
    verdict = Verdict(*anchor)
    known = AuditEntry.objects.filter(number=anchor[0]).first()
    if anchor[0] and (known is None or anchor[1] != known.hash):
        verdict.note(f"#{anchor[0]}, noted outside, is missing or another.")
    elif known is not None and known.hash != _hash_of(known):
        verdict.note(f"#{anchor[0]} was changed.")
    _read_on(verdict, AuditEntry.objects.filter(number__gt=anchor[0]))
    _compare_head(verdict)
    return verdict


def verify_trail(*, anchor: Anchor | None = None) -> Verdict:
    """Reads the whole chain in portions."""
    verdict = Verdict()
    _read_on(verdict, AuditEntry.objects.all(), anchor)
    if anchor is not None and anchor[0] > verdict.number:
        verdict.note(f"#{anchor[0]}, noted outside, is missing.")
    _compare_head(verdict)
    return verdict


def _read_on(verdict: Verdict, rows: models.QuerySet[AuditEntry], anchor: Anchor | None = None) -> None:
    for entry in entries_in_order(rows):
        if entry.number != verdict.number + 1:
            verdict.note(f"Between #{verdict.number} and #{entry.number} entries are missing.")
        elif entry.previous_hash != verdict.hash:
            verdict.note(f"#{entry.number} does not continue #{verdict.number}.")
        if entry.hash != _hash_of(entry):
            verdict.note(f"#{entry.number} was changed.")
        verdict.number, verdict.hash = entry.number, entry.hash
        if anchor is not None and anchor[0] == entry.number and anchor[1] != entry.hash:
            verdict.note(f"#{entry.number} is not the entry that was noted outside.")


def _compare_head(verdict: Verdict) -> None:
    """Compares the head with the chain. An entry written during the reading is newer, and no problem."""
    head = AuditHead.objects.filter(pk=_HEAD).first() or AuditHead()
    newest = AuditEntry.objects.filter(number=head.number).values_list("hash", flat=True).first()
    if head.number < verdict.number or (head.number and newest != head.hash):
        verdict.note(f"The newest entry must be #{head.number}, and is missing or another.")


def entries_in_order(rows: models.QuerySet[AuditEntry] | None = None) -> Iterator[AuditEntry]:
    """Entries by number, in portions: memory does not grow with the trail."""
    rows = AuditEntry.objects.all() if rows is None else rows
    last = 0
    while portion := list(rows.filter(number__gt=last).order_by("number")[:_PORTION]):
        yield from portion
        last = portion[-1].number
