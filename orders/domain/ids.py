"""Client order ids: our mark, the code of the strategy account, and a random part."""

import re
import secrets

OUR_PREFIX = "th"
_CODED = re.compile(r"th([a-z0-9]{8})[0-9a-f]{22}")


def new_client_order_id(code: str) -> str:
    """Returns 32 lower-case letters and digits with 88 random bits: every known exchange takes such an id.

    `code` is the code of the strategy account, 8 lower-case letters and digits.
    """
    return f"{OUR_PREFIX}{code}{secrets.token_hex(11)}"


def code_in(client_order_id: str) -> str:
    """Returns the code of the strategy account; "" for an id of another form, such as an id of release 0.1.0."""
    found = _CODED.fullmatch(client_order_id)
    return found.group(1) if found else ""
