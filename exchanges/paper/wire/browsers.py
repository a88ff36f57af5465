"""Keeps web pages away: whoever sits at this machine may open any page, and no page may move the paper market.

A page of another site can send GET and POST to a loopback address without asking: as text, as a form or as a file. The
page can neither set User-Agent, Host, Origin and Sec-Fetch-Site, nor send another content type or a header of its own
before the server agrees, and this server agrees to no preflight. A name that an attacker's DNS server points to this
machine shows in Host.
"""

import ipaddress
from collections.abc import Mapping

from exchanges.paper.engine.errors import Refusal
from exchanges.paper.remote import CONTROL_HEADER

_FORBIDDEN = 403
_OWN_SITES = ("none", "same-origin")  # the address bar, and pages of this server
_TYPES_OF_FORMS = ("text/plain", "multipart/form-data")


def require_loopback_host(headers: Mapping[str, str]) -> None:
    """Raises Refusal where the client was led here by another name than this machine's own."""
    name = _host_name(headers.get("Host", ""))
    if not _is_loopback(name):
        raise Refusal(-1002, f"Host is {name!r}. Use 127.0.0.1, ::1 or localhost.", _FORBIDDEN)


def require_no_page(method: str, headers: Mapping[str, str]) -> None:
    """Raises Refusal for a request to the control API that a page of another site may have sent."""
    origin = headers.get("Origin")
    if headers.get("Sec-Fetch-Site", "none") not in _OWN_SITES or (
        origin is not None and not _is_loopback(_host_name(origin.partition("://")[2]))
    ):
        raise Refusal(-1002, "The control API serves no web pages of other sites.", _FORBIDDEN)
    if method == "GET" or CONTROL_HEADER in headers:
        return
    kind = headers.get("Content-Type", "").partition(";")[0].strip().lower()
    is_browser = "mozilla" in headers.get("User-Agent", "").lower()
    if kind in _TYPES_OF_FORMS or (is_browser and kind != "application/json"):
        raise Refusal(
            -1002,
            f"Send the header {CONTROL_HEADER}: 1, or Content-Type: application/json, which no page can send here.",
            _FORBIDDEN,
        )


def _host_name(authority: str) -> str:
    """The host of `host:port`, `[::1]:port` or `host`, in lower case."""
    if authority.startswith("["):
        return authority[1:].partition("]")[0]
    return authority.partition("/")[0].partition(":")[0].lower()


def _is_loopback(name: str) -> bool:
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False
