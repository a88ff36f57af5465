"""The paper exchange as a whole: takes a request, changes the ledger, and answers."""

import asyncio
import sqlite3
import time
from dataclasses import replace
from pathlib import Path

from aiohttp import web

from exchanges.paper.control import answer_control
from exchanges.paper.endpoints.call import Call
from exchanges.paper.endpoints.public import PUBLIC
from exchanges.paper.endpoints.routes import SIGNED, Route
from exchanges.paper.engine.errors import Refusal
from exchanges.paper.state import ExchangeState
from exchanges.paper.wire.browsers import require_loopback_host, require_no_page
from exchanges.paper.wire.faults import AFTER, BEFORE, NOT_ACCEPTED, Fault, spoil_reply
from exchanges.paper.wire.journal import Entry
from exchanges.paper.wire.limits import request_weight, retry_after_s
from exchanges.paper.wire.replies import Reply, refusal_reply, send_reply, success_reply
from exchanges.paper.wire.signing import SentRequest, authenticate_request, check_window, read_request

CONTROL = "/__paper__/"


def now_ms() -> int:
    return time.time_ns() // 1_000_000


class PaperExchange(ExchangeState):
    def __init__(self, state: Path, latency_ms: int = 0, weight_limit: int = 0) -> None:
        super().__init__(state, weight_limit)
        self.latency_s = latency_ms / 1000

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Finishes every request, also after the client is gone: an order that arrived counts."""
        try:
            require_loopback_host(request.headers)
            if request.raw_path.startswith(CONTROL):
                require_no_page(request.method, request.headers)
        except Refusal as error:
            return await send_reply(request, refusal_reply(error))
        body = await request.read() if request.can_read_body else b""
        if request.raw_path.startswith(CONTROL):
            return await send_reply(
                request, await answer_control(self, request.method, request.raw_path, body, now_ms())
            )
        key = request.headers.get("X-MBX-APIKEY", "")
        sent = read_request(request.method, request.raw_path, body, key, request.remote or "", now_ms())
        return await send_reply(request, await self.answer(sent))

    async def answer(self, sent: SentRequest) -> Reply:
        route = SIGNED.get((sent.method, sent.path))
        if route:
            return await self._answer_signed(sent, route)
        return await self._answer_public(sent)

    async def _answer_public(self, sent: SentRequest) -> Reply:
        spoiled = await self._before(sent)
        if spoiled:
            return spoiled
        reply = self._public(sent)
        return await self._after(sent, reply) if reply.status == 200 else reply

    def _public(self, sent: SentRequest) -> Reply:
        endpoint, weight = PUBLIC.get(sent.path, (None, 1))
        if endpoint is None or sent.method != "GET":
            return refusal_reply(Refusal(-5000, f"Path {sent.path}, Method {sent.method} is invalid", 404))
        try:
            headers = self._weigh(sent, weight, 0)
            reply = success_reply(endpoint(self.ledger, sent.params, sent.received_at))
        except Refusal as error:
            return self._refused(error, sent)
        reply.headers |= headers
        return reply

    async def _answer_signed(self, sent: SentRequest, route: Route) -> Reply:
        entry = self.journal.open(sent)
        reply = await self._signed(sent, route, entry)
        entry["status"] = reply.status if reply.manner in ("whole", "slow") else None
        return reply

    async def _signed(self, sent: SentRequest, route: Route, entry: Entry) -> Reply:
        wipes = self.wipes
        try:
            headers = self._weigh(sent, route.weight, route.orders)
            authenticate_request(self.ledger, sent)
            check_window(sent, sent.received_at)
            spoiled = await self._before(sent, entry)
            if wipes != self.wipes:
                spoiled = replace(NOT_ACCEPTED, manner="drop")  # the request was sent before the wipe
            if spoiled:
                entry["outcome"] = "not processed"
                return spoiled
            reply = self._process(sent, route)
            await self.store.committed()
        except Refusal as error:
            entry["outcome"] = f"refused {error.code}"
            return self._refused(error, sent)
        except sqlite3.Error:
            entry["outcome"] = "unknown"
            return refusal_reply(Refusal(-1000))
        entry["outcome"] = "accepted"
        reply.headers |= headers
        return await self._after(sent, reply, entry)

    def _process(self, sent: SentRequest, route: Route) -> Reply:
        """Runs the matching engine, one request at a time. Checks the receive window a second time."""
        now = now_ms()
        account = self.ledger.find_account(sent.api_key) or self.ledger.open_account(sent.api_key)
        check_window(sent, now)
        call = Call(self.ledger, account, sent.params, now, lambda order: self.faults.is_hidden(order, now))
        answer = route.endpoint(call)
        for order in call.orders:
            self.faults.hide(sent, order, now)
        return success_reply(answer)

    async def _before(self, sent: SentRequest, entry: Entry | None = None) -> Reply | None:
        """Waits for the latency and applies faults before acceptance. A reply means that nothing was processed."""
        if self.latency_s and entry is not None:
            await asyncio.sleep(self.latency_s)
        for fault in self.faults.take(sent, BEFORE):
            _note_fault(entry, fault)
            if fault.action != "delay":
                return spoil_reply(fault, NOT_ACCEPTED, sent)
            await asyncio.sleep(float(fault.value))
        return None

    async def _after(self, sent: SentRequest, reply: Reply, entry: Entry | None = None) -> Reply:
        for fault in self.faults.take(sent, AFTER):
            _note_fault(entry, fault)
            if fault.action == "delay":
                await asyncio.sleep(float(fault.value))
            reply = spoil_reply(fault, reply, sent)
        return reply

    def _weigh(self, sent: SentRequest, weight: int, orders: int) -> dict[str, str]:
        spent = request_weight(sent.path, sent.params, weight)
        used = self.limits.spend(sent.remote, sent.path, spent, sent.received_at)
        headers = {_weight_header(sent.path): str(used)}
        if orders:
            counts = self.limits.order_counts(sent.api_key, orders, sent.received_at)
            headers["X-MBX-ORDER-COUNT-10S"] = str(counts.in_ten_seconds)
            headers["X-MBX-ORDER-COUNT-1M"] = str(counts.in_a_minute)
        return headers

    def _refused(self, error: Refusal, sent: SentRequest) -> Reply:
        reply = refusal_reply(error)
        used = self.limits.used(sent.remote, sent.path, sent.received_at)
        reply.headers[_weight_header(sent.path)] = str(used)
        if error.status == 429:
            reply.headers["Retry-After"] = str(retry_after_s(sent.received_at))
        return reply


def _weight_header(path: str) -> str:
    """The header for used weight. Wallet endpoints count apart from trading endpoints of the same host."""
    return "X-SAPI-USED-IP-WEIGHT-1M" if path.startswith("/sapi/") else "X-MBX-USED-WEIGHT-1M"


def _note_fault(entry: Entry | None, fault: Fault) -> None:
    if entry is not None:
        entry["fault"] = f"{fault.action} {fault.when}"
