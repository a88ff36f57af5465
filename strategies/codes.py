"""Short public codes: names of strategy accounts inside client order ids."""

import secrets

_LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
LENGTH = 8


def new_code() -> str:
    """Returns 8 random lower-case letters and digits: 2.8 trillion codes, so two of a desk hardly ever meet."""
    return "".join(secrets.choice(_LETTERS) for _ in range(LENGTH))
