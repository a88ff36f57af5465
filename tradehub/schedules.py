"""The scheduled tasks of the worker, with their intervals."""

from dataclasses import dataclass
from typing import Any

from django_q.models import Schedule


@dataclass(frozen=True, slots=True)
class Job:
    name: str
    func: str
    minutes: int


JOBS = [
    Job("refresh markets", "exchanges.tasks.refresh_markets", 5),  # lists of markets that are old or in doubt
    Job("refresh prices", "orders.tasks.refresh_prices", 1),
    Job("track orders", "orders.tasks.track_orders", 1),
    Job("audit books", "orders.tasks.audit_books", 1),
    Job("check keys", "exchanges.tasks.check_keys", 10),  # each key once a day, a portion at a time
    Job("record refusals", "tradehub.worker.audit_jobs.record_refusals", 1),
    Job("verify audit trail", "tradehub.worker.audit_jobs.verify_audit_trail", 60),
    Job("drop old deliveries", "webhooks.tasks.drop_old_deliveries", 24 * 60),
]


def ensure_schedules(**signal: Any) -> None:
    """Makes the stored schedules equal to JOBS. Called after every migrate."""
    Schedule.objects.exclude(name__in=[job.name for job in JOBS]).filter(cluster="tradehub").delete()
    for job in JOBS:
        Schedule.objects.update_or_create(
            name=job.name,
            defaults={
                "func": job.func,
                "schedule_type": Schedule.MINUTES,
                "minutes": job.minutes,
                "repeats": -1,
                "cluster": "tradehub",
            },
        )
