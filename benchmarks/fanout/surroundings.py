"""Surroundings of a run, made before the run and removed afterwards: certificate, exchange, database, environment."""

import os
import secrets
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import django
from cryptography.fernet import Fernet

from fanout.contenders.turns import ROOT, ask_process, start_module, stop_process
from tradehub.http.tls import ensure_certificate

# Starts PostgreSQL with the tests' script, prints the server's address, and stops the server when stdin ends.
_POSTGRES = """
set -eu
. script/postgres.sh
bin=$(find_postgres) || { echo none; exit; }
trap stop_postgres EXIT
start_postgres "$bin"
echo "$POSTGRES_URL"
read -r _ || true
"""


@contextmanager
def surroundings(*, exchange_idle_s: float = 0) -> Iterator[str]:
    """Yields the exchange's address, with Django set up and the settings in the environment of child processes.

    The exchange closes connections after `exchange_idle_s` seconds without a request; 0 stands for never.
    """
    with tempfile.TemporaryDirectory() as folder, running_database(Path(folder)) as database_url:
        cert, key = Path(folder) / "cert.pem", Path(folder) / "key.pem"
        ensure_certificate(cert=cert, key=key, now=datetime.now(UTC))
        with running_exchange(cert, key, str(exchange_idle_s)) as address:
            os.environ |= {
                "DJANGO_SETTINGS_MODULE": "tradehub.settings",
                "SECRET_KEY": secrets.token_urlsafe(50),
                "CREDENTIAL_KEYS": Fernet.generate_key().decode(),
                "DATABASE_URL": database_url,
                "CACHE_URL": "locmemcache://",
                "Q_REDIS_URL": "",
                "WATERMARK_FILE": "",
                "DEBUG": "false",
                "SECURE_SSL_REDIRECT": "false",
                "ALLOWED_HOSTS": "127.0.0.1",
                "LOG_LEVEL": "WARNING",
                "WEB_HOST": "127.0.0.1",
                "WEB_PROCESSES": "1",
                "TLS_CERT": str(cert),
                "TLS_KEY": str(key),
                "EXCHANGE_CA_FILE": str(cert),
                "PAPER_EXCHANGE_URL": address,
                # The benchmark measures whole fan-outs, so no answer may go out before the last order.
                "WEBHOOK_ANSWER_BUDGET_MS": "60000",
                "EXCHANGE_TIMEOUT_S": "60",
                "WEBHOOK_TOKEN_RATE_PER_MINUTE": "1000000",
            }
            django.setup()
            yield address


@contextmanager
def running_exchange(cert: Path, key: Path, idle_s: str) -> Iterator[str]:
    process = start_module("fanout.exchange", str(cert), str(key), idle_s)
    try:
        yield f"https://127.0.0.1:{ask_process(process)}"
    finally:
        stop_process(process)


@contextmanager
def running_database(folder: Path) -> Iterator[str]:
    """Yields the URL of a throwaway PostgreSQL; of SQLite, with a notice, where no server binary is found."""
    shell = subprocess.Popen(
        ["bash", "-c", _POSTGRES], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        url = ask_process(shell)
        if url == "none":
            print("No PostgreSQL server binary here: measuring on SQLite.\n", flush=True)
            url = f"sqlite:///{folder}/fanout.sqlite3"
        yield url
    finally:
        shell.communicate()
