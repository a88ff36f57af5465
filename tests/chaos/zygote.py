"""`python -m tests.chaos.zygote`: a process with everything imported that forks servers and answers on demand.

A forked child starts in milliseconds where a fresh interpreter takes seconds, which is what makes thousands of kills
affordable. One JSON object a line on stdin, one a line on stdout. The children share the process group.
"""

import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import django
from django.core.wsgi import get_wsgi_application

from tradehub.parent import end_with_parent

Json = dict[str, Any]
_ended: dict[int, int] = {}


def serve_web(port: int) -> None:
    from granian.server.embed import Server  # noqa: PLC0415

    from tradehub.asgi import application  # noqa: PLC0415

    server = Server(application, port=port, interface="asgi", websockets=False, log_enabled=False, http="1")

    async def run() -> None:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
        await server.serve()

    asyncio.run(run())


def track() -> None:
    from django.core.management import call_command  # noqa: PLC0415

    call_command("track_orders", stdout=sys.stderr)


def run_worker() -> None:
    from django.core.management import call_command  # noqa: PLC0415

    call_command("qcluster", stdout=sys.stderr)
    for child in multiprocessing.active_children():  # as the interpreter's end does, which a fork has none of
        child.join()


def rotate() -> None:
    from django.core.management import call_command  # noqa: PLC0415

    call_command("rotate_credentials", stdout=sys.stderr)


def exchange(port: int, state: str) -> None:
    from exchanges.paper.server import serve  # noqa: PLC0415

    serve(port=port, state=state, say=lambda line: None)


SERVERS: dict[str, Callable[..., None]] = {
    "web": serve_web,
    "tracker": track,
    "worker": run_worker,
    "exchange": exchange,
    "rotation": rotate,
}


def main() -> None:
    django.setup()
    from orders.reconciliation import tracker  # noqa: F401, PLC0415
    from tests.chaos import inside  # noqa: PLC0415

    get_wsgi_application()
    assert threading.active_count() == 1, "a thread would not survive the fork"
    signal.signal(signal.SIGCHLD, _reap)
    _answer({"ready": os.getpid()})
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            _answer(_handle(asked, inside.CALLS))
        except Exception as error:  # noqa: BLE001 - the asker gets it
            _answer({"error": f"{type(error).__name__}: {error}"})
    os.killpg(
        0, signal.SIGKILL
    )  # whoever asked is gone: leave nobody behind, a worker's own children neither


def _handle(asked: Json, calls: dict[str, Callable[..., Any]]) -> Json:
    match asked:
        case {"start": name, "arguments": arguments, "failpoints": points, "settings": changed}:
            return {"pid": _fork(lambda: SERVERS[name](**arguments), points, changed)}
        case {"ended": pid}:
            return {"code": _ended.get(pid)}
        case {"call": name, "arguments": arguments}:
            return _called(lambda: calls[name](**arguments))
    raise ValueError(f"no such request: {asked}")


def _fork(run: Callable[[], None], points: str, changed: Json) -> int:
    parent = os.getpid()
    pid = os.fork()
    if pid:
        return pid
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        end_with_parent(parent)
        null = os.open(os.devnull, os.O_RDWR)
        os.dup2(null, 0)
        os.dup2(2, 1)
        _prepare(points, changed)
        run()
    except BaseException:  # noqa: BLE001 - to the log: the child ends here
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(0)


def _prepare(points: str, changed: Json) -> None:
    from django.conf import settings  # noqa: PLC0415

    from exchanges import failpoints  # noqa: PLC0415

    for name, value in changed.items():
        setattr(settings, name, value)
    failpoints.arm(points)


def _called(run: Callable[[], Any]) -> Json:
    """A function's value, from a child: this process never opens the database."""
    reading, writing = os.pipe()

    def write() -> None:
        try:
            answer = {"value": run()}
        except BaseException as error:  # noqa: BLE001 - the asker gets it
            sys.excepthook(*sys.exc_info())
            answer = {"error": f"{type(error).__name__}: {error}"}
        with os.fdopen(writing, "w") as pipe:
            json.dump(answer, pipe, default=str)

    _fork(write, "", {})
    os.close(writing)
    with os.fdopen(reading) as pipe:
        return json.load(pipe)


def _reap(*_: Any) -> None:
    with contextlib.suppress(ChildProcessError):
        while (gone := os.waitpid(-1, os.WNOHANG))[0]:
            _ended[gone[0]] = gone[1]


def _answer(answer: Json) -> None:
    """Through a buffer, which PYTHONUNBUFFERED takes from stdout: a signal may cut a bare write short."""
    with open(1, "w", closefd=False) as stdout:
        stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
