"""The worker with its queue in Redis: a real server, a real worker process, a task that ends."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.redis_server import redis_server
from tests.waiting import eventually
from tradehub.environment import BASE_DIR

pytestmark = pytest.mark.skipif(
    shutil.which("redis-server") is None, reason="needs a redis-server of its own"
)

QUEUE = "from django_q.tasks import async_task; async_task('webhooks.tasks.drop_old_deliveries', task_name='ours')"
COUNT = "from django_q.models import Success; print(Success.objects.filter(name='ours').count())"


@pytest.fixture
def environment(tmp_path):
    with redis_server() as server:
        yield os.environ | {
            "DJANGO_SETTINGS_MODULE": "tradehub.settings",
            "DATABASE_URL": f"sqlite:///{tmp_path}/books.sqlite3",
            "Q_REDIS_URL": server.url,
        }


def manage(environment: dict[str, str], *words: str) -> str:
    command = [sys.executable, "manage.py", *words]
    return subprocess.run(
        command, cwd=BASE_DIR, env=environment, capture_output=True, text=True, check=True
    ).stdout


def test_the_worker_takes_tasks_from_redis(environment, tmp_path):
    manage(environment, "migrate", "--verbosity=0")
    manage(environment, "shell", "-v0", "-c", QUEUE)
    log = Path(tmp_path / "worker.log")
    with log.open("w") as output:
        worker = subprocess.Popen(
            [sys.executable, "manage.py", "qcluster"],
            cwd=BASE_DIR,
            env=environment,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            eventually(
                lambda: manage(environment, "shell", "-v0", "-c", COUNT).strip() == "1", what="the task ended"
            )
        finally:
            worker.terminate()
            worker.wait(timeout=30)
