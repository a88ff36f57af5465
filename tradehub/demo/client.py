"""HTTP client of the demo for the demo's own processes on this machine."""

import json
import socket
import ssl
from dataclasses import dataclass
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 10
EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - the address to connect to, by bind address


@dataclass(frozen=True)
class Address:
    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> "Address":
        parts = urlsplit(url)
        return cls(
            parts.scheme,
            parts.hostname or "127.0.0.1",
            parts.port or (443 if parts.scheme == "https" else 80),
        )

    def is_free(self) -> bool:
        """Whether a server could listen at this address now."""
        family, kind, _, _, address = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(address)
            except OSError:
                return False
        return True

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Sends a request and returns status and JSON. Raises OSError, HTTPException or ValueError."""
        connection = self._connection()
        try:
            payload = None if body is None else json.dumps(body)
            connection.request(method, path, payload, {"Content-Type": "application/json"})
            response = connection.getresponse()
            return response.status, json.loads(response.read() or b"null")
        finally:
            connection.close()

    def answers(self, path: str) -> bool:
        try:
            return self.call("GET", path)[0] == 200
        except (OSError, HTTPException, ValueError):
            return False

    def _connection(self) -> HTTPConnection:
        host = EVERYWHERE.get(self.host, self.host)
        if self.scheme == "http":
            return HTTPConnection(host, self.port, timeout=TIMEOUT_S)
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE  # our own child, on this machine, with a self-signed certificate
        return HTTPSConnection(host, self.port, timeout=TIMEOUT_S, context=context)
