import secrets


def new_client_order_id() -> str:
    """120 random bits in 32 lower-case letters and digits: what every exchange that we know takes."""
    return f"th{secrets.token_hex(15)}"
