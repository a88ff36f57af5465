"""Faults on demand: the requests hit by a fault, the time of the fault, and the spoiled answer."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from exchanges.paper.engine.codec import Json, dumps, loads
from exchanges.paper.engine.errors import TABLE, Refusal
from exchanges.paper.engine.records import AnyOrder, exchange_id
from exchanges.paper.wire.replies import HTML, Reply, refusal_reply
from exchanges.paper.wire.signing import SentRequest

AFTER = "after"
BEFORE = "before"
BY_NATURE_AFTER = ("wrong_id", "slow", "duplicate_fills", "lookup_lag")
STRANGER = "someone-elses-order"
PAGE = b"<html><head><title>%d</title></head><body><center><h1>%d</h1></center><hr>nginx</body></html>"
NOT_ACCEPTED = Reply(
    200, b'{"orderId":1,"symbol":"BTCUSDT","status":"NEW","clientOrderId":"' + STRANGER.encode() + b'"}'
)
UNAVAILABLE = {
    "unknown": "Unknown error, please check your request or try again later.",
    "service": "Service Unavailable.",
    "internal": "Internal error; unable to process your request. Please try again.",
}
THROTTLED = (
    "Request throttled by system-level protection. "
    "Reduce-only/close-position orders are exempt. Please try again."
)
FUTURES_TEXTS = {-1008: THROTTLED}
GARBAGE = {"html": PAGE % (200, 200), "empty": b""}


@dataclass(slots=True)
class Fault:
    """One fault. An empty selector matches every request.

    `left` counts the remaining hits; a fault with None stays until deletion.
    """

    action: str
    value: Any = None
    when: str = BEFORE
    path: str = ""
    method: str = ""
    api_key: str = ""
    client_order_id: str = ""
    symbol: str = ""
    retry_after: Any = None
    msg: str = ""
    status: int = 0
    left: int | None = 1

    def hits(self, sent: SentRequest) -> bool:
        chosen = (
            (self.method, sent.method),
            (self.api_key, sent.api_key),
            (self.client_order_id, sent.client_order_id),
            (self.symbol, sent.symbol),
        )
        return sent.path.startswith(self.path) and all(want in ("", got) for want, got in chosen)


def parse_fault(row: Json) -> Fault:
    """Reads a fault. Raises Refusal with a message about the mistake."""
    names = {"times": "left"}
    given = {
        names.get(name, name): value for name, value in row.items() if value is not None or name == "times"
    }
    unknown = set(given) - set(Fault.__dataclass_fields__)
    if unknown or given.get("action") not in ACTIONS:
        raise Refusal(-1104, f"Not a fault: unknown {sorted(unknown) or given.get('action')}.")
    fault = Fault(**given)
    fault.method = fault.method.upper()
    if "when" not in given:
        fault.when = AFTER if fault.action in BY_NATURE_AFTER else BEFORE
    return _checked_fault(fault)


def _checked_fault(fault: Fault) -> Fault:
    if fault.when not in (BEFORE, AFTER):
        raise Refusal(-1104, "Not a fault: when is before or after.")
    if fault.action in NUMERIC and not _is_number(fault.value):
        raise Refusal(-1104, f"Not a fault: {fault.action} needs a number as value.")
    if fault.action == "unavailable" and fault.value not in UNAVAILABLE:
        raise Refusal(-1104, f"Not a fault: unavailable needs one of {sorted(UNAVAILABLE)} as value.")
    if fault.action in BY_NATURE_AFTER and fault.action != "wrong_id":
        fault.when = AFTER
    return fault


def _is_number(value: Any) -> bool:
    return str(value).lstrip("-").replace(".", "", 1).isdigit()


class Faults:
    def __init__(self) -> None:
        self.active: list[Fault] = []
        self.hidden_until: dict[int, int] = {}

    def add(self, fault: Fault) -> None:
        self.active.append(fault)

    def clear(self) -> None:
        self.active.clear()
        self.hidden_until.clear()

    def take(self, sent: SentRequest, when: str) -> Iterator[Fault]:
        """Yields each fault for this request and time, oldest first, and counts the hit."""
        for fault in list(self.active):
            if fault.action != "lookup_lag" and fault.when == when and fault.hits(sent):
                self._use(fault)
                yield fault

    def _use(self, fault: Fault) -> None:
        if fault.left is None:
            return
        fault.left -= 1
        if fault.left <= 0:
            self.active.remove(fault)

    def hide(self, sent: SentRequest, order: AnyOrder, now: int) -> None:
        """Hides an accepted order from look-ups. A look-up lag ignores the method of the fault."""
        posted = replace(sent, method="")
        for fault in list(self.active):
            if fault.action == "lookup_lag" and replace(fault, method="").hits(posted):
                self._use(fault)
                self.hidden_until[exchange_id(order)] = now + int(float(fault.value) * 1000)

    def is_hidden(self, order: AnyOrder, now: int) -> bool:
        return bool(self.hidden_until) and self.hidden_until.get(exchange_id(order), 0) > now


def spoil_reply(fault: Fault, reply: Reply, sent: SentRequest) -> Reply:
    return ACTIONS[fault.action](fault, reply, sent)


def _keep_reply(fault: Fault, reply: Reply, sent: SentRequest) -> Reply:
    return reply


def _reply_in_manner(manner: str) -> Callable[[Fault, Reply, SentRequest], Reply]:
    return lambda fault, reply, sent: replace(reply, manner=manner)


def _proxy_page(fault: Fault, reply: Reply, sent: SentRequest) -> Reply:
    """The HTML page of a proxy, instead of Binance's JSON."""
    status = int(fault.value)
    headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
    return Reply(status, PAGE % (status, status), HTML, headers)


