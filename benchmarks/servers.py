"""Compares web servers: the same small WSGI app behind each candidate, TLS on loopback, a single process, 24 threads.

    pip install gunicorn granian cheroot 'uvicorn[standard]' aiohttp cryptography
    python benchmarks/servers.py ['granian wsgi' ...]

Candidates that are not installed are left out. The load comes from this process, so the numbers compare the servers of
a run, and do not tell the capacity of a machine. docs/adr/0001-web-server.md has the conclusion.
"""

import asyncio
import importlib.util
import json
import os
import signal
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
from tradehub.http.body_buffer import BufferedWSGI
from tradehub.http.tls import ensure_certificate

THREADS = 24
BODY = json.dumps({"group_name": "test1", "symbol": "BTC/USDT", "qty_per": 5, "note": "x" * 200}).encode()
SLOW_CLIENTS = 64  # more clients than threads
HOST = "127.0.0.1"


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    """Reads the body, uses 2 ms of CPU time, sleeps for the query's `sleep` seconds, and answers JSON."""
    received = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    until = time.thread_time() + 0.002
    while time.thread_time() < until:
        pass
    time.sleep(float(parse_qs(environ["QUERY_STRING"]).get("sleep", ["0"])[0]))
    answer = json.dumps({"received": len(received)}).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
    return [answer]


buffered = BufferedWSGI(app, threads=THREADS, max_bytes=2 * 1024 * 1024, body_timeout_s=10)

GUNICORN = (
    f"-m gunicorn -k gthread -w 1 --threads {THREADS} --bind {HOST}:PORT --certfile CERT --keyfile KEY "
    "--graceful-timeout 5 --keep-alive 5 --log-level error servers:app"
)
GRANIAN = (
    f"-m granian --workers 1 --http 1 --host {HOST} --port PORT --ssl-certificate CERT --ssl-keyfile KEY "
    "--workers-kill-timeout 5 --respawn-failed-workers --no-log --no-ws --interface "
)
UVICORN = (
    f"-m uvicorn --host {HOST} --port PORT --ssl-certfile CERT --ssl-keyfile KEY --lifespan off "
    "--timeout-graceful-shutdown 5 --log-level error --no-access-log --ws none servers:"
)
CANDIDATES = {
    "gunicorn gthread": GUNICORN,
    "granian wsgi": f"{GRANIAN} wsgi --blocking-threads {THREADS} servers:app",
    "cheroot": "servers.py --cheroot PORT CERT KEY",
    "granian asgi, buffered": f"{GRANIAN} asgi servers:buffered",
    "uvicorn, buffered": f"{UVICORN}buffered",
}


