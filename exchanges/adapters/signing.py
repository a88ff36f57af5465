"""Signs requests with a shared secret, as ccxt's `sign` does, for a small part of the cost.

ccxt's signature costs more than the rest of a call. `exchanges/tests/test_signing.py` compares the requests.
https://developers.binance.com/docs/binance-spot-api-docs/rest-api/request-security
"""

import hmac
from collections.abc import Mapping
from urllib.parse import quote

_UNRESERVED = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")


def query_of(parameters: Mapping[str, object]) -> str:
    """The parameters in their order as a query, with every character quoted that has a meaning in a query."""
    return "&".join([f"{name}={_quoted(value)}" for name, value in parameters.items()])


def signed_query(parameters: Mapping[str, object], secret: str) -> str:
    """The query with the HMAC-SHA256 of its text as the last parameter."""
    query = query_of(parameters)
    signature = hmac.digest(secret.encode(), query.encode(), "sha256").hex()
    return f"{query}&signature={signature}"


def _quoted(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    return text if _UNRESERVED.issuperset(text) else quote(text, safe="")
