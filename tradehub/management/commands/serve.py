import os
import resource
import sys
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError, connections
from django.utils import timezone

from tradehub.http.tls import ensure_certificate
from tradehub.safe_start import is_reachable, unsafe_settings
from tradehub.worker.audit_jobs import record_unsafe_start

# Longer than the webhook's answer budget, so that a request in progress at SIGTERM is still answered.
STOP_TIMEOUT_S = 10
HEADER_TIMEOUT_MS = 10_000
# The server takes no further connection while this many are open, silent ones too. tradehub.http.door bounds what an
# address may hold open; connections themselves cost little, so the bound is far above what a few addresses can open.
CONNECTIONS = 16_384
BACKLOG = 2_048
BUFFER_BYTES = 64 * 1024


class Command(BaseCommand):
    help = "Serves the product over TLS on WEB_HOST:WEB_PORT."

    def handle(self, *args: Any, **options: Any) -> None:
        self._refuse_unsafe_settings()
        try:
            made = ensure_certificate(cert=settings.TLS_CERT, key=settings.TLS_KEY, now=timezone.now())
        except OSError as error:
            raise CommandError(str(error)) from error
        if made:
            self.stdout.write(f"Made a self-signed certificate for localhost: {settings.TLS_CERT}")
        self.stdout.write(f"Serving https://{settings.WEB_HOST}:{settings.WEB_PORT}")
        self.stdout.flush()
        allow_many_connections()
        # The server replaces this process, so that the server forks workers without any loaded part of Django.
        os.environ["SERVE_PID"] = str(os.getpid())
        os.execv(sys.executable, [sys.executable, *server_arguments()])  # noqa: S606

    def _refuse_unsafe_settings(self) -> None:
        """Raises CommandError where the address can be reached from elsewhere."""
        unsafe = unsafe_settings()
        if unsafe and is_reachable():
            first = f"WEB_HOST is {settings.WEB_HOST}, or a proxy is trusted: others can reach this service. First:"
            raise CommandError("\n".join([first, *(f"- {problem.sentence}" for problem in unsafe)]))
        for problem in unsafe:
            self.stderr.write(f"For this machine only: {problem.sentence}")
        try:
            record_unsafe_start([problem.setting for problem in unsafe], now=timezone.now())
        except DatabaseError as error:
            raise CommandError(
                f"The start cannot be recorded: {error}. Start the database, and run manage.py migrate."
            ) from error
        connections.close_all()


def server_arguments() -> list[str]:
    options = {
        "interface": "asgi",
        "host": settings.WEB_HOST,
        "port": settings.WEB_PORT,
        "workers": settings.WEB_PROCESSES,
        "workers-kill-timeout": STOP_TIMEOUT_S,
        "loop": "asyncio",
        "http": "1",
        "backlog": BACKLOG,
        "backpressure": CONNECTIONS,
        "http1-header-read-timeout": HEADER_TIMEOUT_MS,
        "http1-buffer-size": BUFFER_BYTES,
        "ssl-certificate": settings.TLS_CERT,
        "ssl-keyfile": settings.TLS_KEY,
        "log-level": settings.LOG_LEVEL.lower(),
        "working-dir": settings.BASE_DIR,
    }
    pairs = [f"--{name}={value}" for name, value in options.items()]
    return ["-m", "granian", *pairs, "--respawn-failed-workers", "--no-ws", "tradehub.asgi:application"]


def allow_many_connections() -> None:
    """Raises the limit of open files: idle connections cost a file each, and the usual soft limit is 1024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