def serve_with_cheroot(port: str, cert: str, key: str) -> None:
    from cheroot.ssl.builtin import BuiltinSSLAdapter  # type: ignore[import-not-found]  # noqa: PLC0415
    from cheroot.wsgi import Server  # type: ignore[import-not-found]  # noqa: PLC0415

    server = Server((HOST, int(port)), app, numthreads=THREADS, shutdown_timeout=5)
    server.ssl_adapter = BuiltinSSLAdapter(cert, key)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    server.safe_start()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def is_listening(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0


def wait_until(condition: Callable[[], bool], limit_s: float) -> float | None:
    """Returns the seconds until the condition held, or None if the condition never held."""
    start = time.monotonic()
    while time.monotonic() - start < limit_s:
        if condition():
            return time.monotonic() - start
        time.sleep(0.02)
    return None


@contextmanager
def running_server(name: str, cert: str, key: str) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    port = free_port()
    words = {"PORT": str(port), "CERT": cert, "KEY": key}
    command = CANDIDATES[name].replace(f"{HOST}:PORT", f"{HOST}:{port}").split()
    process = subprocess.Popen(
        [sys.executable, *[words.get(word, word) for word in command]],
        cwd=Path(__file__).parent,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        if wait_until(lambda: is_listening(port), 20) is None:
            raise SystemExit(f"{name} did not start.")
        time.sleep(0.5)
        yield process, port
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def tls_context() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def measure_load(
    port: int, concurrency: int, total: int, *, keep_alive: bool = True, limit_s: float = 10
) -> dict[str, float]:
    import aiohttp  # noqa: PLC0415

    latencies_ms: list[float] = []
    failures = 0
    left = iter(range(total))
    connector = aiohttp.TCPConnector(limit=0, ssl=tls_context(), force_close=not keep_alive)
    async with aiohttp.ClientSession(
        connector=connector, timeout=aiohttp.ClientTimeout(total=limit_s)
    ) as session:

        async def worker() -> None:
            nonlocal failures
            for _ in left:
                start = time.perf_counter()
                try:
                    async with session.post(f"https://{HOST}:{port}/", data=BODY) as response:
                        await response.read()
                        failures += response.status != 200
                except (aiohttp.ClientError, TimeoutError):
                    failures += 1
                latencies_ms.append((time.perf_counter() - start) * 1000)

        start = time.perf_counter()
        await asyncio.gather(*[worker() for _ in range(concurrency)])
        elapsed = time.perf_counter() - start
    ranks = statistics.quantiles(latencies_ms, n=100, method="inclusive")
    return {"rps": total / elapsed, "p50": ranks[49], "p99": ranks[98], "failures": failures}


async def hold_silent(port: int) -> asyncio.StreamWriter:
    """Connects and sends nothing, not even a TLS handshake."""
    _, writer = await asyncio.open_connection(HOST, port)
    return writer


async def hold_header(port: int) -> asyncio.StreamWriter:
    """Makes the TLS handshake, then sends a byte of the header each second."""
    _, writer = await asyncio.open_connection(HOST, port, ssl=tls_context())
    asyncio.get_running_loop().create_task(dribble_bytes(writer, b"POST / HTTP/1.1\r\nHost: localhost\r\n"))
    return writer


async def hold_body(port: int) -> asyncio.StreamWriter:
    """Sends the whole header, then a byte of the body each second."""
    _, writer = await asyncio.open_connection(HOST, port, ssl=tls_context())
    writer.write(b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 400\r\n\r\n")
    asyncio.get_running_loop().create_task(dribble_bytes(writer, b"x" * 400))
    return writer


async def dribble_bytes(writer: asyncio.StreamWriter, text: bytes) -> None:
    with suppress(OSError):
        for byte in text:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(1)


async def among_slow_clients(
    port: int, hold: Callable[[int], Awaitable[asyncio.StreamWriter]]
) -> dict[str, float]:
    attempts = [asyncio.wait_for(hold(port), 10) for _ in range(SLOW_CLIENTS)]
    held = await asyncio.gather(*attempts, return_exceptions=True)
    await asyncio.sleep(0.5)
    result = await measure_load(port, 4, 24, keep_alive=False, limit_s=3)
    for writer in held:
        if isinstance(writer, asyncio.StreamWriter):
            writer.transport.abort()
    return result


async def request_status(port: int, path: str) -> str:
    reader, writer = await asyncio.open_connection(HOST, port, ssl=tls_context())
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    try:
        answer = (await asyncio.wait_for(reader.read(100), 30))[9:12].decode()
    except (OSError, TimeoutError):
        answer = ""
    writer.transport.abort()
    return answer or "no answer"


async def stop_while_busy(process: subprocess.Popen[bytes], port: int, sleep_s: float) -> tuple[str, float]:
    """Sends SIGTERM during a request. Returns the request's answer, and the seconds until the server ended."""
    answer = asyncio.create_task(request_status(port, f"/?sleep={sleep_s}"))
    await asyncio.sleep(0.4)
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    await asyncio.to_thread(process.wait, 40)
    gone_s = time.monotonic() - start
    return await answer, gone_s


def child_pids(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(child) for child in text.split()]


def show_load(what: str, result: dict[str, float]) -> None:
    print(
        f"  {what:<26} {result['rps']:5.0f} requests/s  p50 {result['p50']:7.1f} ms"
        f"  p99 {result['p99']:7.1f} ms  failed {result['failures']:.0f}",
        flush=True,
    )


def measure_server(name: str, cert: str, key: str) -> None:
    print(name, flush=True)
    with running_server(name, cert, key) as (_, port):
        asyncio.run(measure_load(port, 4, 100))
        for concurrency in (1, 10, 50):
            show_load(f"{concurrency} at a time", asyncio.run(measure_load(port, concurrency, 1500)))
        show_load("10, new connection each", asyncio.run(measure_load(port, 10, 600, keep_alive=False)))
    for what, hold in (("silent", hold_silent), ("slow header", hold_header), ("slow body", hold_body)):
        with running_server(name, cert, key) as (_, port):
            show_load(f"among {SLOW_CLIENTS} {what}", asyncio.run(among_slow_clients(port, hold)))
    with running_server(name, cert, key) as (process, port):
        answer, gone_s = asyncio.run(stop_while_busy(process, port, 2))
        print(f"  SIGTERM, request of 2 s: answer {answer}, gone after {gone_s:.1f} s", flush=True)
    with running_server(name, cert, key) as (process, port):
        answer, gone_s = asyncio.run(stop_while_busy(process, port, 20))
        print(
            f"  SIGTERM, request of 20 s (bound 5 s): answer {answer}, gone after {gone_s:.1f} s", flush=True
        )
    with running_server(name, cert, key) as (process, port):
        workers = child_pids(process.pid)
        process.kill()
        process.wait()
        freed_s = wait_until(lambda: not is_listening(port), 5)
        state = "still held after 5 s" if freed_s is None else f"free after {freed_s:.1f} s"
        print(f"  kill -9 of the parent ({len(workers)} children): port {state}", flush=True)
    with running_server(name, cert, key) as (process, port):
        for worker in child_pids(process.pid):
            os.kill(worker, signal.SIGKILL)
        time.sleep(3)
        state = (
            "parent exits"
            if process.poll() is not None
            else f"answers {asyncio.run(request_status(port, '/'))}"
        )
        print(f"  kill -9 of the children: {state}", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["--cheroot"]:
        return serve_with_cheroot(*sys.argv[2:])
    names = [name for name in CANDIDATES if importlib.util.find_spec(name.split(" ")[0].strip(","))]
    with tempfile.TemporaryDirectory() as folder:
        cert, key = f"{folder}/cert.pem", f"{folder}/key.pem"
        ensure_certificate(cert=Path(cert), key=Path(key), now=datetime.now(UTC))
        for name in names:
            if not sys.argv[1:] or name in sys.argv[1:]:
                measure_server(name, cert, key)
    return None


if __name__ == "__main__":
    main()
