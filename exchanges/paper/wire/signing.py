"""Reads a request, and checks the signature and the receive window of the request.

https://developers.binance.com/docs/binance-spot-api-docs/rest-api/request-security
"""

import hmac
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl

from exchanges.paper.engine.errors import Refusal
from exchanges.paper.engine.ledger import Ledger
from exchanges.paper.engine.records import Account
from exchanges.paper.wire.parameters import integer

API_KEY = re.compile(r"[A-Za-z0-9_.\-]{1,128}")
SIGNATURE = re.compile(r"&?signature=[^&]*")
HEX = re.compile(r"[0-9a-fA-F]{64}")
DEFAULT_WINDOW_MS = 5_000
LONGEST_WINDOW_MS = 60_000
AHEAD_MS = 1_000


@dataclass(frozen=True, slots=True)
class SentRequest:
    """One request. `payload` is the signed text: the received query string and form body, without the signature."""

    method: str
    path: str
    raw_path: str
    api_key: str
    params: dict[str, str]
    payload: str
    remote: str
    received_at: int

    @property
    def client_order_id(self) -> str:
        names = ("newClientOrderId", "clientAlgoId", "origClientOrderId")
        return next((self.params[name] for name in names if self.params.get(name)), "")

    @property
    def symbol(self) -> str:
        return self.params.get("symbol", "")


def read_request(method: str, raw_path: str, body: bytes, api_key: str, remote: str, now: int) -> SentRequest:
    path, _, query = raw_path.partition("?")
    form = body.decode("utf-8", "replace")
    joined = f"{query}&{form}" if query and form else query or form
    return SentRequest(
        method=method,
        path=path,
        raw_path=raw_path,
        api_key=api_key,
        params=dict(parse_qsl(joined, keep_blank_values=True)),
        payload=SIGNATURE.sub("", query + form),
        remote=remote,
        received_at=now,
    )


def authenticate_request(ledger: Ledger, sent: SentRequest) -> Account:
    """Returns the account of the key, after a check of the signature. A new well-formed key gets a new account."""
    if not API_KEY.fullmatch(sent.api_key):
        raise Refusal(-2014)
    signature = sent.params.get("signature", "")
    if not signature:
        raise Refusal(-1102, "Mandatory parameter 'signature' was not sent, was empty/null, or malformed.")
    if not HEX.fullmatch(signature):
        raise Refusal(-1022)
    account = ledger.find_account(sent.api_key)
    secret = account.secret_of(sent.api_key) if account else ""
    if secret and not _is_signed_with(secret, sent.payload, signature):
        raise Refusal(-1022)
    return account or ledger.open_account(sent.api_key)


def _is_signed_with(secret: str, payload: str, signature: str) -> bool:
    expected = hmac.digest(secret.encode(), payload.encode(), "sha256").hex()
    return hmac.compare_digest(expected, signature.lower())


def check_window(sent: SentRequest, now: int) -> None:
    """Refuses a request outside of the receive window. Binance checks on receipt, and again before matching."""
    timestamp = integer(sent.params, "timestamp")
    window = integer(sent.params, "recvWindow") if sent.params.get("recvWindow") else DEFAULT_WINDOW_MS
    if window > LONGEST_WINDOW_MS:
        raise Refusal(-1131)
    if timestamp >= now + AHEAD_MS:
        raise Refusal(-1021, "Timestamp for this request was 1000ms ahead of the server's time.")
    if now - timestamp > window:
        raise Refusal(-1021)
