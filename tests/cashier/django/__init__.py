"""The cashier in Django."""
