"""Who can write the worker's tables runs no code by them, and a task that kills its worker is not begun for ever."""

import ast
import logging
import pickle
from base64 import b64encode
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.utils import timezone
from django_q.brokers import get_broker
from django_q.models import Failure, OrmQ, Schedule, Success, Task
from django_q.monitor import save_task
from django_q.scheduler import scheduler
from django_q.signing import SignedPackage
from django_q.tasks import async_task

from tradehub.schedules import JOBS
from tradehub.worker.brokers import KNOWN, MAX_STARTS, GuardedOrm, GuardedRedis, refusal
from tradehub.worker.rows import UNREADABLE

pytestmark = pytest.mark.django_db
OURS = "webhooks.tasks.drop_old_deliveries"


class Touches:
    """A pickle that makes a file when it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def evil_pickle(path):
    return b64encode(pickle.dumps(Touches(path))).decode()


def take():
    return get_broker().dequeue() or []


def released(pk):
    """As if the lease had run out: the worker died."""
    OrmQ.objects.filter(pk=pk).update(lock=timezone.now() - timedelta(seconds=1))


def test_the_guarded_broker_is_the_one_in_use():
    assert isinstance(get_broker(), GuardedOrm)


def test_every_job_is_known_and_is_a_function_of_ours():
    assert {job.func for job in JOBS} == KNOWN
    assert {func.split(".")[0] for func in KNOWN} <= {
        "exchanges",
        "orders",
        "webhooks",
        "tradehub",
        "audit",
        "staff",
    }


def test_a_known_task_runs():
    async_task(OURS)

    ((pk, payload),) = take()
    assert SignedPackage.loads(payload)["func"] == OURS
    assert OrmQ.objects.filter(pk=pk).exists()


@pytest.mark.parametrize(
    ("func", "more"),
    [
        ("os.system", {}),
        ("tradehub.schedules.ensure_schedules", {}),
        (OURS, {"hook": "os.system"}),
        (print, {}),
    ],
)
def test_another_function_or_a_hook_is_never_handed_to_the_worker(func, more, caplog):
    async_task(func, **more)

    with caplog.at_level(logging.ERROR):
        assert take() == []
    assert not OrmQ.objects.exists()
    assert "refused" in caplog.text


def test_a_row_in_the_schedule_runs_no_code(tmp_path, monkeypatch):
    monkeypatch.setattr("django_q.scheduler.close_old_django_connections", lambda: None)  # the test's own
    touched = tmp_path / "touched"
    Schedule.objects.all().delete()
    Schedule.objects.create(
        name="audit books", func="os.mkdir", args=repr(str(touched)), next_run=timezone.now() - timedelta(minutes=1),
        schedule_type=Schedule.ONCE, cluster="tradehub",
    )  # fmt: skip
    Schedule.objects.create(
        name="ours too",
        func=OURS,
        args="'all'",
        next_run=timezone.now() - timedelta(minutes=1),
        cluster="tradehub",
    )

    scheduler()

    assert OrmQ.objects.count() == 2
    assert [take(), take()] == [[], []]
    assert not touched.exists()
    assert not OrmQ.objects.exists()


def test_a_row_in_the_schedule_cannot_ask_for_a_run_past_the_queue(tmp_path, monkeypatch):
    for where in ("scheduler", "worker", "monitor"):
        monkeypatch.setattr(f"django_q.{where}.close_old_django_connections", lambda: None)  # the test's own
    touched = tmp_path / "touched"
    Schedule.objects.all().delete()
    Schedule.objects.create(
        name="audit books", func="os.mkdir", args=repr(str(touched)), kwargs="{'q_options': {'sync': True}}",
        next_run=timezone.now() - timedelta(minutes=1), schedule_type=Schedule.ONCE, cluster="tradehub",
    )  # fmt: skip

    scheduler()

    assert not touched.exists()
    assert take() == []


def test_an_unsigned_task_is_not_unpickled(tmp_path):
    touched = tmp_path / "touched"
    OrmQ.objects.create(
        key="tradehub", payload=evil_pickle(touched), lock=timezone.now() - timedelta(seconds=1)
    )

    take()

    assert not touched.exists()


def test_a_task_whose_worker_dies_is_begun_a_few_times_only(caplog):
    async_task(OURS)
    begun = 0
    for _ in range(MAX_STARTS + 2):
        for pk, _payload in take():
            begun += 1
            released(pk)

    assert begun == MAX_STARTS
    assert not OrmQ.objects.exists()
    assert "worker ended" in caplog.text


@pytest.mark.parametrize("payload", [b"th_nonsense", b"\xff\xfe"])
def test_nonsense_in_redis_is_left_to_the_worker_that_drops_it(payload):
    assert GuardedRedis._may_run(payload)


def test_a_task_in_redis_is_checked_alike():
    good = SignedPackage.dumps({"func": OURS, "args": (), "kwargs": {}})
    bad = SignedPackage.dumps({"func": "os.system", "args": (), "kwargs": {}})

    assert GuardedRedis._may_run(good.encode())
    assert not GuardedRedis._may_run(bad.encode())
    assert refusal({"func": OURS, "args": ("x",)})


# Rows that somebody else wrote


@pytest.fixture
def planted(tmp_path):
    touched, now = tmp_path / "touched", timezone.now()
    Task.objects.bulk_create(
        Task(
            id=f"{number:032}",
            name="x",
            func=OURS,
            started=now,
            stopped=now,
            success=success,
            hook="os.system",
        )
        for number, success in enumerate([True, False])
    )
    with connection.cursor() as cursor:
        cursor.execute("UPDATE django_q_task SET result = %s", [evil_pickle(touched)])
    return touched


def test_pickles_in_rows_are_not_read(planted):
    assert [task.result for task in Task.objects.all()] == [UNREADABLE, UNREADABLE]
    assert not planted.exists()


@pytest.mark.parametrize("model", [Success, Failure])
def test_the_admins_pages_read_no_pickle(admin_client, planted, model):
    (row,) = model.objects.values_list("pk", flat=True)
    base = f"/admin/django_q/{model._meta.model_name}/"

    assert [admin_client.get(f"{base}{path}").status_code for path in ("", f"{row}/change/")] == [200, 200]
    assert not planted.exists()


def test_a_planted_result_with_a_hook_calls_nothing_when_its_task_ends(planted, monkeypatch):
    called = []
    monkeypatch.setattr("os.system", called.append)
    failed = Task.objects.get(success=False)
    now = timezone.now()

    save_task(
        {"id": failed.pk, "name": "x", "func": OURS, "args": (), "kwargs": {}, "started": now, "stopped": now,
         "result": "done", "success": True, "sync": True},
        get_broker(),
    )  # fmt: skip

    assert called == []
    assert not planted.exists()
    assert Task.objects.get(pk=failed.pk).result == "done"


def test_plain_results_are_read():
    now, result = timezone.now(), {"done": [1, None, "x", 2.5]}
    Task.objects.create(
        id="x" * 32, name="x", func=OURS, started=now, stopped=now, success=True, result=result
    )

    assert Task.objects.get().result == result
    assert ast.literal_eval(repr(Task.objects.get().result)) == result
