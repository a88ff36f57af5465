"""Client order ids: our mark, the code of the strategy account, and a random part."""

import re
import secrets

OUR_PREFIX = "th"
_OURS = re.compile(r"th[a-z0-9]{30}")
_CODED = re.compile(r"th([a-z0-9]{8})[0-9a-f]{22}")
_WITHOUT_CODE = re.compile(r"th[0-9a-f]{30}")


def new_client_order_id(code: str) -> str:
    """Returns 32 lower-case letters and digits with 88 random bits: every known exchange takes such an id.

    `code` is the code of the strategy account, 8 lower-case letters and digits.
    """
    return f"{OUR_PREFIX}{code}{secrets.token_hex(11)}"


def code_in(client_order_id: str) -> str:
    """Returns the code of the strategy account; "" for an id of another form, such as an id of release 0.1.0."""
    found = _CODED.fullmatch(client_order_id)
    return found.group(1) if found else ""


def is_ours(client_order_id: str) -> bool:
    """Whether the id has the form of our ids, of this release or of release 0.1.0."""
    return _OURS.fullmatch(client_order_id) is not None


def may_lack_code(client_order_id: str) -> bool:
    """Whether the id may be of release 0.1.0, whose ids carry 30 random hexadecimal digits and no code."""
    return _WITHOUT_CODE.fullmatch(client_order_id) is not None
