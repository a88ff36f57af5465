from orders.admin import books, halting, orders

__all__ = ["books", "halting", "orders"]
