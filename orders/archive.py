"""Moves old rows into a file: the file is complete and on the disk before the first row is deleted.

An archive is a gzip file of JSON lines, one for each row or group of rows, and a last line that counts the others. What
is deleted is what the file holds: a run that was interrupted goes on where the file is complete, and begins anew where
it is not. Trades, adjustments and orders stay: positions and audits are sums of them.
"""

import gzip
import json
import os
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import transaction
from django.db.models import Model

from orders.domain.lifecycle import FINAL
from orders.models import ArchiveGate, Order, OrderEvent
from orders.models.exit_goal import PURSUED

AT_LEAST = timedelta(days=30)  # late evidence, repetitions of a delivery and comparisons look less far back
_PAGE = 500
_EVENTS = "events"
Line = dict[str, Any]


class BadArchive(Exception):
    """The file is no complete archive, or an archive of another time."""


class _Encoder(DjangoJSONEncoder):
    """Keeps microseconds, which Django's encoder cuts off."""

    def default(self, o: Any) -> Any:
        return o.isoformat() if isinstance(o, datetime) else super().default(o)


def write_archive(path: Path, before: datetime, lines: Iterable[Line]) -> None:
    """Writes the file under another name, reads it again, and only then gives it its name."""
    part = path.with_name(f"{path.name}.part")
    count = 0
    with part.open("wb") as raw:
        with gzip.open(raw, "wt", encoding="utf-8") as file:
            for line in lines:
                file.write(json.dumps(line, cls=_Encoder, ensure_ascii=False) + "\n")
                count += 1
            file.write(json.dumps({"end": count, "before": before.isoformat()}) + "\n")
        raw.flush()
        os.fsync(raw.fileno())
    if sum(1 for _line in read_archive(part, before)) != count:
        raise BadArchive(str(part))
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_archive(path: Path, before: datetime) -> Iterator[Line]:
    """Yields the lines. Raises BadArchive at the end of a file that is not whole, or is of another time."""
    count, end = 0, None
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for text in file:
                line = json.loads(text)
                if "end" in line:
                    end = line
                    continue
                count += 1
                yield line
    except (OSError, EOFError, ValueError) as error:
        raise BadArchive(str(path)) from error
    if end != {"end": count, "before": before.isoformat()}:
        raise BadArchive(str(path))


def row_values(row: Model) -> Line:
    """The columns of a row as they are stored."""
    return {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}


def in_portions(lines: Iterable[Line], kind: str) -> Iterator[list[Line]]:
    """Yields the lines of a kind, in portions for one transaction each."""
    portion: list[Line] = []
    for line in lines:
        if line["kind"] == kind:
            portion.append(line)
        if len(portion) == _PAGE:
            yield portion
            portion = []
    if portion:
        yield portion


# Events of orders that have been over for long


def event_lines(before: datetime) -> Iterator[Line]:
    """One line for each order that was closed before `before`, with its events."""
    last = 0
    while page := _orders_over(before, last):
        events: dict[int, list[Line]] = defaultdict(list)
        for event in OrderEvent.objects.filter(order__in=[pk for pk, *_ in page]).order_by("pk"):
            events[event.order_id].append(row_values(event))
        for pk, name, status in page:
            if events[pk]:
                yield {"kind": _EVENTS, "order": pk, "name": name, "status": status, "rows": events[pk]}
        last = page[-1][0]


def _orders_over(before: datetime, after: int) -> list[tuple[int, str, str]]:
    rows = Order.objects.filter(pk__gt=after, status__in=FINAL, closed_at__lt=before)
    rows = rows.filter(released_at__isnull=False, batch__finished_at__isnull=False)
    rows = rows.exclude(goal__state__in=PURSUED).order_by("pk")
    return list(rows.values_list("pk", "client_order_id", "status")[:_PAGE])


def delete_events(lines: Iterable[Line], *, pace: Callable[[], None]) -> int:
    """Deletes the events that the lines hold. An order that changed since the writing keeps its events."""
    deleted = 0
    for portion in in_portions(lines, _EVENTS):
        deleted += _delete_portion({line["order"]: line for line in portion})
        pace()
    return deleted


@transaction.atomic
def _delete_portion(lines: dict[int, Line]) -> int:
    """Opens the gate in the triggers for these orders, within this transaction only."""
    orders = Order.objects.select_for_update(no_key=True).filter(pk__in=list(lines)).order_by("pk")
    statuses = dict(orders.values_list("pk", "status"))
    present: dict[int, set[int]] = defaultdict(set)
    for pk, order in OrderEvent.objects.filter(order__in=list(lines)).values_list("pk", "order_id"):
        present[order].add(pk)
    same = [
        pk
        for pk, line in lines.items()
        if statuses.get(pk) == line["status"] and present[pk] == {row["id"] for row in line["rows"]}
    ]
    ArchiveGate.objects.bulk_create(ArchiveGate(order_pk=pk) for pk in same)
    for status in {lines[pk]["status"] for pk in same}:
        of_status = [pk for pk in same if lines[pk]["status"] == status]
        Order.objects.filter(pk__in=of_status).update(archived_as=status)
    events = OrderEvent.objects.filter(order__in=same)
    deleted = events._raw_delete(events.db)
    ArchiveGate.objects.filter(order_pk__in=same).delete()
    return deleted
