"""The worker's queue, in the database or in Redis: only known functions reach the worker, each task a few times only.

django-q2 runs whatever a task or a schedule names, and hands a task whose worker died out again without end. Whoever
can write the table of schedules would run code here; one task that kills its worker would kill every worker.
"""

import logging
from collections.abc import Mapping
from typing import Any

from django_q.brokers.orm import ORM
from django_q.brokers.redis_broker import Redis
from django_q.models import OrmQ
from django_q.signing import BadSignature, SignedPackage

from tradehub.schedules import JOBS

MAX_STARTS = 3
KNOWN = frozenset(job.func for job in JOBS)
_STARTS = "starts"
_NEVER = ("hook", "chain", "iter_count")
logger = logging.getLogger(__name__)


def refusal(task: Mapping[str, Any]) -> str:
    """Why a task is not run; "" for a task that may run. A known task has no arguments and leads to nothing else."""
    func = task.get("func")
    if not isinstance(func, str) or func not in KNOWN:
        return "its function is not one of tradehub.schedules"
    if task.get("args") or task.get("kwargs"):
        return "it has arguments"
    if any(task.get(name) for name in _NEVER):
        return "it names a hook or a further task"
    if task.get(_STARTS, 0) >= MAX_STARTS:
        return f"it was begun {MAX_STARTS} times, and its worker ended each time"
    return ""


def opened(payload: str) -> dict[str, Any] | None:
    """The task of a package, whose signature is checked before anything is unpickled; None for a wrong signature."""
    try:
        task: dict[str, Any] = SignedPackage.loads(payload)
    except (TypeError, BadSignature):
        return None
    return task


class GuardedOrm(ORM):  # type: ignore[misc]  # the package has no types
    """The queue in the database. How often a task was begun is noted in its row, and survives any crash."""

    def dequeue(self) -> list[tuple[int, str]] | None:
        taken = super().dequeue() or []
        return [(pk, payload) for pk, payload in taken if self._may_run(pk, payload)] or None

    def _may_run(self, pk: int, payload: str) -> bool:
        task = opened(payload)
        if task is None:
            return True  # django-q2 drops it, and says so
        reason = refusal(task)
        if reason:
            logger.error("task refused and dropped task=%s func=%s: %s", pk, task.get("func"), reason)
            self.delete(pk)
            return False
        counted = SignedPackage.dumps(task | {_STARTS: task.get(_STARTS, 0) + 1})
        OrmQ.objects.filter(pk=pk).update(payload=counted)
        return True


class GuardedRedis(Redis):  # type: ignore[misc]  # the package has no types
    """The queue in Redis, which hands out each task once: a task whose worker died is gone."""

    def dequeue(self) -> list[tuple[None, bytes]] | None:
        taken = super().dequeue() or []
        return [(ack, payload) for ack, payload in taken if self._may_run(payload)] or None

    @staticmethod
    def _may_run(payload: bytes) -> bool:
        task = opened(payload.decode("ascii", "replace"))
        reason = refusal(task) if task is not None else ""
        if reason:
            logger.error("task refused and dropped func=%s: %s", task and task.get("func"), reason)
        return not reason
