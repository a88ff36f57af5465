"""Sends replies to clients, whole or in one of the manners of a lost answer."""

import asyncio
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from exchanges.paper.engine.codec import dumps
from exchanges.paper.engine.errors import Refusal

JSON = "application/json;charset=UTF-8"
HTML = "text/html"
SLOW_BYTE_S = 0.05
LINGER_S = 0.05


@dataclass(slots=True)
class Reply:
    """One reply. `manner`: whole, drop (no answer), reset (half, then RST) or slow (a byte at a time)."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: dict[str, str] = field(default_factory=dict)
    manner: str = "whole"


def success_reply(answer: object) -> Reply:
    return Reply(200, dumps(answer))


def refusal_reply(error: Refusal) -> Reply:
    return Reply(error.status, dumps(error.body()))


async def send_reply(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    if reply.manner == "slow":
        return await _send_slowly(request, reply)
    if reply.manner in ("drop", "reset"):
        await _break_off_reply(request, reply)
    return web.Response(status=reply.status, body=reply.body, headers=_reply_headers(reply))


def _reply_headers(reply: Reply) -> dict[str, str]:
    return {"Content-Type": reply.content_type} | reply.headers


async def _send_slowly(request: web.BaseRequest, reply: Reply) -> web.StreamResponse:
    response = web.StreamResponse(status=reply.status, headers=_reply_headers(reply))
    response.content_length = len(reply.body)
    with suppress(ConnectionError):
        await response.prepare(request)
        for place in range(len(reply.body)):
            await response.write(reply.body[place : place + 1])
            await asyncio.sleep(SLOW_BYTE_S)
    return response


async def _break_off_reply(request: web.BaseRequest, reply: Reply) -> None:
    transport = request.transport
    if transport is None:
        return
    if reply.manner == "reset":
        transport.write(_half_of_reply(reply))
        await asyncio.sleep(LINGER_S)
        _reset_on_close(transport.get_extra_info("socket"))
    transport.abort()


def _half_of_reply(reply: Reply) -> bytes:
    lines = (
        f"HTTP/1.1 {reply.status} OK",
        "Content-Type: application/json",
        f"Content-Length: {len(reply.body)}",
    )
    return "\r\n".join((*lines, "", "")).encode() + reply.body[: len(reply.body) // 2]


def _reset_on_close(connection: Any) -> None:
    if connection is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
