import secrets


def new_client_order_id() -> str:
    """Returns 120 random bits in 32 lower-case letters and digits: every known exchange takes such an id."""
    return f"th{secrets.token_hex(15)}"
