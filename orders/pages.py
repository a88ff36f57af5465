"""Pages of the REST API's lists, by cursors that tell nothing."""

import base64
import hashlib
from functools import cache
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.utils.translation import gettext_lazy as _
from rest_framework.pagination import Cursor, CursorPagination
from rest_framework.request import Request

from orders.filters import bad_value

CURSOR, LIMIT = "cursor", "limit"
_AT_MOST = 500


class SealedCursors(CursorPagination):
    """A cursor holds the place of a row among all rows of all users, so the cursor is encrypted.

    A page costs the same wherever it lies, and new rows move none of the older ones.
    """

    ordering: str | tuple[str, ...] = "-pk"
    page_size = 100
    page_size_query_param = LIMIT
    max_page_size = _AT_MOST
    cursor_query_param = CURSOR

    def get_page_size(self, request: Request) -> int:
        """Raises BadFilter."""
        given = request.query_params.getlist(LIMIT)
        if not given:
            return self.page_size
        is_number = len(given) == 1 and given[0].isascii() and given[0].isdigit()
        if not is_number or not 1 <= int(given[0][:9]) <= _AT_MOST:
            raise bad_value(LIMIT, ", ".join(given), _("1 to %(max)s") % {"max": _AT_MOST})
        return int(given[0])

    def decode_cursor(self, request: Request) -> Cursor | None:
        """Raises BadFilter."""
        given = request.query_params.getlist(CURSOR)
        if not given:
            return None
        try:
            opened = parse_qs(_sealing().decrypt(given[0].encode()).decode(), keep_blank_values=True)
        except (InvalidToken, ValueError) as error:
            raise bad_value(CURSOR, given[0], _("what next and previous hold")) from error
        place: Any = opened.get("p", [None])[0]  # the stubs know numbers only
        return Cursor(int(opened.get("o", ["0"])[0]), opened.get("r", ["0"])[0] == "1", place)

    def encode_cursor(self, cursor: Cursor) -> str:
        plain = urlencode({"o": cursor.offset, "r": int(cursor.reverse)} | _place(cursor))
        sealed = _sealing().encrypt(plain.encode()).decode()
        return _with_parameter(str(self.base_url), CURSOR, sealed)


class ByAccount(SealedCursors):
    """Pages by account and symbol: positions stand in the same order whichever of them was opened first."""

    ordering: str | tuple[str, ...] = ("strategy_account_id", "symbol")


def _place(cursor: Cursor) -> dict[str, str]:
    return {} if cursor.position is None else {"p": str(cursor.position)}


def _with_parameter(url: str, name: str, value: str) -> str:
    parts = urlsplit(url)
    query = parse_qs(parts.query, keep_blank_values=True) | {name: [value]}
    return parts._replace(query=urlencode(sorted(query.items()), doseq=True)).geturl()


@cache
def _sealing() -> Fernet:
    """A key of its own, from SECRET_KEY: with a new SECRET_KEY old cursors end, and a list starts anew."""
    digest = hashlib.sha256(b"tradehub.cursor:" + settings.SECRET_KEY.encode()).digest()
    return Fernet(base64.urlsafe_b64encode(digest))