def _garbage_reply(fault: Fault, reply: Reply, sent: SentRequest) -> Reply:
    kind = "html" if fault.value is None else fault.value
    if kind == "truncated":
        return replace(reply, body=reply.body[: len(reply.body) // 2])
    body = GARBAGE.get(kind) if isinstance(kind, str) else dumps(kind)
    return Reply(200, kind.encode() if body is None else body, HTML if kind == "html" else reply.content_type)


def _redirect_reply(fault: Fault, reply: Reply, sent: SentRequest) -> Reply:
    return Reply(int(fault.value or 307), b"", HTML, {"Location": sent.raw_path})


def _reply_with_code(fault: Fault, reply: Reply, sent: SentRequest) -> Reply:
    code = int(fault.value)
    status, message = TABLE.get(code, (400, "Refused."))
    if sent.path.startswith("/fapi/"):
        message = FUTURES_TEXTS.get(code, message)
    answer = refusal_reply(Refusal(code, fault.msg or message, fault.status or status))
    if fault.retry_after is not None:
        answer.headers["Retry-After"] = str(fault.retry_after)
    return answer


def _unavailable_reply(fault: Fault, reply: Reply, sent: SentRequest) -> Reply:
    """HTTP 503 in one of the three forms of Binance's futures, of which two have no code."""
    text = UNAVAILABLE[fault.value]
    if fault.value == "internal":
        return refusal_reply(Refusal(-1001, text, 503))
    return Reply(503, dumps({"timestamp": sent.received_at, "path": sent.path, "msg": text}))


def _reply_with_wrong_id(fault: Fault, reply: Reply, sent: SentRequest) -> Reply:
    answer = loads(reply.body)
    names = [name for name in ("clientOrderId", "clientAlgoId") if name in answer]
    return replace(reply, body=dumps(answer | dict.fromkeys(names, fault.value or STRANGER)))


def _reply_with_duplicate_fills(fault: Fault, reply: Reply, sent: SentRequest) -> Reply:
    answer = loads(reply.body)
    if isinstance(answer, list):
        answer = [row for row in answer for _ in range(2)]
    elif "fills" in answer:
        answer["fills"] = answer["fills"] * 2
    return replace(reply, body=dumps(answer))


ACTIONS: dict[str, Callable[[Fault, Reply, SentRequest], Reply]] = {
    "delay": _keep_reply,
    "lookup_lag": _keep_reply,
    "drop": _reply_in_manner("drop"),
    "reset_mid_body": _reply_in_manner("reset"),
    "slow": _reply_in_manner("slow"),
    "status": _proxy_page,
    "unavailable": _unavailable_reply,
    "garbage": _garbage_reply,
    "redirect": _redirect_reply,
    "code": _reply_with_code,
    "wrong_id": _reply_with_wrong_id,
    "duplicate_fills": _reply_with_duplicate_fills,
}
NUMERIC = ("delay", "lookup_lag", "status", "code")
