from orders.admin import books, exits, leaving, orders, trading_state

__all__ = ["books", "exits", "leaving", "orders", "trading_state"]
