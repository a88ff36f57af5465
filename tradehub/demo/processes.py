"""The demo's child processes: started with a log each, watched, and stopped in order within a time limit."""

import functools
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from cryptography.fernet import Fernet

from tradehub.environment import SECRETS
from tradehub.parent import end_with_parent

STOP_S = 15  # the web server itself takes at most 10
LAST_LINES = 15


class ChildDied(Exception):
    """A process of the demo ended by itself. The text names the process and quotes the end of the process's log."""


@dataclass
class Child:
    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def check(self) -> None:
        code = self.process.poll()
        if code is not None:
            lines = self.log.read_text(errors="replace").splitlines()[-LAST_LINES:]
            raise ChildDied(
                "\n".join([f"The {self.name} ended with code {code}. Its log, {self.log}, ends:", *lines])
            )

    def stop(self) -> None:
        with suppress(ProcessLookupError):
            self.process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(STOP_S)
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)  # also ends processes that the child left behind
        self.process.wait()


def without_secrets() -> dict[str, str]:
    """What the paper exchange is told in place of the secrets, of which the paper exchange needs none."""
    return {
        "SECRET_KEY": secrets.token_urlsafe(50),
        "CREDENTIAL_KEYS": Fernet.generate_key().decode(),
        "DATABASE_URL": "sqlite://:memory:",
        "CACHE_URL": "locmemcache://",
        "Q_REDIS_URL": "",
    } | {f"{name}_FILE": "" for name in SECRETS}


@dataclass
class Children:
    folder: Path
    running: list[Child] = field(default_factory=list)

    def start(self, name: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        """Starts `manage.py` with these arguments in a new session, so that Ctrl-C does not reach the process.

        `environment` takes the place of what this process knows, such as secrets that the child does not need.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        log = self.folder / f"{name.replace(' ', '-')}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(  # noqa: S603
                [sys.executable, "manage.py", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                env=os.environ | {"PYTHONUNBUFFERED": "1"} | dict(environment or {}),
                preexec_fn=functools.partial(end_with_parent, os.getpid()),
            )
        self.running.append(Child(name, process, log))

    def check(self) -> None:
        for child in self.running:
            child.check()

    def wait_until(self, condition: Callable[[], bool], *, limit_s: float, what: str) -> None:
        """Waits for the condition. Raises ChildDied, or TimeoutError with `what` as the name of the process."""
        deadline = time.monotonic() + limit_s
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what} did not answer within {limit_s:.0f} s. Logs: {self.folder}")
            time.sleep(0.1)

    def stop(self) -> None:
        """Stops the processes in reverse order of their start."""
        while self.running:
            self.running[-1].stop()
            self.running.pop()
