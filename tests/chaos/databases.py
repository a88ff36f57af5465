"""A database for each stack: a SQLite file, or one of a PostgreSQL server that is there or made for the purpose."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import psycopg2


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def postgres_binaries() -> Path | None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    named = os.environ.get("POSTGRES_BIN")
    return Path(named) if named else found[-1].parent if found else None


@contextmanager
def sqlite_database() -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="tradehub-chaos.") as folder:
        yield f"sqlite:///{folder}/books.sqlite3"


@contextmanager
def postgres_database(server_url: str) -> Iterator[str]:
    """A new database on a server, dropped afterwards."""
    name = f"chaos_{uuid4().hex[:12]}"
    _execute(server_url, f'CREATE DATABASE "{name}"')
    try:
        yield f"{server_url.rpartition('/')[0]}/{name}"
    finally:
        _execute(server_url, f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _execute(server_url: str, statement: str) -> None:
    connection = psycopg2.connect(server_url)
    try:
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(statement)
    finally:
        connection.close()


@dataclass
class PostgresCluster:
    """A throwaway server that may be stopped and started. Durable as in production: fsync stays on."""

    binaries: Path
    folder: Path
    port: int
    connections: int = 200

    @property
    def url(self) -> str:
        return f"postgres://tradehub@127.0.0.1:{self.port}/postgres"

    def start(self) -> None:
        options = (
            f"-c listen_addresses=127.0.0.1 -p {self.port} -k {self.folder} "
            f"-c max_connections={self.connections} -c shared_buffers=64MB"
        )
        self._run("pg_ctl", "-l", str(self.folder / "log"), "-w", "-t", "60", "-s", "-o", options, "start")

    def stop(self, mode: str = "immediate") -> None:
        self._run("pg_ctl", "-m", mode, "-s", "-w", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self.binaries / program), "-D", str(self.folder / "data"), *arguments]
        if os.geteuid() == 0:  # the server refuses to run as root
            command = ["runuser", "-u", "postgres", "--", *command]
        # No pipe: the server keeps what it inherits, and reading one would wait for its end.
        subprocess.run(command, check=True, cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def make(self) -> None:
        if os.geteuid() == 0:
            shutil.chown(self.folder, "postgres")
        self._run("initdb", "-U", "tradehub", "-A", "trust", "-E", "UTF8", "--no-locale")


@contextmanager
def postgres_cluster(*, connections: int = 200) -> Iterator[PostgresCluster]:
    binaries = postgres_binaries()
    if binaries is None:
        raise LookupError("No PostgreSQL server binary: set POSTGRES_BIN.")
    folder = Path(tempfile.mkdtemp(prefix="tradehub-postgres.", dir="/tmp"))
    cluster = PostgresCluster(binaries, folder, free_port(), connections)
    try:
        cluster.make()
        cluster.start()
        yield cluster
    finally:
        with suppress(subprocess.CalledProcessError):  # a test may have stopped it
            cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)
