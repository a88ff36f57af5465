from orders.admin import books, orders, trading_state

__all__ = ["books", "orders", "trading_state"]
