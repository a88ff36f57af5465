"""Makes the rows of django-q2 harmless: a pickle or a hook in a row would run code of whoever wrote the row."""

import io
import pickle  # nosec B403 - to read without running anything
from base64 import b64decode
from typing import Any
from zlib import decompress

import picklefield.fields  # nosec B403 - to replace its reader
from django.db.models.signals import post_save
from django_q.models import Task
from django_q.signals import call_hook, pre_enqueue

UNREADABLE = "(not read: more than plain values)"


class _PlainUnpickler(pickle.Unpickler):
    """Reads texts, numbers and their collections. A pickle runs code by naming a function, and none is found."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is no plain value")


def read_plain(value: str, compress_object: bool = False) -> Any:
    """In place of `picklefield.fields.dbsafe_decode`: UNREADABLE for whatever is no plain value."""
    try:
        content = b64decode(value.encode())
        return _PlainUnpickler(io.BytesIO(decompress(content) if compress_object else content)).load()
    except Exception:  # noqa: BLE001 - a row of somebody else may hold anything, and must stop neither page nor worker
        return UNREADABLE


def keep_in_queue(task: dict[str, Any], **signal: Any) -> None:
    """A schedule's row can ask for a run at once, past the broker and its checks."""
    task.pop("sync", None)


def make_rows_harmless() -> None:
    """Replaces the reader of the one package that keeps pickles in rows, and ends the call of hooks."""
    picklefield.fields.dbsafe_decode = read_plain
    post_save.disconnect(call_hook, sender=Task)
    pre_enqueue.connect(keep_in_queue)
